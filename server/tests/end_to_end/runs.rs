//! What a person can do with runs, and what becomes of runs that are cut off.

use std::time::{Duration, Instant};

use serde_json::json;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::run::{State, Trigger};
use superfasttt_proto::control::v1::*;
use tonic::Code;

use crate::support::{SCRIPTED, Server, Source, checkpoint, complete, doc, fail, more, reason, within};

/// A connection with document `a` whose next pull sends `b`, a checkpoint and `c`, and then waits for ever.
async fn stuck(server: &Server) -> (Source, Run) {
    let source = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;
    server.client.sync_well(&source.connection).await;
    let script = &source.script;
    script.next_pulls([vec![
        doc("b", "1"),
        more("2"),
        doc("c", "1"),
        script.touch("at"),
        script.wait("never"),
    ]]);
    let run = server.client.begin(&source.connection, false).await;
    script.reached("at").await;
    within("what was sent is committed", async {
        while !server.client.documents(&source.connection).await.contains_key("c") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    (source, run)
}

#[tokio::test]
async fn a_cancelled_run_ends_within_a_second_and_keeps_what_it_committed() {
    let server = Server::start().await;
    let (source, run) = stuck(&server).await;
    let began = Instant::now();
    server.client.runs().cancel_run(CancelRunRequest { run: run.id.clone() }).await.unwrap();
    let run = server.client.end_of(&run.id).await;
    assert_eq!(run.state(), State::Cancelled);
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert_eq!(run.error, None, "nothing went wrong");
    server
        .client
        .runs()
        .cancel_run(CancelRunRequest { run: run.id })
        .await
        .expect("harmless when it has ended");
    // The next run goes on from there.
    source.script.next_pulls([vec![checkpoint("3")]]);
    server.client.sync_well(&source.connection).await;
    assert_eq!(source.script.last_pull(), ("INCREMENTAL".to_owned(), "2".to_owned()));
}

#[tokio::test]
async fn disabling_cancels_and_pausing_stops_only_the_schedule() {
    let server = Server::start().await;
    let (source, run) = stuck(&server).await;
    let id = source.connection.clone();
    server
        .client
        .connections()
        .disable_connection(DisableConnectionRequest { connection: id.clone() })
        .await
        .unwrap();
    assert_eq!(server.client.end_of(&run.id).await.state(), State::Cancelled);
    let refused = server
        .client
        .runs()
        .start_sync(StartSyncRequest { connection: id.clone(), full: false, at: None })
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(server.client.ids(&id).await, "a b c", "the documents stay");

    // Enabled, it is due at once, but its schedule is still paused; a person may sync.
    source.script.next_pulls([vec![checkpoint("3")]]);
    server
        .client
        .connections()
        .enable_connection(EnableConnectionRequest { connection: id.clone() })
        .await
        .unwrap();
    server.client.sync_well(&id).await;
    assert_eq!(server.client.runs_of(&id).await.len(), 3);
    assert_eq!(server.client.connection(&id).await.state(), connection::State::Paused);
    // Resumed, it follows its schedule, by which it has been due since it was enabled.
    let last = server.client.runs_of(&id).await.remove(0);
    server
        .client
        .connections()
        .resume_connection(ResumeConnectionRequest { connection: id.clone() })
        .await
        .unwrap();
    let run = server.client.scheduled_run(&id, &last.id).await;
    server.client.end_of(&run.id).await;
}

#[tokio::test]
async fn an_interval_is_followed() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![complete("1")], vec![checkpoint("2")]]).await;
    let id = &source.connection;
    let schedule =
        Schedule { interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }), ..Schedule::default() };
    let connection = Connection { id: id.clone(), schedule: Some(schedule), ..Connection::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["schedule".to_owned()] });
    let request = UpdateConnectionRequest { connection: Some(connection), update_mask };
    server.client.connections().update_connection(request).await.unwrap();
    server
        .client
        .connections()
        .resume_connection(ResumeConnectionRequest { connection: id.clone() })
        .await
        .unwrap();
    let mut last = String::new();
    // The first one is because the connection was made.
    for trigger in [Trigger::Settings, Trigger::Schedule, Trigger::Schedule] {
        let run = server.client.scheduled_run(id, &last).await;
        assert_eq!(run.trigger(), trigger);
        server.client.end_of(&run.id).await;
        last = run.id;
    }
}

#[tokio::test]
async fn a_connector_that_crashes_is_pulled_again() {
    let server = Server::start().await;
    let source = server
        .source(
            SCRIPTED,
            [
                vec![
                    doc("a", "1"),
                    json!({"checkpoint": {"cursor": "half", "has_more": true}}),
                    json!({"abort": true}),
                ],
                vec![doc("b", "1"), complete("1")],
            ],
        )
        .await;
    let run = server.client.sync(&source.connection).await;
    assert_eq!(run.state(), State::Succeeded, "{run:?}");
    let pulls = source.script.pulls();
    assert_ne!(pulls[0]["pid"], pulls[1]["pid"], "another process");
    assert_eq!(source.script.last_pull(), ("FULL".to_owned(), "half".to_owned()));
    assert_eq!(server.client.ids(&source.connection).await, "a b");
    let log = server.client.log_of(&run.id).await;
    assert!(log.iter().any(|(_, line)| line.contains("cut off")), "{log:?}");
}

#[tokio::test]
async fn a_connector_that_always_crashes_fails_the_run_with_that_reason() {
    let server = Server::builder().with("SYNC__RETRY_ATTEMPTS", 2).start().await;
    let source = server.source(SCRIPTED, [vec![json!({"exit": 3})]]).await;
    let run = server.client.sync(&source.connection).await;
    assert_eq!(run.state(), State::Failed);
    let error = run.error.unwrap();
    assert_eq!(error.reason(), Reason::ConnectorCrashed, "{error:?}");
    assert!(error.retryable);
    assert_eq!(source.script.pulls().len(), 3, "a first attempt and two more");
}

#[tokio::test]
async fn a_failure_that_may_pass_is_retried_before_the_schedule_and_one_that_cannot_is_not() {
    let server = Server::builder().with("SYNC__RETRY_ATTEMPTS", 0).start().await;
    let script = server.script();
    script.next_pulls([vec![fail("SOURCE_UNAVAILABLE")], vec![complete("1")]]);
    let connection = server.client.create(SCRIPTED, json!({"script": script.path()}), false).await.id;
    let failed = server.client.scheduled_run(&connection, "").await;
    assert_eq!(server.client.end_of(&failed.id).await.state(), State::Failed);
    let retried = server.client.scheduled_run(&connection, &failed.id).await;
    assert_eq!(retried.trigger(), Trigger::Retry);
    assert_eq!(server.client.end_of(&retried.id).await.state(), State::Succeeded);

    let script = server.script();
    script.next_pulls([vec![fail("ACCESS_DENIED")]]);
    let connection = server.client.create(SCRIPTED, json!({"script": script.path()}), false).await.id;
    let failed = server.client.scheduled_run(&connection, "").await;
    let failed = server.client.end_of(&failed.id).await;
    assert_eq!(reason(&failed), Reason::AccessDenied);
    let connection = server.client.connection(&connection).await;
    assert_eq!(connection.state(), connection::State::Failing);
    assert!(connection.next_run_at.unwrap().seconds > failed.ended_at.unwrap().seconds);
    assert_eq!(connection.next_run_trigger(), Trigger::Schedule, "it waits for its schedule");
}

#[tokio::test]
async fn logs_are_bounded_and_tell_what_the_connector_said() {
    let server = Server::builder().with("RUNS__LOG_MAX_RECORDS", 20).start().await;
    let mut steps = vec![
        json!({"log": {"level": "warn", "message": "a word of the connector"}}),
        json!({"stderr": "a line on stderr"}),
        doc("a", "1"),
        // The line goes another way than the stream: it is there before the run ends.
        json!({"sleep_ms": 300}),
    ];
    steps
        .extend((0..50).map(|number| json!({"log": {"level": "info", "message": format!("line {number}")}})));
    steps.push(complete("1"));
    let source = server.source(SCRIPTED, [steps]).await;
    let run = server.client.sync(&source.connection).await;
    let log = server.client.log_of(&run.id).await;
    assert_eq!(log.len(), 20);
    let has = |origin: &str, text: &str| log.iter().any(|(by, line)| by == origin && line.contains(text));
    assert!(has("connector", "a word of the connector"), "{log:?}");
    assert!(has("stderr", "a line on stderr"), "{log:?}");
    let request = ListRunLogsRequest { run: run.id, ..ListRunLogsRequest::default() };
    let page = server.client.runs().list_run_logs(request).await.unwrap().into_inner();
    assert!(page.dropped > 30, "{} dropped", page.dropped);
}

#[tokio::test]
async fn a_watched_run_tells_how_far_it_is_and_ends_with_its_last_state() {
    let server = Server::start().await;
    let script = server.script();
    script.next_pulls([vec![
        doc("a", "1"),
        json!({"progress": {"items_seen": 1, "items_total": 2, "message": "reading /a"}}),
        script.touch("at"),
        script.wait("go"),
        doc("b", "1"),
        complete("1"),
    ]]);
    let connection = server.client.create_paused(SCRIPTED, json!({"script": script.path()})).await;
    let run = server.client.begin(&connection, false).await;
    script.reached("at").await;
    let mut watched =
        server.client.runs().watch_run(WatchRunRequest { run: run.id.clone() }).await.unwrap().into_inner();
    let mut told = Vec::new();
    within("the end of the run", async {
        while let Some(message) = watched.message().await.unwrap() {
            let run = message.run.unwrap();
            let progress = run.progress.as_ref().map(|progress| progress.message.as_str());
            if progress == Some("reading /a") && run.counts.unwrap().created == 1 {
                script.release("go");
            }
            told.push(run);
        }
    })
    .await;
    let last = told.pop().unwrap();
    assert_eq!(last.state(), State::Succeeded);
    assert!(last.ended_at.is_some());
    assert!(told.iter().all(|run| run.state() == State::Running), "{told:?}");
    assert_eq!(server.client.followed(&last.id).await.len(), 1, "a run that has ended gives one message");
}

#[tokio::test]
async fn a_stop_of_the_server_leaves_a_run_to_be_gone_on_with() {
    let mut server = Server::start().await;
    let (source, run) = stuck(&server).await;
    server.stop().await;
    source.script.next_pulls([vec![doc("c", "1"), checkpoint("3")]]);
    server.restart().await;
    let run = server.client.end_of(&run.id).await;
    assert_eq!((run.state(), run.attempts), (State::Succeeded, 2));
    assert_eq!(source.script.last_pull(), ("INCREMENTAL".to_owned(), "2".to_owned()));
    assert_eq!(server.client.ids(&source.connection).await, "a b c");
}

#[tokio::test]
async fn a_connector_that_falls_silent_is_pulled_again() {
    let server = Server::builder().with("SYNC__STALL_TIMEOUT", "300ms").start().await;
    let script = server.script();
    script.next_pulls([vec![doc("a", "1"), script.wait("never")], vec![doc("a", "1"), complete("1")]]);
    let connection = server.client.create_paused(SCRIPTED, json!({"script": script.path()})).await;
    server.client.sync_well(&connection).await;
    let run = server.client.runs_of(&connection).await.remove(0);
    let log = server.client.log_of(&run.id).await;
    assert!(log.iter().any(|(_, line)| line.contains("said nothing for 300ms")), "{log:?}");
}

#[tokio::test]
async fn a_run_can_be_cancelled_at_any_moment() {
    let server = Server::builder().with("SYNC__MAX_CONCURRENT_RUNS", 2).start().await;
    let script = server.script();
    script.next_pulls([vec![script.wait("never")]]);
    // More than run at once, each cancelled right after it was asked for: queued, claimed, starting or under way.
    let mut runs = Vec::new();
    for _ in 0..10 {
        let connection = server.client.create_paused(SCRIPTED, json!({"script": script.path()})).await;
        let run = server.client.begin(&connection, false).await;
        server.client.runs().cancel_run(CancelRunRequest { run: run.id.clone() }).await.unwrap();
        runs.push(run.id);
    }
    for run in runs {
        assert_eq!(server.client.end_of(&run).await.state(), State::Cancelled);
    }
}

#[tokio::test]
async fn a_run_tells_why_it_began() {
    let server = Server::builder().with("SYNC__RETRY_ATTEMPTS", 0).start().await;
    let script = server.script();
    script.next_pulls([vec![fail("SOURCE_UNAVAILABLE")], vec![complete("1")], vec![complete("2")]]);
    let connection = server.client.create(SCRIPTED, json!({"script": script.path()}), false).await.id;
    let made = server.client.scheduled_run(&connection, "").await;
    server.client.end_of(&made.id).await;
    let retried = server.client.scheduled_run(&connection, &made.id).await;
    server.client.end_of(&retried.id).await;
    let settings = json!({"script": script.path(), "choice": "other"});
    server.client.change_settings(&connection, settings).await;
    let changed = server.client.scheduled_run(&connection, &retried.id).await;
    server.client.end_of(&changed.id).await;
    let asked = server.client.begin(&connection, false).await;
    server.client.end_of(&asked.id).await;
    let told = server.client.runs_of(&connection).await.into_iter().map(|run| run.trigger());
    let expected = [Trigger::Manual, Trigger::Settings, Trigger::Retry, Trigger::Settings];
    assert_eq!(told.collect::<Vec<_>>(), expected, "newest first");
}
