//! Runs in PostgreSQL: what people and the schedule do with them. How replicas share them is in `claims`, how
//! they end in `outcomes`, their logs in `logs`, and how they are forgotten in `history`.
//!
//! Whoever changes a run holds its connection's row first: so changes of one connection follow each other.

mod claims;
mod history;
mod logs;
mod outcomes;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use superfasttt_proto::connector::v1::{PullMode, log_record::Level};
use superfasttt_proto::control::v1::run::{State, Trigger};
use tokio::sync::watch;
use tokio_postgres::Row;

use super::columns::{COLUMNS, TABLES, trigger, turn};
use super::{
    Claiming, Claims, DueRuns, LogPart, LookedAt, Queued, Run, RunFilter, RunOutcome, RunProgress, RunStore,
    StoredLogLine, Surplus, Work, state,
};
use crate::schedule::times;
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::postgres::{Outcome, Plain, Text, Tx};
use crate::store::{ConnectionKey, Fence, Listed, PostgresStore, Result, StoreError, connections};

#[async_trait]
impl RunStore for PostgresStore {
    fn run_changes(&self) -> watch::Receiver<u64> {
        self.run_changes.subscribe()
    }

    async fn queue_run(
        &self,
        id: String,
        connection: ConnectionKey,
        trigger: Trigger,
        work: Work,
        now: DateTime<Utc>,
    ) -> Result<Queued> {
        self.write((id, connection, trigger, work, now), |tx, (id, connection, trigger, work, now)| {
            Box::pin(queue(tx, id, *connection, *trigger, *work, *now))
        })
        .await
    }

    async fn queue_renormalization(
        &self,
        id: String,
        connection: ConnectionKey,
        now: DateTime<Utc>,
    ) -> Result<Queued> {
        self.write((id, connection, now), |tx, (id, connection, now)| {
            Box::pin(async move {
                let open = hold_open(tx, *connection).await?;
                if let Some(run) = active(tx, *connection).await? {
                    return Ok(Queued::Existing(run));
                }
                open?;
                insert(tx, &[(id, *connection, Trigger::Manual, Work::Changes)], *now).await?;
                tx.execute("UPDATE runs SET renormalizes = TRUE WHERE id = $1", &[id]).await?;
                tx.changes_runs();
                Ok(Queued::New(by_id(tx, id).await?.ok_or(StoreError::Missing("run"))?))
            })
        })
        .await
    }

    async fn queue_due_runs(
        &self,
        new_id: fn() -> String,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<DueRuns> {
        self.write((new_id, limit as i64, now), |tx, (new_id, limit, now)| {
            Box::pin(async move {
                let due = queue_due(tx, *new_id, *limit, *now).await?;
                // Another replica that does the same passes over those that this one has.
                let sql = "UPDATE runs SET state = 1, resume_at = NULL WHERE id IN \
                     (SELECT id FROM runs WHERE state = 3 AND resume_at <= $1 ORDER BY id FOR UPDATE SKIP LOCKED)";
                let resumed = tx.execute(sql, &[&micros(*now)]).await?;
                Ok(DueRuns { queued: due.queued + resumed, ..due })
            })
        })
        .await
    }

    async fn turn_back(
        &self,
        after: ConnectionKey,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Option<ConnectionKey>> {
        self.write((after, limit, now), |tx, (after, limit, now)| {
            Box::pin(turn_back(tx, *after, *limit, *now))
        })
        .await
    }

    async fn claim_runs(&self, claiming: Claiming, now: DateTime<Utc>) -> Result<Claims> {
        claims::claim_runs(self, claiming, now).await
    }

    async fn renew_leases(
        &self,
        fences: Vec<Fence>,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<Fence>> {
        claims::renew_leases(self, fences, lease, now).await
    }

    async fn lost_claims(&self, fences: Vec<Fence>) -> Result<Vec<Fence>> {
        claims::lost_claims(self, fences).await
    }

    async fn take_over(&self, everyone: bool, now: DateTime<Utc>) -> Result<u64> {
        claims::take_over(self, everyone, now).await
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>> {
        self.single((), |tx, ()| {
            Box::pin(async move {
                // Two halves, each the first entry of an index.
                let sql = "SELECT least((SELECT next_run_at FROM connections WHERE next_run_at IS NOT NULL \
                       AND NOT disabled AND NOT paused AND deleting_at IS NULL ORDER BY next_run_at LIMIT 1), \
                     (SELECT resume_at FROM runs WHERE state = 3 AND resume_at IS NOT NULL \
                       ORDER BY resume_at LIMIT 1))";
                Ok(tx.query_one(sql, &[]).await?.get::<_, Option<i64>>(0).map(time))
            })
        })
        .await
    }

    async fn end_runs(&self, outcomes: Vec<RunOutcome>, now: DateTime<Utc>) -> Result<Vec<Result<()>>> {
        outcomes::end_runs(self, outcomes, now).await
    }

    async fn cancel_run(&self, id: &str, now: DateTime<Utc>) -> Result<bool> {
        self.write((id.to_owned(), now), |tx, (id, now)| {
            Box::pin(async move {
                let Some(run) = by_id(tx, id).await? else { return Ok(false) };
                connections::postgres::hold(tx, run.connection).await?;
                let run = by_id(tx, id).await?;
                let Some(run) = run.filter(|run| state::may_follow(run.state, State::Cancelled)) else {
                    return Ok(false);
                };
                if run.state == State::Running {
                    connections::postgres::end_claims(tx, run.connection).await?;
                }
                cancel(tx, run.connection, *now).await?;
                tx.changes_runs();
                Ok(true)
            })
        })
        .await
    }

    async fn run(&self, id: &str) -> Result<Option<Run>> {
        self.single(id.to_owned(), |tx, id| Box::pin(by_id(tx, id))).await
    }

    async fn active_run(&self, connection: ConnectionKey) -> Result<Option<Run>> {
        self.single(connection, |tx, connection| Box::pin(active(tx, *connection))).await
    }

    async fn runs(&self, filter: RunFilter, before: Option<String>, limit: usize) -> Result<Listed<Run>> {
        self.single((filter, before, limit), |tx, (filter, before, limit)| {
            Box::pin(async move {
                let connection = filter.connection.map(|key| key.0);
                let of = if connection.is_some() { "r.connection = $1" } else { "$1::bigint IS NULL" };
                let sql = format!(
                    "SELECT {COLUMNS} FROM {TABLES} WHERE {of} AND ($2::text IS NULL OR r.id < $2) \
                     AND ($4::text = '' OR c.organization = $4) ORDER BY r.id DESC LIMIT $3"
                );
                let organization = Text(&filter.organization);
                let rows =
                    tx.query(&sql, &[&connection, before, &(*limit as i64 + 1), &organization]).await?;
                let items = rows.iter().map(|row| read(row, 0)).collect::<Result<Vec<_>>>()?;
                Ok(Listed::cut(items, *limit, |run| run.id.clone()))
            })
        })
        .await
    }

    async fn append_log(&self, run: &str, part: LogPart) -> Result<()> {
        self.write((run.to_owned(), part), |tx, (run, part)| Box::pin(logs::append(tx, run, part))).await
    }

    async fn run_log(
        &self,
        run: &str,
        min_level: Level,
        after: i64,
        limit: usize,
    ) -> Result<(Listed<StoredLogLine, i64>, u64)> {
        self.read((run.to_owned(), min_level, after, limit), |tx, (run, min_level, after, limit)| {
            Box::pin(logs::list(tx, run, *min_level, *after, *limit))
        })
        .await
    }

    async fn trim_runs(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write((before, limit), |tx, (before, limit)| Box::pin(history::trim(tx, *before, *limit))).await
    }

    async fn trim_surplus_runs(&self, keep: usize, after: LookedAt, limit: usize) -> Result<Surplus> {
        self.write((keep, after, limit), |tx, (keep, after, limit)| {
            Box::pin(history::trim_surplus(tx, *keep, after, *limit))
        })
        .await
    }
}

async fn queue(
    tx: &Tx,
    id: &str,
    connection: ConnectionKey,
    cause: Trigger,
    work: Work,
    now: DateTime<Utc>,
) -> Outcome<Queued> {
    let open = hold_open(tx, connection).await?;
    let Some(run) = active(tx, connection).await? else {
        open?;
        insert(tx, &[(id, connection, cause, work)], now).await?;
        tx.changes_runs();
        return Ok(Queued::New(by_id(tx, id).await?.ok_or(StoreError::Missing("run"))?));
    };
    if run.renormalizes {
        follow(tx, &[(connection, cause, work)]).await?;
        return Ok(Queued::Follows(run));
    }
    if run.state == State::Running {
        // What is wanted by id may have been asked for already when the wish came.
        if cause != Trigger::Event && work != Work::Items && run.work >= work {
            return Ok(Queued::Existing(run));
        }
        follow(tx, &[(connection, cause, work)]).await?;
        return Ok(Queued::Follows(run));
    }
    let sql = "UPDATE runs SET work = greatest(work, $1), turn = least(turn, $2), state = 1, resume_at = NULL \
         WHERE id = $3";
    tx.execute(sql, &[&(work as i32), &turn(cause), &run.id]).await?;
    tx.changes_runs();
    Ok(Queued::Existing(by_id(tx, &run.id).await?.ok_or(StoreError::Missing("run"))?))
}

/// Keeps everybody else from writing for a connection; the answer refuses one that is not there, or is being deleted.
async fn hold_open(tx: &Tx, connection: ConnectionKey) -> Outcome<Result<()>> {
    let sql = "SELECT deleting_at FROM connections WHERE pk = $1 FOR NO KEY UPDATE";
    let row = tx.query_opt(sql, &[&connection.0]).await?;
    let open = row.is_some_and(|row| row.get::<_, Option<i64>>(0).is_none());
    Ok(if open { Ok(()) } else { Err(StoreError::Missing("connection")) })
}

/// Queues runs of connections that are due; says how many.
async fn queue_due(tx: &Tx, new_id: fn() -> String, limit: i64, now: DateTime<Utc>) -> Outcome<DueRuns> {
    // One that somebody holds is due at the next look.
    let sql = "SELECT pk, id, schedule, last_full_at, next_cause FROM connections \
         WHERE next_run_at <= $1 AND next_run_at IS NOT NULL AND NOT disabled AND NOT paused \
         AND deleting_at IS NULL ORDER BY next_run_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED";
    let due = tx.query(sql, &[&micros(now), &limit]).await?;
    if due.is_empty() {
        return Ok(DueRuns::default());
    }
    // A statement of its own, which sees what was committed before the rows were held.
    let keys: Vec<i64> = due.iter().map(|row| row.get(0)).collect();
    let sql = "SELECT connection, renormalizes FROM runs WHERE connection = ANY($1) AND state IN (1, 2, 3)";
    let active: std::collections::HashMap<i64, bool> =
        tx.query(sql, &[&keys]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let ids: Vec<String> = due.iter().map(|_| new_id()).collect();
    let (mut queued, mut following, mut next, mut schedules) = (vec![], vec![], vec![], (vec![], vec![]));
    for (row, run) in due.iter().zip(&ids) {
        let (key, id, cause) = (row.get(0), row.get::<_, Plain>(1).0, trigger(row.get(4)));
        let connection = ConnectionKey(key);
        let written: &str = row.get(2);
        let last_full_at = row.get::<_, Option<i64>>(3).map(time);
        let turn = times::turn(&id, from_json("schedule", written)?, last_full_at, now);
        match active.get(&key) {
            None => queued.push((run.as_str(), connection, cause, turn.work)),
            // A re-normalization brings nothing of what the sync would have brought.
            Some(renormalizes) if *renormalizes || turn.schedule.buffers(cause) => {
                following.push((connection, cause, turn.work));
            }
            Some(_) => {}
        }
        next.push((connection, turn.next));
        let schedule = to_json("schedule", &turn.schedule)?;
        if schedule != written {
            schedules.0.push(key);
            schedules.1.push(schedule);
        }
    }
    insert(tx, &queued, now).await?;
    follow(tx, &following).await?;
    connections::postgres::set_next(tx, &next).await?;
    if !schedules.0.is_empty() {
        let sql = "UPDATE connections c SET schedule = u.schedule \
             FROM unnest($1::bigint[], $2::text[]) AS u(pk, schedule) WHERE c.pk = u.pk";
        tx.execute(sql, &[&schedules.0, &schedules.1]).await?;
    }
    Ok(DueRuns { queued: queued.len() as u64, more: due.len() as i64 == limit })
}

/// Corrects what was written while a clock showed later times than `now`.
async fn turn_back(
    tx: &Tx,
    after: ConnectionKey,
    limit: usize,
    now: DateTime<Utc>,
) -> Outcome<Option<ConnectionKey>> {
    let sql = "SELECT pk, id, schedule, last_full_at, next_run_at, next_cause FROM connections \
         WHERE pk > $1 AND deleting_at IS NULL AND (next_run_at > $2 OR last_full_at > $2) \
         ORDER BY pk LIMIT $3 FOR NO KEY UPDATE";
    let ahead = tx.query(sql, &[&after.0, &micros(now), &(limit as i64)]).await?;
    let keys: Vec<i64> = ahead.iter().map(|row| row.get(0)).collect();
    let mut next = Vec::new();
    for row in &ahead {
        let last_full_at = row.get::<_, Option<i64>>(3).map(|at| time(at).min(now));
        let Some(told) = row.get::<_, Option<i64>>(4).map(time) else { continue };
        let told = (told, trigger(row.get(5)));
        let schedule = from_json("schedule", row.get(2))?;
        let due = times::turned_back(&row.get::<_, Plain>(1).0, &schedule, last_full_at, told, now);
        next.push((ConnectionKey(row.get(0)), due));
    }
    connections::postgres::set_next(tx, &next).await?;
    let sql = "UPDATE connections SET last_full_at = least(last_full_at, $1) WHERE pk = ANY($2)";
    tx.execute(sql, &[&micros(now), &keys]).await?;
    let sql = "UPDATE runs SET resume_at = $1 WHERE state = 3 AND resume_at > $1";
    tx.execute(sql, &[&micros(now)]).await?;
    Ok(keys.last().map(|key| ConnectionKey(*key)))
}

/// Writes how far a run is. One that gets on is no run that crashes again and again.
pub(in crate::store) async fn save_progress(tx: &Tx, run: &str, progress: &RunProgress) -> Outcome<()> {
    let sql = "UPDATE runs SET counts = $1, mode = CASE $2::int WHEN 0 THEN mode ELSE $2 END, \
         pulls = greatest(pulls, $3), crashes = 0 WHERE id = $4";
    let counts = to_json("counts", &progress.counts)?;
    tx.execute(sql, &[&counts, &(progress.mode as i32), &i64::from(progress.pulls), &run]).await?;
    Ok(())
}

/// Cancels a connection's run, wherever it stands.
pub(in crate::store) async fn cancel(tx: &Tx, connection: ConnectionKey, now: DateTime<Utc>) -> Outcome<()> {
    let sql = "UPDATE runs SET state = $1, ended_at = greatest($2, coalesce(started_at, created_at)), resume_at = NULL \
         WHERE connection = $3 AND state IN (1, 2, 3)";
    tx.execute(sql, &[&(State::Cancelled as i32), &micros(now), &connection.0]).await?;
    Ok(())
}

/// Queues a connection's run again whose worker lost its claim; `crashes` is 1 where that was not in order.
pub(in crate::store) async fn begin_again(tx: &Tx, connection: ConnectionKey, crashes: i64) -> Outcome<()> {
    let sql = "UPDATE runs SET state = 1, crashes = crashes + $1 WHERE connection = $2 AND state = 2";
    tx.execute(sql, &[&crashes, &connection.0]).await?;
    Ok(())
}

/// Lets one more run follow the one under way.
async fn follow(tx: &Tx, following: &[(ConnectionKey, Trigger, Work)]) -> Outcome<()> {
    if following.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = following.iter().map(|(key, ..)| key.0).collect();
    let causes: Vec<i32> = following.iter().map(|(_, cause, _)| *cause as i32).collect();
    let work: Vec<i32> = following.iter().map(|(.., work)| *work as i32).collect();
    let sql = "UPDATE connections c SET follow_cause = u.cause, follow_work = greatest(c.follow_work, u.work) \
         FROM unnest($1::bigint[], $2::int[], $3::int[]) AS u(pk, cause, work) WHERE c.pk = u.pk";
    tx.execute(sql, &[&keys, &causes, &work]).await?;
    Ok(())
}

/// Queues new runs: id, connection, cause, and what is asked for.
pub(super) async fn insert(
    tx: &Tx,
    new: &[(&str, ConnectionKey, Trigger, Work)],
    now: DateTime<Utc>,
) -> Outcome<()> {
    if new.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = new.iter().map(|(id, ..)| *id).collect();
    let keys: Vec<i64> = new.iter().map(|(_, key, ..)| key.0).collect();
    let turns: Vec<i32> = new.iter().map(|(_, _, cause, _)| turn(*cause)).collect();
    let causes: Vec<i32> = new.iter().map(|(_, _, cause, _)| *cause as i32).collect();
    let work: Vec<i32> = new.iter().map(|(.., work)| *work as i32).collect();
    let sql = "INSERT INTO runs (id, connection, organization, connector, turn, state, cause, work, created_at) \
         SELECT u.id, c.pk, c.organization, c.connector, u.turn, 1, u.cause, u.work, $6 \
         FROM unnest($1::text[], $2::bigint[], $3::int[], $4::int[], $5::int[]) AS u(id, pk, turn, cause, work) \
         JOIN connections c ON c.pk = u.pk";
    tx.execute(sql, &[&ids, &keys, &turns, &causes, &work, &micros(now)]).await?;
    Ok(())
}

async fn by_id(tx: &Tx, id: &str) -> Outcome<Option<Run>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE r.id = $1");
    Ok(tx.query_opt(&sql, &[&id]).await?.map(|row| read(&row, 0)).transpose()?)
}

async fn active(tx: &Tx, connection: ConnectionKey) -> Outcome<Option<Run>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE r.connection = $1 AND r.state IN (1, 2, 3)");
    Ok(tx.query_opt(&sql, &[&connection.0]).await?.map(|row| read(&row, 0)).transpose()?)
}

/// A lease's length.
pub(in crate::store) fn lease_micros(lease: Duration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2)
}

/// Reads [`COLUMNS`], which stand behind so many others.
pub(super) fn read(row: &Row, from: usize) -> Result<Run> {
    let small = |index: usize| u32::try_from(row.get::<_, i64>(from + index)).unwrap_or(u32::MAX);
    let moment = |index: usize| row.get::<_, Option<i64>>(from + index).map(time);
    let error: Option<&str> = row.get(from + 14);
    Ok(Run {
        id: row.get(from),
        connection: ConnectionKey(row.get(from + 1)),
        connection_id: row.get::<_, Plain>(from + 2).0,
        state: State::try_from(row.get::<_, i32>(from + 3)).unwrap_or_default(),
        trigger: trigger(row.get(from + 4)),
        work: Work::from_number(row.get(from + 5)),
        mode: PullMode::try_from(row.get::<_, i32>(from + 6)).unwrap_or_default(),
        created_at: time(row.get(from + 7)),
        started_at: moment(8),
        ended_at: moment(9),
        resume_at: moment(10),
        pulls: small(11),
        attempts: small(12),
        counts: from_json("counts", row.get(from + 13))?,
        error: error.map(|error| from_json("error", error)).transpose()?,
        held_sweeps: from_json("held_sweeps", row.get(from + 15))?,
        crashes: small(16),
        renormalizes: row.get(from + 17),
        renormalized_to: row.get::<_, Plain>(from + 18).0,
    })
}
