//! What is told of a run: its span, which is the root of its trace and gives each line of log its fields, and what is
//! counted of it.

use std::sync::Arc;

use superfasttt_proto::connector::v1::PullMode;
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::error::reason_info;
use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use super::metrics::{
    CONTENT_BYTES, CONTENT_TEXT_BYTES, CONTENTS, CONTENTS_WITHOUT_TEXT, DOCUMENTS, GaugeGuard, LAST_SUCCESS,
    PULL_BYTES, PULL_PAGES, PULLS, RUN_DURATION, RUN_FAILURES, RUNS_ENDED, RUNS_IN_PROGRESS, RUNS_STARTED,
    SWEEPS_HELD,
};
use super::traceparent;
use crate::clock::SharedClock;
use crate::store::runs::state::has_succeeded;
use crate::store::runs::{Claim, RunCounts};
use crate::sync::commit::PullOutcome;
use crate::sync::report::Report;
use crate::sync::run::Stop;

/// The span of one run.
pub fn span(claim: &Claim) -> Span {
    let connection = &claim.connection;
    // Of the highest level, so that it is there for every line that the log's filter lets through.
    let span = tracing::error_span!(
        "sync.run.execute",
        run = claim.run.id,
        connection = connection.id,
        connector = connection.connector,
        organization = connection.organization,
        trigger = word(claim.run.trigger.as_str_name(), "TRIGGER_"),
        trace_id = Empty,
        outcome = Empty,
        reason = Empty,
        otel.status_code = Empty,
    );
    traceparent::record_trace_id(&span);
    span
}

/// Counts a run from its beginning to its end, which is what its report tells when this is dropped.
pub struct Watched {
    connector: String,
    report: Arc<Report>,
    clock: SharedClock,
    began: Instant,
    in_progress: Option<GaugeGuard>,
}

impl Watched {
    /// Work on it begins, within its span.
    pub fn begin(claim: &Claim, report: Arc<Report>, clock: SharedClock) -> Self {
        let connector = claim.connection.connector.clone();
        RUNS_STARTED.add([&connector, &word(claim.run.trigger.as_str_name(), "TRIGGER_")], 1);
        let in_progress = Some(RUNS_IN_PROGRESS.enter([&connector]));
        Self { connector, report, clock, began: Instant::now(), in_progress }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // First, so that no scrape finds a run that has ended and is in progress.
        self.in_progress.take();
        let run = self.report.run();
        let connector = self.connector.as_str();
        let span = Span::current();
        // One that still counts as running is somebody else's, or its end could not be written.
        let outcome = match run.state {
            State::Running => "lost".to_owned(),
            state => word(state.as_str_name(), "STATE_"),
        };
        RUNS_ENDED.add([connector, &outcome], 1);
        RUN_DURATION.record([connector, &outcome], self.began.elapsed());
        if has_succeeded(run.state) {
            LAST_SUCCESS.set([connector], self.clock.now().timestamp().unsigned_abs());
        }
        if run.state == State::Failed {
            let reason = run.error.as_ref().map_or("INTERNAL", |error| error.reason.as_str());
            RUN_FAILURES.add([connector, reason], 1);
            span.record("reason", reason);
            span.record("otel.status_code", "ERROR");
        }
        let held = run.held_sweeps.len() as u64;
        if held > 0 {
            SWEEPS_HELD.add([connector], held);
        }
        span.record("outcome", outcome);
    }
}

/// Counts what a commit has moved a run on by.
pub fn moved_on(connector: &str, before: &RunCounts, after: &RunCounts) {
    let add = |counter: &dyn Fn(u64), count: fn(&RunCounts) -> u64| {
        let more = count(after).saturating_sub(count(before));
        if more > 0 {
            counter(more);
        }
    };
    add(&|more| DOCUMENTS.add([connector, "created"], more), |counts| counts.created);
    add(&|more| DOCUMENTS.add([connector, "updated"], more), |counts| counts.updated);
    add(&|more| DOCUMENTS.add([connector, "deleted"], more), |counts| counts.deleted);
    add(&|more| DOCUMENTS.add([connector, "unchanged"], more), |counts| counts.unchanged);
    add(&|more| PULL_PAGES.add([connector], more), |counts| counts.pages);
    add(&|more| PULL_BYTES.add([connector], more), |counts| counts.message_bytes);
    add(&|more| CONTENTS.add([connector], more), |counts| counts.contents_fetched);
    add(&|more| CONTENTS_WITHOUT_TEXT.add([connector], more), |counts| counts.contents_without_text);
    add(&|more| CONTENT_BYTES.add([connector], more), |counts| counts.content_bytes);
    add(&|more| CONTENT_TEXT_BYTES.add([connector], more), |counts| counts.text_bytes);
}

/// The span of one call of Pull.
pub fn pull_span(mode: PullMode) -> Span {
    let mode = word(mode.as_str_name(), "PULL_MODE_");
    tracing::debug_span!("sync.run.pull", mode, reason = Empty, otel.status_code = Empty)
}

/// Counts a call of Pull, and says in its span how it ended.
pub fn pulled(span: &Span, connector: &str, mode: PullMode, outcome: &Result<PullOutcome, Stop>) {
    let reason = match outcome {
        Ok(PullOutcome { cut: None, .. }) => None,
        Ok(PullOutcome { cut: Some(error), .. }) | Err(Stop::Failed(error) | Stop::StoreFailed(error)) => {
            Some(reason_info(error.reason).name)
        }
        // It was not the pull that failed.
        Err(Stop::Cancelled | Stop::Fenced | Stop::StoreAway(_)) => return,
    };
    PULLS.add([connector, &word(mode.as_str_name(), "PULL_MODE_"), reason.unwrap_or("ok")], 1);
    if let Some(reason) = reason {
        span.record("reason", reason);
        span.record("otel.status_code", "ERROR");
    }
}

/// The name of an enum's value as labels have it.
fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}
