//! How runs end in PostgreSQL: many at once, in a handful of statements.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use superfasttt_proto::control::v1::run::{State, Trigger};

use super::{insert, logs};
use crate::store::columns::{micros, to_json};
use crate::store::postgres::{Outcome, Tx};
use crate::store::runs::columns::trigger;
use crate::store::runs::{RunOutcome, Work, state};
use crate::store::{ConnectionKey, PostgresStore, Result, StoreError, sync_states};

/// Ends or pauses runs, each by itself and all in one transaction.
pub(super) async fn end_runs(
    store: &PostgresStore,
    outcomes: Vec<RunOutcome>,
    now: DateTime<Utc>,
) -> Result<Vec<Result<()>>> {
    if outcomes.is_empty() {
        return Ok(Vec::new());
    }
    store
        .write((outcomes, now), |tx, (outcomes, now)| {
            Box::pin(async move {
                let answers = judge(tx, outcomes).await?;
                let accepted = outcomes.iter().zip(&answers);
                let (accepted, syncs): (Vec<_>, Vec<_>) =
                    accepted.filter_map(|(outcome, answer)| Some((outcome, *answer.as_ref().ok()?))).unzip();
                if !accepted.is_empty() {
                    write(tx, &accepted, &syncs, *now).await?;
                }
                if accepted.iter().any(|outcome| outcome.end.state == State::Queued) {
                    tx.changes_runs();
                }
                Ok(answers.into_iter().map(|answer| answer.map(drop)).collect())
            })
        })
        .await
}

/// Says of each outcome whether it may be written, and is that of a sync; holds the connections.
async fn judge(tx: &Tx, outcomes: &[RunOutcome]) -> Outcome<Vec<Result<bool>>> {
    let keys: Vec<i64> = outcomes.iter().map(|outcome| outcome.fence.connection.0).collect();
    let ids: Vec<&str> = outcomes.iter().map(|outcome| outcome.run.as_str()).collect();
    // Held in one order by all, so that nobody waits in a circle.
    let [fences, runs] = tx
        .prepare([
            "SELECT pk, fence FROM connections WHERE pk = ANY($1) ORDER BY pk FOR NO KEY UPDATE",
            "SELECT id, connection, state, NOT renormalizes FROM runs WHERE id = ANY($1)",
        ])
        .await?;
    let (fences, runs) = futures::try_join!(async { tx.rows_if(true, &fences, &[&keys]).await }, async {
        tx.rows_if(true, &runs, &[&ids]).await
    },)?;
    let mut fences: HashMap<i64, i64> = fences.iter().map(|row| (row.get(0), row.get(1))).collect();
    let runs: HashMap<&str, (i64, i32, bool)> =
        runs.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect();
    let judge = |outcome: &RunOutcome| {
        let fence =
            fences.get_mut(&outcome.fence.connection.0).filter(|number| **number == outcome.fence.number);
        let fence = fence.ok_or(StoreError::Fenced)?;
        let run = runs.get(outcome.run.as_str()).filter(|run| run.0 == outcome.fence.connection.0);
        let (_, from, syncs) = run.ok_or(StoreError::Missing("run"))?;
        state::check(State::try_from(*from).unwrap_or_default(), outcome.end.state)?;
        // The claim ends with it: whatever else comes for it is too late.
        *fence += 1;
        Ok(*syncs)
    };
    Ok(outcomes.iter().map(judge).collect())
}

async fn write(tx: &Tx, outcomes: &[&RunOutcome], syncs: &[bool], now: DateTime<Utc>) -> Outcome<()> {
    let mut states = Vec::new();
    for outcome in outcomes {
        states.extend(outcome.states.iter().map(|state| (outcome.fence.connection, state)));
    }
    let logs: Vec<_> = outcomes.iter().map(|outcome| (outcome.run.as_str(), &outcome.log)).collect();
    let (.., following) = futures::try_join!(
        sync_states::postgres::save_all(tx, &states),
        logs::append_all(tx, &logs),
        write_runs(tx, outcomes, now),
        write_connections(tx, outcomes, syncs, now),
    )?;
    let mut queued = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| state::has_ended(outcome.end.state)) {
        if let Some((cause, work)) = following.get(&outcome.fence.connection) {
            queued.push((outcome.end.next_id.as_str(), outcome.fence.connection, *cause, *work));
        }
    }
    if queued.is_empty() {
        return Ok(());
    }
    insert(tx, &queued, now).await?;
    let keys: Vec<i64> = queued.iter().map(|(_, key, ..)| key.0).collect();
    let sql = "UPDATE connections SET follow_cause = 0, follow_work = 0 WHERE pk = ANY($1)";
    tx.execute(sql, &[&keys]).await?;
    Ok(())
}

async fn write_runs(tx: &Tx, outcomes: &[&RunOutcome], now: DateTime<Utc>) -> Outcome<()> {
    let ids: Vec<&str> = outcomes.iter().map(|outcome| outcome.run.as_str()).collect();
    let states: Vec<i32> = outcomes.iter().map(|outcome| outcome.end.state as i32).collect();
    let ended: Vec<Option<i64>> =
        outcomes.iter().map(|outcome| state::has_ended(outcome.end.state).then(|| micros(now))).collect();
    let resume: Vec<Option<i64>> = outcomes.iter().map(|outcome| outcome.end.resume_at.map(micros)).collect();
    let errors = outcomes
        .iter()
        .map(|outcome| outcome.end.error.as_ref().map(|error| to_json("error", error)).transpose())
        .collect::<Result<Vec<_>>>()?;
    let held = outcomes
        .iter()
        .map(|outcome| to_json("held_sweeps", &outcome.end.held_sweeps))
        .collect::<Result<Vec<_>>>()?;
    let progress = |outcome: &&RunOutcome| outcome.progress;
    let counts = outcomes
        .iter()
        .map(|outcome| progress(outcome).map(|progress| to_json("counts", &progress.counts)).transpose())
        .collect::<Result<Vec<_>>>()?;
    let modes: Vec<i32> =
        outcomes.iter().map(|outcome| progress(outcome).map_or(0, |progress| progress.mode as i32)).collect();
    let pulls: Vec<i64> = outcomes
        .iter()
        .map(|outcome| progress(outcome).map_or(0, |progress| progress.pulls.into()))
        .collect();
    tx.execute(
        "UPDATE runs r SET state = u.state, resume_at = u.resume, crashes = 0, error = u.error, \
         ended_at = CASE WHEN u.ended IS NOT NULL THEN greatest(u.ended, r.started_at) END, \
         held_sweeps = u.held, counts = coalesce(u.counts, r.counts), \
         mode = CASE u.mode WHEN 0 THEN r.mode ELSE u.mode END, pulls = greatest(r.pulls, u.pulls) \
         FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::int[], \
         $9::bigint[]) AS u(id, state, ended, resume, error, held, counts, mode, pulls) WHERE r.id = u.id",
        &[&ids, &states, &ended, &resume, &errors, &held, &counts, &modes, &pulls],
    )
    .await?;
    Ok(())
}

/// Sets what connections show of their runs, but for those that were no syncs, and ends the claims. Returns those behind whose run another one follows.
async fn write_connections(
    tx: &Tx,
    outcomes: &[&RunOutcome],
    syncs: &[bool],
    now: DateTime<Utc>,
) -> Outcome<HashMap<ConnectionKey, (Trigger, Work)>> {
    let keys: Vec<i64> = outcomes.iter().map(|outcome| outcome.fence.connection.0).collect();
    let is = |holds: fn(State) -> bool| -> Vec<bool> {
        outcomes.iter().zip(syncs).map(|(outcome, syncs)| *syncs && holds(outcome.end.state)).collect()
    };
    let (succeeded, failed) = (is(state::has_succeeded), is(|state| state == State::Failed));
    let listed: Vec<bool> = outcomes.iter().map(|outcome| outcome.end.listed_all).collect();
    let retry = outcomes.iter().zip(syncs);
    let retry: Vec<Option<i64>> =
        retry.map(|(outcome, syncs)| outcome.end.retry_at.filter(|_| *syncs).map(micros)).collect();
    let rows = tx
        .query(
            "UPDATE connections c SET \
             next_cause = CASE WHEN c.next_run_at > u.retry THEN $6 ELSE c.next_cause END, \
             next_run_at = CASE WHEN c.next_run_at > u.retry THEN u.retry ELSE c.next_run_at END, \
             last_success_at = CASE WHEN u.succeeded THEN $7 ELSE c.last_success_at END, \
             last_full_at = CASE WHEN u.listed THEN $7 ELSE c.last_full_at END, \
             failures = CASE WHEN u.succeeded THEN 0 WHEN u.failed THEN c.failures + 1 ELSE c.failures END, \
             fence = c.fence + 1, lease_holder = NULL, lease_until = NULL \
             FROM unnest($1::bigint[], $2::bool[], $3::bool[], $4::bool[], $5::bigint[]) \
             AS u(pk, succeeded, failed, listed, retry) WHERE c.pk = u.pk \
             RETURNING c.pk, c.follow_cause, c.follow_work",
            &[&keys, &succeeded, &failed, &listed, &retry, &(Trigger::Retry as i32), &micros(now)],
        )
        .await?;
    let followed = rows.iter().filter(|row| row.get::<_, i32>(1) > 0);
    Ok(followed
        .map(|row| (ConnectionKey(row.get(0)), (trigger(row.get(1)), Work::from_number(row.get(2)))))
        .collect())
}
