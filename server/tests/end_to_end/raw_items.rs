//! Raw items are kept where a connection says so, together with their documents.

use std::fs;

use serde_json::{Value, json};
use superfasttt_proto::connector::v1::{PullMode, Reason};
use superfasttt_proto::control::v1::RenormalizeConnectionRequest;
use superfasttt_proto::control::v1::run::State;

use crate::support::{SCRIPTED, Server, checkpoint, complete, deletion, doc, raw, text};

fn page(changes: Vec<Value>) -> Value {
    json!({"page": {"changes": changes}})
}

#[tokio::test]
async fn switched_on_the_next_run_collects_and_switched_off_nothing_is_left() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), doc("b", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    assert_eq!(source.script.pulls()[0]["want_raw"], false);
    assert!(server.client.keep_raw(&source.connection, true).await.keep_raw);

    source.script.next_pulls([vec![raw("a", "1"), raw("b", "1"), complete("2")]]);
    let run = server.client.sync(&source.connection).await;
    assert_eq!((run.state(), run.mode()), (State::Succeeded, PullMode::Full));
    assert_eq!(run.counts.unwrap().unchanged, 2, "the same documents, made of raw items");
    assert_eq!(source.script.pulls()[1]["want_raw"], true);
    let calls = source.script.calls();
    let normalize = calls.iter().find(|call| call["rpc"] == "normalize").unwrap();
    assert_eq!(normalize["settings"], json!(["script"]));
    let (_, totals) = server.client.preview(&source.connection).await;
    assert_eq!((totals.kept, totals.unchanged), (2, 2));

    source.script.next_pulls([vec![deletion("a"), raw("b", "2"), checkpoint("3")]]);
    server.client.sync_well(&source.connection).await;
    let documents = server.client.documents(&source.connection).await;
    assert_eq!((documents.len(), text(&documents, "b").as_str()), (1, "text of b 2"));
    assert_eq!(server.client.preview(&source.connection).await.1.kept, 1, "it went with its document");

    assert!(!server.client.keep_raw(&source.connection, false).await.keep_raw);
    let request = RenormalizeConnectionRequest { connection: source.connection.clone() };
    let refused = server.client.runs().renormalize_connection(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("set keep_raw"), "{}", refused.message());
    server.client.keep_raw(&source.connection, true).await;
    assert_eq!(
        server.client.preview(&source.connection).await.1.kept,
        0,
        "what was kept before is not taken up"
    );
}

#[tokio::test]
async fn a_connector_that_answers_late_meets_no_deadlock() {
    // Far more than the windows of both directions hold.
    let server = Server::start().await;
    let source = server.source(SCRIPTED, []).await;
    server.client.keep_raw(&source.connection, true).await;
    let large = |number: usize| {
        let content = "x".repeat(300_000);
        json!({"raw": {"id": format!("{number}"), "version": "1", "schema": "s", "data": {"title": "t", "content": content}}})
    };
    source.script.next_pulls([vec![page((0..12).map(large).collect()), complete("1")]]);
    for answer_after in [1, 7, 1000] {
        source
            .script
            .normalize(json!({"answer_after": answer_after, "title_prefix": format!("{answer_after} ")}));
        let run = server.client.sync_full(&source.connection).await;
        assert_eq!(run.state(), State::Succeeded, "{run:?}");
        let counts = run.counts.unwrap();
        assert_eq!(counts.created + counts.updated, 12);
        source.script.normalize(json!({"answer_after": answer_after, "title_prefix": "again "}));
        let run = server.client.renormalize(&source.connection).await;
        assert_eq!((run.state(), run.counts.unwrap().updated), (State::Succeeded, 12), "{run:?}");
    }
}

#[tokio::test]
async fn a_crash_in_normalize_cuts_the_pull_and_the_item_is_passed_over() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, []).await;
    server.client.keep_raw(&source.connection, true).await;
    source.script.normalize(json!({"exit_at": "poison"}));
    let steps = || vec![page(vec![raw("a", "1"), raw("poison", "1"), raw("z", "1")]), complete("1")];
    source.script.next_pulls([steps(), steps(), steps()]);
    let run = server.client.sync(&source.connection).await;
    assert_eq!(run.state(), State::SucceededWithErrors, "{run:?}");
    assert_eq!(server.client.ids(&source.connection).await, "a z");
    assert_eq!(server.client.item_errors(&source.connection).await["poison"], Reason::ConnectorCrashed);
    // It was kept: a mended connector reads it without the source.
    source.script.normalize(json!({}));
    let run = server.client.renormalize(&source.connection).await;
    assert_eq!((run.state(), run.counts.unwrap().created), (State::Succeeded, 1));
    assert_eq!(server.client.ids(&source.connection).await, "a poison z");
    assert!(server.client.item_errors(&source.connection).await.is_empty());
}

/// The most that a process had resident so far.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn i11_large_raw_items_take_no_more_memory_than_small_ones() {
    const MAX_RESIDENT_KIB: u64 = 250 * 1024;
    let server = Server::start().await;
    let source = server.source(SCRIPTED, []).await;
    server.client.keep_raw(&source.connection, true).await;
    let generate = json!({"generate": {"count": 800, "size_bytes": 900_000, "per_page": 3, "raw": true}});
    source.script.next_pulls([vec![generate, complete("1")]]);
    let run = server.client.sync(&source.connection).await;
    assert_eq!((run.state(), run.counts.unwrap().created), (State::Succeeded, 800), "{run:?}");
    source.script.normalize(json!({"title_prefix": "new "}));
    let (_, totals) = server.client.preview(&source.connection).await;
    assert_eq!((totals.kept, totals.changed), (800, 800));
    let run = server.client.renormalize(&source.connection).await;
    assert_eq!((run.state(), run.counts.unwrap().updated), (State::Succeeded, 800), "{run:?}");
    let peak = peak_kib(server.pid());
    assert!(peak < MAX_RESIDENT_KIB, "{peak} KiB were resident");
}
