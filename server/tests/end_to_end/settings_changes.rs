//! Changed settings list everything, and delete without asking what they no longer choose, unless that is everything.

use serde_json::json;
use superfasttt_proto::control::v1::run::State;

use crate::support::{SCRIPTED, Server, Source, Step, checkpoint, complete, doc};

fn listing(count: usize, cursor: &str) -> Vec<Step> {
    let mut steps: Vec<_> = (0..count).map(|number| doc(&format!("d{number:03}"), "1")).collect();
    steps.push(complete(cursor));
    steps
}

async fn choose(server: &Server, source: &Source, choice: &str) {
    let settings = json!({"script": source.script.path(), "choice": choice});
    server.client.change_settings(&source.connection, settings).await;
}

#[tokio::test]
async fn changed_settings_sweep_without_a_hold() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [listing(200, "1")]).await;
    server.client.sync_well(&source.connection).await;
    choose(&server, &source, "fewer").await;
    source.script.next_pulls([listing(20, "2"), vec![checkpoint("3")]]);
    let counts = server.client.sync_well(&source.connection).await;
    assert_eq!((counts.deleted, counts.unchanged), (180, 20));
    assert_eq!(source.script.last_pull(), ("FULL".to_owned(), "none".to_owned()));
    // The settings are the known ones now.
    server.client.sync_well(&source.connection).await;
    assert_eq!(source.script.last_pull(), ("INCREMENTAL".to_owned(), "2".to_owned()));
    // The same settings once more are no change.
    choose(&server, &source, "fewer").await;
    server.client.sync_well(&source.connection).await;
    assert_eq!(source.script.last_pull().0, "INCREMENTAL");
}

#[tokio::test]
async fn changed_settings_do_not_empty_a_connection_unasked() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [listing(30, "1")]).await;
    server.client.sync_well(&source.connection).await;
    choose(&server, &source, "nothing").await;
    source.script.next_pulls([listing(0, "2")]);
    let run = server.client.sync(&source.connection).await;
    assert_eq!(run.state(), State::SucceededWithErrors);
    assert_eq!((run.held_sweeps[0].absent, run.counts.unwrap().deleted), (30, 0));
}

#[tokio::test]
async fn settings_changed_in_the_middle_of_a_listing_begin_it_anew() {
    let mut server = Server::start().await;
    let source = server.source(SCRIPTED, [listing(100, "1")]).await;
    server.client.sync_well(&source.connection).await;
    choose(&server, &source, "second").await;
    let script = &source.script;
    script.next_pulls([
        vec![
            doc("d000", "1"),
            json!({"checkpoint": {"cursor": "part", "has_more": true}}),
            script.touch("at"),
            script.wait("never"),
        ],
        listing(10, "2"),
        vec![checkpoint("3")],
    ]);
    let run = server.client.begin(&source.connection, false).await;
    script.reached("at").await;
    server.kill9().await;
    server.restart().await;
    server.client.end_of(&run.id).await;
    let modes: Vec<_> = script.pulls().into_iter().map(|pull| pull["mode"].clone()).collect();
    assert_eq!(modes, ["FULL", "FULL", "FULL", "INCREMENTAL"]);
    assert_eq!(
        server.client.documents(&source.connection).await.len(),
        10,
        "swept without a hold after the crash"
    );

    choose(&server, &source, "third").await;
    script.next_pulls([listing(3, "4")]);
    let counts = server.client.sync_well(&source.connection).await;
    assert_eq!(counts.deleted, 7);
    assert_eq!(script.last_pull(), ("FULL".to_owned(), "none".to_owned()));
}

#[tokio::test]
async fn a_scope_that_is_no_longer_chosen_is_known_to_the_connector_and_goes() {
    let server = Server::start().await;
    let of = |scope: &str, id: &str| {
        json!({"scope": scope, "page": {"changes": [doc(id, "1")],
        "checkpoint": {"cursor": "1", "listing_complete": true}}})
    };
    let source = server.source(SCRIPTED, [vec![of("wiki", "w"), of("blog", "b")]]).await;
    server.client.sync_well(&source.connection).await;
    choose(&server, &source, "only the wiki").await;
    source
        .script
        .next_pulls([vec![of("wiki", "w"), json!({"scope": "blog", "scope_removed": "DESELECTED"})]]);
    let counts = server.client.sync_well(&source.connection).await;
    let pull = source.script.pulls().pop().unwrap();
    assert_eq!((&pull["states"], &pull["known_scopes"]), (&json!([]), &json!(["blog", "wiki"])));
    assert_eq!(counts.deleted, 1);
    assert_eq!(server.client.documents(&source.connection).await.into_keys().collect::<Vec<_>>(), ["w"]);
}
