//! I9: a run that the source told to wait is parked until then: it holds no worker, is no failure, and outlives the
//! server.

use std::time::{Duration, Instant};

use serde_json::json;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::StartSyncRequest;
use superfasttt_proto::control::v1::run::State;

use crate::support::{SCRIPTED, Server, Step, checkpoint, complete, content_doc, doc, more, reason, text};

fn throttled(seconds: u64) -> Step {
    json!({"fail": {"reason": "RATE_LIMITED", "message": "slow down", "retry_after_s": seconds}})
}

#[tokio::test]
async fn i9_a_throttled_run_goes_on_when_the_source_allows() {
    let server = Server::start().await;
    let source = server
        .source(
            SCRIPTED,
            [
                vec![doc("a", "1"), complete("1")],
                vec![doc("b", "1"), more("2"), throttled(2)],
                vec![doc("c", "1"), checkpoint("3")],
            ],
        )
        .await;
    server.client.sync_well(&source.connection).await;
    let run = server.client.begin(&source.connection, false).await;
    let parked = server.client.reaches(&run.id, State::Parked).await;
    assert!(parked.resume_at.is_some());
    assert_eq!(reason(&parked), Reason::RateLimited);
    assert_eq!(source.script.pulls().len(), 2);
    let began = Instant::now();
    let run = server.client.end_of(&run.id).await;
    assert!(began.elapsed() > Duration::from_secs(1), "it did not wait");
    assert_eq!((run.state(), run.attempts), (State::Succeeded, 2));
    assert_eq!(run.error, None, "a pause is no failure");
    assert_eq!(source.script.last_pull(), ("INCREMENTAL".to_owned(), "2".to_owned()));
    assert_eq!(server.client.ids(&source.connection).await, "a b c");
}

#[tokio::test]
async fn i9_a_parked_run_leaves_its_worker_to_others_and_outlives_the_server() {
    let mut server = Server::builder().with("SYNC__MAX_CONCURRENT_RUNS", 1).start().await;
    let parked = server.source(SCRIPTED, [vec![throttled(3)], vec![doc("a", "1"), complete("1")]]).await;
    let run = server.client.begin(&parked.connection, false).await;
    server.client.reaches(&run.id, State::Parked).await;
    let other = server.source(SCRIPTED, [vec![complete("1")]]).await;
    server.client.sync_well(&other.connection).await;
    server.kill9().await;
    server.restart().await;
    let run = server.client.end_of(&run.id).await;
    assert_eq!(run.state(), State::Succeeded);
    assert_eq!(server.client.ids(&parked.connection).await, "a");
}

#[tokio::test]
async fn i9_a_parked_run_does_not_wait_where_a_person_asks() {
    let server = Server::start().await;
    let full = json!({"fail": {"reason": "QUOTA_EXHAUSTED", "message": "full", "retry_after_s": 3600}});
    let source = server.source(SCRIPTED, [vec![full], vec![complete("1")]]).await;
    let run = server.client.begin(&source.connection, false).await;
    server.client.reaches(&run.id, State::Parked).await;
    let request = StartSyncRequest { connection: source.connection.clone(), full: false, at: None };
    let again = server.client.runs().start_sync(request).await.unwrap().into_inner();
    assert!(again.already_running);
    assert_eq!(again.run.unwrap().id, run.id);
    assert_eq!(server.client.end_of(&run.id).await.state(), State::Succeeded);
}

#[tokio::test]
async fn i9_a_source_that_throttles_content_parks_the_run_before_that_document() {
    let server = Server::start().await;
    let listing = vec![doc("a", "1"), content_doc("b", "1"), content_doc("c", "1"), complete("1")];
    let source = server.source(SCRIPTED, [listing.clone(), listing, vec![checkpoint("2")]]).await;
    source.script.content("b", throttled(1));
    source.script.text("c", "text of c");
    let run = server.client.begin(&source.connection, false).await;
    server.client.reaches(&run.id, State::Parked).await;
    assert_eq!(server.client.scope(&source.connection, "").await.cursor, b"");
    source.script.text("b", "text of b");
    let run = server.client.end_of(&run.id).await;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    let documents = server.client.documents(&source.connection).await;
    assert_eq!((text(&documents, "b").as_str(), documents.len()), ("text of b", 3));
}
