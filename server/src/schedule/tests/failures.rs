//! What failures lead to: another attempt, a pause, a listing, the end of the run.

use std::time::Duration;

use superfasttt_proto::connector::v1::{Checkpoint, PullMode, Reason};
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::error::ConnectorError;
use tokio::time::Instant;

use super::engine::{Engine, Step, fail, say, stop_scope};
use crate::store::connections::Schedule;
use crate::store::runs::Run;
use crate::store::suite::support::{at, due, every};
use crate::sync::testing::{complete, cursor, document, document_with};

const FULL: PullMode = PullMode::Full;
const INCREMENTAL: PullMode = PullMode::Incremental;

fn reason(run: &Run) -> &str {
    run.error.as_ref().map_or("", |error| &error.reason)
}

fn asked(pulls: &[(PullMode, &str)]) -> Vec<(PullMode, String)> {
    pulls.iter().map(|(mode, states)| (*mode, (*states).to_owned())).collect()
}

/// An engine whose connection was listed to the end, at cursor "0".
async fn listed() -> Engine {
    let engine = Engine::new().await;
    engine.pull(vec![say("", vec![document("0")], Some(complete("0")))]);
    assert_eq!(engine.sync().await.state, State::Succeeded);
    engine.asked();
    engine
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_is_cut_goes_on_from_the_last_checkpoint() {
    let engine = Engine::new().await;
    engine.pull(vec![
        say("", vec![document("1")], Some(cursor("1"))),
        say("", vec![document("2")], None),
        fail(Reason::SourceUnavailable),
    ]);
    engine.pull(vec![say("", vec![document("2"), document("3")], Some(complete("3")))]);
    let began = Instant::now();
    let run = engine.sync().await;
    assert!(began.elapsed() <= Duration::from_secs(1), "after a pause of a second at most");
    assert!(engine.log(&run.id).await.iter().any(|line| line.starts_with("the pull was cut off")));
    assert_eq!((run.state, run.pulls, run.error.clone()), (State::Succeeded, 2, None));
    assert_eq!(engine.asked(), asked(&[(FULL, ""), (FULL, "=1")]));
    assert_eq!(engine.opened(), 2, "the process behind the first may be gone");
    assert_eq!(engine.ids().await, ["1", "2", "3"]);
    assert_eq!((run.counts.created, run.counts.unchanged), (3, 1));
    assert_eq!(engine.shown().await.last_success_at, Some(at(0)));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_stays_down_fails_the_run_and_is_tried_again_sooner() {
    let schedule = Schedule { frequency: every(1_000_000), ..Schedule::default() };
    let engine = Engine::with(&["incremental", "full_listing"], |new| {
        new.schedule = schedule;
        new.next = due(at(0));
    })
    .await;
    for failures in 1..4 {
        for _ in 0..6 {
            engine.pull(vec![fail(Reason::SourceUnavailable)]);
        }
        engine.go().await;
        let shown = engine.shown().await;
        let run = engine.run(&shown.last_run.clone().unwrap()).await;
        assert_eq!((run.state, reason(&run), run.pulls), (State::Failed, "SOURCE_UNAVAILABLE", 6));
        assert_eq!(shown.failures, failures);
        let pause = (shown.next_run_at.unwrap() - run.ended_at.unwrap()).num_seconds();
        let longest = 300 * 2_i64.pow(u32::try_from(failures).unwrap() - 1);
        assert!((0..=longest).contains(&pause), "failure {failures}: {pause} s");
        engine.clock.set(shown.next_run_at.unwrap());
    }
    engine.pull(vec![say("", Vec::new(), Some(complete("1")))]);
    engine.go().await;
    assert_eq!(engine.shown().await.failures, 0);
}

#[tokio::test(start_paused = true)]
async fn progress_gives_new_attempts() {
    let engine = Engine::new().await;
    for number in 0..20 {
        let checkpoint = cursor(&number.to_string());
        engine.pull(vec![
            say("", vec![document(&number.to_string())], Some(checkpoint)),
            fail(Reason::SourceUnavailable),
        ]);
    }
    engine.pull(vec![say("", Vec::new(), Some(complete("end")))]);
    let run = engine.sync().await;
    assert_eq!((run.state, run.pulls, engine.ids().await.len()), (State::Succeeded, 21, 20));
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_does_not_come_up_is_tried_again() {
    let engine = Engine::new().await;
    engine.crash_at_start(2);
    engine.pull(vec![say("", Vec::new(), Some(complete("1")))]);
    assert_eq!(engine.sync().await.state, State::Succeeded);
    engine.crash_at_start(100);
    let run = engine.sync().await;
    assert_eq!((run.state, reason(&run)), (State::Failed, "CONNECTOR_CRASHED"));
}

#[tokio::test(start_paused = true)]
async fn what_a_person_has_to_mend_fails_at_once() {
    for reason_of in
        [Reason::SettingsInvalid, Reason::NotFound, Reason::CredentialRevoked, Reason::ProtocolViolation]
    {
        let engine = Engine::new().await;
        engine.pull(vec![fail(reason_of)]);
        let began = Instant::now();
        let run = engine.sync().await;
        assert_eq!((run.state, run.pulls), (State::Failed, 1), "{reason_of:?}");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn i9_a_throttled_run_is_parked_and_goes_on_where_it_was() {
    let engine = Engine::new().await;
    let throttled =
        ConnectorError::new(Reason::RateLimited, "slow").with_retry_after(Duration::from_secs(90));
    engine.pull(vec![say("", vec![document("1")], Some(cursor("1"))), Step::Fail(throttled)]);
    engine.pull(vec![say("", vec![document("2")], Some(complete("2")))]);
    let run = engine.sync().await;
    assert_eq!((run.state, run.resume_at, reason(&run)), (State::Parked, Some(at(90)), "RATE_LIMITED"));
    assert_eq!(engine.shown().await.failures, 0, "not a failure");
    assert_eq!(engine.scheduler.live().count(), 0, "it holds no worker");
    engine.advance(89);
    engine.go().await;
    assert_eq!(engine.run(&run.id).await.state, State::Parked);
    engine.advance(1);
    engine.go().await;
    let run = engine.run(&run.id).await;
    assert_eq!((run.state, run.attempts, run.error, run.counts.created), (State::Succeeded, 2, None, 2));
    assert_eq!(engine.asked(), asked(&[(FULL, ""), (FULL, "=1"), (INCREMENTAL, "=2")]));
}

#[tokio::test(start_paused = true)]
async fn i9_a_throttled_fetch_parks_the_run_as_well() {
    let engine = Engine::new().await;
    let behind = document_with("1", |envelope| {
        envelope.content = None;
        envelope.content_ref = "ref".to_owned();
    });
    engine.fail_content(ConnectorError::new(Reason::QuotaExhausted, "enough for today"));
    engine.pull(vec![
        say("", vec![document("0")], Some(cursor("0"))),
        say("", vec![behind], Some(complete("1"))),
    ]);
    let run = engine.sync().await;
    assert_eq!((run.state, reason(&run)), (State::Parked, "QUOTA_EXHAUSTED"));
    assert_eq!((engine.ids().await, run.counts.item_errors), (vec!["0".to_owned()], 0));
    assert_eq!(engine.state("").await.listing_cursor.as_deref(), Some(b"0".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn a_run_may_be_parked_as_often_as_it_takes() {
    let engine = Engine::with(&["full_listing"], |_| {}).await;
    for number in 0..30 {
        let checkpoint = cursor(&number.to_string());
        engine.pull(vec![
            say("", vec![document(&number.to_string())], Some(checkpoint)),
            fail(Reason::RateLimited),
        ]);
    }
    engine.pull(vec![say("", Vec::new(), Some(complete("end")))]);
    let run = engine.sync().await;
    for _ in 0..30 {
        assert_eq!(engine.run(&run.id).await.state, State::Parked);
        engine.advance(60);
        engine.go().await;
    }
    let run = engine.run(&run.id).await;
    assert_eq!(
        (run.state, run.pulls),
        (State::Succeeded, 31),
        "and no listing on top: this one is the run's own"
    );
    assert_eq!(engine.ids().await.len(), 30);
}

#[tokio::test(start_paused = true)]
async fn i9_scopes_that_are_complete_are_not_listed_again_after_a_pause() {
    let engine = Engine::with(&["full_listing"], |_| {}).await;
    engine.pull(vec![say("a", vec![document("1")], Some(complete("a"))), fail(Reason::RateLimited)]);
    engine.pull(vec![say("b", vec![document("2")], Some(complete("b")))]);
    let run = engine.sync().await;
    engine.advance(60);
    engine.go().await;
    assert_eq!(engine.run(&run.id).await.state, State::Succeeded);
    assert_eq!(engine.asked(), asked(&[(FULL, ""), (FULL, "a=a")]));
    assert_eq!(engine.ids().await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn two_cuts_without_a_new_checkpoint_are_no_progress() {
    let engine = listed().await;
    for _ in 0..2 {
        engine.pull(vec![say("", vec![document("1")], None), fail(Reason::SourceUnavailable)]);
    }
    let run = engine.sync().await;
    assert_eq!((run.state, reason(&run), run.pulls), (State::Failed, "NO_PROGRESS", 2));
    assert_eq!(engine.ids().await, ["0", "1"], "what came is kept: it may come again");
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_always_wants_more_and_never_moves_is_no_progress() {
    let engine = listed().await;
    for _ in 0..2 {
        engine.pull(vec![say("", Vec::new(), Some(Checkpoint { has_more: true, ..cursor("0") }))]);
    }
    let run = engine.sync().await;
    assert_eq!((run.state, reason(&run)), (State::Failed, "NO_PROGRESS"));
}

#[tokio::test(start_paused = true)]
async fn a_complete_scope_does_not_keep_a_failing_one_going() {
    let engine = Engine::new().await;
    for _ in 0..100 {
        engine.pull(vec![say("a", Vec::new(), Some(complete("end"))), fail(Reason::SourceUnavailable)]);
    }
    let run = engine.sync().await;
    assert_eq!((run.state, reason(&run), run.pulls), (State::Failed, "NO_PROGRESS", 3));
}

#[tokio::test(start_paused = true)]
async fn more_is_pulled_at_once() {
    let engine = listed().await;
    engine.pull(vec![say("", vec![document("1")], Some(Checkpoint { has_more: true, ..cursor("1") }))]);
    engine.pull(vec![say("", vec![document("2")], Some(cursor("2")))]);
    let began = Instant::now();
    assert_eq!(engine.sync().await.state, State::Succeeded);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(engine.asked(), asked(&[(INCREMENTAL, "=0"), (INCREMENTAL, "=1")]));
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_says_nothing_is_cut_off() {
    let engine = listed().await;
    engine.pull(vec![Step::Wait(Default::default())]);
    engine.pull(vec![say("", vec![document("1")], Some(cursor("1")))]);
    let run = engine.sync().await;
    assert_eq!((run.state, run.pulls), (State::Succeeded, 2));
    assert!(engine.log(&run.id).await.iter().any(|line| line.contains("said nothing for 5m")));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_cursor_is_followed_by_a_listing() {
    let engine = listed().await;
    engine.pull(vec![fail(Reason::CursorInvalid)]);
    engine.pull(vec![say("", vec![document("1")], Some(complete("1")))]);
    let run = engine.sync().await;
    assert_eq!(run.state, State::Succeeded);
    assert_eq!(engine.asked(), asked(&[(INCREMENTAL, "=0"), (FULL, ""), (INCREMENTAL, "=1")]));
    assert_eq!(engine.ids().await, ["1"], "what the listing did not name is gone");
    assert_eq!(engine.state("").await.cursor.as_deref(), Some(b"1".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn only_the_scope_of_an_invalid_cursor_is_listed() {
    let engine = Engine::new().await;
    let page = |scope: &str, id: &str, end: &str| say(scope, vec![document(id)], Some(complete(end)));
    engine.pull(vec![page("a", "1", "a1"), page("b", "2", "b1")]);
    engine.sync().await;
    engine.asked();
    engine.pull(vec![
        say("a", vec![document("3")], Some(cursor("a2"))),
        stop_scope("b", Reason::CursorInvalid),
    ]);
    engine.pull(vec![page("b", "4", "b2")]);
    let run = engine.sync().await;
    assert_eq!((run.state, reason(&run)), (State::Succeeded, ""), "it was made good");
    let scopes: Vec<_> = engine.asked_for().into_iter().map(|(scopes, _)| scopes.join(" ")).collect();
    assert_eq!(scopes, ["", "b", ""]);
    assert_eq!(engine.ids().await, ["1", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_listing_whose_cursor_is_never_good_ends_the_run() {
    let engine = Engine::new().await;
    for _ in 0..100 {
        engine.pull(vec![say("", vec![document("1")], Some(cursor("1"))), fail(Reason::CursorInvalid)]);
    }
    let run = engine.sync().await;
    assert_eq!((run.state, reason(&run), run.pulls), (State::Failed, "CURSOR_INVALID", 6));
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_stops_harms_no_other_and_is_told() {
    let engine = Engine::new().await;
    engine.pull(vec![
        say("a", vec![document("1")], Some(complete("a"))),
        stop_scope("b", Reason::AccessDenied),
        say("c", vec![document("2")], Some(complete("c"))),
    ]);
    let run = engine.sync().await;
    assert_eq!((run.state, reason(&run)), (State::SucceededWithErrors, "ACCESS_DENIED"));
    assert!(run.error.unwrap().message.contains("\"b\""));
    assert_eq!(engine.ids().await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_and_is_set_back_leaves_the_schedule_in_force() {
    let schedule = Schedule { frequency: every(100), ..Schedule::default() };
    let engine = Engine::with(&["incremental", "full_listing"], |new| {
        (new.schedule, new.next) = (schedule.clone(), due(at(0)));
    })
    .await;
    engine.pull(vec![say("", vec![document("0")], Some(complete("0")))]);
    engine.clock.set(at(86_400));
    engine.go().await;
    assert!(engine.shown().await.next_run_at > Some(at(86_400)));
    // Less than what matters, then back where it belongs.
    engine.clock.set(at(86_400 - 59));
    engine.go().await;
    assert!(engine.shown().await.next_run_at > Some(at(86_400)));
    engine.clock.set(at(50));
    engine.go().await;
    let next = engine.shown().await.next_run_at.unwrap();
    assert!(next > at(50) && next <= at(150), "within one interval: {next}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_while_the_server_was_down_is_noticed_by_what_ran() {
    let schedule = Schedule { frequency: every(100), ..Schedule::default() };
    let engine = Engine::with(&["incremental", "full_listing"], |new| {
        (new.schedule, new.next) = (schedule.clone(), due(at(0)));
    })
    .await;
    engine.pull(vec![say("", vec![document("0")], Some(complete("0")))]);
    engine.clock.set(at(86_400));
    engine.go().await;
    engine.clock.set(at(50));
    *engine.scheduler.latest.lock().unwrap() = at(0);
    engine.scheduler.ask_latest().await.unwrap();
    engine.go().await;
    let next = engine.shown().await.next_run_at.unwrap();
    assert!(next > at(50) && next <= at(150), "within one interval: {next}");
}
