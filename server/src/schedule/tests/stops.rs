//! Runs that are stopped from outside: cancelled, drained, fenced, overtaken by a deletion or a restart.

use std::sync::Arc;
use std::time::Duration;

use superfasttt_proto::connector::v1::{PullMode, Reason};
use superfasttt_proto::control::v1::run::State;
use tokio::sync::Notify;

use super::engine::{Engine, Step, fail, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::connections::{ConnectionChange, Schedule};
use crate::store::memory::MemoryStore;
use crate::store::runs::Run;
use crate::store::suite::support::{LEASE, at, due, every};
use crate::sync::testing::{complete, cursor, document};

/// Begins a run that waits after its first page, at cursor "1", for the answer.
async fn at_work(engine: &Engine) -> (Run, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let mut changes = engine.store.feed_changes();
    changes.mark_unchanged();
    engine.pull(vec![
        say("", vec![document("1")], Some(cursor("1"))),
        Step::Wait(go_on.clone()),
        say("", vec![document("2")], Some(complete("2"))),
    ]);
    let run = engine.ask(false).await;
    engine.scheduler.tick().await.unwrap();
    engine.waits().await;
    changes.changed().await.unwrap();
    (run, go_on)
}

#[tokio::test]
async fn a_cancelled_run_stops_at_its_last_committed_page() {
    let engine = Engine::new().await;
    let (run, _) = at_work(&engine).await;
    assert_eq!(engine.scheduler.live().count(), 1);
    assert!(engine.store.cancel_run(&run.id, at(1)).await.unwrap());
    engine.settled().await;
    let run = engine.run(&run.id).await;
    assert_eq!((run.state, run.counts.created, run.error), (State::Cancelled, 1, None));
    assert_eq!(engine.ids().await, ["1"]);
    assert_eq!(engine.shown().await.failures, 0);
    assert!(!engine.store.cancel_run(&run.id, at(2)).await.unwrap(), "it is over");
    let log = engine.log(&run.id).await;
    assert_eq!(log.last().unwrap(), "the run was cancelled at its last committed page");
    assert_eq!(engine.scheduler.live().count(), 0);
    engine.asked();
    engine.pull(vec![say("", vec![document("2")], Some(complete("2")))]);
    assert_eq!(engine.sync().await.state, State::Succeeded);
    assert_eq!(engine.asked()[0], (PullMode::Full, "=1".to_owned()), "the next one goes on with its listing");
}

#[tokio::test(start_paused = true)]
async fn a_lone_replica_keeps_its_run_while_the_store_is_away_for_longer_than_a_lease() {
    let store = MemoryStore::new(false);
    let engine = Engine::on(Arc::new(store.clone())).await;
    let (run, go_on) = at_work(&engine).await;
    store.set_away(true);
    tokio::time::sleep(Config::default().sync.lease * 3).await;
    store.set_away(false);
    go_on.notify_one();
    engine.settled().await;
    let run = engine.run(&run.id).await;
    assert_eq!((run.state, run.counts.created), (State::Succeeded, 2), "nobody else would go on with it");
    assert_eq!(engine.ids().await, ["1", "2"]);
}

#[tokio::test]
async fn a_run_that_is_being_claimed_can_be_stopped() {
    let engine = Engine::new().await;
    for _ in 0..20 {
        engine.pull(vec![Step::Wait(Arc::default())]);
        let run = engine.ask(false).await;
        let cancel = engine.store.cancel_run(&run.id, at(1));
        let (ticked, cancelled) = tokio::join!(engine.scheduler.tick(), cancel);
        ticked.unwrap();
        assert!(cancelled.unwrap());
        engine.settled().await;
        assert_eq!(engine.run(&run.id).await.state, State::Cancelled);
    }
}

#[tokio::test]
async fn i12_a_run_that_a_shutdown_stops_is_gone_on_with_by_the_next_start() {
    let engine = Engine::new().await;
    let (run, _) = at_work(&engine).await;
    engine.scheduler.shutdown(Duration::from_secs(10)).await;
    let stopped = engine.run(&run.id).await;
    assert_eq!((stopped.state, stopped.counts.created), (State::Queued, 1));
    let engine = engine.restarted().await;
    engine.asked();
    engine.pull(vec![say("", vec![document("2")], Some(complete("2")))]);
    engine.go().await;
    let run = engine.run(&run.id).await;
    assert_eq!((run.state, run.attempts, run.crashes, run.counts.created), (State::Succeeded, 2, 0, 2));
    assert_eq!(engine.asked()[0], (PullMode::Full, "=1".to_owned()));
    assert_eq!(engine.ids().await, ["1", "2"]);
}

#[tokio::test]
async fn i3_a_run_that_lost_its_claim_is_dropped_and_writes_nothing_more() {
    let engine = Engine::new().await;
    let (run, go_on) = at_work(&engine).await;
    let later = engine.clock.now() + chrono::TimeDelta::seconds(60);
    assert_eq!(engine.store.take_over(false, later).await.unwrap(), 1, "its lease has run out");
    engine.store.claim_run(later).await.unwrap().unwrap();
    go_on.notify_one();
    engine.settled().await;
    assert_eq!(engine.ids().await, ["1"]);
    assert_eq!(engine.state("").await.listing_cursor.as_deref(), Some(b"1".as_slice()));
    assert_eq!(engine.run(&run.id).await.state, State::Running, "it is no longer this worker's to end");
    assert_eq!(engine.scheduler.live().count(), 0);
}

#[tokio::test]
async fn a_reset_under_a_run_begins_it_again_from_nothing() {
    let engine = Engine::new().await;
    let (run, go_on) = at_work(&engine).await;
    engine.store.reset_sync_states(engine.connection.key, Vec::new()).await.unwrap();
    go_on.notify_one();
    engine.settled().await;
    engine.asked();
    engine.pull(vec![say("", vec![document("1"), document("2")], Some(complete("2")))]);
    engine.go().await;
    assert_eq!(engine.run(&run.id).await.state, State::Succeeded);
    assert_eq!(engine.asked()[0], (PullMode::Full, String::new()));
    assert_eq!(engine.ids().await, ["1", "2"]);
}

#[tokio::test]
async fn a_deletion_overtakes_a_run() {
    let engine = Engine::new().await;
    let (run, go_on) = at_work(&engine).await;
    engine.store.begin_deletion("c-docs", None, at(1)).await.unwrap();
    engine.scheduler.tick().await.unwrap();
    engine.settled().await;
    go_on.notify_one();
    assert!(engine.ids().await.is_empty());
    assert_eq!(engine.store.connection("c-docs").await.unwrap(), None);
    assert_eq!(engine.store.run(&run.id).await.unwrap(), None);
    let rows = crate::store::suite::support::feed_after(&engine.store, 0).await;
    assert!(rows.len() == 1 && rows[0].gone, "consumers hear of it");
}

#[tokio::test]
async fn a_deletion_that_a_restart_cut_off_goes_on() {
    let engine = Engine::new().await;
    at_work(&engine).await;
    engine.store.begin_deletion("c-docs", None, at(1)).await.unwrap();
    // Somebody has begun it when the process ends.
    engine.store.claim_deletion("crashed", LEASE, at(1)).await.unwrap().unwrap();
    engine.scheduler.tick().await.unwrap();
    engine.settled().await;
    assert!(engine.store.connection("c-docs").await.unwrap().is_some(), "nobody else deletes it meanwhile");
    let engine = engine.restarted().await;
    engine.scheduler.tick().await.unwrap();
    engine.settled().await;
    assert_eq!(engine.store.connection("c-docs").await.unwrap(), None);
}

#[tokio::test]
async fn a_disabled_connection_is_not_pulled() {
    let engine = Engine::new().await;
    let run = engine.ask(false).await;
    let change = ConnectionChange { disabled: Some(true), ..ConnectionChange::default() };
    engine.store.update_connection("c-docs", None, change, at(1)).await.unwrap();
    engine.go().await;
    assert_eq!((engine.run(&run.id).await.state, engine.opened()), (State::Cancelled, 0));
}

#[tokio::test]
async fn a_run_in_which_the_server_crashes_each_time_is_given_up() {
    let mut engine = Engine::new().await;
    let run = engine.ask(false).await;
    for _ in 0..10 {
        engine.store.claim_run(at(1)).await.unwrap().unwrap();
        engine = engine.restarted().await;
    }
    engine.go().await;
    let run = engine.run(&run.id).await;
    assert_eq!((run.state, engine.opened()), (State::Failed, 0));
    assert!(run.error.unwrap().message.contains("crashed"));
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_connection_runs_again_and_again() {
    let engine = Engine::with(&["incremental", "full_listing"], |new| {
        new.schedule = Schedule { frequency: every(60), ..Schedule::default() };
        new.next = due(at(0));
    })
    .await;
    engine.pull(vec![say("", Vec::new(), Some(complete("0")))]);
    for number in 0..3 {
        let sleep = engine.scheduler.tick().await.unwrap();
        engine.settled().await;
        assert_eq!(engine.asked().len(), 1, "run {number}");
        assert!(sleep <= Duration::from_secs(30), "a clock may jump: it looks again before {sleep:?}");
        let next = engine.shown().await.next_run_at.unwrap();
        engine.clock.set(next - chrono::TimeDelta::milliseconds(1));
        engine.go().await;
        assert!(engine.asked().is_empty());
        engine.clock.set(next);
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_runs_go_on_at_once_and_the_next_takes_the_place() {
    let engine = Engine::new().await;
    engine.pull(vec![fail(Reason::NotFound)]);
    let free = engine.scheduler.places.available_permits();
    let all = engine.scheduler.places.clone().try_acquire_many_owned(u32::try_from(free).unwrap()).unwrap();
    let run = engine.ask(false).await;
    engine.go().await;
    assert_eq!(engine.run(&run.id).await.state, State::Queued);
    drop(all);
    engine.go().await;
    assert_eq!(engine.run(&run.id).await.state, State::Failed);
    assert_eq!(engine.scheduler.places.available_permits(), free, "a place is given back");
}
