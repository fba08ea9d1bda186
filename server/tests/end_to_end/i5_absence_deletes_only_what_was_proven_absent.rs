//! I5: a document that a listing does not name is deleted only where the listing proves that it is gone.

use serde_json::json;

use crate::support::{
    LISTING, SCRIPTED, Server, Source, Step, checkpoint, complete, deletion, doc, in_scope, item_error,
    unnamed_error,
};
use superfasttt_proto::control::v1::run::State;

/// A connection with the documents a, b and c.
async fn with_three(server: &Server, connector: &str) -> Source {
    let source =
        server.source(connector, [vec![doc("a", "1"), doc("b", "1"), doc("c", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    source
}

/// Plays a listing; returns what is left.
async fn after_listing(server: &Server, source: &Source, listing: Vec<Step>) -> String {
    source.script.next_pulls([listing]);
    server.client.sync_full(&source.connection).await;
    server.client.ids(&source.connection).await
}

#[tokio::test]
async fn i5_only_a_complete_listing_deletes() {
    let server = Server::start().await;
    for connector in [SCRIPTED, LISTING] {
        let source = with_three(&server, connector).await;
        let position = server.client.feed("").await.position;

        assert_eq!(after_listing(&server, &source, vec![doc("a", "1")]).await, "a b c", "no checkpoint");
        assert_eq!(after_listing(&server, &source, vec![doc("a", "1"), checkpoint("2")]).await, "a b c");
        assert_eq!(after_listing(&server, &source, vec![]).await, "a b c", "nothing was said");
        assert!(server.client.feed(&position).await.entries.is_empty());

        assert_eq!(after_listing(&server, &source, vec![doc("a", "1"), complete("3")]).await, "a");
        let mut told = server.client.feed(&position).await.told();
        told.sort();
        assert_eq!(told, ["-b", "-c"]);
    }
}

#[tokio::test]
async fn i5_an_item_error_shields_what_it_names() {
    let server = Server::start().await;
    let source = with_three(&server, SCRIPTED).await;
    let listing = vec![doc("a", "1"), item_error("b"), complete("2")];
    assert_eq!(after_listing(&server, &source, listing).await, "a b", "c is gone, b is only not readable");
    assert_eq!(server.client.item_errors(&source.connection).await.into_keys().collect::<Vec<_>>(), ["b"]);
    // Once the source can be read again, and does not have it, it goes; and the error with it.
    assert_eq!(after_listing(&server, &source, vec![doc("a", "1"), complete("3")]).await, "a");
    assert!(server.client.item_errors(&source.connection).await.is_empty());
}

#[tokio::test]
async fn i5_an_item_error_shields_by_locator_and_with_everything_under_it() {
    let server = Server::start().await;
    let file = |id: &str, parent: &str, locator: &str| json!({"document": {"id": id, "content": id, "version": "1", "parent_id": parent, "locator": locator}});
    let folder = |id: &str, parent: &str, locator: &str| json!({"container": {"id": id, "parent_id": parent, "name": id, "locator": locator}});
    let all = vec![
        folder("docs", "", "/docs"),
        folder("deep", "docs", "/docs/deep"),
        file("in-docs", "docs", "/docs/1"),
        file("in-deep", "deep", "/docs/deep/1"),
        // Its parent is a document, which holds attachments.
        file("attachment", "in-deep", ""),
        file("other", "", "/other"),
        file("alone", "", "/alone"),
    ];
    let failing = |target: serde_json::Value| {
        let mut error = json!({"reason": "ACCESS_DENIED", "message": "locked"});
        error.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        json!({"item_error": error})
    };
    let cases = [
        (json!({"locator": "/alone"}), "alone"),
        (json!({"locator": "/docs", "with_descendants": true}), "attachment in-deep in-docs"),
        (json!({"id": "deep", "with_descendants": true}), "attachment in-deep"),
        (json!({"id": "in-deep", "with_descendants": true}), "attachment in-deep"),
        (json!({"id": "in-deep"}), "in-deep"),
        // Nobody knows where that is, so anything may be under it.
        (json!({"locator": "/unknown", "with_descendants": true}), "alone attachment in-deep in-docs other"),
    ];
    for (target, left) in cases {
        let mut first = all.clone();
        first.push(complete("1"));
        let source = server.source(SCRIPTED, [first]).await;
        server.client.sync_well(&source.connection).await;
        let listing = vec![failing(target.clone()), complete("2")];
        assert_eq!(after_listing(&server, &source, listing).await, left, "shielded by {target}");
    }
}

#[tokio::test]
async fn i5_nothing_is_deleted_beside_an_error_that_names_nothing() {
    let server = Server::start().await;
    let source = with_three(&server, SCRIPTED).await;
    let listing = vec![doc("a", "1"), unnamed_error(), complete("2")];
    assert_eq!(after_listing(&server, &source, listing).await, "a b c");
    assert_eq!(after_listing(&server, &source, vec![doc("a", "1"), complete("3")]).await, "a");
}

#[tokio::test]
async fn i5_a_scope_that_failed_keeps_everything_and_the_others_do_not() {
    let server = Server::start().await;
    let two = |scope: &str, names: [&str; 2]| names.map(|name| in_scope(scope, doc(name, "1"))).to_vec();
    let mut first = two("one", ["a", "b"]);
    first.extend(two("two", ["c", "d"]));
    first.extend([in_scope("one", complete("1")), in_scope("two", complete("1"))]);
    let source = server.source(SCRIPTED, [first]).await;
    server.client.sync_well(&source.connection).await;

    let error = json!({"scope_error": {"reason": "ACCESS_DENIED", "message": "the drive is locked"}});
    source.script.next_pulls([vec![
        in_scope("one", doc("a", "1")),
        in_scope("two", doc("c", "1")),
        in_scope("two", error),
        in_scope("one", complete("2")),
    ]]);
    let run = server.client.sync_full(&source.connection).await;
    assert_eq!(run.state(), State::SucceededWithErrors);
    assert!(run.error.unwrap().message.contains("the drive is locked"));
    assert_eq!(server.client.ids(&source.connection).await, "a c d");
}

#[tokio::test]
async fn i5_what_was_sent_since_the_listing_began_stays() {
    let mut server = Server::start().await;
    let source = with_three(&server, SCRIPTED).await;
    // The listing names a, is cut off by the death of the server, and goes on behind its cursor with c only.
    let cut = vec![
        doc("a", "1"),
        json!({"checkpoint": {"cursor": "half", "has_more": true}}),
        source.script.touch("half"),
        source.script.wait("never"),
    ];
    source.script.next_pulls([cut, vec![doc("c", "1"), complete("2")]]);
    let run = server.client.begin(&source.connection, true).await;
    source.script.reached("half").await;
    crate::support::within("the first half is committed", async {
        while server.client.scope(&source.connection, "").await.listing_cursor != b"half" {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    server.kill9().await;
    server.restart().await;
    server.client.end_of(&run.id).await;
    assert_eq!(source.script.last_pull(), ("FULL".to_owned(), "half".to_owned()));
    assert_eq!(server.client.ids(&source.connection).await, "a c", "only b was named by neither half");

    // Changes between two listings are no part of either: d came by an incremental run, and a went by one.
    source.script.next_pulls([vec![doc("d", "1"), deletion("a"), checkpoint("3")]]);
    server.client.sync_well(&source.connection).await;
    assert_eq!(server.client.ids(&source.connection).await, "c d");
    let listing = vec![doc("c", "1"), doc("d", "1"), complete("4")];
    assert_eq!(after_listing(&server, &source, listing).await, "c d");
}
