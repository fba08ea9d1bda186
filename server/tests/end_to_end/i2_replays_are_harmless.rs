//! I2: what is sent again and reads the same changes nothing, and no consumer hears of it.

use serde_json::json;

use crate::support::{SCRIPTED, Server, Step, checkpoint, complete, content_doc, doc};

fn listing() -> Vec<Step> {
    vec![doc("a", "1"), doc("b", "1"), content_doc("c", "1"), complete("1")]
}

#[tokio::test]
async fn i2_the_same_pages_again_make_no_feed_entry() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [listing()]).await;
    source.script.text("c", "the text of c");
    let first = server.client.sync_well(&source.connection).await;
    assert_eq!((first.created, first.contents_fetched), (3, 1));
    let feed = server.client.feed("").await;
    assert_eq!(feed.told(), ["a", "b", "c"]);

    // As changes, each twice, and as a whole listing.
    let twice = [doc("b", "1"), doc("a", "1"), doc("a", "1"), content_doc("c", "1"), checkpoint("2")];
    source.script.next_pulls([twice.to_vec(), listing()]);
    let replayed = server.client.sync_well(&source.connection).await;
    assert_eq!((replayed.created, replayed.updated, replayed.deleted), (0, 0, 0));
    assert_eq!((replayed.unchanged, replayed.contents_fetched), (3, 0));
    let listed = server.client.sync_full(&source.connection).await.counts.unwrap();
    assert_eq!((listed.created, listed.updated, listed.deleted, listed.unchanged), (0, 0, 0, 3));

    let after = server.client.feed(&feed.position).await;
    assert!(after.entries.is_empty(), "{:?}", after.told());
    assert_eq!(after.position, feed.position);
    assert_eq!(server.client.connection(&source.connection).await.document_count, 3);
}

#[tokio::test]
async fn i2_a_new_version_of_what_reads_the_same_makes_no_feed_entry() {
    let server = Server::start().await;
    let shown = |version: &str, key: &str| {
        json!({"document": {
            "id": "a", "title": "A", "content": "text", "version": version, "content_ref": format!("ref-{version}"),
            "metadata": {"z": 1, key: [1, 2]}, "permissions": {"visibility": "private", "allow": ["user:b", "user:a"]},
        }})
    };
    let mut reordered = shown("2", "a");
    reordered["document"]["permissions"]["allow"] = json!(["user:a", "user:b", "user:a"]);
    let source = server
        .source(
            SCRIPTED,
            [
                vec![shown("1", "a"), content_doc("c", "1"), complete("1")],
                vec![reordered, content_doc("c", "2"), checkpoint("2")],
                vec![shown("3", "other"), checkpoint("3")],
            ],
        )
        .await;
    source.script.text("c", "the same bytes");
    server.client.sync_well(&source.connection).await;
    let feed = server.client.feed("").await;

    let counts = server.client.sync_well(&source.connection).await;
    assert_eq!((counts.updated, counts.unchanged), (0, 2));
    assert_eq!(counts.contents_fetched, 1, "a new version is read, and then found to be the same");
    assert!(server.client.feed(&feed.position).await.entries.is_empty());

    let counts = server.client.sync_well(&source.connection).await;
    assert_eq!((counts.updated, counts.unchanged), (1, 0), "metadata is what a consumer sees");
    assert_eq!(server.client.feed(&feed.position).await.told(), ["a="]);
}
