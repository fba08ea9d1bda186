//! `sync --wait`: what is shown while it goes, and how it ends.

use std::sync::atomic::AtomicUsize;

use superfasttt_proto::connector::v1::{Progress, PullMode, Reason};
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::control::v1::{HeldSweep, Run, RunCounts, RunError};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::fake::Fake;
use crate::support::{CONNECTION, RUN, Server};

pub fn run(state: State, created: u64) -> Run {
    Run {
        id: RUN.into(),
        connection: CONNECTION.into(),
        state: state.into(),
        mode: PullMode::Full.into(),
        counts: Some(RunCounts { created, content_bytes: created * 1_000, ..Default::default() }),
        ..Default::default()
    }
}

fn good() -> Vec<Run> {
    let progress = Progress { items_seen: 10, items_total: 40, message: "reading /reports".into() };
    vec![
        run(State::Queued, 0),
        Run { progress: Some(progress), ..run(State::Running, 10) },
        run(State::Succeeded, 1_204),
    ]
}

#[tokio::test]
async fn a_line_for_each_state_goes_to_stderr_and_the_summary_to_stdout() {
    let server = Server::start(Fake { script: good(), ..Default::default() }).await;
    let ran = server.run("sync docs --wait").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<_> = ran.err.lines().collect();
    assert_eq!(
        lines,
        [
            "docs: queued, full; 0 created, 0 updated, 0 unchanged, 0 deleted",
            "docs: running, full; 10 created, 0 updated, 0 unchanged, 0 deleted; 10.0 kB read, 10 of 40 items (25 %), reading /reports",
            "docs: succeeded, full; 1,204 created, 0 updated, 0 unchanged, 0 deleted; 1.2 MB read",
        ]
    );
    assert!(ran.out.contains("documents  1,204 created"), "{}", ran.out);
    assert_eq!(server.fake.asked.syncs.lock().unwrap()[0].connection, CONNECTION);
}

#[tokio::test]
async fn a_program_gets_the_last_state_alone() {
    let server = Server::start(Fake { script: good(), ..Default::default() }).await;
    let ran = server.run("--output json sync docs --wait").await;
    assert_eq!(ran.code, 0);
    assert_eq!(ran.json().len(), 1);
    assert_eq!(ran.json()[0]["state"], "STATE_SUCCEEDED");
    assert_eq!(ran.json()[0]["counts"]["created"], "1204");
}

#[tokio::test]
async fn a_failed_run_fails_and_says_who_must_act_and_how() {
    let error = RunError {
        reason: Reason::AccessDenied.into(),
        message: "the folder cannot be read".into(),
        actor: "admin".into(),
        fix: "give the server's user the right to read it".into(),
        ..Default::default()
    };
    let failed = Run { error: Some(error), ..run(State::Failed, 0) };
    let server =
        Server::start(Fake { script: vec![run(State::Queued, 0), failed], ..Default::default() }).await;
    let ran = server.run("sync docs --wait").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.ends_with("error: the sync failed: the folder cannot be read\n"), "{}", ran.err);
    for said in ["access denied", "an administrator of the source", "give the server's user"] {
        assert!(ran.out.contains(said), "{}", ran.out);
    }
    let cancelled = Fake { script: vec![run(State::Cancelled, 0)], ..Default::default() };
    let ran = Server::start(cancelled).await.run("-o json sync docs --wait").await;
    assert_eq!((ran.code, ran.json()[0]["state"].as_str()), (1, Some("STATE_CANCELLED")));
}

#[tokio::test]
async fn a_held_sweep_is_shown_with_the_command_that_approves_it() {
    let sweep = HeldSweep { absent: 900, total: 1_000, message: "over 20 %".into(), ..Default::default() };
    let held = Run { held_sweeps: vec![sweep.clone()], ..run(State::SucceededWithErrors, 0) };
    let server = Server::start(Fake { script: vec![held], held: vec![sweep], ..Default::default() }).await;
    let ran = server.run("sync docs --wait").await;
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("900 of 1,000 documents would be deleted: over 20 %"), "{}", ran.out);
    assert!(ran.err.contains(&format!("connectorctl approve {CONNECTION}")), "{}", ran.err);
    let ran = server.run("approve docs").await;
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("approved: 900 of 1,000"), "{}", ran.out);
    let ran = server.run("-o json approve docs").await;
    assert_eq!(ran.json()[0]["approved"][0]["absent"], "900");
}

#[tokio::test]
async fn a_server_that_restarts_does_not_end_the_waiting() {
    let server =
        Server::start(Fake { script: good(), breaks: AtomicUsize::new(2), ..Default::default() }).await;
    let ran = server.run("sync docs --wait").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("docs: lost the server; trying to reach it again"), "{}", ran.err);
    assert!(ran.err.contains("docs: the server is back"), "{}", ran.err);
    assert!(ran.out.contains("succeeded"), "{}", ran.out);
}

#[tokio::test]
async fn a_run_that_is_under_way_already_is_followed_and_said_so() {
    let script = vec![run(State::Running, 1), run(State::Succeeded, 2)];
    let server = Server::start(Fake { script, already_running: true, ..Default::default() }).await;
    let ran = server.run("sync docs --wait").await;
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("under way already"), "{}", ran.err);
    assert_eq!(server.fake.asked.syncs.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_sync_is_asked_for_again_behind_one_that_is_not() {
    let incremental = |run: Run| Run { mode: PullMode::Incremental.into(), ..run };
    let script = vec![incremental(run(State::Running, 1)), incremental(run(State::Succeeded, 2))];
    let server = Server::start(Fake { script, already_running: true, ..Default::default() }).await;
    let ran = server.run("sync docs --full --wait").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let asked = server.fake.asked.syncs.lock().unwrap();
    assert_eq!(asked.iter().map(|request| request.full).collect::<Vec<_>>(), [true, true]);
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_stops_the_waiting_and_says_how_to_stop_the_run() {
    let script = vec![run(State::Running, 1)];
    let server = Server::start(Fake { script, hold: true, ..Default::default() }).await;
    let mut child = server.command("-o json sync docs --wait").spawn().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap()).lines();
    // It is waiting once it has shown the run.
    assert!(err.next_line().await.unwrap().unwrap().starts_with("docs: running"));
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
    let mut said = String::new();
    while let Some(line) = err.next_line().await.unwrap() {
        said.push_str(&line);
    }
    assert!(said.contains("the sync goes on") && said.contains(&format!("runs cancel {RUN}")), "{said}");
}

#[tokio::test]
async fn without_wait_it_comes_back_at_once() {
    let server = Server::start(Fake { script: good(), ..Default::default() }).await;
    let ran = server.run("-o json sync docs").await;
    assert_eq!((ran.code, ran.json()[0]["state"].as_str()), (0, Some("STATE_QUEUED")));
}
