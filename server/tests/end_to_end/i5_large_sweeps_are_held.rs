//! I5: a listing without too many of the documents waits for a person, who lets go only what is still absent then.

use serde_json::json;
use superfasttt_proto::control::v1::connection::State as ConnectionState;
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::control::v1::{ApproveDeletionsRequest, ApproveDeletionsResponse};
use tonic::Code;

use crate::support::{SCRIPTED, Server, Source, Step, checkpoint, complete, doc};

/// The first so many documents, and the end of the listing.
fn listing(numbers: impl Iterator<Item = usize>, cursor: &str) -> Vec<Step> {
    let mut steps: Vec<_> = numbers.map(|number| doc(&format!("d{number:03}"), "1")).collect();
    steps.push(complete(cursor));
    steps
}

async fn with_documents(server: &Server, count: usize) -> Source {
    let source = server.source(SCRIPTED, [listing(0..count, "1")]).await;
    server.client.sync_well(&source.connection).await;
    source
}

async fn approve(server: &Server, source: &Source) -> ApproveDeletionsResponse {
    let request = ApproveDeletionsRequest { connection: source.connection.clone(), scopes: vec![] };
    server.client.runs().approve_deletions(request).await.unwrap().into_inner()
}

async fn count(server: &Server, source: &Source) -> u64 {
    server.client.connection(&source.connection).await.document_count
}

#[tokio::test]
async fn i5_a_sweep_of_a_large_share_waits_for_a_person() {
    let server = Server::start().await;
    let source = with_documents(&server, 240).await;
    // 52 of 240 are over 50, and over 20 %.
    source.script.next_pulls([listing(0..188, "2")]);
    let run = server.client.sync_full(&source.connection).await;
    assert_eq!(run.state(), State::SucceededWithErrors);
    let held = &run.held_sweeps[0];
    assert_eq!((held.absent, held.total), (52, 240));
    assert!(held.message.contains("approve"), "{}", held.message);
    assert_eq!(count(&server, &source).await, 240);
    let state = server.client.scope(&source.connection, "").await;
    assert_eq!(state.held_sweep.unwrap().absent, 52);

    // Some come back before the person looks: only what is absent then is deleted, and one more that went meanwhile
    // was never asked about, but is one.
    source.script.next_pulls([listing(0..230, "3")]);
    let approved = approve(&server, &source).await;
    assert_eq!(approved.approved[0].absent, 52);
    let run = server.client.end_of(&approved.run.unwrap().id).await;
    assert_eq!(run.state(), State::Succeeded);
    assert_eq!(run.counts.unwrap().deleted, 10);
    assert_eq!(count(&server, &source).await, 230);
    assert_eq!(server.client.scope(&source.connection, "").await.held_sweep, None);

    // The approval is used up: the next large sweep waits again.
    source.script.next_pulls([listing(0..100, "4")]);
    let run = server.client.sync_full(&source.connection).await;
    assert_eq!(run.held_sweeps[0].absent, 130);
    // Nobody approves, and the source is whole again: nothing is held any more.
    source.script.next_pulls([listing(0..230, "5")]);
    let run = server.client.sync_full(&source.connection).await;
    assert_eq!(run.state(), State::Succeeded);
    assert_eq!(server.client.scope(&source.connection, "").await.held_sweep, None);
    assert!(approve(&server, &source).await.run.is_none(), "nothing to approve");
}

#[tokio::test]
async fn i5_an_approval_does_not_cover_what_went_later() {
    let server = Server::start().await;
    let source = with_documents(&server, 300).await;
    source.script.next_pulls([listing(0..200, "2"), listing(0..90, "3")]);
    let run = server.client.sync_full(&source.connection).await;
    assert_eq!(run.held_sweeps[0].absent, 100);
    let approved = approve(&server, &source).await;
    let run = server.client.end_of(&approved.run.unwrap().id).await;
    // 100 were approved; 110 more are a large sweep of their own.
    assert_eq!(run.counts.unwrap().deleted, 100);
    assert_eq!(run.held_sweeps[0].absent, 110);
    assert_eq!(count(&server, &source).await, 200);
}

#[tokio::test]
async fn i5_everything_of_ten_or_more_waits_and_small_sweeps_do_not() {
    let server = Server::start().await;
    // Everything of 10.
    let source = with_documents(&server, 10).await;
    source.script.next_pulls([listing(0..0, "2")]);
    let run = server.client.sync_full(&source.connection).await;
    assert_eq!(run.held_sweeps[0].absent, 10);
    assert_eq!(count(&server, &source).await, 10);
    // Everything of 9.
    let source = with_documents(&server, 9).await;
    source.script.next_pulls([listing(0..0, "2")]);
    assert_eq!(server.client.sync_full(&source.connection).await.counts.unwrap().deleted, 9);
    // Half, but only 50.
    let source = with_documents(&server, 100).await;
    source.script.next_pulls([listing(0..50, "2")]);
    assert_eq!(server.client.sync_full(&source.connection).await.counts.unwrap().deleted, 50);
    // 51, but not over 20 %.
    let source = with_documents(&server, 255).await;
    source.script.next_pulls([listing(0..204, "2")]);
    assert_eq!(server.client.sync_full(&source.connection).await.counts.unwrap().deleted, 51);
}

#[tokio::test]
async fn i5_a_held_sweep_shows_on_the_connection() {
    let server = Server::start().await;
    let script = server.script();
    script.next_pulls([listing(0..20, "1"), listing(0..0, "2")]);
    // One that follows its schedule: a paused one says first that it is paused.
    let connection = server.client.create(SCRIPTED, json!({"script": script.path()}), false).await.id;
    let first = server.client.scheduled_run(&connection, "").await;
    server.client.end_of(&first.id).await;
    assert_eq!(server.client.connection(&connection).await.state(), ConnectionState::Healthy);
    server.client.sync_full(&connection).await;
    let shown = server.client.connection(&connection).await;
    assert_eq!(shown.state(), ConnectionState::Degraded);
    assert!(shown.status_message.contains("approve"), "{}", shown.status_message);
}

#[tokio::test]
async fn i5_an_approval_waits_for_the_run_under_way() {
    let server = Server::start().await;
    let source = with_documents(&server, 20).await;
    let script = &source.script;
    script.next_pulls([
        listing(0..0, "2"),
        vec![script.touch("at"), script.wait("go"), checkpoint("3")],
        listing(0..0, "4"),
    ]);
    server.client.sync_full(&source.connection).await;
    let run = server.client.begin(&source.connection, false).await;
    script.reached("at").await;
    // It could not list everything any more, and what it deletes would be a surprise.
    let request = ApproveDeletionsRequest { connection: source.connection.clone(), scopes: vec![] };
    let refused = server.client.runs().approve_deletions(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains(&run.id), "{}", refused.message());
    script.release("go");
    server.client.end_of(&run.id).await;
    assert_eq!(count(&server, &source).await, 20);
    let approved = approve(&server, &source).await;
    let run = server.client.end_of(&approved.run.unwrap().id).await;
    assert_eq!(run.counts.unwrap().deleted, 20, "{run:?}");
}
