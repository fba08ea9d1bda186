//! Runs: queued, claimed, parked, ended, cancelled, due, trimmed.

use std::sync::atomic::{AtomicU32, Ordering};

use superfasttt_proto::connector::v1::{PullMode, log_record::Level};
use superfasttt_proto::control::v1::run::{State, Trigger};

use super::support::*;
use crate::schedule::times::Due;
use crate::store::connections::{Connection, ConnectionChange, NewConnection, Overlap, Schedule};
use crate::store::documents::Commit;
use crate::store::item_errors::Target;
use crate::store::runs::fair::ClaimLimits;
use crate::store::runs::{
    Claiming, Claims, HeldSweep, LogLine, Queued, Run, RunCounts, RunEnd, RunError, RunOutcome, RunProgress,
};
use crate::store::runs::{LookedAt, RunFilter, Work};
use crate::store::sync_states::ScopeState;
use crate::store::{ConnectionKey, StoreError};

/// Ids that no other test of this process gets, in order.
fn next_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("due-{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn queue(store: &Shared, connection: &Connection, id: &str, full: bool) -> Queued {
    let work = if full { Work::Full } else { Work::Changes };
    store.queue_run(id.to_owned(), connection.key, Trigger::Manual, work, start()).await.unwrap()
}

async fn run_of(store: &Shared, id: &str) -> Run {
    store.run(id).await.unwrap().unwrap()
}

fn line(message: &str) -> LogLine {
    LogLine {
        time: start(),
        level: Level::Info,
        origin: "engine",
        message: message.to_owned(),
        fields: Default::default(),
    }
}

/// A connection that is due every 100 seconds, first at second 0.
async fn scheduled(store: &Shared, name: &str) -> Connection {
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

pub async fn a_due_connection_gets_a_run(store: Shared) {
    let connection = scheduled(&store, "docs").await;
    assert_eq!(store.queue_due_runs(next_id, 1000, at(-1)).await.unwrap().queued, 0);
    assert_eq!(store.queue_due_runs(next_id, 1000, at(30)).await.unwrap().queued, 1);
    let queued = store.active_run(connection.key).await.unwrap().unwrap();
    // It was made: that is why it runs for the first time.
    assert_eq!((queued.trigger, queued.work, queued.created_at), (Trigger::Settings, Work::Changes, at(30)));
    let shown = store.connection_by_key(connection.key).await.unwrap().unwrap();
    let next = shown.next_run_at.unwrap();
    assert!(next > at(30) && next <= at(130), "within one interval: {next}");
    assert_eq!(shown.next_cause, Trigger::Schedule);
    assert_eq!(store.next_due().await.unwrap(), Some(next));
    let once = NewConnection { next: due(at(1)), ..new_connection("once") };
    let once = store.create_connection(once, start()).await.unwrap();
    assert_eq!(store.queue_due_runs(next_id, 1000, at(1)).await.unwrap().queued, 1);
    assert_eq!(store.connection_by_key(once.key).await.unwrap().unwrap().next_run_at, None);
}

pub async fn what_is_due_is_looked_at_a_few_at_a_time_whatever_becomes_of_it(store: Shared) {
    for name in ["a", "b", "c"] {
        scheduled(&store, name).await;
    }
    let more = async |now, limit| store.queue_due_runs(next_id, limit, now).await.unwrap().more;
    assert!(more(at(10), 2).await && !more(at(10), 2).await);
    // All of them have a run already, so that none is queued.
    assert!(more(at(1000), 2).await, "one is due still");
    assert!(!more(at(1000), 2).await);
    assert!(store.next_due().await.unwrap() > Some(at(1000)));
}

pub async fn a_clock_that_was_ahead_leaves_nothing_far_ahead(store: Shared) {
    const YEAR: i64 = 365 * 86_400;
    let (often, stays) = (scheduled(&store, "often").await, scheduled(&store, "stays").await);
    let (_, parked, fence) = running(&store, "parked").await;
    // The clock shows next year: what is due then is queued, and due again a year from now.
    assert_eq!(store.queue_due_runs(next_id, 1000, at(YEAR)).await.unwrap().queued, 2);
    let park = RunEnd { resume_at: Some(at(YEAR + 60)), ..ended(State::Parked) };
    store.end_run(fence, &parked.id, park, at(YEAR)).await.unwrap();
    let (run, fence) = store.claim_run(at(YEAR)).await.unwrap().unwrap();
    let listed = RunEnd { listed_all: true, ..ended(State::Succeeded) };
    store.end_run(fence, &run.id, listed, at(YEAR)).await.unwrap();
    assert!(store.next_due().await.unwrap() >= Some(at(YEAR)));

    let mut pieces = 0;
    let mut after = Some(ConnectionKey(0));
    while let Some(behind) = after {
        after = store.turn_back(behind, 1, at(10)).await.unwrap();
        pieces += 1;
    }
    assert_eq!(pieces, 3, "one connection at a time");
    for connection in [&often, &stays] {
        let shown = store.connection_by_key(connection.key).await.unwrap().unwrap();
        let next = shown.next_run_at.unwrap();
        assert!(next > at(10) && next <= at(110), "within one interval: {next}");
        assert_eq!(shown.next_cause, Trigger::Schedule);
        assert!(shown.last_full_at.is_none_or(|full| full <= at(10)), "{:?}", shown.last_full_at);
    }
    assert_eq!(store.run(&parked.id).await.unwrap().unwrap().resume_at, Some(at(10)));
    // What lies ahead rightly stays where it is: a retry, and a time that a person planned.
    let before = store.connection_by_key(often.key).await.unwrap().unwrap();
    store.turn_back(ConnectionKey(0), 1000, at(10)).await.unwrap();
    assert_eq!(store.connection_by_key(often.key).await.unwrap().unwrap(), before);
    let planned = Schedule { planned_at: Some(at(YEAR)), ..Schedule::default() };
    let new = NewConnection { schedule: planned, next: due(at(YEAR)), ..new_connection("planned") };
    let planned = store.create_connection(new, start()).await.unwrap();
    store.turn_back(ConnectionKey(0), 1000, at(10)).await.unwrap();
    let shown = store.connection_by_key(planned.key).await.unwrap().unwrap();
    assert_eq!(shown.next_run_at, Some(at(YEAR)));
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
    assert_eq!(store.queue_due_runs(next_id, 1000, at(10)).await.unwrap().queued, 0);
    assert_eq!(store.next_due().await.unwrap(), None);
}

pub async fn downtime_is_caught_up_once(store: Shared) {
    let connection = scheduled(&store, "docs").await;
    assert_eq!(
        store.queue_due_runs(next_id, 1000, at(10_050)).await.unwrap().queued,
        1,
        "not once per missed tick"
    );
    let (run, fence) = store.claim_run(at(10_050)).await.unwrap().unwrap();
    store.end_run(fence, &run.id, ended(State::Succeeded), at(10_051)).await.unwrap();
    let next = store.connection_by_key(connection.key).await.unwrap().unwrap().next_run_at.unwrap();
    assert!(next > at(10_050) && next <= at(10_150), "{next}");
}

pub async fn what_is_due_while_a_run_goes_on_is_left_out_or_waits(store: Shared) {
    for (overlap, follows) in [(Overlap::Skip, 0), (Overlap::Buffer, 1)] {
        let name = format!("{overlap:?}").to_lowercase();
        let schedule = Schedule { frequency: every(100), overlap, ..Schedule::default() };
        let new = NewConnection { schedule, next: due(start()), ..new_connection(&name) };
        let connection = store.create_connection(new, start()).await.unwrap();
        store.queue_due_runs(next_id, 1000, start()).await.unwrap();
        let (run, fence) = store.claim_run(start()).await.unwrap().unwrap();
        for second in [150, 300, 450] {
            assert_eq!(
                store.queue_due_runs(next_id, 1000, at(second)).await.unwrap().queued,
                0,
                "one at a time"
            );
            assert!(store.next_due().await.unwrap() > Some(at(second)), "it is not looked at again at once");
        }
        let next_id = format!("follows-{name}");
        let end = RunEnd { next_id: next_id.clone(), ..ended(State::Succeeded) };
        store.end_run(fence, &run.id, end, at(460)).await.unwrap();
        let active = store.active_run(connection.key).await.unwrap();
        assert_eq!(active.iter().filter(|run| run.id == next_id).count(), follows, "{overlap:?}");
        while let Some((run, fence)) = store.claim_run(at(460)).await.unwrap() {
            store.end_run(fence, &run.id, ended(State::Succeeded), at(460)).await.unwrap();
        }
        assert_eq!(store.active_run(connection.key).await.unwrap(), None, "one, however many were left out");
        let stopped = ConnectionChange { disabled: Some(true), ..ConnectionChange::default() };
        store.update_connection(&connection.id, None, stopped, at(460)).await.unwrap();
    }
}

pub async fn what_the_run_under_way_may_have_passed_follows_it(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    assert!(matches!(queue(&store, &connection, "r-2", false).await, Queued::Existing(_)), "it is that run");
    assert!(matches!(queue(&store, &connection, "r-3", true).await, Queued::Follows(_)), "it is not full");
    let hint = store
        .queue_run("r-4".to_owned(), connection.key, Trigger::Event, Work::Changes, at(1))
        .await
        .unwrap();
    assert_eq!(hint, Queued::Follows(run.clone()));
    store.end_run(fence, &run.id, ended(State::Succeeded), at(2)).await.unwrap();
    let (next, fence) = store.claim_run(at(2)).await.unwrap().unwrap();
    assert_eq!((next.id.as_str(), next.trigger, next.work), ("follows", Trigger::Event, Work::Full));
    let parked = RunEnd { resume_at: Some(at(60)), ..ended(State::Parked) };
    store.end_run(fence, &next.id, parked, at(3)).await.unwrap();
    let hint = store
        .queue_run("r-5".to_owned(), connection.key, Trigger::Event, Work::Changes, at(4))
        .await
        .unwrap();
    assert!(matches!(hint, Queued::Existing(run) if run.state == State::Queued), "a parked run takes it on");
}

pub async fn a_planned_run_is_due_once(store: Shared) {
    let schedule = Schedule { planned_at: Some(at(50)), planned_full: true, ..Schedule::default() };
    let next = Some(Due { at: at(50), cause: Trigger::Planned, full: true });
    let new = NewConnection { schedule, next, ..new_connection("docs") };
    let connection = store.create_connection(new, start()).await.unwrap();
    assert_eq!(store.queue_due_runs(next_id, 1000, at(49)).await.unwrap().queued, 0);
    assert_eq!(store.queue_due_runs(next_id, 1000, at(55)).await.unwrap().queued, 1);
    let (run, fence) = store.claim_run(at(55)).await.unwrap().unwrap();
    assert_eq!((run.trigger, run.work), (Trigger::Planned, Work::Full));
    store.end_run(fence, &run.id, ended(State::Succeeded), at(56)).await.unwrap();
    let shown = store.connection_by_key(connection.key).await.unwrap().unwrap();
    assert_eq!((shown.schedule.planned_at, shown.next_run_at), (None, None));
}

pub async fn a_full_run_is_due_by_its_own_frequency(store: Shared) {
    let schedule = Schedule { frequency: every(100), full_frequency: every(300), ..Schedule::default() };
    let new = NewConnection { schedule, next: due(start()), ..new_connection("docs") };
    let connection = store.create_connection(new, start()).await.unwrap();
    let mut full = Vec::new();
    let mut now = start();
    while now < at(3000) {
        store.queue_due_runs(next_id, 1000, now).await.unwrap();
        let (run, fence) = store.claim_run(now).await.unwrap().unwrap();
        full.push(run.work == Work::Reconcile);
        let end = RunEnd { listed_all: run.work == Work::Reconcile, ..ended(State::Succeeded) };
        store.end_run(fence, &run.id, end, now).await.unwrap();
        let shown = store.connection_by_key(connection.key).await.unwrap().unwrap();
        now = shown.next_run_at.unwrap();
    }
    let share = full.iter().filter(|full| **full).count() as f64 / full.len() as f64;
    assert!(full[0] && (0.2..0.45).contains(&share), "one in three or so: {full:?}");
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

pub async fn the_next_due_time_is_the_earliest(store: Shared) {
    assert_eq!(store.next_due().await.unwrap(), None);
    let later = NewConnection { next: due(at(50)), ..new_connection("later") };
    store.create_connection(later, start()).await.unwrap();
    let sooner = NewConnection { next: due(at(20)), ..new_connection("sooner") };
    let sooner = store.create_connection(sooner, start()).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(at(20)));
    queue(&store, &sooner, "r-1", false).await;
    let (run, fence) = store.claim_run(start()).await.unwrap().unwrap();
    store.queue_due_runs(next_id, 1000, at(20)).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(at(50)), "one that is at work is left out");
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
    store.queue_due_runs(next_id, 1000, start()).await.unwrap();
    let next = store.connection_by_key(connection.key).await.unwrap().unwrap().next_run_at;
    assert_eq!(fail(Some(at(500))).await, (next, 1, None), "the schedule comes first");
    queue(&store, &connection, "r-2", false).await;
    let sooner = Some(next.unwrap() - chrono::TimeDelta::milliseconds(1));
    assert_eq!(fail(sooner).await, (sooner, 2, None));
    queue(&store, &connection, "r-3", false).await;
    assert_eq!(fail(None).await, (sooner, 3, None));
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

pub async fn runs_are_listed_newest_first_in_pages(store: Shared) {
    let (a, b) = (connect(&store, "a").await, connect(&store, "b").await);
    for (id, connection) in [("r-1", &a), ("r-2", &b), ("r-3", &a), ("r-4", &a)] {
        let (_, fence) = claimed(&store, connection, id).await;
        store.end_run(fence, id, ended(State::Succeeded), at(1)).await.unwrap();
    }
    let ids = async |connection: Option<&Connection>, before: Option<&str>, limit| {
        let filter = RunFilter { connection: connection.map(|c| c.key), ..RunFilter::default() };
        let page = store.runs(filter, before.map(str::to_owned), limit).await.unwrap();
        (page.items.into_iter().map(|run| run.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(
        ids(None, None, 3).await,
        (vec!["r-4".into(), "r-3".into(), "r-2".into()], Some("r-2".into()))
    );
    assert_eq!(ids(None, Some("r-2"), 3).await, (vec!["r-1".into()], None));
    assert_eq!(ids(Some(&a), None, 3).await, (vec!["r-4".into(), "r-3".into(), "r-1".into()], None));
    assert_eq!(ids(Some(&b), Some("r-2"), 3).await, (vec![], None));
    for (organization, connection, found) in
        [("acme", None, 4), ("acme", Some(a.key), 3), ("other", None, 0), ("other", Some(a.key), 0)]
    {
        let filter = RunFilter { connection, organization: organization.to_owned() };
        assert_eq!(store.runs(filter, None, 9).await.unwrap().items.len(), found, "{organization}");
    }
}

pub async fn old_runs_are_trimmed_with_their_logs(store: Shared) {
    let connection = connect(&store, "a").await;
    for (id, second) in [("r-1", 10), ("r-2", 20), ("r-3", 30)] {
        let (_, fence) = claimed(&store, &connection, id).await;
        store.append_log(id, log_part(vec![line("x")], 10)).await.unwrap();
        store.end_run(fence, id, ended(State::Succeeded), at(second)).await.unwrap();
    }
    claimed(&store, &connection, "r-4").await;
    assert_eq!(store.trim_runs(at(10), 10).await.unwrap(), 0, "it did not end before");
    assert_eq!(store.trim_runs(at(31), 1).await.unwrap(), 1, "a few at a time, the oldest first");
    assert_eq!(store.run("r-1").await.unwrap(), None);
    let (log, _) = store.run_log("r-1", Level::Unspecified, 0, 10).await.unwrap();
    assert!(log.items.is_empty());
    assert_eq!(store.trim_runs(at(100), 10).await.unwrap(), 2);
    assert_eq!(store.trim_runs(at(100), 10).await.unwrap(), 0);
    assert_eq!(run_ids(&store).await, ["r-4"], "one at work always stays");
}

pub async fn runs_beyond_the_newest_are_trimmed_of_what_ran(store: Shared) {
    let (a, b) = (connect(&store, "a").await, connect(&store, "b").await);
    // All end at one moment, as runs do that end in one batch.
    for (id, connection) in [("r-1", &a), ("r-2", &b), ("r-3", &a), ("r-4", &a), ("r-5", &b), ("r-6", &a)] {
        let (_, fence) = claimed(&store, connection, id).await;
        store.end_run(fence, id, ended(State::Succeeded), at(10)).await.unwrap();
    }
    claimed(&store, &b, "r-7").await;
    let mut looked_at = LookedAt::default();
    let mut removed = 0;
    let mut looks = 0;
    loop {
        let surplus = store.trim_surplus_runs(2, looked_at.clone(), 2).await.unwrap();
        assert!(surplus.removed <= 2, "it removed {}", surplus.removed);
        (looked_at, removed, looks) = (surplus.looked_at, removed + surplus.removed, looks + 1);
        if !surplus.more {
            break;
        }
        assert!(looks < 20, "it does not come to an end");
    }
    assert_eq!(removed, 3);
    assert_eq!(
        run_ids(&store).await,
        ["r-7", "r-6", "r-5", "r-4"],
        "two are kept of each, the active one among them"
    );

    let again = store.trim_surplus_runs(0, looked_at.clone(), 10).await.unwrap();
    assert_eq!((again.removed, again.more), (0, false), "nothing has ended since");
    let (_, fence) = claimed(&store, &a, "r-8").await;
    store.end_run(fence, "r-8", ended(State::Succeeded), at(20)).await.unwrap();
    let again = store.trim_surplus_runs(1, looked_at, 10).await.unwrap();
    assert_eq!((again.removed, again.more), (2, true), "only what ran is looked at");
    assert_eq!(run_ids(&store).await, ["r-8", "r-7", "r-5"]);
}

async fn run_ids(store: &Shared) -> Vec<String> {
    let listed = store.runs(RunFilter::default(), None, 100).await.unwrap().items;
    listed.into_iter().map(|run| run.id).collect()
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
    let missing = store.end_run(fence, "nobody", end.clone(), at(2)).await;
    assert!(matches!(missing, Err(StoreError::Missing("run"))), "{missing:?}");
    let ended = store.end_run(fence, &run.id, end, at(2)).await.unwrap();
    assert_eq!((ended.held_sweeps.as_slice(), ended.counts), ([held].as_slice(), counts));
    let failures = store.connection_by_key(fence.connection).await.unwrap().unwrap().failures;
    assert_eq!(failures, 0, "nothing was written of it");
}
