//! When connections are due, and what becomes of that.

use superfasttt_proto::control::v1::run::{State, Trigger};

use super::runs::{next_id, queue, scheduled};
use super::support::*;
use crate::schedule::times::Due;
use crate::store::ConnectionKey;
use crate::store::connections::{ConnectionChange, NewConnection, Overlap, Schedule};
use crate::store::runs::Work;
use crate::store::runs::{Queued, RunEnd};

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
