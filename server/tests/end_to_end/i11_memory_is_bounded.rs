//! I11: memory does not grow with the source, a document or what a reader of the feed has not read.

use std::fs;

use serde_json::json;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::WatchDocumentsRequest;

use crate::support::{SCRIPTED, Server, complete, content_doc, within};

/// What connectord may use in a build without optimization.
const MAX_RESIDENT_KIB: u64 = 250 * 1024;

/// The most that a process had resident so far.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn i11_many_documents_and_a_slow_reader() {
    const DOCUMENTS: usize = 200_000;
    let server = Server::start().await;
    let generate = json!({"generate": {"count": DOCUMENTS, "size_bytes": 1024, "per_page": 500}});
    let source = server.source(SCRIPTED, [vec![generate, complete("1")]]).await;
    // A reader that is there from the start, and takes its time: one message now, the others at the end.
    let request = WatchDocumentsRequest { consumer: "slow".to_owned(), ..WatchDocumentsRequest::default() };
    let mut reader = server.client.documents_service().watch_documents(request).await.unwrap().into_inner();
    let run = server.client.begin(&source.connection, false).await;
    let mut read = reader.message().await.unwrap().unwrap().entries.len();
    let run = server.client.end_of(&run.id).await;
    assert_eq!(run.counts.unwrap().created as usize, DOCUMENTS);
    within("the rest of the feed", async {
        while read < DOCUMENTS {
            read += reader.message().await.unwrap().unwrap().entries.len();
        }
    })
    .await;
    assert_eq!(read, DOCUMENTS, "each once");
    let peak = peak_kib(server.pid());
    assert!(peak < MAX_RESIDENT_KIB, "{peak} KiB were resident");
}

#[tokio::test]
async fn i11_a_document_of_200_mb() {
    let server = Server::start().await;
    let source = server
        .source(SCRIPTED, [vec![content_doc("zeros", "1"), content_doc("text", "1"), complete("1")]])
        .await;
    let file = source.script.file("large.txt");
    let line = "a line of plain text, again and again\n";
    fs::write(&file, line.repeat(200_000_000 / line.len())).unwrap();
    source.script.content("zeros", json!({"size_bytes": 200_000_000}));
    source.script.content("text", json!({"file": file, "media_type": "text/plain"}));
    let run = server.client.sync(&source.connection).await;
    assert!(run.counts.unwrap().content_bytes > 399_000_000, "{run:?}");
    let text =
        server.client.entries(&source.connection).await.into_iter().find(|entry| entry.content_length > 0);
    match text {
        Some(text) => assert!(text.content_truncated && text.content_length <= 16 * 1024 * 1024),
        // A worker may find it too much for its own limits; that is a verdict, and no harm.
        None => {
            let errors = server.client.item_errors(&source.connection).await;
            assert!(
                matches!(errors["text"], Reason::ContentTooLarge | Reason::ContentUnreadable),
                "{errors:?}"
            );
        }
    }
    let peak = peak_kib(server.pid());
    assert!(peak < MAX_RESIDENT_KIB, "{peak} KiB were resident");
}
