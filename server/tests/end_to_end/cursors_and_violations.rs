//! What a run does with a cursor that the source no longer takes, with a scope that wants to be pulled for ever, and
//! with a connector that breaks the contract.

use serde_json::json;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::run::State;

use crate::support::{SCRIPTED, Server, Source, Step, checkpoint, complete, doc, fail, in_scope, more};

/// Two scopes: "one" has a and b, "two" has c.
async fn with_two_scopes(server: &Server) -> Source {
    let first = vec![
        in_scope("one", doc("a", "1")),
        in_scope("one", doc("b", "1")),
        in_scope("two", doc("c", "1")),
        in_scope("one", complete("one-1")),
        in_scope("two", complete("two-1")),
    ];
    let source = server.source(SCRIPTED, [first]).await;
    server.client.sync_well(&source.connection).await;
    source
}

#[tokio::test]
async fn an_invalid_cursor_of_one_scope_lists_that_scope() {
    let server = Server::start().await;
    let source = with_two_scopes(&server).await;
    let invalid = json!({"scope_error": {"reason": "CURSOR_INVALID", "message": "too old"}});
    source.script.next_pulls([
        vec![in_scope("one", invalid), in_scope("two", doc("d", "1")), in_scope("two", checkpoint("two-2"))],
        vec![in_scope("one", doc("a", "1")), in_scope("one", complete("one-2"))],
        vec![in_scope("one", checkpoint("one-3")), in_scope("two", checkpoint("two-3"))],
    ]);
    let run = server.client.sync(&source.connection).await;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    let pulls = source.script.pulls();
    assert_eq!((&pulls[1]["mode"], &pulls[2]["mode"]), (&json!("INCREMENTAL"), &json!("FULL")));
    assert_eq!(pulls[2]["scopes"], json!(["one"]));
    assert_eq!(pulls[2]["states"], json!([]), "the listing begins anew");
    assert_eq!(
        server.client.ids(&source.connection).await,
        "a c d",
        "b is gone, by the listing of its scope"
    );
}

#[tokio::test]
async fn an_invalid_cursor_told_by_the_status_lists_every_scope() {
    let server = Server::start().await;
    let source = with_two_scopes(&server).await;
    source.script.next_pulls([
        vec![fail("CURSOR_INVALID")],
        vec![
            in_scope("one", doc("a", "1")),
            in_scope("one", complete("one-2")),
            in_scope("two", doc("c", "1")),
            in_scope("two", complete("two-2")),
        ],
        vec![in_scope("one", checkpoint("one-3")), in_scope("two", checkpoint("two-3"))],
    ]);
    let run = server.client.sync(&source.connection).await;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    assert_eq!(server.client.ids(&source.connection).await, "a c");
    assert_eq!(server.client.scope(&source.connection, "two").await.cursor, b"two-3");
}

#[tokio::test]
async fn two_cuts_without_a_new_checkpoint_are_no_progress() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    // The connector sends something and is cut, again and again.
    source.script.next_pulls([vec![doc("b", "1"), fail("SOURCE_UNAVAILABLE")]]);
    let (reason, message) = server.client.sync_to_failure(&source.connection).await;
    assert_eq!(reason, Reason::NoProgress);
    assert!(message.contains("SOURCE_UNAVAILABLE"), "it tells the last cause: {message}");
    assert_eq!(source.script.pulls().len(), 3);
    // A scope that asks for another pull each time, with the same cursor.
    source.script.next_pulls([vec![doc("b", "1"), more("1")]]);
    let (reason, _) = server.client.sync_to_failure(&source.connection).await;
    assert_eq!(reason, Reason::NoProgress);
    // With a new cursor each time it is progress.
    source.script.next_pulls([vec![more("2")], vec![more("3")], vec![more("4")], vec![checkpoint("5")]]);
    server.client.sync_well(&source.connection).await;
    assert_eq!(server.client.scope(&source.connection, "").await.cursor, b"5");
}

#[tokio::test]
async fn a_broken_contract_is_never_committed_past() {
    let server = Server::start().await;
    let violations: [(&str, Step); 7] = [
        ("kind", json!({"unknown_kind": "response"})),
        ("kind", json!({"unknown_kind": "change"})),
        ("listing_complete", complete("later")),
        ("cursor", checkpoint(&"c".repeat(64 * 1024 + 1))),
        ("cursor", checkpoint("")),
        ("names nothing", json!({"deletion": {}})),
        ("scope", in_scope(&"s".repeat(1025), doc("x", "1"))),
    ];
    for (said, violation) in violations {
        let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;
        server.client.sync_well(&source.connection).await;
        source.script.next_pulls([vec![doc("b", "1"), more("2"), violation, doc("d", "1"), checkpoint("3")]]);
        let run = server.client.sync(&source.connection).await;
        assert_eq!(run.state(), State::Failed, "{said}");
        let error = run.error.unwrap();
        assert_eq!((error.reason(), error.actor.as_str()), (Reason::ProtocolViolation, "author"), "{said}");
        assert!(error.message.contains(said), "{}", error.message);
        assert_eq!(
            server.client.scope(&source.connection, "").await.cursor,
            b"2",
            "{said}: what was right stays"
        );
        assert_eq!(server.client.ids(&source.connection).await, "a b", "{said}");
    }
}

#[tokio::test]
async fn a_page_that_breaks_the_contract_in_part_is_not_committed_in_part() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    let changes = json!([doc("b", "1"), {"unknown_kind": "change"}]);
    source.script.next_pulls([vec![json!({"page": {"changes": changes, "checkpoint": {"cursor": "2"}}})]]);
    let (reason, _) = server.client.sync_to_failure(&source.connection).await;
    assert_eq!(reason, Reason::ProtocolViolation);
    assert_eq!(server.client.ids(&source.connection).await, "a");
    assert_eq!(server.client.scope(&source.connection, "").await.cursor, b"1");
}
