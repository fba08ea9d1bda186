//! Runs in SQLite: what people and the schedule do with them. How they are claimed is in `claims`, how they end in
//! `outcomes`, their logs in `logs`, and how they are forgotten in `history`.

pub(in crate::store) mod claims;
mod history;
mod logs;
mod outcomes;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use superfasttt_proto::connector::v1::{PullMode, log_record::Level};
use superfasttt_proto::control::v1::run::{State, Trigger};
use tokio::sync::watch;

use super::columns::{COLUMNS, TABLES, trigger, turn};
use super::{
    Claiming, Claims, DueRuns, LogPart, LookedAt, Queued, Run, RunFilter, RunOutcome, RunProgress, RunStore,
    StoredLogLine, Surplus, Work, state,
};
use crate::schedule::times;
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::{ConnectionKey, Fence, Listed, Result, SqliteStore, StoreError, connections};

#[async_trait]
impl RunStore for SqliteStore {
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
        self.write_runs(move |tx| {
            let Some(run) = active(tx, connection)? else {
                check_open(tx, connection)?;
                insert(tx, &id, connection, trigger, work, now)?;
                return Ok(Queued::New(by_id(tx, &id)?.ok_or(StoreError::Missing("run"))?));
            };
            if run.renormalizes {
                follow(tx, connection, trigger, work)?;
                return Ok(Queued::Follows(run));
            }
            if run.state == State::Running {
                // What is wanted by id may have been asked for already when the wish came.
                if trigger != Trigger::Event && work != Work::Items && run.work >= work {
                    return Ok(Queued::Existing(run));
                }
                follow(tx, connection, trigger, work)?;
                return Ok(Queued::Follows(run));
            }
            tx.execute(
                "UPDATE runs SET work = max(work, ?1), turn = min(turn, ?2), state = ?3, resume_at = NULL \
                 WHERE id = ?4",
                params![work as i32, turn(trigger), number(State::Queued), run.id],
            )?;
            Ok(Queued::Existing(by_id(tx, &run.id)?.ok_or(StoreError::Missing("run"))?))
        })
        .await
    }

    async fn queue_renormalization(
        &self,
        id: String,
        connection: ConnectionKey,
        now: DateTime<Utc>,
    ) -> Result<Queued> {
        self.write_runs(move |tx| {
            if let Some(run) = active(tx, connection)? {
                return Ok(Queued::Existing(run));
            }
            check_open(tx, connection)?;
            insert(tx, &id, connection, Trigger::Manual, Work::Changes, now)?;
            tx.execute("UPDATE runs SET renormalizes = 1 WHERE id = ?1", [&id])?;
            Ok(Queued::New(by_id(tx, &id)?.ok_or(StoreError::Missing("run"))?))
        })
        .await
    }

    async fn queue_due_runs(
        &self,
        new_id: fn() -> String,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<DueRuns> {
        self.write(move |tx| {
            let due = tx
                .prepare_cached(
                    "SELECT pk, id, schedule, last_full_at, next_cause, \
                     (SELECT renormalizes FROM runs WHERE connection = connections.pk AND state IN (1, 2, 3)) \
                     FROM connections \
                     WHERE next_run_at <= ?1 AND disabled = 0 AND paused = 0 AND deleting_at IS NULL \
                     ORDER BY next_run_at LIMIT ?2",
                )?
                .query_map(params![micros(now), limit as i64], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
                })?
                .collect::<rusqlite::Result<Vec<(i64, String, String, Option<i64>, i32, Option<bool>)>>>()?;
            let (mut queued, more) = (0, due.len() == limit);
            for (key, id, written, last_full_at, cause, active) in due {
                let connection = ConnectionKey(key);
                let turn = times::turn(&id, from_json("schedule", &written)?, last_full_at.map(time), now);
                if active.is_none() {
                    insert(tx, &new_id(), connection, trigger(cause), turn.work, now)?;
                    queued += 1;
                } else if active == Some(true) || turn.schedule.buffers(trigger(cause)) {
                    // A re-normalization brings nothing of what the sync would have brought.
                    follow(tx, connection, trigger(cause), turn.work)?;
                }
                connections::sqlite::set_next(tx, connection, turn.next)?;
                let schedule = to_json("schedule", &turn.schedule)?;
                if schedule != written {
                    tx.prepare_cached("UPDATE connections SET schedule = ?1 WHERE pk = ?2")?
                        .execute(params![schedule, key])?;
                }
            }
            let resumed = tx
                .prepare_cached("UPDATE runs SET state = ?1, resume_at = NULL WHERE state = 3 AND resume_at <= ?2")?
                .execute(params![number(State::Queued), micros(now)])?;
            Ok(DueRuns { queued: queued + resumed as u64, more })
        })
        .await
    }

    async fn turn_back(
        &self,
        after: ConnectionKey,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Option<ConnectionKey>> {
        self.write(move |tx| {
            let ahead = tx
                .prepare_cached(
                    "SELECT pk, id, schedule, last_full_at, next_run_at, next_cause FROM connections \
                     WHERE pk > ?1 AND deleting_at IS NULL AND (next_run_at > ?2 OR last_full_at > ?2) \
                     ORDER BY pk LIMIT ?3",
                )?
                .query_map(params![after.0, micros(now), limit as i64], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
                })?
                .collect::<rusqlite::Result<Vec<(i64, String, String, Option<i64>, Option<i64>, i32)>>>()?;
            for (key, id, schedule, last_full_at, told, cause) in &ahead {
                let last_full_at = last_full_at.map(|at| time(at).min(now));
                tx.prepare_cached("UPDATE connections SET last_full_at = ?1 WHERE pk = ?2")?
                    .execute(params![last_full_at.map(micros), key])?;
                if let Some(told) = told {
                    let schedule = from_json("schedule", schedule)?;
                    let told = (time(*told), trigger(*cause));
                    let due = times::turned_back(id, &schedule, last_full_at, told, now);
                    connections::sqlite::set_next(tx, ConnectionKey(*key), due)?;
                }
            }
            tx.execute("UPDATE runs SET resume_at = ?1 WHERE state = 3 AND resume_at > ?1", [micros(now)])?;
            Ok(ahead.last().map(|(key, ..)| ConnectionKey(*key)))
        })
        .await
    }

    async fn claim_runs(&self, claiming: Claiming, now: DateTime<Utc>) -> Result<Claims> {
        self.write(move |tx| claims::claim(tx, &claiming, now)).await
    }

    async fn renew_leases(
        &self,
        fences: Vec<Fence>,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<Fence>> {
        self.write(move |tx| claims::renew(tx, fences, lease, now)).await
    }

    async fn lost_claims(&self, fences: Vec<Fence>) -> Result<Vec<Fence>> {
        self.read(move |tx| claims::lost(tx, fences)).await
    }

    async fn take_over(&self, everyone: bool, now: DateTime<Utc>) -> Result<u64> {
        self.write(move |tx| claims::take_over(tx, everyone, now)).await
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>> {
        self.read(|tx| {
            let next: Option<i64> = tx
                .prepare_cached(
                    "SELECT min(at) FROM (SELECT min(next_run_at) AS at FROM connections \
                     WHERE next_run_at IS NOT NULL AND disabled = 0 AND paused = 0 AND deleting_at IS NULL \
                     UNION ALL SELECT min(resume_at) FROM runs WHERE state = 3)",
                )?
                .query_row([], |row| row.get(0))?;
            Ok(next.map(time))
        })
        .await
    }

    async fn end_runs(&self, outcomes: Vec<RunOutcome>, now: DateTime<Utc>) -> Result<Vec<Result<()>>> {
        let handed_over = outcomes.iter().any(|outcome| outcome.end.state == State::Queued);
        let work = move |tx: &Transaction<'_>| outcomes::end_runs(tx, outcomes, now);
        if handed_over { self.write_runs(work).await } else { self.write(work).await }
    }

    async fn cancel_run(&self, id: &str, now: DateTime<Utc>) -> Result<bool> {
        let id = id.to_owned();
        self.write_runs(move |tx| {
            let Some(run) = by_id(tx, &id)?.filter(|run| state::may_follow(run.state, State::Cancelled))
            else {
                return Ok(false);
            };
            if run.state == State::Running {
                connections::sqlite::claim(tx, run.connection, None)?;
            }
            cancel(tx, run.connection, now)?;
            Ok(true)
        })
        .await
    }

    async fn run(&self, id: &str) -> Result<Option<Run>> {
        let id = id.to_owned();
        self.read(move |tx| by_id(tx, &id)).await
    }

    async fn active_run(&self, connection: ConnectionKey) -> Result<Option<Run>> {
        self.read(move |tx| active(tx, connection)).await
    }

    async fn runs(&self, filter: RunFilter, before: Option<String>, limit: usize) -> Result<Listed<Run>> {
        self.read(move |tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM {TABLES} WHERE (?1 IS NULL OR r.connection = ?1) \
                 AND (?4 = '' OR c.organization = ?4) AND (?2 IS NULL OR r.id < ?2) ORDER BY r.id DESC LIMIT ?3"
            );
            let RunFilter { connection, organization } = filter;
            let values = params![connection.map(|key| key.0), before, limit as i64 + 1, organization];
            let rows =
                tx.prepare_cached(&sql)?.query_map(values, read)?.collect::<rusqlite::Result<Vec<_>>>()?;
            let items = rows.into_iter().collect::<Result<Vec<_>>>()?;
            Ok(Listed::cut(items, limit, |run| run.id.clone()))
        })
        .await
    }

    async fn append_log(&self, run: &str, part: LogPart) -> Result<()> {
        let run = run.to_owned();
        self.write(move |tx| logs::append(tx, &run, &part)).await
    }

    async fn run_log(
        &self,
        run: &str,
        min_level: Level,
        after: i64,
        limit: usize,
    ) -> Result<(Listed<StoredLogLine, i64>, u64)> {
        let run = run.to_owned();
        self.read(move |tx| logs::list(tx, &run, min_level, after, limit)).await
    }

    async fn trim_runs(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write(move |tx| history::trim(tx, before, limit)).await
    }

    async fn trim_surplus_runs(&self, keep: usize, after: LookedAt, limit: usize) -> Result<Surplus> {
        self.write(move |tx| history::trim_surplus(tx, keep, after, limit)).await
    }
}

/// Writes how far a run is. One that gets on is no run that crashes again and again.
pub(in crate::store) fn save_progress(tx: &Transaction<'_>, run: &str, progress: &RunProgress) -> Result<()> {
    tx.prepare_cached(
        "UPDATE runs SET counts = ?1, mode = CASE ?2 WHEN 0 THEN mode ELSE ?2 END, pulls = max(pulls, ?3), crashes = 0 \
         WHERE id = ?4",
    )?
    .execute(params![to_json("counts", &progress.counts)?, progress.mode as i32, progress.pulls, run])?;
    Ok(())
}

/// Writes how far a re-normalization is.
pub(in crate::store) fn save_renormalized_to(tx: &Transaction<'_>, run: &str, id: &str) -> Result<()> {
    tx.prepare_cached("UPDATE runs SET renormalized_to = ?1 WHERE id = ?2")?.execute([id, run])?;
    Ok(())
}

/// Refuses a connection that is not there, or is being deleted.
fn check_open(tx: &Transaction<'_>, connection: ConnectionKey) -> Result<()> {
    let open = "SELECT 1 FROM connections WHERE pk = ?1 AND deleting_at IS NULL";
    if tx.prepare_cached(open)?.exists([connection.0])? {
        Ok(())
    } else {
        Err(StoreError::Missing("connection"))
    }
}

/// Cancels a connection's run, wherever it stands.
pub(in crate::store) fn cancel(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.execute(
        "UPDATE runs SET state = ?1, ended_at = max(?2, coalesce(started_at, created_at)), resume_at = NULL \
         WHERE connection = ?3 AND state IN (1, 2, 3)",
        params![number(State::Cancelled), micros(now), connection.0],
    )?;
    Ok(())
}

/// Lets one more run follow the one under way.
fn follow(tx: &Transaction<'_>, connection: ConnectionKey, cause: Trigger, work: Work) -> Result<()> {
    tx.execute(
        "UPDATE connections SET follow_cause = ?1, follow_work = max(follow_work, ?2) WHERE pk = ?3",
        params![cause as i32, work as i32, connection.0],
    )?;
    Ok(())
}

fn number(state: State) -> i32 {
    state as i32
}

fn insert(
    tx: &Transaction<'_>,
    id: &str,
    connection: ConnectionKey,
    trigger: Trigger,
    work: Work,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO runs (id, connection, organization, connector, turn, state, cause, work, created_at) \
         SELECT ?1, pk, organization, connector, ?3, ?4, ?5, ?6, ?7 FROM connections WHERE pk = ?2",
    )?
    .execute(params![
        id,
        connection.0,
        turn(trigger),
        number(State::Queued),
        trigger as i32,
        work as i32,
        micros(now)
    ])?;
    Ok(())
}

fn by_id(tx: &Transaction<'_>, id: &str) -> Result<Option<Run>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE r.id = ?1");
    tx.prepare_cached(&sql)?.query_row([id], read).optional()?.transpose()
}

fn active(tx: &Transaction<'_>, connection: ConnectionKey) -> Result<Option<Run>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE r.connection = ?1 AND r.state IN (1, 2, 3)");
    tx.prepare_cached(&sql)?.query_row([connection.0], read).optional()?.transpose()
}

/// Reads [`COLUMNS`]. The outer result is the database's, the inner one is about the values.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<Run>> {
    let counts: String = row.get(13)?;
    let error: Option<String> = row.get(14)?;
    let held_sweeps: String = row.get(15)?;
    let parse = || -> Result<_> {
        Ok((
            from_json("counts", &counts)?,
            error.as_deref().map(|error| from_json("error", error)).transpose()?,
            from_json("held_sweeps", &held_sweeps)?,
        ))
    };
    let (counts, error, held_sweeps) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Run {
        id: row.get(0)?,
        connection: ConnectionKey(row.get(1)?),
        connection_id: row.get(2)?,
        state: State::try_from(row.get::<_, i32>(3)?).unwrap_or_default(),
        trigger: trigger(row.get(4)?),
        work: Work::from_number(row.get(5)?),
        mode: PullMode::try_from(row.get::<_, i32>(6)?).unwrap_or_default(),
        created_at: time(row.get(7)?),
        started_at: row.get::<_, Option<i64>>(8)?.map(time),
        ended_at: row.get::<_, Option<i64>>(9)?.map(time),
        resume_at: row.get::<_, Option<i64>>(10)?.map(time),
        pulls: row.get(11)?,
        attempts: row.get(12)?,
        counts,
        error,
        held_sweeps,
        crashes: row.get(16)?,
        renormalizes: row.get(17)?,
        renormalized_to: row.get(18)?,
    }))
}
