//! I7: who may see a document is never guessed, and a change of that alone travels alone.

use serde_json::json;

use crate::support::{SCRIPTED, Server, checkpoint, complete, doc, text};

fn with_permissions(id: &str, permissions: serde_json::Value) -> serde_json::Value {
    let mut step = doc(id, "1");
    step["document"]["permissions"] = permissions;
    step
}

#[tokio::test]
async fn i7_permissions_not_known_are_private() {
    let server = Server::start().await;
    let source = server
        .source(
            SCRIPTED,
            [vec![
                doc("absent", "1"),
                with_permissions("empty", json!({})),
                with_permissions("unknown", json!({"visibility": "everybody", "allow": ["user:a"]})),
                with_permissions("public", json!({"visibility": "public"})),
                with_permissions("organization", json!({"visibility": "organization"})),
                complete("1"),
            ]],
        )
        .await;
    server.client.sync(&source.connection).await;
    let documents = server.client.documents(&source.connection).await;
    let shown = |id: &str| documents[id].permissions.clone().map(|permissions| permissions.visibility);
    for id in ["absent", "empty", "unknown"] {
        assert_eq!(shown(id).as_deref(), Some("private"), "{id}");
    }
    assert_eq!(shown("public").as_deref(), Some("public"));
    assert_eq!(shown("organization").as_deref(), Some("organization"));
}

#[tokio::test]
async fn i7_a_change_of_permissions_travels_without_content_and_hides_none() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), doc("b", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    let seen_all = server.client.feed("").await.position;

    let acl = |visibility: &str, allow: &str| json!({"permissions": {"id": "a", "permissions": {"visibility": visibility, "allow": [allow]}}});
    source.script.next_pulls([
        vec![acl("organization", "user:x"), checkpoint("2")],
        vec![doc("a", "2"), checkpoint("3")],
        vec![acl("public", "user:y"), checkpoint("4")],
    ]);
    let counts = server.client.sync_well(&source.connection).await;
    assert_eq!((counts.updated, counts.contents_fetched), (1, 0));
    let feed = server.client.feed(&seen_all).await;
    assert_eq!(feed.told(), ["a="], "its content is known to this reader");
    let documents = server.client.documents(&source.connection).await;
    assert_eq!(documents["a"].permissions.as_ref().unwrap().visibility, "organization");
    assert_eq!(text(&documents, "a"), "text of a 1", "the content stays");
    let seen_acl = feed.position;

    // The content changes, and then the permissions again: the feed holds one entry for both.
    server.client.sync_well(&source.connection).await;
    let seen_content = server.client.feed("").await.position;
    server.client.sync_well(&source.connection).await;
    for (position, told) in [(&seen_all, "a"), (&seen_acl, "a"), (&seen_content, "a=")] {
        let feed = server.client.feed(position).await;
        assert_eq!(feed.told(), [told]);
        let superfasttt_proto::control::v1::feed_entry::Kind::Document(document) =
            feed.entries[0].kind.clone().unwrap()
        else {
            panic!("a tombstone");
        };
        assert_eq!(document.permissions.unwrap().visibility, "public");
        assert_eq!(document.content.is_some(), told == "a", "content is there for who has not seen it");
    }
    assert_eq!(server.client.feed("").await.told(), ["b", "a"], "a new reader gets all content");
}

#[tokio::test]
async fn i7_an_envelope_without_permissions_takes_them_back() {
    let server = Server::start().await;
    let public = with_permissions("a", json!({"visibility": "public"}));
    let source =
        server.source(SCRIPTED, [vec![public, complete("1")], vec![doc("a", "1"), checkpoint("2")]]).await;
    server.client.sync_well(&source.connection).await;
    let position = server.client.feed("").await.position;
    server.client.sync_well(&source.connection).await;
    assert_eq!(server.client.feed(&position).await.told(), ["a="]);
    let documents = server.client.documents(&source.connection).await;
    assert_eq!(documents["a"].permissions.as_ref().unwrap().visibility, "private");
}
