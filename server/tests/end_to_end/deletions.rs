//! Deletions that the source tells: of a document, of a path, of a folder with everything under it.

use serde_json::json;

use crate::support::{SCRIPTED, Server, Step, checkpoint, complete, deletion, doc, in_scope};

fn file(id: &str, parent: &str, locator: &str) -> Step {
    json!({"document": {"id": id, "content": id, "version": "1", "parent_id": parent, "locator": locator}})
}

fn folder(id: &str, parent: &str, locator: &str) -> Step {
    json!({"container": {"id": id, "parent_id": parent, "name": id, "locator": locator}})
}

#[tokio::test]
async fn a_deleted_folder_takes_everything_under_it() {
    let server = Server::start().await;
    let all = vec![
        folder("top", "", "/top"),
        folder("deep", "top", "/top/deep"),
        file("in-top", "top", "/top/1"),
        file("in-deep", "deep", "/top/deep/1"),
        file("attachment", "in-deep", ""),
        file("other", "", "/other"),
        // The same parent in another scope is another folder.
        in_scope("elsewhere", file("stranger", "top", "/top/1")),
        in_scope("elsewhere", complete("1")),
        complete("1"),
    ];
    let cases = [
        (json!({"id": "top", "with_descendants": true}), "other stranger"),
        (json!({"locator": "/top", "with_descendants": true}), "other stranger"),
        (json!({"id": "deep", "with_descendants": true}), "in-top other stranger"),
        (json!({"locator": "/top/deep/1"}), "attachment in-top other stranger"),
        (json!({"id": "in-top"}), "attachment in-deep other stranger"),
        (json!({"id": "unknown", "with_descendants": true}), "attachment in-deep in-top other stranger"),
        (json!({"locator": "/unknown"}), "attachment in-deep in-top other stranger"),
    ];
    for (target, left) in cases {
        let source = server.source(SCRIPTED, [all.clone()]).await;
        server.client.sync_well(&source.connection).await;
        source.script.next_pulls([vec![json!({"deletion": target}), checkpoint("2")]]);
        server.client.sync_well(&source.connection).await;
        assert_eq!(server.client.ids(&source.connection).await, left, "after deleting {target}");
    }
}

#[tokio::test]
async fn changes_of_one_page_apply_in_their_order() {
    let server = Server::start().await;
    let source =
        server.source(SCRIPTED, [vec![folder("top", "", "/top"), doc("a", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    let position = server.client.feed("").await.position;
    let page = |changes: serde_json::Value, cursor: &str| json!({"page": {"changes": changes, "checkpoint": {"cursor": cursor}}});
    source.script.next_pulls([vec![page(
        json!([
            // Comes and goes within the page, by its folder.
            file("brief", "top", "/top/brief"),
            {"deletion": {"id": "top", "with_descendants": true}},
            file("after", "top", "/top/after"),
            doc("a", "2"),
            deletion("a"),
            doc("a", "3"),
            doc("b", "1"),
            deletion("b"),
        ]),
        "2",
    )]]);
    server.client.sync_well(&source.connection).await;
    let documents = server.client.documents(&source.connection).await;
    assert_eq!(documents.keys().cloned().collect::<Vec<_>>(), ["a", "after"]);
    assert_eq!(documents["a"].version, "3");
    let told = server.client.feed(&position).await.told();
    assert!(!told.contains(&"b".to_owned()) && !told.contains(&"brief".to_owned()), "{told:?}");
    assert_eq!(told.iter().filter(|entry| entry.as_str() == "a").count(), 1);
}

#[tokio::test]
async fn the_same_id_in_two_connections_is_two_documents() {
    let server = Server::start().await;
    let one = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;
    let two = server.source(SCRIPTED, [vec![doc("a", "2"), complete("1")]]).await;
    server.client.sync_well(&one.connection).await;
    server.client.sync_well(&two.connection).await;
    one.script.next_pulls([vec![deletion("a"), checkpoint("2")]]);
    server.client.sync_well(&one.connection).await;
    assert_eq!(server.client.ids(&one.connection).await, "");
    assert_eq!(server.client.documents(&two.connection).await["a"].version, "2");
}
