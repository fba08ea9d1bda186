//! How runs end in SQLite.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Transaction, named_params, params};
use superfasttt_proto::control::v1::run::{State, Trigger};

use super::logs::insert_lines;
use super::{insert, number};
use crate::store::columns::{micros, to_json};
use crate::store::runs::columns::trigger;
use crate::store::runs::{RunOutcome, Work, state};
use crate::store::{Result, StoreError, sync_states};

/// Ends or pauses runs, each by itself and all in one transaction.
pub(super) fn end_runs(
    tx: &Transaction<'_>,
    outcomes: Vec<RunOutcome>,
    now: DateTime<Utc>,
) -> Result<Vec<Result<()>>> {
    let mut ended = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        match end(tx, outcome, now) {
            // These are said before anything is written.
            refused @ Err(StoreError::Fenced | StoreError::Missing(_) | StoreError::Illegal { .. }) => {
                ended.push(refused);
            }
            Err(error) => return Err(error),
            Ok(()) => ended.push(Ok(())),
        }
    }
    Ok(ended)
}

/// Ends or pauses one run.
fn end(tx: &Transaction<'_>, outcome: RunOutcome, now: DateTime<Utc>) -> Result<()> {
    let RunOutcome { fence, run, end, progress, states, log } = outcome;
    crate::store::sqlite::check(tx, fence)?;
    let found: Option<(i32, bool, i64)> = tx
        .prepare_cached(
            "SELECT state, renormalizes = 0, log_records FROM runs WHERE id = ?1 AND connection = ?2",
        )?
        .query_row(params![run, fence.connection.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let (from, syncs, kept) = found.ok_or(StoreError::Missing("run"))?;
    state::check(State::try_from(from).unwrap_or_default(), end.state)?;
    for state in &states {
        sync_states::sqlite::save(tx, fence.connection, state)?;
    }
    let (kept, dropped) = insert_lines(tx, &run, kept, &log)?;
    let next_id = end.next_id;
    let (ended, succeeded) = (state::has_ended(end.state), state::has_succeeded(end.state));
    let counts = progress.map(|progress| to_json("counts", &progress.counts)).transpose()?;
    let progress = progress.unwrap_or_default();
    tx.prepare_cached(
        "UPDATE runs SET state = :state, ended_at = max(:ended_at, started_at), resume_at = :resume_at, crashes = 0, error = :error, \
         held_sweeps = :held_sweeps, counts = coalesce(:counts, counts), \
         mode = CASE :mode WHEN 0 THEN mode ELSE :mode END, pulls = max(pulls, :pulls), \
         log_records = :log_records, log_dropped = log_dropped + :dropped WHERE id = :id",
    )?
    .execute(named_params! {
        ":state": number(end.state), ":ended_at": ended.then(|| micros(now)),
        ":resume_at": end.resume_at.map(micros),
        ":error": end.error.map(|error| to_json("error", &error)).transpose()?,
        ":held_sweeps": to_json("held_sweeps", &end.held_sweeps)?, ":counts": counts,
        ":mode": progress.mode as i32, ":pulls": progress.pulls,
        ":log_records": kept, ":dropped": dropped, ":id": run,
    })?;
    let follow: Option<(i32, i32)> = tx
        .prepare_cached(
            "UPDATE connections SET \
             next_cause = CASE WHEN next_run_at > :retry_at THEN :retry_cause ELSE next_cause END, \
             next_run_at = CASE WHEN next_run_at > :retry_at THEN :retry_at ELSE next_run_at END, \
             last_success_at = CASE WHEN :succeeded THEN :now ELSE last_success_at END, \
             last_full_at = CASE WHEN :listed_all THEN :now ELSE last_full_at END, \
             failures = CASE WHEN :succeeded THEN 0 WHEN :failed THEN failures + 1 ELSE failures END, \
             fence = fence + 1, lease_holder = NULL, lease_until = NULL \
             WHERE pk = :key RETURNING follow_cause, follow_work",
        )?
        .query_row(
            named_params! {
                ":succeeded": syncs && succeeded, ":failed": syncs && end.state == State::Failed,
                ":retry_at": end.retry_at.filter(|_| syncs).map(micros), ":retry_cause": Trigger::Retry as i32,
                ":listed_all": end.listed_all, ":now": micros(now), ":key": fence.connection.0,
            },
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    if let (true, Some((cause @ 1.., work))) = (ended, follow) {
        insert(tx, &next_id, fence.connection, trigger(cause), Work::from_number(work), now)?;
        tx.execute(
            "UPDATE connections SET follow_cause = 0, follow_work = 0 WHERE pk = ?1",
            [fence.connection.0],
        )?;
    }
    Ok(())
}
