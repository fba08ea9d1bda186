//! I5: a connector that can be asked for single items is asked before their absence counts.

use serde_json::json;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::ApproveDeletionsRequest;
use superfasttt_proto::control::v1::run::State;

use crate::support::{Server, TARGETED, complete, deletion, doc, item_error, present};

#[tokio::test]
async fn i5_absent_documents_are_asked_for_before_they_go() {
    let server = Server::start().await;
    let documents = ["a", "exists", "gone", "silent", "unreadable"].map(|id| doc(id, "1"));
    let source = server.source(TARGETED, [[documents.to_vec(), vec![complete("1")]].concat()]).await;
    server.client.sync_well(&source.connection).await;

    source.script.next_pulls([
        vec![doc("a", "1"), complete("2")],
        vec![doc("exists", "2"), deletion("gone"), item_error("unreadable")],
    ]);
    let run = server.client.sync_full(&source.connection).await;
    let asked = source.script.pulls().pop().unwrap();
    assert_eq!(asked["mode"], "TARGETED");
    assert_eq!(asked["ids"], json!(["exists", "gone", "silent", "unreadable"]));
    assert_eq!(server.client.ids(&source.connection).await, "a exists silent unreadable");
    let documents = server.client.documents(&source.connection).await;
    assert_eq!(documents["exists"].title, "exists 2", "the answer is taken as a change");
    assert_eq!(run.state(), State::SucceededWithErrors);
    let errors = server.client.item_errors(&source.connection).await;
    assert_eq!(errors["silent"], Reason::ProtocolViolation, "no answer is never a deletion");
    assert_eq!(errors["unreadable"], Reason::AccessDenied);
    assert_eq!(errors.len(), 2);
}

#[tokio::test]
async fn i5_an_item_that_is_only_present_at_another_version_is_asked_for() {
    let server = Server::start().await;
    let source = server
        .source(
            TARGETED,
            [
                vec![doc("same", "1"), doc("changed", "1"), complete("1")],
                vec![present("same", "1"), present("changed", "2"), present("new", "1"), complete("2")],
                vec![doc("changed", "2"), doc("new", "1")],
            ],
        )
        .await;
    server.client.sync_well(&source.connection).await;
    let run = server.client.sync_full(&source.connection).await;
    assert_eq!(run.state(), State::Succeeded);
    assert_eq!(source.script.pulls().pop().unwrap()["ids"], json!(["changed", "new"]));
    assert_eq!(server.client.ids(&source.connection).await, "changed new same");
}

#[tokio::test]
async fn i5_a_held_sweep_asks_for_nothing() {
    let server = Server::start().await;
    let documents: Vec<_> = (0..12).map(|number| doc(&format!("d{number}"), "1")).collect();
    let source =
        server.source(TARGETED, [[documents, vec![complete("1")]].concat(), vec![complete("2")]]).await;
    server.client.sync_well(&source.connection).await;
    let run = server.client.sync_full(&source.connection).await;
    assert_eq!(run.held_sweeps[0].absent, 12);
    assert_eq!(source.script.last_pull().0, "FULL");
    // A person approves; then each is asked for, and what the source still has stays.
    let deletions: Vec<_> = (1..12).map(|number| deletion(&format!("d{number}"))).collect();
    source.script.next_pulls([vec![complete("3")], [vec![doc("d0", "1")], deletions].concat()]);
    let request = ApproveDeletionsRequest { connection: source.connection.clone(), scopes: vec![] };
    let approved = server.client.runs().approve_deletions(request).await.unwrap().into_inner();
    let run = server.client.end_of(&approved.run.unwrap().id).await;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    assert_eq!(source.script.last_pull().0, "TARGETED");
    assert_eq!(server.client.ids(&source.connection).await, "d0");
}
