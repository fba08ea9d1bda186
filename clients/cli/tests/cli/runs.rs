//! Runs: found by their connection, listed, their logs.

use superfasttt_proto::control::v1::run::State;

use crate::fake::Fake;
use crate::support::{RUN, Server};
use crate::sync_wait::run;

#[tokio::test]
async fn the_newest_run_is_found_by_its_connections_name() {
    let server = Server::start(Fake { script: vec![run(State::Succeeded, 3)], ..Default::default() }).await;
    for line in ["runs show docs", "runs cancel docs", &format!("runs show {RUN}")] {
        let ran = server.run(&format!("-o json {line}")).await;
        assert_eq!((ran.code, ran.json()[0]["id"].as_str()), (0, Some(RUN)), "{line}: {ran:?}");
    }
    let never = Server::start(Fake::default()).await;
    let ran = never.run("runs show docs").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("never ran yet"), "{}", ran.err);
}

#[tokio::test]
async fn a_list_names_connections_for_people() {
    let server = Server::start(Fake { script: vec![run(State::Succeeded, 3)], ..Default::default() }).await;
    let ran = server.run("runs list docs").await;
    assert!(ran.out.lines().nth(1).unwrap().starts_with("docs        succeeded  full"), "{}", ran.out);
}

#[tokio::test]
async fn a_log_stops_at_its_present_end_unless_it_is_followed() {
    let server = Server::start(Fake { script: vec![run(State::Succeeded, 3)], ..Default::default() }).await;
    let ran = server.run("runs logs docs").await;
    assert_eq!(ran.out, "- info  engine    began a=1 b=2 c=3\n");
    let ran = server.run("-o json runs logs docs --follow").await;
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.out,
        "{\"origin\":\"engine\",\"message\":\"began\",\"fields\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}}\n\
         {\"origin\":\"engine\",\"message\":\"ended\",\"fields\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}}\n"
    );
}

#[tokio::test]
async fn item_errors_are_listed_and_tried_again_by_their_ids() {
    let server = Server::start(Fake { script: vec![run(State::Succeeded, 3)], ..Default::default() }).await;
    let ran = server.run("-o json errors list docs --scope team --reason access-denied").await;
    let record = &ran.json()[0];
    assert_eq!(
        (record["scope"].as_str(), record["error"]["reason"].as_str()),
        (Some("team"), Some("REASON_ACCESS_DENIED"))
    );
    let ran = server.run("errors list docs").await;
    assert!(ran.out.lines().nth(1).unwrap().trim_end().ends_with(" 17"), "what retry takes: {}", ran.out);
    let ran = server.run("errors list docs --reason bad-luck").await;
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = server.run("errors retry docs 17 23").await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "asking for 2 items again\n"));
    assert!(ran.err.contains("2 known by a locator alone") && ran.err.contains("--full"), "{}", ran.err);
    let nothing = Server::start(Fake::default()).await.run("errors retry docs").await;
    assert!(nothing.code == 0 && nothing.err.contains("nothing to try again"), "{nothing:?}");
}

#[tokio::test]
async fn a_cursor_is_set_from_text_or_from_a_file() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("-o json state set docs --scope team --cursor 4711 --yes").await;
    assert_eq!(
        (ran.json()[0]["scope"].as_str(), ran.json()[0]["cursor"].as_str()),
        (Some("team"), Some("NDcxMQ=="))
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cursor");
    std::fs::write(&file, [0xff, 0x00]).unwrap();
    let ran = server.run(&format!("-o json state set docs --cursor-file {} --yes", file.display())).await;
    assert_eq!(ran.json()[0]["cursor"].as_str(), Some("/wA="));
    assert_eq!(server.run("state set docs --yes").await.code, 2, "no cursor is not an empty one");
}
