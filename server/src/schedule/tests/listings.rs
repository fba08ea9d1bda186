//! What is listed and when: first runs, changed settings, resumed listings, deletion by absence.

use superfasttt_proto::connector::v1::{
    Checkpoint, Deletion, ItemError, PullMode, Reason, change, deletion, item_error,
};
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::error::ConnectorError;

use super::engine::{Engine, fail, say};
use crate::store::connections::ConnectionChange;
use crate::store::sync_states::Listing;
use crate::sync::testing::{complete, cursor, document};

const FULL: PullMode = PullMode::Full;
const INCREMENTAL: PullMode = PullMode::Incremental;

fn asked(pulls: &[(PullMode, &str)]) -> Vec<(PullMode, String)> {
    pulls.iter().map(|(mode, states)| (*mode, (*states).to_owned())).collect()
}

fn cannot_read(id: &str) -> change::Kind {
    let target = Some(item_error::Target::Id(id.to_owned()));
    let error = Some(ConnectorError::new(Reason::AccessDenied, "locked").to_proto());
    change::Kind::ItemError(ItemError { target, with_descendants: false, error })
}

fn documents(numbers: std::ops::Range<usize>) -> Vec<change::Kind> {
    numbers.map(|number| document(&format!("{number:04}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_run_lists_and_the_next_takes_changes() {
    let engine = Engine::new().await;
    engine.pull(vec![say("", documents(0..3), Some(complete("1")))]);
    let first = engine.sync().await;
    assert_eq!((first.state, first.mode, first.counts.created), (State::Succeeded, FULL, 3));
    assert_eq!(engine.shown().await.last_full_at, first.ended_at);
    engine.pull(vec![say("", documents(3..4), Some(cursor("2")))]);
    let second = engine.sync().await;
    assert_eq!((second.mode, second.counts.created), (INCREMENTAL, 1));
    assert_eq!(engine.asked(), asked(&[(FULL, ""), (INCREMENTAL, "=1")]));
    engine.pull(vec![say("", documents(0..4), Some(complete("3")))]);
    let third = engine.sync_with(true).await;
    assert_eq!((third.mode, third.counts.unchanged, third.counts.created), (FULL, 4, 0));
    assert_eq!(engine.asked(), asked(&[(FULL, "")]), "a listing that is asked for begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_does_not_say_that_it_is_complete_deletes_nothing() {
    let engine = Engine::new().await;
    engine.pull(vec![say("", documents(0..3), Some(complete("1")))]);
    engine.sync().await;
    engine.pull(vec![say("", documents(0..1), None)]);
    let run = engine.sync_with(true).await;
    assert_eq!((run.state, engine.ids().await.len()), (State::Succeeded, 3));
    assert_eq!(engine.state("").await.listing, Listing::None);
    assert_eq!(
        engine.state("").await.cursor.as_deref(),
        Some(b"1".as_slice()),
        "changes go on from where they were"
    );
    assert!(engine.log(&run.id).await.iter().any(|line| line.contains("without saying that it is complete")));
}

#[tokio::test(start_paused = true)]
async fn i5_a_large_deletion_waits_on_the_run_and_goes_with_the_approval() {
    let engine = Engine::new().await;
    engine.pull(vec![say("", documents(0..100), Some(complete("1")))]);
    engine.sync().await;
    engine.pull(vec![say("", documents(0..30), Some(complete("2")))]);
    let run = engine.sync_with(true).await;
    assert_eq!((run.state, run.held_sweeps.len()), (State::SucceededWithErrors, 1));
    assert_eq!((run.held_sweeps[0].absent, run.held_sweeps[0].total), (70, 100));
    assert_eq!(engine.ids().await.len(), 100);
    engine.store.approve_held(engine.connection.key, Vec::new()).await.unwrap();
    engine.pull(vec![say("", documents(0..40), Some(complete("3")))]);
    let run = engine.sync_with(true).await;
    assert_eq!((run.state, run.counts.deleted), (State::Succeeded, 60));
    assert_eq!(engine.ids().await.len(), 40, "ten are back");
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_is_held_makes_nothing_be_forgotten() {
    let engine = Engine::new().await;
    engine.pull(vec![say("", documents(0..100), Some(complete("1")))]);
    engine.sync().await;
    engine.pull(vec![say("", vec![cannot_read("0050")], Some(cursor("2")))]);
    engine.sync().await;
    let errors = async || engine.store.count_item_errors(engine.connection.key).await.unwrap();
    engine.advance(60);
    engine.pull(vec![say("", documents(0..30), Some(complete("3")))]);
    assert_eq!(
        (engine.sync_with(true).await.held_sweeps.len(), errors().await),
        (1, 1),
        "it is still unread"
    );
    engine.store.approve_held(engine.connection.key, Vec::new()).await.unwrap();
    engine.advance(60);
    engine.pull(vec![say("", documents(0..30), Some(complete("4")))]);
    assert_eq!((engine.sync_with(true).await.counts.deleted, errors().await), (70, 0), "and now it is gone");
}

#[tokio::test(start_paused = true)]
async fn changed_settings_make_the_next_run_full_and_delete_without_a_hold() {
    let engine = Engine::new().await;
    engine.pull(vec![say("", documents(0..100), Some(complete("1")))]);
    engine.sync().await;
    engine.asked();
    let settings = serde_json::json!({"root": "/elsewhere"}).as_object().unwrap().clone();
    let change = ConnectionChange { settings: Some(settings), ..ConnectionChange::default() };
    engine.store.update_connection("c-docs", None, change, engine.shown().await.created_at).await.unwrap();
    // Cut off before its first checkpoint, it is begun anew, and still what the person asked for.
    engine.pull(vec![fail(Reason::NotFound)]);
    assert_eq!(engine.sync().await.state, State::Failed);
    engine.pull(vec![say("", documents(90..110), Some(complete("2")))]);
    let run = engine.sync().await;
    assert_eq!((run.state, run.counts.deleted, run.counts.created), (State::Succeeded, 90, 10));
    assert_eq!(engine.asked()[..2], asked(&[(FULL, ""), (FULL, "")]));
    engine.pull(vec![say("", Vec::new(), Some(cursor("3")))]);
    assert_eq!(engine.sync().await.mode, INCREMENTAL, "once");
}

#[tokio::test(start_paused = true)]
async fn settings_that_choose_nothing_wait_for_a_person() {
    let engine = Engine::new().await;
    engine.pull(vec![say("", documents(0..3), Some(complete("1")))]);
    engine.sync().await;
    let settings = serde_json::json!({"root": "/nothing"}).as_object().unwrap().clone();
    let change = ConnectionChange { settings: Some(settings), ..ConnectionChange::default() };
    engine.store.update_connection("c-docs", None, change, engine.shown().await.created_at).await.unwrap();
    engine.pull(vec![say("", Vec::new(), Some(complete("2")))]);
    let run = engine.sync().await;
    assert_eq!(
        (run.state, run.held_sweeps.len(), engine.ids().await.len()),
        (State::SucceededWithErrors, 1, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_resumed_listing_is_followed_by_a_fresh_one_where_changes_cannot_be_told() {
    let engine = Engine::with(&["full_listing"], |_| {}).await;
    engine.pull(vec![say("", documents(0..2), Some(cursor("1"))), fail(Reason::NotFound)]);
    assert_eq!(engine.sync().await.state, State::Failed);
    engine.advance(60);
    // Document 0 went while nobody looked: the resumed listing passes over it.
    engine.pull(vec![say("", documents(2..4), Some(complete("2")))]);
    engine.pull(vec![say("", documents(1..4), Some(complete("3")))]);
    let run = engine.sync().await;
    assert_eq!((run.state, run.counts.deleted), (State::Succeeded, 1));
    assert_eq!(engine.asked(), asked(&[(FULL, ""), (FULL, "=1"), (FULL, "")]));
    assert_eq!(engine.ids().await, ["0001", "0002", "0003"]);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_was_cut_off_before_its_first_checkpoint_proves_nothing_of_what_it_saw() {
    let engine = Engine::new().await;
    engine.pull(vec![say("", documents(0..3), Some(complete("1")))]);
    engine.sync().await;
    let first = engine.state("").await.generation;
    engine.pull(vec![say("", documents(0..3), None), fail(Reason::SourceUnavailable)]);
    // Document 0 went before the same run began to list again.
    engine.pull(vec![say("", documents(1..3), Some(complete("2")))]);
    let run = engine.sync_with(true).await;
    assert_eq!((run.state, run.pulls, run.counts.deleted), (State::Succeeded, 2, 1));
    assert_eq!(engine.ids().await, ["0001", "0002"]);
    assert_eq!(engine.state("").await.generation, first + 2, "each attempt is a listing of its own");
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_was_cut_off_is_gone_on_with_before_changes() {
    let engine = Engine::new().await;
    engine.pull(vec![say("", documents(0..2), Some(cursor("1"))), fail(Reason::NotFound)]);
    assert_eq!(engine.sync().await.state, State::Failed);
    engine.advance(60);
    engine.pull(vec![say("", documents(2..4), Some(complete("2")))]);
    assert_eq!(engine.sync().await.state, State::Succeeded);
    assert_eq!(engine.asked(), asked(&[(FULL, ""), (FULL, "=1"), (INCREMENTAL, "=2")]));
}

#[tokio::test(start_paused = true)]
async fn i5_what_a_listing_did_not_name_is_asked_for_first() {
    let engine = Engine::with(&["incremental", "full_listing", "targeted"], |_| {}).await;
    engine.pull(vec![say("", documents(0..10), Some(complete("1")))]);
    engine.sync().await;
    engine.asked_for();
    engine.pull(vec![say("", documents(3..10), Some(complete("2")))]);
    let target = Some(deletion::Target::Id("0001".to_owned()));
    let gone = change::Kind::Deletion(Deletion { target, with_descendants: false });
    engine.pull(vec![say("", vec![document("0000"), gone], None)]);
    let run = engine.sync_with(true).await;
    let ids = engine.asked_for().pop().unwrap().1;
    assert_eq!(ids, ["0000", "0001", "0002"]);
    assert_eq!((run.state, run.counts.deleted, run.counts.item_errors), (State::SucceededWithErrors, 1, 1));
    let left = engine.ids().await;
    assert!(left.contains(&"0000".to_owned()), "it is there");
    assert!(!left.contains(&"0001".to_owned()), "the source says that it is gone");
    assert!(left.contains(&"0002".to_owned()), "no answer is not a deletion");
}

#[tokio::test(start_paused = true)]
async fn i5_what_would_be_held_but_for_its_shields_is_asked_for_first() {
    let engine = Engine::with(&["incremental", "full_listing", "targeted"], |_| {}).await;
    engine.pull(vec![say("", documents(0..100), Some(complete("1")))]);
    engine.sync().await;
    engine.asked_for();
    // Of sixty that are not named fifty cannot be read: ten may go, and the source has them.
    let unreadable: Vec<_> = (50..100).map(|number| cannot_read(&format!("{number:04}"))).collect();
    engine.pull(vec![say("", [documents(0..40), unreadable.clone()].concat(), Some(complete("2")))]);
    engine.pull(vec![say("", [documents(40..50), unreadable].concat(), None)]);
    let run = engine.sync_with(true).await;
    assert_eq!((run.counts.deleted, run.held_sweeps.len()), (0, 0));
    assert_eq!((engine.asked_for().len(), engine.ids().await.len()), (2, 100));
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_complete_may_tell_what_came_since_in_each_pull_for_the_others() {
    let engine = Engine::new().await;
    let more = |at: &str| Checkpoint { has_more: true, ..cursor(at) };
    let begun = say("b", documents(10..11), Some(more("b0")));
    engine.pull(vec![say("a", documents(0..1), Some(complete("a1"))), begun]);
    for step in 1..8 {
        let since = say("a", documents(1..2), Some(cursor("a2")));
        engine.pull(vec![since, say("b", documents(10..11), Some(more(&format!("b{step}"))))]);
    }
    engine.pull(vec![say("b", documents(11..12), Some(complete("b-end")))]);
    let run = engine.sync().await;
    assert_eq!((run.state, run.pulls, run.error), (State::Succeeded, 9, None), "no circle");
    assert_eq!(engine.state("a").await.cursor.as_deref(), Some(b"a1".as_slice()), "changes go on from there");
}
