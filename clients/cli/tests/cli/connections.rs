//! Connections: made, changed, shown, tried.

use serde_json::json;

use crate::fake::{Fake, text};
use crate::support::{CONNECTION, Ran, Server};

#[tokio::test]
async fn create_reads_settings_by_the_connectors_schema() {
    let server = Server::start(Fake::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = server.command(
        "-o json connections create --connector filesystem --name docs --set root=./library --set note=42 \
         --set max_size=10 --set include=*.md,*.txt --set other=true --frequency 15m --full-frequency 1d --request-id r1",
    );
    command.current_dir(folder.path());
    let ran = Ran::of(command).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let root = folder.path().canonicalize().unwrap().join("library");
    assert_eq!(
        ran.json(),
        [json!({
            "id": CONNECTION, "connector": "filesystem", "name": "docs",
            "settings": {"root": root, "note": "42", "max_size": 10, "include": ["*.md", "*.txt"], "other": true},
            "schedule": {"interval": "900s", "fullInterval": "86400s"},
        })]
    );
    assert!(ran.out.contains("\"max_size\":10,"), "{}", ran.out);
    let asked = server.fake.asked.creates.lock().unwrap();
    assert_eq!((asked[0].request_id.as_str(), asked[0].disabled), ("r1", false));
}

#[tokio::test]
async fn without_a_schedule_the_connector_decides_and_off_means_none() {
    let server = Server::start(Fake::default()).await;
    assert_eq!(server.run("connections create --connector filesystem --name a").await.code, 0);
    assert_eq!(
        server
            .run("connections create --connector filesystem --name b --frequency off --disabled")
            .await
            .code,
        0
    );
    let asked = server.fake.asked.creates.lock().unwrap();
    let connection = |at: usize| asked[at].connection.clone().unwrap();
    assert_eq!(connection(0).schedule, None);
    assert_eq!(connection(0).settings, None);
    assert_eq!(connection(1).schedule, Some(Default::default()));
    assert!(asked[1].disabled);
}

#[tokio::test]
async fn an_unknown_connector_is_said_before_anything_is_made() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("connections create --connector gdrive --name x --set a=1").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("there is no connector \"gdrive\""), "{}", ran.err);
    assert!(server.fake.asked.creates.lock().unwrap().is_empty());
}

#[tokio::test]
async fn update_names_only_what_was_typed() {
    let server = Server::start(Fake::default()).await;
    let ran = server
        .run("connections update docs --set max_size=5 --unset root --name papers --frequency 1h")
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let asked = server.fake.asked.updates.lock().unwrap();
    let connection = asked[0].connection.clone().unwrap();
    let mask = asked[0].update_mask.clone().unwrap().paths;
    assert_eq!(mask, ["name", "settings.max_size", "settings.root", "schedule.interval", "schedule.cron"]);
    assert_eq!(
        (connection.id.as_str(), connection.etag.as_str(), connection.name.as_str()),
        (CONNECTION, "e1", "papers")
    );
    let settings = connection.settings.unwrap().fields;
    assert_eq!(settings.get("note"), Some(&text("kept")));
    assert_eq!(settings.get("root"), None);
}

#[tokio::test]
async fn a_connection_is_found_by_name_and_by_id() {
    let server = Server::start(Fake::default()).await;
    for meant in ["docs", CONNECTION] {
        let ran = server.run(&format!("-o json connections show {meant}")).await;
        assert_eq!(ran.json()[0]["id"], CONNECTION, "{ran:?}");
        assert_eq!(ran.json()[0]["documentCount"], "1204");
        assert_eq!(ran.json()[0]["state"], "STATE_HEALTHY");
    }
    let ran = server.run("connections show nothing").await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("there is no connection named \"nothing\" in the organisation \"default\""),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn tables_have_no_escape_codes_where_nobody_looks() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("connections list").await;
    assert_eq!(ran.code, 0);
    assert!(ran.out.starts_with("NAME  CONNECTOR   STATE    DOCUMENTS"), "{}", ran.out);
    assert!(ran.out.contains("docs  filesystem  healthy      1,204"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{ran:?}");
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("connectors list -o json").await;
    let ids: Vec<_> =
        ran.json().iter().map(|connector| connector["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["filesystem", "notion"]);
    let ran = server.run("connectors list").await;
    assert_eq!(ran.out.matches("DESCRIPTION").count(), 1, "{}", ran.out);
}

#[tokio::test]
async fn a_failed_check_fails_and_says_how_to_mend_it() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("connections test docs").await;
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("failed   root_readable  looked (give the server's user"), "{}", ran.out);
    assert!(ran.err.contains("a check failed"), "{}", ran.err);
}

#[tokio::test]
async fn switches_answer_with_the_connection() {
    let server = Server::start(Fake::default()).await;
    for switch in ["enable", "disable", "pause", "resume", "delete"] {
        let ran = server.run(&format!("-o json connections {switch} docs")).await;
        assert_eq!((ran.code, ran.json()[0]["name"].as_str()), (0, Some("docs")), "{switch}: {ran:?}");
        assert_eq!(ran.err, "", "{switch}");
    }
}

#[tokio::test]
async fn a_schedule_in_a_time_zone_is_made_and_changed_by_its_parts() {
    let server = Server::start(Fake::default()).await;
    let mut command =
        server.command("connections create --connector filesystem --name a --time-zone Europe/Paris");
    command.args([
        "--cron",
        "0 6 * * MON-FRI",
        "--full-cron",
        "0 3 * * SUN",
        "--overlap",
        "buffer",
        "--jitter",
        "30s",
    ]);
    let ran = Ran::of(command).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let syncs = "syncs         at 06:00, on Monday, Tuesday, Wednesday, Thursday, and Friday; in full at 03:00, on Sunday (Europe/Paris)";
    assert!(ran.out.contains(syncs), "{}", ran.out);
    let created = server.fake.asked.creates.lock().unwrap()[0].connection.clone().unwrap().schedule.unwrap();
    assert_eq!((created.cron.as_str(), created.full_cron.as_str()), ("0 6 * * MON-FRI", "0 3 * * SUN"));
    assert_eq!((created.time_zone.as_str(), created.jitter.unwrap().seconds), ("Europe/Paris", 30));

    let ran = server.run("connections update docs --overlap skip --full-frequency off").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let mask = server.fake.asked.updates.lock().unwrap()[0].update_mask.clone().unwrap().paths;
    assert_eq!(mask, ["schedule.full_interval", "schedule.full_cron", "schedule.overlap"]);

    let ran = server.run("connections create --connector filesystem --name b --full-frequency 1d").await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("--full-frequency needs --frequency or --cron beside it"), "{}", ran.err);
    assert_eq!(server.run("connections update docs").await.code, 2, "nothing to change");
}

#[tokio::test]
async fn the_next_sync_is_shown_with_its_reason() {
    let server = Server::start(Fake::default()).await;
    let shown = server.run("connections show docs").await.out;
    assert!(
        shown.contains("syncs         every 15 min; in full at 03:00, on Sunday (Europe/Paris)"),
        "{shown}"
    );
    assert!(shown.contains("next sync     2099-01-01 00:00:00 UTC"), "{shown}");
    assert!(shown.contains("because       every 15m; it lists everything"), "{shown}");
    let listed = server.run("connections list").await.out;
    assert!(
        listed.contains("every 15 min; in full at 03:00, on Sunday (Europe/Paris)  2099-01-01, in full"),
        "{listed}"
    );
}

#[tokio::test]
async fn a_sync_is_planned_and_forgotten() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("sync docs --at 2099-12-01T07:00+01:00 --full").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("docs: a sync is planned for 2099-12-01 06:00:00 UTC"), "{}", ran.err);
    {
        let asked = server.fake.asked.syncs.lock().unwrap();
        assert_eq!((asked[0].at.unwrap().seconds, asked[0].full), (4_099_788_000, true));
    }
    let ran = server.run("-o json sync docs --at 2099-12-01T06:00Z").await;
    assert_eq!(ran.json(), [json!({"plannedAt": "2099-12-01T06:00:00Z"})]);

    let ran = server.run("sync docs --at none").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let mask = server.fake.asked.updates.lock().unwrap()[0].update_mask.clone().unwrap().paths;
    assert_eq!(mask, ["schedule.planned_at", "schedule.planned_full"]);

    for wrong in ["sync docs --at tomorrow", "sync docs --at 2099-12-01T06:00", "sync docs --wait --at none"]
    {
        assert_eq!(server.run(wrong).await.code, 2, "{wrong}");
    }
}
