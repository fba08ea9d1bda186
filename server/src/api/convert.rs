//! Domain types as messages of the control API.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use superfasttt_proto::connector::v1::{Error, LogRecord, PullMode};
use superfasttt_proto::control::v1::connection::State;
use superfasttt_proto::control::v1::{self, run};
use superfasttt_proto::error::reason_info;

use super::connection::schedule;
use crate::schedule::times;
use crate::store::connections::{Connection, ConnectionTotals};
use crate::store::item_errors::{StoredItemError, Target};
use crate::store::runs::{Run, RunCounts, RunError, StoredLogLine};
use crate::store::sync_states::{Listing, ListingMode, ScopeState};
use crate::sync::outcome::fix;
use crate::sync::report::LiveRun;
use crate::sync::sweep::held_message;

/// A time.
pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() as i32 }
}

/// A time of a message; `None` where it is no time that exists.
pub fn time(timestamp: &Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(timestamp.seconds, u32::try_from(timestamp.nanos).ok()?)
}

/// A connection, with what its last run says of it, and what a person has to do about its credential.
pub fn connection(
    connection: &Connection,
    totals: ConnectionTotals,
    last_run: Option<&Run>,
    waits_for_credential: Option<String>,
) -> v1::Connection {
    let next_run_at = connection.next_run_at.filter(|_| !connection.disabled && !connection.paused);
    let (state, status_message) = connection_state(connection, totals, last_run, waits_for_credential);
    v1::Connection {
        id: connection.id.clone(),
        organization: connection.organization.clone(),
        connector: connection.connector.clone(),
        name: connection.name.clone(),
        // Whoever knows which of them are secret fills them in.
        settings: None,
        schedule: Some(schedule::message(&connection.schedule)),
        keep_raw: connection.keep_raw,
        disabled: connection.disabled,
        paused: connection.paused,
        state: state.into(),
        status_message,
        next_run_at: next_run_at.map(timestamp),
        next_run_trigger: next_run_at.map_or(run::Trigger::Unspecified, |_| connection.next_cause).into(),
        // Without a listing there is nothing to go on from.
        next_run_full: next_run_at.is_some_and(|at| {
            connection.synced_settings.is_none()
                || times::is_full(&connection.id, &connection.schedule, connection.last_full_at, at)
        }),
        next_run_reason: next_run_at.map(|at| schedule::reason(connection, at)).unwrap_or_default(),
        last_run: connection.last_run.clone().unwrap_or_default(),
        last_success_at: connection.last_success_at.map(timestamp),
        document_count: totals.documents,
        item_error_count: totals.item_errors,
        is_default: totals.is_default,
        created_at: Some(timestamp(connection.created_at)),
        updated_at: Some(timestamp(connection.updated_at)),
        etag: etag(connection.revision),
        // Whoever knows the version that is loaded fills them in.
        normalized_by_other_versions: Vec::new(),
    }
}

/// A connection's etag.
pub fn etag(revision: i64) -> String {
    format!("\"{revision}\"")
}

fn connection_state(
    connection: &Connection,
    totals: ConnectionTotals,
    last_run: Option<&Run>,
    waits_for_credential: Option<String>,
) -> (State, String) {
    if connection.deleting_at.is_some() {
        return (State::Deleting, "it is being deleted; its documents leave the feed".to_owned());
    }
    if connection.disabled {
        return (State::Disabled, "it is disabled: enable it to sync again".to_owned());
    }
    if let Some(act) = waits_for_credential {
        return (State::NeedsCredential, format!("it waits for a credential: {act}"));
    }
    let failed = last_run.filter(|run| run.state == run::State::Failed).and_then(|run| run.error.as_ref());
    if let Some(error) = failed {
        return (State::Failing, advice(error));
    }
    if let Some(run) = last_run.filter(|run| run.state == run::State::Parked) {
        let until =
            run.resume_at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)).unwrap_or_default();
        let message = format!("the source asked for a pause: it goes on by itself at {until}");
        return (if connection.last_success_at.is_some() { State::Healthy } else { State::Pending }, message);
    }
    if connection.paused {
        return (State::Paused, "its schedule is paused: resume it, or sync by hand".to_owned());
    }
    if totals.held_sweeps > 0 {
        let message = "documents that are no longer listed wait for a person: approve their deletion, or look at \
                       the source";
        return (State::Degraded, message.to_owned());
    }
    if totals.item_errors > 0 {
        let message = format!("{} items could not be read: list its item errors", totals.item_errors);
        return (State::Degraded, message);
    }
    match connection.last_success_at {
        None => (State::Pending, String::new()),
        Some(_) => (State::Healthy, String::new()),
    }
}

/// What happened, who must act and how.
fn advice(error: &RunError) -> String {
    let reason = error.reason();
    format!(
        "{} ({}): {} must act: {}",
        error.message,
        error.reason,
        reason_info(reason).actor.as_str(),
        fix(reason)
    )
    .replace(": nobody must act: nothing: ", ": nobody must act: ")
}

/// A run as it is at this moment.
pub fn live_run(live: &LiveRun) -> v1::Run {
    v1::Run { progress: live.progress.clone(), ..run(&live.run) }
}

/// A run.
pub fn run(run: &Run) -> v1::Run {
    v1::Run {
        id: run.id.clone(),
        connection: run.connection_id.clone(),
        state: run.state.into(),
        trigger: run.trigger.into(),
        mode: run.mode.into(),
        created_at: Some(timestamp(run.created_at)),
        started_at: run.started_at.map(timestamp),
        ended_at: run.ended_at.map(timestamp),
        resume_at: run.resume_at.map(timestamp),
        pulls: run.pulls,
        attempts: run.attempts,
        counts: Some(counts(run.counts)),
        error: run.error.as_ref().map(run_error),
        held_sweeps: run
            .held_sweeps
            .iter()
            .map(|held| v1::HeldSweep {
                scope: held.scope.clone(),
                absent: held.absent,
                total: held.total,
                message: held.message.clone(),
                held_at: Some(timestamp(held.at)),
            })
            .collect(),
        progress: None,
        kind: if run.renormalizes { run::Kind::Renormalization } else { run::Kind::Sync }.into(),
    }
}

fn counts(counts: RunCounts) -> v1::RunCounts {
    v1::RunCounts {
        changes: counts.changes,
        created: counts.created,
        updated: counts.updated,
        unchanged: counts.unchanged,
        deleted: counts.deleted,
        item_errors: counts.item_errors,
        contents_fetched: counts.contents_fetched,
        content_bytes: counts.content_bytes,
        text_bytes: counts.text_bytes,
        contents_without_text: counts.contents_without_text,
        pages: counts.pages,
        message_bytes: counts.message_bytes,
    }
}

fn run_error(error: &RunError) -> v1::RunError {
    let reason = error.reason();
    let info = reason_info(reason);
    v1::RunError {
        reason: reason.into(),
        message: error.message.clone(),
        code: error.code.clone(),
        actor: info.actor.as_str().to_owned(),
        fix: fix(reason).to_owned(),
        retryable: info.retryable,
    }
}

/// A line of a run's log.
pub fn log_record(stored: StoredLogLine) -> v1::RunLogRecord {
    let line = stored.line;
    v1::RunLogRecord {
        time: Some(timestamp(line.time)),
        level: line.level.into(),
        origin: line.origin.to_owned(),
        message: line.message,
        fields: line.fields,
    }
}

/// The level from which lines are shown.
pub fn min_level(level: i32) -> superfasttt_proto::connector::v1::log_record::Level {
    LogRecord { level, ..LogRecord::default() }.level()
}

/// An item error.
pub fn item_error(stored: StoredItemError) -> v1::ItemErrorRecord {
    let error = stored.error;
    let (item, locator) = match error.target {
        Target::Id(id) => (id, String::new()),
        Target::Locator(locator) => (String::new(), locator),
        Target::Unnamed => Default::default(),
    };
    v1::ItemErrorRecord {
        id: stored.key.to_string(),
        scope: error.scope,
        item,
        locator,
        with_descendants: error.with_descendants,
        error: Some(Error {
            reason: error.reason.into(),
            message: error.message,
            code: error.code,
            metadata: error.metadata,
        }),
        actor: reason_info(error.reason).actor.as_str().to_owned(),
        first_seen_at: Some(timestamp(stored.first_seen_at)),
        last_seen_at: Some(timestamp(stored.last_seen_at)),
        attempts: stored.attempts,
        run: stored.run,
    }
}

/// Where a scope stands.
pub fn scope_state(state: ScopeState) -> v1::ScopeSyncState {
    v1::ScopeSyncState {
        held_sweep: held_sweep(&state),
        listing: state.listing == Listing::UnderWay,
        scope: state.scope,
        cursor: state.cursor.unwrap_or_default(),
        listing_cursor: state.listing_cursor.unwrap_or_default(),
        generation: state.generation.unsigned_abs(),
        listing_started_at: state.listing_started_at.map(timestamp),
        listing_completed_at: state.listing_completed_at.map(timestamp),
        checkpoint_at: state.checkpoint_at.map(timestamp),
        etag: String::new(),
        listing_mode: match state.listing_mode {
            ListingMode::Full => PullMode::Full,
            ListingMode::List => PullMode::List,
        }
        .into(),
    }
}

/// What of a scope waits for a person.
pub fn held_sweep(state: &ScopeState) -> Option<v1::HeldSweep> {
    state.held.map(|held| v1::HeldSweep {
        scope: state.scope.clone(),
        absent: held.absent,
        total: held.total,
        message: held_message(held.absent, held.total),
        held_at: Some(timestamp(held.at)),
    })
}
