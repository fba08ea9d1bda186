//! Comparisons with the source: ids and versions, single items, cursors that are refused, listings that let others go
//! first.

use std::sync::Arc;

use superfasttt_proto::connector::v1::{
    Checkpoint, Container, Deletion, ItemError, Present, PullMode, Reason, change, deletion, item_error,
};
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::error::ConnectorError;
use tokio::sync::Notify;

use super::engine::{Engine, Step, fail, say, stop_scope};
use crate::clock::Clock;
use crate::store::connections::Schedule;
use crate::store::item_errors::{ItemErrorFilter, Target};
use crate::store::runs::{Run, Work};
use crate::store::sync_states::{Listing, ListingMode};
use crate::sync::testing::{complete, cursor, document, document_with};

const FULL: PullMode = PullMode::Full;
const LIST: PullMode = PullMode::List;
const INCREMENTAL: PullMode = PullMode::Incremental;
const TARGETED: PullMode = PullMode::Targeted;

const ALL: [&str; 4] = ["incremental", "full_listing", "targeted", "list"];

fn asked(pulls: &[(PullMode, &str)]) -> Vec<(PullMode, String)> {
    pulls.iter().map(|(mode, states)| (*mode, (*states).to_owned())).collect()
}

fn reason(run: &Run) -> &str {
    run.error.as_ref().map_or("", |error| &error.reason)
}

/// A document of a version, as `document` gives it with version "1".
fn version(id: &str, version: &str) -> change::Kind {
    document_with(id, |envelope| version.clone_into(&mut envelope.version))
}

fn present(id: &str, version: &str) -> change::Kind {
    change::Kind::Present(Present { id: id.to_owned(), version: version.to_owned() })
}

fn gone(id: &str) -> change::Kind {
    let target = Some(deletion::Target::Id(id.to_owned()));
    change::Kind::Deletion(Deletion { target, with_descendants: false })
}

fn unreadable(id: &str) -> change::Kind {
    let target = Some(item_error::Target::Id(id.to_owned()));
    let error = Some(ConnectorError::new(Reason::AccessDenied, "locked").to_proto());
    change::Kind::ItemError(ItemError { target, with_descendants: false, error })
}

/// An engine whose scope "" was listed to the end, with these documents at version "1" and the cursor "0".
async fn listed(ids: &[&str]) -> Engine {
    let engine = Engine::with(&ALL, |_| {}).await;
    let documents = ids.iter().map(|id| version(id, "1")).collect();
    engine.pull(vec![say("", documents, Some(complete("0")))]);
    assert_eq!(engine.sync().await.state, State::Succeeded);
    engine.asked();
    engine
}

async fn work(engine: &Engine, work: Work) -> Run {
    let run = engine.ask_for_work(work).await;
    engine.go().await;
    engine.run(&run.id).await
}

async fn errors(engine: &Engine) -> Vec<(Target, u32)> {
    let filter = ItemErrorFilter::default();
    let errors = engine.store.item_errors(engine.connection.key, filter, None, 100).await.unwrap().items;
    errors.into_iter().map(|error| (error.error.target, error.attempts)).collect()
}

fn id(id: &str) -> Target {
    Target::Id(id.to_owned())
}

#[tokio::test(start_paused = true)]
async fn i1_what_was_wanted_is_asked_for_by_the_next_run_when_a_crash_came_between() {
    let engine = listed(&["a"]).await;
    // The cursor passes what was only named, and the run fails before it has asked.
    let named = vec![present("b", "1"), present("c", "1")];
    engine.pull(vec![say("", named, Some(cursor("1"))), fail(Reason::NotFound)]);
    assert_eq!(engine.sync_with(true).await.state, State::Failed);
    engine.asked();
    let engine = engine.restarted().await;
    engine.pull(vec![say("", vec![version("b", "1"), version("c", "1")], None)]);
    engine.pull(vec![say("", vec![present("a", "1")], Some(complete("2")))]);
    engine.pull(vec![say("", Vec::new(), Some(cursor("3")))]);
    let run = engine.sync().await;
    assert_eq!(run.state, State::Succeeded);
    assert_eq!(engine.asked(), asked(&[(TARGETED, ""), (FULL, "=1"), (INCREMENTAL, "=2")]));
    assert_eq!(engine.ids().await, ["a", "b", "c"]);
    assert!(!engine.store.leftovers(engine.connection.key).await.unwrap().wanted);
}

#[tokio::test(start_paused = true)]
async fn i11_what_is_wanted_is_asked_for_a_thousand_at_a_time() {
    let engine = listed(&["a"]).await;
    let named = |number: usize| format!("n{number:05}");
    for page in 0..5 {
        let changes = (0..500).map(|number| present(&named(page * 500 + number), "1")).collect();
        engine
            .pull(vec![say("", changes, Some(cursor(&format!("p{page}")))), fail(Reason::SourceUnavailable)]);
    }
    engine.pull(vec![say("", vec![present("a", "1")], Some(complete("end")))]);
    for batch in [0..1000, 1000..2000, 2000..2500] {
        engine.pull(vec![say("", batch.map(|number| version(&named(number), "1")).collect(), None)]);
    }
    let run = engine.sync_with(true).await;
    assert_eq!((run.state, run.counts.created), (State::Succeeded, 2500));
    let batches: Vec<_> = engine.asked_for().into_iter().map(|(_, ids)| ids.len()).collect();
    assert_eq!(batches[6..], [1000, 1000, 500]);
}

#[tokio::test(start_paused = true)]
async fn a_targeted_pull_that_is_cut_is_gone_on_with_for_the_rest() {
    let engine = listed(&["a"]).await;
    let named = ["a", "b", "c", "d"].map(|id| present(id, "1"));
    engine.pull(vec![say("", named.to_vec(), Some(complete("1")))]);
    engine.pull(vec![say("", vec![version("b", "1")], None), fail(Reason::SourceUnavailable)]);
    engine.pull(vec![say("", vec![version("c", "1")], None)]);
    let run = engine.sync_with(true).await;
    assert_eq!(run.state, State::SucceededWithErrors);
    let ids: Vec<_> = engine.asked_for().into_iter().map(|(_, ids)| ids.join(" ")).collect();
    assert_eq!(ids, ["", "b c d", "c d"]);
    assert_eq!(errors(&engine).await, [(id("d"), 1)], "not answered");
    assert!(
        !engine.store.leftovers(engine.connection.key).await.unwrap().wanted,
        "and not asked for without end"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_not_asked_for_breaks_the_contract() {
    for answer in [version("other", "1"), gone("a"), present("b", "1"), unreadable("other")] {
        let engine = listed(&["a"]).await;
        engine.pull(vec![say("", vec![present("a", "1"), present("b", "1")], Some(complete("1")))]);
        engine.pull(vec![say("", vec![answer], None)]);
        let run = engine.sync_with(true).await;
        assert_eq!((run.state, reason(&run)), (State::Failed, "PROTOCOL_VIOLATION"));
        assert_eq!(engine.ids().await, ["a"], "and is not taken");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_brings_the_connector_down_becomes_an_item_error() {
    let engine = listed(&["a"]).await;
    engine.pull(vec![say("", ["a", "b", "c"].map(|id| present(id, "1")).to_vec(), Some(complete("1")))]);
    for _ in 0..12 {
        engine.pull(vec![fail(Reason::ConnectorCrashed)]);
    }
    for _ in 0..2 {
        let run = engine.sync_with(true).await;
        assert_eq!((run.state, reason(&run)), (State::Failed, "CONNECTOR_CRASHED"));
    }
    // Now each is asked for alone: b brings it down, c does not.
    for _ in 0..6 {
        engine.pull(vec![fail(Reason::ConnectorCrashed)]);
    }
    engine.pull(vec![say("", vec![version("c", "1")], None)]);
    engine.pull(vec![say("", Vec::new(), Some(cursor("2")))]);
    let run = engine.sync().await;
    assert_eq!(run.state, State::SucceededWithErrors, "{run:?}");
    assert_eq!(engine.ids().await, ["a", "c"]);
    assert_eq!(errors(&engine).await, [(id("b"), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_comparison_asks_for_what_differs_and_touches_no_cursor() {
    let engine = listed(&["gone", "kept", "new-version", "same"]).await;
    engine.pull(vec![say("", Vec::new(), Some(cursor("1")))]);
    let seen = vec![present("same", "1"), present("new-version", "2"), present("unknown", "1")];
    engine.pull(vec![say("", seen, Some(complete("list-end")))]);
    engine.pull(vec![say("", vec![version("new-version", "2"), version("unknown", "1")], None)]);
    engine.pull(vec![say("", vec![gone("gone"), version("kept", "1")], None)]);
    let run = work(&engine, Work::Reconcile).await;
    assert_eq!((run.state, run.mode, run.counts.deleted), (State::Succeeded, LIST, 1));
    let pulls = [(INCREMENTAL, "=0"), (LIST, ""), (TARGETED, ""), (TARGETED, "")];
    assert_eq!(engine.asked(), asked(&pulls));
    assert_eq!(engine.ids().await, ["kept", "new-version", "same", "unknown"]);
    let state = engine.state("").await;
    assert_eq!(state.cursor.as_deref(), Some(b"1".as_slice()), "that of changes");
    assert_eq!((state.listing, state.listing_cursor), (Listing::None, None));
    assert_eq!(engine.shown().await.last_full_at, run.ended_at, "everything was compared");
    engine.pull(vec![say("", Vec::new(), Some(cursor("2")))]);
    engine.sync().await;
    assert_eq!(engine.asked(), asked(&[(INCREMENTAL, "=1")]));
}

#[tokio::test(start_paused = true)]
async fn a_comparison_forgets_no_folder() {
    let engine = Engine::with(&ALL, |_| {}).await;
    let folder = |id: &str, parent: &str| {
        let (id, parent_id) = (id.to_owned(), parent.to_owned());
        change::Kind::Container(Container { id, parent_id, ..Container::default() })
    };
    let held = document_with("held", |envelope| envelope.parent_id = "inner".to_owned());
    let changes = vec![folder("outer", ""), folder("inner", "outer"), held, document("free")];
    engine.pull(vec![say("", changes, Some(complete("0")))]);
    engine.sync().await;
    engine.pull(vec![say("", Vec::new(), Some(cursor("1")))]);
    engine.pull(vec![say("", vec![present("free", "1"), present("held", "1")], Some(complete("l")))]);
    assert_eq!(work(&engine, Work::Reconcile).await.state, State::Succeeded);
    let target = Some(deletion::Target::Id("outer".to_owned()));
    let all_of_it = change::Kind::Deletion(Deletion { target, with_descendants: true });
    engine.pull(vec![say("", vec![all_of_it], Some(cursor("2")))]);
    engine.sync().await;
    assert_eq!(engine.ids().await, ["free"]);
}

#[tokio::test(start_paused = true)]
async fn a_connector_without_list_compares_in_full() {
    let engine = Engine::with(&["incremental", "full_listing", "targeted"], |_| {}).await;
    engine.pull(vec![say("", vec![version("a", "1")], Some(complete("0")))]);
    engine.sync().await;
    engine.asked();
    engine.pull(vec![say("", vec![version("a", "1")], Some(complete("1")))]);
    assert_eq!(work(&engine, Work::Reconcile).await.mode, FULL);
    assert_eq!(engine.asked(), asked(&[(FULL, "")]));
}

#[tokio::test(start_paused = true)]
async fn a_full_run_that_is_due_compares_and_one_that_is_asked_for_lists() {
    let every = |seconds: u64| Some(format!("{seconds}s").parse().unwrap());
    let schedule = Schedule { frequency: every(60), full_frequency: every(60), ..Schedule::default() };
    let engine = Engine::with(&ALL, |new| new.schedule = schedule).await;
    engine.pull(vec![say("", vec![version("a", "1")], Some(complete("0")))]);
    engine.sync().await;
    engine.asked();
    let change = crate::store::connections::ConnectionChange {
        next: Some(crate::schedule::times::next(
            "c-docs",
            &engine.shown().await.schedule,
            None,
            engine.clock.now(),
        )),
        ..Default::default()
    };
    engine.store.update_connection("c-docs", None, change, engine.clock.now()).await.unwrap();
    engine.advance(61);
    engine.pull(vec![say("", Vec::new(), Some(cursor("1")))]);
    engine.pull(vec![say("", vec![present("a", "1")], Some(complete("l")))]);
    engine.go().await;
    assert_eq!(engine.asked(), asked(&[(INCREMENTAL, "=0"), (LIST, "")]), "by its schedule");
    engine.pull(vec![say("", vec![version("a", "1")], Some(complete("2")))]);
    engine.sync_with(true).await;
    assert_eq!(engine.asked(), asked(&[(FULL, "")]), "a person");
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_a_comparison_meets_first_is_listed_in_full() {
    let engine = listed(&["a"]).await;
    engine.pull(vec![say("", Vec::new(), Some(cursor("1")))]);
    engine.pull(vec![
        say("", vec![present("a", "1")], Some(complete("l"))),
        say("new", vec![present("n", "1")], Some(complete("l"))),
    ]);
    engine.pull(vec![say("new", vec![version("n", "1")], Some(complete("n0")))]);
    let run = work(&engine, Work::Reconcile).await;
    assert_eq!((run.state, run.counts.created), (State::Succeeded, 1));
    let scopes: Vec<_> =
        engine.asked_for().into_iter().map(|(scopes, ids)| (scopes.join(" "), ids.len())).collect();
    let plain = |scopes: &str| (scopes.to_owned(), 0);
    assert_eq!(scopes, [plain(""), plain(""), plain("new")], "nobody asks for its documents one by one");
    assert_eq!(engine.state("new").await.cursor.as_deref(), Some(b"n0".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn a_comparison_that_was_cut_off_is_never_gone_on_with_as_a_listing() {
    for full in [false, true] {
        let engine = listed(&["a", "b"]).await;
        engine.pull(vec![say("", Vec::new(), Some(cursor("1")))]);
        engine.pull(vec![say("", vec![present("a", "1")], Some(cursor("l1"))), fail(Reason::NotFound)]);
        assert_eq!(work(&engine, Work::Reconcile).await.state, State::Failed);
        let state = engine.state("").await;
        assert_eq!((state.listing, state.listing_mode), (Listing::UnderWay, ListingMode::List));
        engine.asked();
        engine.advance(60);
        if full {
            engine.pull(vec![say("", vec![version("a", "1"), version("b", "1")], Some(complete("2")))]);
            assert_eq!(work(&engine, Work::Full).await.state, State::Succeeded);
            assert_eq!(engine.asked(), asked(&[(FULL, "")]), "from nothing");
        } else {
            engine.pull(vec![say("", Vec::new(), Some(cursor("2")))]);
            engine.pull(vec![say("", vec![present("b", "1")], Some(complete("l2")))]);
            assert_eq!(work(&engine, Work::Reconcile).await.state, State::Succeeded);
            assert_eq!(engine.asked(), asked(&[(INCREMENTAL, "=1"), (LIST, "=l1")]));
        }
        assert_eq!(engine.ids().await, ["a", "b"]);
        assert_eq!(engine.state("").await.cursor.as_deref(), Some(b"2".as_slice()));
    }
}

#[tokio::test(start_paused = true)]
async fn i5_an_item_error_in_a_comparison_shields() {
    let engine = listed(&["a", "b"]).await;
    engine.pull(vec![say("", Vec::new(), Some(cursor("1")))]);
    engine.pull(vec![say("", vec![present("a", "1"), unreadable("b")], Some(complete("l")))]);
    engine.pull(vec![say("", vec![unreadable("b")], None)]);
    let run = work(&engine, Work::Reconcile).await;
    assert_eq!((run.state, run.counts.deleted), (State::SucceededWithErrors, 0));
    assert_eq!(engine.ids().await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn i5_an_approval_deletes_what_a_comparison_does_not_name() {
    let ids: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let engine = listed(&ids).await;
    engine.pull(vec![say("", vec![version("00", "1")], Some(complete("1")))]);
    // Nineteen are few enough to be asked for, and gone for good.
    engine.pull(vec![say("", ids[1..].iter().map(|id| gone(id)).collect(), None)]);
    let run = engine.sync_with(true).await;
    assert_eq!((run.state, run.counts.deleted), (State::Succeeded, 19));

    let engine = listed(&ids).await;
    engine.pull(vec![say("", Vec::new(), Some(complete("1")))]);
    let run = engine.sync_with(true).await;
    assert_eq!((run.held_sweeps.len(), engine.asked().len()), (1, 1), "held, and nothing is asked for");
    engine.store.approve_held(engine.connection.key, Vec::new()).await.unwrap();
    engine.pull(vec![say("", Vec::new(), Some(cursor("2")))]);
    engine.pull(vec![say("", vec![present("00", "1")], Some(complete("l")))]);
    engine.pull(vec![say("", ids[1..].iter().map(|id| gone(id)).collect(), None)]);
    let run = work(&engine, Work::Reconcile).await;
    assert_eq!((run.state, run.counts.deleted), (State::Succeeded, 19));
    assert_eq!(engine.asked(), asked(&[(INCREMENTAL, "=1"), (LIST, ""), (TARGETED, "")]));
    assert_eq!(engine.ids().await, ["00"]);
}

#[tokio::test(start_paused = true)]
async fn new_scopes_are_found_where_states_take_several_pulls() {
    let engine = Engine::with(&ALL, |_| {}).await;
    let large = |letter: &str| letter.repeat(60_000);
    let names: Vec<String> = (0..60).map(|number| format!("s{number:02}")).collect();
    let pages = names.iter().map(|name| say(name, vec![version(name, "1")], Some(complete(&large("a")))));
    engine.pull(pages.collect());
    assert_eq!(engine.sync().await.state, State::Succeeded);
    engine.asked_for();
    engine.pull(Vec::new());
    engine.pull(Vec::new());
    // The third pull leaves the known ones out. What comes of one all the same is not taken.
    engine.pull(vec![
        say("new", vec![version("n", "1")], Some(cursor("n"))),
        say("s00", vec![version("begun-from-nothing", "1")], Some(cursor("halfway"))),
        say("newer", vec![version("not-reached", "1")], Some(cursor("m"))),
    ]);
    let run = engine.sync().await;
    assert_eq!((run.state, run.pulls, run.counts.created), (State::Succeeded, 3, 1), "{run:?}");
    let named: Vec<_> = engine.asked_for().into_iter().map(|(scopes, _)| scopes.len()).collect();
    assert_eq!((named.iter().sum::<usize>(), named[2]), (60, 0));
    assert_eq!(engine.state("new").await.cursor.as_deref(), Some(b"n".as_slice()));
    assert_eq!(
        engine.state("s00").await.cursor,
        Some(large("a").into_bytes()),
        "where it stands is not lost"
    );
}

#[tokio::test(start_paused = true)]
async fn items_are_tried_again_and_nothing_else_is_done() {
    let engine = listed(&["a"]).await;
    engine.pull(vec![say("", vec![unreadable("b"), unreadable("c")], Some(cursor("1")))]);
    engine.sync().await;
    assert_eq!(errors(&engine).await, [(id("c"), 1), (id("b"), 1)]);
    engine.asked();
    engine.store.retry_item_errors(engine.connection.key, Vec::new()).await.unwrap();
    engine.pull(vec![say("", vec![version("b", "1"), unreadable("c")], None)]);
    let run = work(&engine, Work::Items).await;
    assert_eq!((run.state, run.mode), (State::SucceededWithErrors, TARGETED));
    assert_eq!(engine.asked(), asked(&[(TARGETED, "")]));
    assert_eq!(errors(&engine).await, [(id("c"), 2)], "one was read, the other was met again");
    assert_eq!(engine.ids().await, ["a", "b"]);
    assert_eq!(engine.state("").await.cursor.as_deref(), Some(b"1".as_slice()));
    // A sync that is asked for before the run begins takes it along.
    engine.store.retry_item_errors(engine.connection.key, Vec::new()).await.unwrap();
    engine.ask_for_work(Work::Items).await;
    engine.pull(vec![say("", vec![version("c", "1")], None)]);
    engine.pull(vec![say("", Vec::new(), Some(cursor("2")))]);
    let run = work(&engine, Work::Changes).await;
    assert_eq!(run.state, State::Succeeded);
    assert_eq!(engine.asked(), asked(&[(TARGETED, ""), (INCREMENTAL, "=1")]));
    assert!(errors(&engine).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_refused_twice_in_one_run_is_listed_twice() {
    let engine = Engine::with(&ALL, |_| {}).await;
    let page = |scope: &str, id: &str, end: &str| say(scope, vec![version(id, "1")], Some(complete(end)));
    engine.pull(vec![page("a", "1", "a1"), page("b", "2", "b1")]);
    engine.sync().await;
    engine.asked();
    engine.pull(vec![stop_scope("b", Reason::CursorInvalid), say("a", Vec::new(), Some(cursor("a2")))]);
    engine.pull(vec![page("b", "2", "b2")]);
    engine.pull(vec![stop_scope("a", Reason::CursorInvalid), stop_scope("b", Reason::CursorInvalid)]);
    engine.pull(vec![page("a", "1", "a3"), page("b", "2", "b3")]);
    engine.pull(vec![say("a", Vec::new(), Some(cursor("a4"))), say("b", Vec::new(), Some(cursor("b4")))]);
    let run = engine.sync().await;
    assert_eq!((run.state, reason(&run)), (State::Succeeded, ""));
    let pulls = [
        (INCREMENTAL, "a=a1 b=b1"),
        (FULL, ""),
        (INCREMENTAL, "a=a2 b=b2"),
        (FULL, ""),
        (INCREMENTAL, "a=a3 b=b3"),
    ];
    assert_eq!(engine.asked(), asked(&pulls));
    for (scope, end) in [("a", "a4"), ("b", "b4")] {
        let state = engine.state(scope).await;
        assert_eq!((state.listing, state.cursor.as_deref()), (Listing::None, Some(end.as_bytes())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_is_refused_each_time_ends_the_run() {
    let engine = listed(&["a"]).await;
    for number in 0..20 {
        engine.pull(vec![stop_scope("", Reason::CursorInvalid)]);
        engine.pull(vec![say("", vec![version("a", "1")], Some(complete(&number.to_string())))]);
    }
    let run = engine.sync().await;
    assert_eq!((run.state, reason(&run)), (State::Failed, "CURSOR_INVALID"));
    assert!(run.pulls < 20, "{}", run.pulls);
}

#[tokio::test(start_paused = true)]
async fn cursors_that_go_round_in_a_circle_end_the_run() {
    let more = |at: &str| Checkpoint { has_more: true, ..cursor(at) };
    for one_pull in [true, false] {
        let engine = listed(&["a"]).await;
        let pages = (0..40).map(|step| say("", vec![document("a")], Some(more(["x", "y", "z"][step % 3]))));
        if one_pull {
            engine.pull(pages.collect());
        } else {
            pages.for_each(|page| engine.pull(vec![page]));
        }
        let run = engine.sync().await;
        assert_eq!((run.state, reason(&run)), (State::Failed, "PAGINATION_LOOP"));
        let message = run.error.unwrap().message;
        assert!(message.contains("scope \"\"") && message.contains("the hash"), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn i5_a_long_listing_lets_changes_go_first_and_sweeps_nothing_that_they_brought() {
    let every = Some("60s".parse().unwrap());
    let engine =
        Engine::with(&ALL, |new| new.schedule = Schedule { frequency: every, ..Schedule::default() }).await;
    engine.pull(vec![say("", ["a", "b", "old"].map(|id| version(id, "1")).to_vec(), Some(complete("0")))]);
    engine.sync().await;
    engine.asked();
    let go_on = Arc::new(Notify::new());
    engine.pull(vec![
        say("", vec![version("a", "1")], Some(cursor("l1"))),
        Step::Wait(go_on.clone()),
        say("", vec![version("b", "1")], Some(cursor("l2"))),
        say("", vec![version("never", "1")], Some(complete("too-far"))),
    ]);
    // While the listing is cut: a document arrives behind the place where it is, and another one changes.
    engine.pull(vec![say("", vec![version("arrived", "1"), version("a", "2")], Some(cursor("1")))]);
    engine.pull(vec![say("", Vec::new(), Some(complete("l-end")))]);
    engine.pull(vec![say("", vec![gone("old")], None)]);
    let run = engine.ask(true).await;
    engine.begin().await;
    engine.waits().await;
    engine.advance(61);
    go_on.notify_one();
    engine.settled().await;
    let run = engine.run(&run.id).await;
    assert_eq!((run.state, run.mode, run.counts.deleted), (State::Succeeded, FULL, 1), "{run:?}");
    assert_eq!(engine.asked(), asked(&[(FULL, ""), (INCREMENTAL, "=0"), (FULL, "=l2"), (TARGETED, "")]));
    assert_eq!(engine.ids().await, ["a", "arrived", "b"], "what changes brought was not listed, and stays");
    assert_eq!(engine.state("").await.cursor.as_deref(), Some(b"l-end".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn a_first_listing_has_nothing_to_let_go_first() {
    let every = Some("60s".parse().unwrap());
    let engine =
        Engine::with(&ALL, |new| new.schedule = Schedule { frequency: every, ..Schedule::default() }).await;
    let go_on = Arc::new(Notify::new());
    engine.pull(vec![
        say("", vec![version("a", "1")], Some(cursor("l1"))),
        Step::Wait(go_on.clone()),
        say("", vec![version("b", "1")], Some(complete("l2"))),
    ]);
    let run = engine.ask(false).await;
    engine.begin().await;
    engine.waits().await;
    engine.advance(61);
    go_on.notify_one();
    engine.settled().await;
    assert_eq!((engine.run(&run.id).await.pulls, engine.ids().await.len()), (1, 2));
}
