//! Runs: queued, claimed, parked, ended, cancelled, due, trimmed.

use std::sync::atomic::{AtomicU32, Ordering};

use superfasttt_proto::connector::v1::{PullMode, log_record::Level};
use superfasttt_proto::control::v1::run::{State, Trigger};

use super::support::*;
use crate::store::StoreError;
use crate::store::connections::{Connection, ConnectionChange, NewConnection, Schedule};
use crate::store::documents::Commit;
use crate::store::runs::{HeldSweep, LogLine, Queued, Run, RunCounts, RunEnd, RunError};

/// Ids that no other test of this process gets, in order.
fn next_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("due-{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn queue(store: &Shared, connection: &Connection, id: &str, full: bool) -> Queued {
    store.queue_run(id.to_owned(), connection.key, Trigger::Manual, full, start()).await.unwrap()
}

async fn run(store: &Shared, id: &str) -> Run {
    store.run(id).await.unwrap().unwrap()
}

/// A connection that is due every 100 seconds, first at second 0.
async fn scheduled(store: &Shared, name: &str) -> Connection {
    let schedule = Schedule { interval_s: Some(100), full_interval_s: None };
    let new = NewConnection { schedule, next: due(start()), ..new_connection(name) };
    store.create_connection(new, start()).await.unwrap()
}

pub async fn a_queued_run_is_claimed_once_and_in_order(store: Shared) {
    let (a, b) = (connect(&store, "a").await, connect(&store, "b").await);
    store.queue_run("r-1".to_owned(), b.key, Trigger::Manual, false, at(1)).await.unwrap();
    store.queue_run("r-2".to_owned(), a.key, Trigger::Schedule, true, at(2)).await.unwrap();
    let (first, fence) = store.claim_run(at(3)).await.unwrap().unwrap();
    assert_eq!((first.id.as_str(), fence.connection, first.connection_id.as_str()), ("r-1", b.key, "c-b"));
    assert_eq!((first.state, first.started_at, first.attempts), (State::Running, Some(at(3)), 1));
    let (second, _) = store.claim_run(at(4)).await.unwrap().unwrap();
    assert_eq!((second.id.as_str(), second.trigger, second.full), ("r-2", Trigger::Schedule, true));
    assert_eq!(store.claim_run(at(5)).await.unwrap(), None);
    let shown = store.connection_by_key(b.key).await.unwrap().unwrap();
    assert_eq!((shown.last_run.as_deref(), shown.fence), (Some("r-1"), fence.number));
}

pub async fn a_connection_has_one_active_run(store: Shared) {
    let (connection, first, fence) = running(&store, "docs").await;
    assert_eq!(queue(&store, &connection, "r-2", false).await, Queued::Existing(first.clone()));
    assert_eq!(store.run("r-2").await.unwrap(), None);
    assert_eq!(store.active_run(connection.key).await.unwrap().as_ref(), Some(&first));
    let parked = RunEnd { resume_at: Some(at(60)), ..ended(State::Parked) };
    store.end_run(fence, &first.id, parked, at(1)).await.unwrap();
    assert!(matches!(queue(&store, &connection, "r-2", false).await, Queued::Existing(_)));
    let (again, fence) = store.claim_run(at(2)).await.unwrap().unwrap();
    store.end_run(fence, &again.id, ended(State::Succeeded), at(3)).await.unwrap();
    assert_eq!(store.active_run(connection.key).await.unwrap(), None);
    assert!(matches!(queue(&store, &connection, "r-2", false).await, Queued::New(_)));
}

pub async fn a_further_request_makes_a_queued_run_full(store: Shared) {
    let connection = connect(&store, "docs").await;
    queue(&store, &connection, "r-1", false).await;
    let Queued::Existing(full) = queue(&store, &connection, "r-2", true).await else {
        panic!("a second run")
    };
    assert!(full.full && full.state == State::Queued);
    let Queued::Existing(still) = queue(&store, &connection, "r-3", false).await else {
        panic!("a second run")
    };
    assert!(still.full, "full is not taken back");
}

pub async fn a_running_run_stays_as_it_is(store: Shared) {
    let (connection, _, _) = running(&store, "docs").await;
    let Queued::Existing(run) = queue(&store, &connection, "r-2", true).await else { panic!("a second run") };
    assert_eq!((run.state, run.full), (State::Running, false));
}

pub async fn a_parked_run_is_queued_again_when_asked_or_due(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let error = RunError { reason: "RATE_LIMITED".into(), message: "slow down".into(), code: "429".into() };
    let park = RunEnd { resume_at: Some(at(60)), error: Some(error.clone()), ..ended(State::Parked) };
    let parked = store.end_run(fence, &run.id, park.clone(), at(1)).await.unwrap();
    assert_eq!((parked.state, parked.resume_at, parked.ended_at), (State::Parked, Some(at(60)), None));
    assert_eq!(parked.error, Some(error));
    assert_eq!(store.connection_by_key(connection.key).await.unwrap().unwrap().failures, 0);
    assert_eq!(store.next_due().await.unwrap(), Some(at(60)));
    assert_eq!(store.queue_due_runs(next_id, 1000, at(59)).await.unwrap(), 0);
    assert_eq!(store.claim_run(at(59)).await.unwrap(), None);
    assert_eq!(store.queue_due_runs(next_id, 1000, at(60)).await.unwrap(), 1);
    let (again, fence) = store.claim_run(at(60)).await.unwrap().unwrap();
    assert_eq!((again.id.as_str(), again.attempts, again.resume_at), ("r-docs", 2, None));
    assert_eq!(again.started_at, run.started_at, "it began when it first began");
    store.end_run(fence, &again.id, park, at(61)).await.unwrap();
    let Queued::Existing(asked) = queue(&store, &connection, "r-2", true).await else {
        panic!("a second run")
    };
    assert_eq!((asked.state, asked.resume_at, asked.full), (State::Queued, None, true));
}

pub async fn a_due_connection_gets_a_run(store: Shared) {
    let connection = scheduled(&store, "docs").await;
    assert_eq!(store.queue_due_runs(next_id, 1000, at(-1)).await.unwrap(), 0);
    assert_eq!(store.queue_due_runs(next_id, 1000, at(30)).await.unwrap(), 1);
    let queued = store.active_run(connection.key).await.unwrap().unwrap();
    // It was made: that is why it runs for the first time.
    assert_eq!((queued.trigger, queued.full, queued.created_at), (Trigger::Settings, false, at(30)));
    let due = store.connection_by_key(connection.key).await.unwrap().unwrap().next_run_at;
    assert_eq!(due, Some(at(130)), "from the start of this run");
    assert_eq!(store.queue_due_runs(next_id, 1000, at(500)).await.unwrap(), 0, "one at a time");
    let (run, fence) = store.claim_run(at(500)).await.unwrap().unwrap();
    store.end_run(fence, &run.id, ended(State::Succeeded), at(500)).await.unwrap();
    assert_eq!(store.queue_due_runs(next_id, 1000, at(500)).await.unwrap(), 1, "it is overdue");
    let once = NewConnection { next: due(at(1)), ..new_connection("once") };
    let once = store.create_connection(once, start()).await.unwrap();
    assert_eq!(store.queue_due_runs(next_id, 1000, at(500)).await.unwrap(), 1);
    assert_eq!(store.connection_by_key(once.key).await.unwrap().unwrap().next_run_at, None);
}

pub async fn a_stopped_connection_is_not_due(store: Shared) {
    scheduled(&store, "disabled").await;
    scheduled(&store, "paused").await;
    scheduled(&store, "deleted").await;
    let change = ConnectionChange { disabled: Some(true), ..ConnectionChange::default() };
    store.update_connection("c-disabled", None, change, start()).await.unwrap();
    let change = ConnectionChange { paused: Some(true), ..ConnectionChange::default() };
    store.update_connection("c-paused", None, change, start()).await.unwrap();
    store.begin_deletion("c-deleted", None, start()).await.unwrap();
    assert_eq!(store.queue_due_runs(next_id, 1000, at(10)).await.unwrap(), 0);
    assert_eq!(store.next_due().await.unwrap(), None);
}

pub async fn a_full_run_is_due_by_its_own_interval(store: Shared) {
    let schedule = Schedule { interval_s: Some(100), full_interval_s: Some(250) };
    let new = NewConnection { schedule, next: due(start()), ..new_connection("docs") };
    store.create_connection(new, start()).await.unwrap();
    let mut full = Vec::new();
    for second in [0, 100, 200, 300, 400] {
        assert_eq!(store.queue_due_runs(next_id, 1000, at(second)).await.unwrap(), 1);
        let (run, fence) = store.claim_run(at(second)).await.unwrap().unwrap();
        full.push(run.full);
        let end = RunEnd { listed_all: run.full, ..ended(State::Succeeded) };
        store.end_run(fence, &run.id, end, at(second)).await.unwrap();
    }
    assert_eq!(full, [true, false, false, true, false]);
}

pub async fn the_next_due_time_is_the_earliest(store: Shared) {
    assert_eq!(store.next_due().await.unwrap(), None);
    let later = NewConnection { next_run_at: Some(at(50)), ..new_connection("later") };
    store.create_connection(later, start()).await.unwrap();
    let sooner = NewConnection { next_run_at: Some(at(20)), ..new_connection("sooner") };
    let sooner = store.create_connection(sooner, start()).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(at(20)));
    queue(&store, &sooner, "r-1", false).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(50)), "one that is at work is not due");
    let (run, fence) = store.claim_run(start()).await.unwrap().unwrap();
    let parked = RunEnd { resume_at: Some(at(30)), ..ended(State::Parked) };
    store.end_run(fence, &run.id, parked, start()).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(at(30)));
}

pub async fn a_failure_pulls_the_next_run_forward_only(store: Shared) {
    let connection = scheduled(&store, "docs").await;
    let fail = async |retry_at| {
        let (run, fence) = store.claim_run(at(1)).await.unwrap().unwrap();
        let end = RunEnd { retry_at, ..ended(State::Failed) };
        store.end_run(fence, &run.id, end, at(1)).await.unwrap();
        let shown = store.connection_by_key(connection.key).await.unwrap().unwrap();
        (shown.next_run_at, shown.failures, shown.last_success_at)
    };
    store.queue_due_runs(next_id, start()).await.unwrap();
    assert_eq!(fail(Some(at(500))).await, (Some(at(100)), 1, None), "the schedule comes first");
    queue(&store, &connection, "r-2", false).await;
    assert_eq!(fail(Some(at(40))).await, (Some(at(40)), 2, None));
    queue(&store, &connection, "r-3", false).await;
    assert_eq!(fail(None).await, (Some(at(40)), 3, None));
    let (manual, run, fence) = running(&store, "manual").await;
    let end = RunEnd { retry_at: Some(at(40)), ..ended(State::Failed) };
    store.end_run(fence, &run.id, end, at(1)).await.unwrap();
    let shown = store.connection_by_key(manual.key).await.unwrap().unwrap();
    assert_eq!(shown.next_run_at, None, "a connection without a schedule runs only when asked");
}

pub async fn a_success_resets_failures_and_a_listing_is_noted(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    store.end_run(fence, &run.id, ended(State::Failed), at(1)).await.unwrap();
    let (run, fence) = claimed(&store, &connection, "r-2").await;
    store.end_run(fence, &run.id, ended(State::Cancelled), at(2)).await.unwrap();
    let shown = store.connection_by_key(connection.key).await.unwrap().unwrap();
    assert_eq!((shown.failures, shown.last_success_at, shown.last_full_at), (1, None, None));
    let (run, fence) = claimed(&store, &connection, "r-3").await;
    let end = RunEnd { listed_all: true, ..ended(State::SucceededWithErrors) };
    let run = store.end_run(fence, &run.id, end, at(3)).await.unwrap();
    assert_eq!(run.ended_at, Some(at(3)));
    let shown = store.connection_by_key(connection.key).await.unwrap().unwrap();
    assert_eq!((shown.failures, shown.last_success_at, shown.last_full_at), (0, Some(at(3)), Some(at(3))));
}

pub async fn a_run_that_was_cut_off_is_queued_again(store: Shared) {
    let (_, run, old) = running(&store, "docs").await;
    store.begin_pull(old, &run.id, PullMode::Full).await.unwrap();
    assert_eq!(store.take_over(true, start()).await.unwrap(), 1);
    assert_eq!(store.take_over(true, start()).await.unwrap(), 0);
    let (again, fence) = store.claim_run(at(1)).await.unwrap().unwrap();
    assert_eq!((again.id.as_str(), again.attempts, again.crashes), ("r-docs", 2, 1));
    assert_eq!((again.pulls, again.mode), (1, PullMode::Full));
    assert!(fence.number > old.number);
}

pub async fn pauses_are_not_crashes(store: Shared) {
    let (_, run, mut fence) = running(&store, "docs").await;
    store.take_over(true, start()).await.unwrap();
    fence = store.claim_run(at(1)).await.unwrap().map_or(fence, |(_, fence)| fence);
    for state in [State::Parked, State::Queued, State::Parked] {
        let end = RunEnd { resume_at: (state == State::Parked).then(|| at(1)), ..ended(state) };
        store.end_run(fence, &run.id, end, at(1)).await.unwrap();
        store.queue_due_runs(next_id, 1000, at(1)).await.unwrap();
        fence = store.claim_run(at(1)).await.unwrap().unwrap().1;
    }
    let run = store.run(&run.id).await.unwrap().unwrap();
    assert_eq!((run.attempts, run.crashes), (5, 0), "whoever stops in order has not crashed");
}

pub async fn only_a_waiting_run_is_cancelled_at_once(store: Shared) {
    let connection = connect(&store, "docs").await;
    assert!(!store.cancel_run("nobody", at(1)).await.unwrap());
    queue(&store, &connection, "r-1", false).await;
    assert!(store.cancel_run("r-1", at(1)).await.unwrap());
    assert!(!store.cancel_run("r-1", at(2)).await.unwrap());
    let cancelled = run(&store, "r-1").await;
    assert_eq!((cancelled.state, cancelled.ended_at), (State::Cancelled, Some(at(1))));
    assert_eq!(store.claim_run(at(2)).await.unwrap(), None);
    let (_, fence) = claimed(&store, &connection, "r-2").await;
    assert!(!store.cancel_run("r-2", at(3)).await.unwrap(), "its worker has to be told");
    let parked = RunEnd { resume_at: Some(at(60)), ..ended(State::Parked) };
    store.end_run(fence, "r-2", parked, at(3)).await.unwrap();
    assert!(store.cancel_run("r-2", at(4)).await.unwrap());
    assert_eq!(store.queue_due_runs(next_id, 1000, at(100)).await.unwrap(), 0);
}

pub async fn runs_are_listed_newest_first_in_pages(store: Shared) {
    let (a, b) = (connect(&store, "a").await, connect(&store, "b").await);
    for (id, connection) in [("r-1", &a), ("r-2", &b), ("r-3", &a), ("r-4", &a)] {
        let (_, fence) = claimed(&store, connection, id).await;
        store.end_run(fence, id, ended(State::Succeeded), at(1)).await.unwrap();
    }
    let ids = async |connection: Option<&Connection>, before: Option<&str>, limit| {
        let page = store.runs(connection.map(|c| c.key), before.map(str::to_owned), limit).await.unwrap();
        (page.items.into_iter().map(|run| run.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(
        ids(None, None, 3).await,
        (vec!["r-4".into(), "r-3".into(), "r-2".into()], Some("r-2".into()))
    );
    assert_eq!(ids(None, Some("r-2"), 3).await, (vec!["r-1".into()], None));
    assert_eq!(ids(Some(&a), None, 3).await, (vec!["r-4".into(), "r-3".into(), "r-1".into()], None));
    assert_eq!(ids(Some(&b), Some("r-2"), 3).await, (vec![], None));
}

pub async fn old_runs_are_trimmed_with_their_logs(store: Shared) {
    let (a, b) = (connect(&store, "a").await, connect(&store, "b").await);
    for (id, connection, second) in [("r-1", &a, 10), ("r-2", &a, 20), ("r-3", &a, 30), ("r-4", &b, 10)] {
        let (_, fence) = claimed(&store, connection, id).await;
        let line = LogLine {
            time: start(),
            level: Level::Info,
            origin: "engine",
            message: "x".to_owned(),
            fields: Default::default(),
        };
        store.append_log(id, log_part(vec![line], 10)).await.unwrap();
        store.end_run(fence, id, ended(State::Succeeded), at(second)).await.unwrap();
    }
    claimed(&store, &b, "r-5").await;
    assert_eq!(store.trim_runs(2, at(5)).await.unwrap(), 1, "two are kept of each connection");
    assert_eq!(store.run("r-1").await.unwrap(), None);
    let (log, _) = store.run_log("r-1", Level::Unspecified, 0, 10).await.unwrap();
    assert!(log.items.is_empty());
    assert_eq!(store.trim_runs(2, at(25)).await.unwrap(), 2, "those that ended long ago go as well");
    assert_eq!(store.trim_runs(0, at(100)).await.unwrap(), 1);
    let left = store.runs(None, None, 10).await.unwrap().items;
    assert_eq!(left.into_iter().map(|run| run.id).collect::<Vec<_>>(), ["r-5"], "one at work always stays");
}

pub async fn counts_and_held_sweeps_come_back(store: Shared) {
    let (_, run, fence) = running(&store, "docs").await;
    let counts = RunCounts { created: 3, message_bytes: u64::from(u32::MAX) + 1, ..RunCounts::default() };
    let commit = Commit {
        run: run.id.clone(),
        progress: RunProgress { counts, ..RunProgress::default() },
        ..Commit::default()
    };
    store.commit(fence, commit, at(1)).await.unwrap();
    assert_eq!(store.run(&run.id).await.unwrap().unwrap().counts, counts);
    let held = HeldSweep {
        scope: "drive".to_owned(),
        absent: 60,
        total: 100,
        message: "held".to_owned(),
        at: at(1),
    };
    let end = RunEnd { held_sweeps: vec![held.clone()], ..ended(State::SucceededWithErrors) };
    let ended = store.end_run(fence, &run.id, end, at(2)).await.unwrap();
    assert_eq!((ended.held_sweeps.as_slice(), ended.counts), ([held].as_slice(), counts));
    let missing = store.end_run(fence, "nobody", super::support::ended(State::Failed), at(2)).await;
    assert!(matches!(missing, Err(StoreError::Missing("run"))), "{missing:?}");
    let failures = store.connection_by_key(fence.connection).await.unwrap().unwrap().failures;
    assert_eq!(failures, 0, "nothing was written of it");
}
