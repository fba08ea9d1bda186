//! Runs: queued, claimed, parked, ended, cancelled, due, trimmed.

use std::sync::atomic::{AtomicU32, Ordering};

use superfasttt_proto::connector::v1::{PullMode, log_record::Level};
use superfasttt_proto::control::v1::run::{State, Trigger};

use super::support::*;
use crate::store::StoreError;
use crate::store::connections::{Connection, NewConnection, Schedule};
use crate::store::documents::Commit;
use crate::store::item_errors::Target;
use crate::store::runs::fair::ClaimLimits;
use crate::store::runs::{
    Claiming, Claims, LogLine, Queued, Run, RunCounts, RunEnd, RunError, RunOutcome, RunProgress,
};
use crate::store::runs::{RunFilter, Work};
use crate::store::sync_states::ScopeState;

/// Ids that no other test of this process gets, in order.
pub(super) fn next_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("due-{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(super) async fn queue(store: &Shared, connection: &Connection, id: &str, full: bool) -> Queued {
    let work = if full { Work::Full } else { Work::Changes };
    store.queue_run(id.to_owned(), connection.key, Trigger::Manual, work, start()).await.unwrap()
}

pub(super) async fn run_of(store: &Shared, id: &str) -> Run {
    store.run(id).await.unwrap().unwrap()
}

pub(super) fn line(message: &str) -> LogLine {
    LogLine {
        time: start(),
        level: Level::Info,
        origin: "engine",
        message: message.to_owned(),
        fields: Default::default(),
    }
}

/// A connection that is due every 100 seconds, first at second 0.
pub(super) async fn scheduled(store: &Shared, name: &str) -> Connection {
    let schedule = Schedule { frequency: every(100), ..Schedule::default() };
    let new = NewConnection { schedule, next: due(start()), ..new_connection(name) };
    store.create_connection(new, start()).await.unwrap()
}

pub async fn a_queued_run_is_claimed_once_and_in_order(store: Shared) {
    let (a, b) = (connect(&store, "a").await, connect(&store, "b").await);
    store.queue_run("r-1".to_owned(), b.key, Trigger::Manual, Work::Changes, at(1)).await.unwrap();
    store.queue_run("r-2".to_owned(), a.key, Trigger::Schedule, Work::Full, at(2)).await.unwrap();
    let (first, fence) = store.claim_run(at(3)).await.unwrap().unwrap();
    assert_eq!((first.id.as_str(), fence.connection, first.connection_id.as_str()), ("r-1", b.key, "c-b"));
    assert_eq!((first.state, first.started_at, first.attempts), (State::Running, Some(at(3)), 1));
    let (second, _) = store.claim_run(at(4)).await.unwrap().unwrap();
    assert_eq!((second.id.as_str(), second.trigger, second.work), ("r-2", Trigger::Schedule, Work::Full));
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
    assert!(full.work == Work::Full && full.state == State::Queued);
    let Queued::Existing(still) = queue(&store, &connection, "r-3", false).await else {
        panic!("a second run")
    };
    assert_eq!(still.work, Work::Full, "it is not taken back");
}

pub async fn a_running_run_stays_as_it_is(store: Shared) {
    let (connection, _, _) = running(&store, "docs").await;
    let Queued::Existing(run) = queue(&store, &connection, "r-2", false).await else {
        panic!("a second run")
    };
    assert_eq!((run.state, run.work), (State::Running, Work::Changes));
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
    assert_eq!(store.queue_due_runs(next_id, 1000, at(59)).await.unwrap().queued, 0);
    assert_eq!(store.claim_run(at(59)).await.unwrap(), None);
    assert_eq!(store.queue_due_runs(next_id, 1000, at(60)).await.unwrap().queued, 1);
    let (again, fence) = store.claim_run(at(60)).await.unwrap().unwrap();
    assert_eq!((again.id.as_str(), again.attempts, again.resume_at), ("r-docs", 2, None));
    assert_eq!(again.started_at, run.started_at, "it began when it first began");
    store.end_run(fence, &again.id, park, at(61)).await.unwrap();
    let Queued::Existing(asked) = queue(&store, &connection, "r-2", true).await else {
        panic!("a second run")
    };
    assert_eq!((asked.state, asked.resume_at, asked.work), (State::Queued, None, Work::Full));
}

pub async fn places_are_shared_by_organisations(store: Shared) {
    for number in 0..50 {
        let new =
            NewConnection { organization: "large".to_owned(), ..new_connection(&format!("l{number:02}")) };
        let connection = store.create_connection(new, start()).await.unwrap();
        queue(&store, &connection, &format!("r-large-{number:02}"), false).await;
    }
    let new = NewConnection { organization: "small".to_owned(), ..new_connection("s") };
    let small = store.create_connection(new, at(1)).await.unwrap();
    queue(&store, &small, "r-small", false).await;
    let limits = ClaimLimits { per_organization: Some(3), ..ClaimLimits::default() };
    let claiming = Claiming { lease: LEASE, places: 2, limits, ..Claiming::default() };
    let claims = store.claim_runs(claiming.clone(), at(2)).await.unwrap();
    let ids = |claims: &Claims| claims.claims.iter().map(|claim| claim.run.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&claims), ["r-large-00", "r-small"], "neither holds the other up");
    let claiming = Claiming { places: 10, after: claims.after, ..claiming };
    let claims = store.claim_runs(claiming.clone(), at(2)).await.unwrap();
    assert_eq!(ids(&claims), ["r-large-01", "r-large-02"], "three at once is the limit");
    assert!(store.claim_runs(claiming, at(2)).await.unwrap().claims.is_empty());
}

pub async fn what_somebody_asked_for_comes_before_what_is_scheduled(store: Shared) {
    for name in ["a", "b"] {
        scheduled(&store, name).await;
    }
    store.queue_due_runs(next_id, 1000, start()).await.unwrap();
    while let Some((run, fence)) = store.claim_run(at(1)).await.unwrap() {
        store.end_run(fence, &run.id, ended(State::Succeeded), at(1)).await.unwrap();
    }
    store.queue_due_runs(next_id, 1000, at(200)).await.unwrap();
    let asked = connect(&store, "asked").await;
    store.queue_run("r-asked".to_owned(), asked.key, Trigger::Manual, Work::Changes, at(300)).await.unwrap();
    assert_eq!(store.claim_run(at(300)).await.unwrap().unwrap().0.id, "r-asked");
    assert_eq!(store.claim_run(at(300)).await.unwrap().unwrap().0.trigger, Trigger::Schedule);
}

pub async fn a_claim_comes_with_what_a_run_needs(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let state = ScopeState { scope: "drive".to_owned(), cursor: Some(vec![7]), ..ScopeState::default() };
    let commit = Commit {
        run: run.id.clone(),
        item_errors: vec![item_error(Target::Id("x".to_owned()))],
        states: vec![state.clone()],
        ..Commit::default()
    };
    store.commit(fence, commit, at(1)).await.unwrap();
    store.end_run(fence, &run.id, ended(State::Succeeded), at(2)).await.unwrap();
    queue(&store, &connection, "r-2", false).await;
    let claiming = Claiming { lease: LEASE, places: 5, ..Claiming::default() };
    let claim = store.claim_runs(claiming, at(3)).await.unwrap().claims.pop().unwrap();
    assert_eq!(claim.run, run_of(&store, "r-2").await);
    assert_eq!(claim.connection, store.connection_by_key(connection.key).await.unwrap().unwrap());
    assert_eq!(claim.connection.fence, claim.fence.number);
    assert_eq!((claim.states, claim.leftovers.item_errors), (vec![state], true));
}

pub async fn outcomes_are_written_together_and_each_by_itself(store: Shared) {
    let (first, run, fence) = running(&store, "a").await;
    let (_, lost, stale) = running(&store, "b").await;
    assert!(store.cancel_run(&lost.id, at(1)).await.unwrap());
    let counts = RunCounts { created: 3, ..RunCounts::default() };
    let outcome = |fence, run: &str| RunOutcome {
        fence,
        run: run.to_owned(),
        end: ended(State::Succeeded),
        progress: Some(RunProgress { mode: PullMode::Incremental, pulls: 2, counts }),
        states: vec![ScopeState { cursor: Some(vec![9]), ..ScopeState::default() }],
        log: log_part(vec![line("done")], 10),
    };
    let answers =
        store.end_runs(vec![outcome(stale, &lost.id), outcome(fence, &run.id)], at(2)).await.unwrap();
    assert!(matches!(answers[0], Err(StoreError::Fenced)), "{:?}", answers[0]);
    assert!(answers[1].is_ok());
    let ended = run_of(&store, &run.id).await;
    assert_eq!((ended.state, ended.mode, ended.pulls), (State::Succeeded, PullMode::Incremental, 2));
    assert_eq!((ended.counts, ended.ended_at), (counts, Some(at(2))));
    assert_eq!(store.sync_states(first.key).await.unwrap()[0].cursor, Some(vec![9]));
    let (log, _) = store.run_log(&run.id, Level::Unspecified, 0, 10).await.unwrap();
    assert_eq!(log.items[0].line.message, "done");
    assert_eq!(run_of(&store, &lost.id).await.state, State::Cancelled);
    assert!(store.run_log(&lost.id, Level::Unspecified, 0, 10).await.unwrap().0.items.is_empty());
    let late = Commit { run: run.id.clone(), documents: puts(&["late"]), ..Commit::default() };
    let late = store.commit(fence, late, at(3)).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "the outcome ended the claim: {late:?}");
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
    let progress = RunProgress { mode: PullMode::Full, pulls: 1, ..RunProgress::default() };
    let commit = Commit { run: run.id.clone(), progress, ..Commit::default() };
    store.commit(old, commit, at(1)).await.unwrap();
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

pub async fn a_run_is_cancelled_wherever_it_stands(store: Shared) {
    let connection = connect(&store, "docs").await;
    assert!(!store.cancel_run("nobody", at(1)).await.unwrap());
    queue(&store, &connection, "r-1", false).await;
    assert!(store.cancel_run("r-1", at(1)).await.unwrap());
    assert!(!store.cancel_run("r-1", at(2)).await.unwrap());
    let cancelled = run_of(&store, "r-1").await;
    assert_eq!((cancelled.state, cancelled.ended_at), (State::Cancelled, Some(at(1))));
    assert_eq!(store.claim_run(at(2)).await.unwrap(), None);
    let (_, fence) = claimed(&store, &connection, "r-2").await;
    let mut changes = store.run_changes();
    changes.mark_unchanged();
    assert!(store.cancel_run("r-2", at(3)).await.unwrap());
    changes.changed().await.unwrap();
    assert_eq!(store.lost_claims(vec![fence]).await.unwrap(), [fence], "whoever works on it is told");
    let late = store.commit(fence, Commit { run: "r-2".to_owned(), ..Commit::default() }, at(3)).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    let (_, fence) = claimed(&store, &connection, "r-3").await;
    let parked = RunEnd { resume_at: Some(at(60)), ..ended(State::Parked) };
    store.end_run(fence, "r-3", parked, at(3)).await.unwrap();
    assert!(store.cancel_run("r-3", at(4)).await.unwrap());
    assert_eq!(store.queue_due_runs(next_id, 1000, at(100)).await.unwrap().queued, 0);
}

pub async fn runs_do_not_overlap_by_their_times_whatever_clocks_show(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let ended = store.end_run(fence, &run.id, ended(State::Succeeded), at(100)).await.unwrap();
    // The next ones are queued, begun and ended by a replica whose clock is behind.
    queue(&store, &connection, "r-2", false).await;
    let (next, fence) = store.claim_run(at(40)).await.unwrap().unwrap();
    assert_eq!((next.started_at, ended.ended_at), (Some(at(100)), Some(at(100))));
    let next = store.end_run(fence, &next.id, super::support::ended(State::Failed), at(50)).await.unwrap();
    assert_eq!(next.ended_at, Some(at(100)));
    queue(&store, &connection, "r-3", false).await;
    store.claim_run(at(60)).await.unwrap().unwrap();
    assert!(store.cancel_run("r-3", at(70)).await.unwrap());
    let cancelled = run_of(&store, "r-3").await;
    assert_eq!((cancelled.started_at, cancelled.ended_at), (Some(at(100)), Some(at(100))));
    store.queue_run("r-4".to_owned(), connection.key, Trigger::Manual, Work::Changes, at(200)).await.unwrap();
    assert_eq!(
        store.claim_run(at(150)).await.unwrap().unwrap().0.started_at,
        Some(at(200)),
        "not before it was asked for"
    );
}

pub async fn a_run_goes_only_where_it_may(store: Shared) {
    let (_, run, fence) = running(&store, "docs").await;
    let refused = store.end_run(fence, &run.id, ended(State::Running), at(1)).await;
    assert!(matches!(refused, Err(StoreError::Illegal { .. })), "{refused:?}");
    store.end_run(fence, &run.id, ended(State::Failed), at(1)).await.unwrap();
    assert!(!store.cancel_run(&run.id, at(2)).await.unwrap());
    assert_eq!(run_of(&store, &run.id).await.state, State::Failed);
}

pub(super) async fn run_ids(store: &Shared) -> Vec<String> {
    let listed = store.runs(RunFilter::default(), None, 100).await.unwrap().items;
    listed.into_iter().map(|run| run.id).collect()
}
