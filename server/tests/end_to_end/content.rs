//! Bytes are fetched when they are due, and what becomes of them is remembered.

use serde_json::json;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::ReadContentRequest;
use superfasttt_proto::control::v1::run::State;

use crate::support::{SCRIPTED, Server, Source, checkpoint, complete, content_doc, deletion, doc, text};

/// A connection with one document `a` at version 1, whose text is `old`.
async fn with_one(server: &Server) -> Source {
    let source = server.source(SCRIPTED, [vec![content_doc("a", "1"), complete("1")]]).await;
    source.script.text("a", "old");
    let counts = server.client.sync_well(&source.connection).await;
    assert_eq!((counts.contents_fetched, counts.content_bytes, counts.text_bytes), (1, 3, 3));
    source
}

#[tokio::test]
async fn content_is_fetched_only_for_a_new_version() {
    let server = Server::start().await;
    let source = with_one(&server).await;
    source.script.text("a", "new");
    source.script.next_pulls([
        vec![content_doc("a", "1"), checkpoint("2")],
        vec![content_doc("a", "2"), checkpoint("3")],
    ]);
    assert_eq!(server.client.sync_well(&source.connection).await.contents_fetched, 0);
    assert_eq!(server.client.sync_well(&source.connection).await.contents_fetched, 1);
    assert_eq!(text(&server.client.documents(&source.connection).await, "a"), "new");
}

#[tokio::test]
async fn content_without_a_version_is_fetched_each_time_and_the_hash_decides() {
    let server = Server::start().await;
    let listing = vec![content_doc("a", ""), complete("1")];
    let source = server.source(SCRIPTED, [listing]).await;
    source.script.text("a", "same");
    server.client.sync_well(&source.connection).await;
    let position = server.client.feed("").await.position;
    source.script.next_pulls([vec![content_doc("a", ""), checkpoint("2")]]);
    let counts = server.client.sync_well(&source.connection).await;
    assert_eq!((counts.contents_fetched, counts.unchanged), (1, 1));
    assert!(server.client.feed(&position).await.entries.is_empty());
    source.script.text("a", "other");
    assert_eq!(server.client.sync_well(&source.connection).await.updated, 1);
    assert_eq!(server.client.feed(&position).await.told(), ["a"]);
}

#[tokio::test]
async fn a_failure_for_now_keeps_the_older_text_and_is_tried_again() {
    let server = Server::start().await;
    let failures = [
        json!({"fail": {"reason": "SOURCE_UNAVAILABLE", "message": "down"}}),
        // Cut in the middle, with and without an error that says so.
        json!({"size_bytes": 300_000, "cut_after_bytes": 100_000}),
        json!({"text": "half of it", "length_bytes": 1000}),
    ];
    for failure in failures {
        let source = with_one(&server).await;
        source.script.content("a", failure.clone());
        source.script.next_pulls([vec![content_doc("a", "2"), checkpoint("2")]]);
        let run = server.client.sync(&source.connection).await;
        assert_eq!(run.state(), State::SucceededWithErrors, "{failure}");
        let entry = server.client.entries(&source.connection).await.remove(0);
        assert!(entry.content_stale, "{failure}");
        let documents = server.client.documents(&source.connection).await;
        assert_eq!((text(&documents, "a").as_str(), documents["a"].version.as_str()), ("old", "2"));
        assert_eq!(server.client.item_errors(&source.connection).await.len(), 1);

        source.script.text("a", "new");
        let counts = server.client.sync_well(&source.connection).await;
        assert_eq!(counts.contents_fetched, 1, "the same version, asked for again");
        let entry = server.client.entries(&source.connection).await.remove(0);
        assert!(!entry.content_stale);
        assert_eq!(text(&server.client.documents(&source.connection).await, "a"), "new");
        assert!(server.client.item_errors(&source.connection).await.is_empty());
    }
}

#[tokio::test]
async fn a_verdict_that_stays_is_not_asked_for_again() {
    let server = Server::builder().with("CONTENT__MAX_BYTES", "1MiB").start().await;
    let verdicts = [
        (json!({"size_bytes": 2_000_000}), Reason::ContentTooLarge),
        // It lies about its length.
        (json!({"size_bytes": 2_000_000, "length_bytes": 10}), Reason::ContentTooLarge),
        (
            json!({"fail": {"reason": "CONTENT_UNREADABLE", "message": "encrypted"}}),
            Reason::ContentUnreadable,
        ),
        (json!({"text": "%PDF-1.7 broken", "media_type": "application/pdf"}), Reason::ContentUnreadable),
    ];
    for (content, reason) in verdicts {
        let source = with_one(&server).await;
        source.script.content("a", content.clone());
        source.script.next_pulls([vec![content_doc("a", "2"), checkpoint("2")]]);
        let run = server.client.sync(&source.connection).await;
        assert_eq!(run.counts.unwrap().contents_without_text, 1, "{content}");
        assert_eq!(server.client.item_errors(&source.connection).await["a"], reason, "{content}");
        let documents = server.client.documents(&source.connection).await;
        assert_eq!(documents["a"].content, None, "the text of another version is not kept: {content}");
        let again = server.client.sync(&source.connection).await;
        assert_eq!(again.counts.unwrap().contents_fetched, 0, "{content}");
        // A new version is another chance.
        source.script.text("a", "readable");
        source.script.next_pulls([vec![content_doc("a", "3"), checkpoint("3")]]);
        server.client.sync_well(&source.connection).await;
        assert_eq!(text(&server.client.documents(&source.connection).await, "a"), "readable");
    }
}

#[tokio::test]
async fn a_slow_fetch_stays_in_the_order_of_the_stream() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("other", "1"), complete("1")]]).await;
    for (id, delay_ms) in [("slow", 400), ("gone", 400), ("quick", 0)] {
        source.script.content(id, json!({"text": id, "media_type": "text/plain", "delay_ms": delay_ms}));
    }
    server.client.sync_well(&source.connection).await;
    let position = server.client.feed("").await.position;
    let mut newer = doc("slow", "2");
    newer["document"]["content"] = json!("the newer text");
    source.script.next_pulls([vec![
        content_doc("slow", "1"),
        content_doc("gone", "1"),
        content_doc("quick", "1"),
        newer,
        deletion("gone"),
        checkpoint("2"),
    ]]);
    server.client.sync_well(&source.connection).await;
    let documents = server.client.documents(&source.connection).await;
    assert_eq!(documents.keys().cloned().collect::<Vec<_>>(), ["other", "quick", "slow"]);
    assert_eq!(text(&documents, "slow"), "the newer text");
    let told = server.client.feed(&position).await.told();
    assert!(!told.contains(&"gone".to_owned()), "{told:?}");
}

#[tokio::test]
async fn a_long_text_is_read_in_parts() {
    let server = Server::builder().with("CONTENT__MAX_TEXT_BYTES", "3MiB").start().await;
    let source = server
        .source(SCRIPTED, [vec![content_doc("long", "1"), content_doc("longer", "1"), complete("1")]])
        .await;
    let long = "é".repeat(1_000_000);
    source.script.text("long", &long);
    source.script.text("longer", &"œuvre ".repeat(600_000));
    server.client.sync(&source.connection).await;
    let entries = server.client.entries(&source.connection).await;
    assert_eq!(entries[0].content_length, 2_000_000);
    assert!(!entries[0].content_truncated);
    assert!(entries[1].content_truncated && entries[1].content_length <= 3 * 1024 * 1024);
    assert!(
        server.client.documents(&source.connection).await.values().all(|document| document.content.is_none())
    );
    let request = ReadContentRequest { connection: source.connection.clone(), document: "long".to_owned() };
    let mut parts = server.client.documents_service().read_content(request).await.unwrap().into_inner();
    let mut read = String::new();
    while let Some(part) = parts.message().await.unwrap() {
        read.push_str(&part.text);
    }
    assert!(read == long, "the parts are not the whole");
}
