//! Runs and their logs in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, named_params, params};
use superfasttt_proto::connector::v1::{PullMode, log_record::Level};
use superfasttt_proto::control::v1::run::{State, Trigger};

use super::{LogLine, Queued, Run, RunCounts, RunEnd, RunStore, StoredLogLine};
use crate::store::sqlite::{from_json, micros, time, to_json};
use crate::store::{ConnectionKey, Fence, Listed, Result, SqliteStore, StoreError, connections};

const COLUMNS: &str = "r.id, r.connection, c.id, r.state, r.cause, r.full_sync, r.mode, r.created_at, r.started_at, \
     r.ended_at, r.resume_at, r.pulls, r.attempts, r.counts, r.error, r.held_sweeps, r.crashes, r.renormalizes, \
     r.renormalized_to";
const TABLES: &str = "runs r JOIN connections c ON c.pk = r.connection";

#[async_trait]
impl RunStore for SqliteStore {
    async fn queue_run(
        &self,
        id: String,
        connection: ConnectionKey,
        trigger: Trigger,
        full: bool,
        now: DateTime<Utc>,
    ) -> Result<Queued> {
        self.write(move |tx| {
            if let Some(run) = active(tx, connection)? {
                if run.renormalizes {
                    return Ok(Queued::Existing(run));
                }
                tx.execute(
                    "UPDATE runs SET full_sync = max(full_sync, ?1), state = CASE state WHEN ?2 THEN ?3 ELSE state END, \
                     resume_at = NULL WHERE id = ?4 AND state <> ?5",
                    params![full, number(State::Parked), number(State::Queued), run.id, number(State::Running)],
                )?;
                return Ok(Queued::Existing(by_id(tx, &run.id)?.ok_or(StoreError::Missing("run"))?));
            }
            check_open(tx, connection)?;
            insert(tx, &id, connection, trigger, full, now)?;
            Ok(Queued::New(by_id(tx, &id)?.ok_or(StoreError::Missing("run"))?))
        })
        .await
    }

    async fn queue_renormalization(
        &self,
        id: String,
        connection: ConnectionKey,
        now: DateTime<Utc>,
    ) -> Result<Queued> {
        self.write(move |tx| {
            if let Some(run) = active(tx, connection)? {
                return Ok(Queued::Existing(run));
            }
            check_open(tx, connection)?;
            insert(tx, &id, connection, Trigger::Manual, false, now)?;
            tx.execute("UPDATE runs SET renormalizes = 1 WHERE id = ?1", [&id])?;
            Ok(Queued::New(by_id(tx, &id)?.ok_or(StoreError::Missing("run"))?))
        })
        .await
    }

    async fn queue_due_runs(&self, new_id: fn() -> String, now: DateTime<Utc>) -> Result<u64> {
        self.write(move |tx| {
            let due = tx
                .prepare_cached(
                    "SELECT pk, next_cause, interval_s, full_interval_s, last_full_at FROM connections \
                     WHERE next_run_at <= ?1 AND disabled = 0 AND paused = 0 AND deleting_at IS NULL AND NOT EXISTS \
                     (SELECT 1 FROM runs WHERE connection = connections.pk AND state IN (1, 2, 3)) \
                     ORDER BY next_run_at LIMIT 1000",
                )?
                .query_map([micros(now)], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })?
                .collect::<rusqlite::Result<Vec<(i64, i32, Option<i64>, Option<i64>, Option<i64>)>>>()?;
            for (key, cause, interval_s, full_interval_s, last_full_at) in &due {
                let full = full_interval_s.is_some_and(|seconds| {
                    last_full_at.is_none_or(|last| time(last) + TimeDelta::seconds(seconds) <= now)
                });
                insert(tx, &new_id(), ConnectionKey(*key), trigger(*cause), full, now)?;
                // Due again from the start of this run, however long it takes.
                let next = interval_s.map(|seconds| micros(now + TimeDelta::seconds(seconds)));
                tx.execute(
                    "UPDATE connections SET next_run_at = ?1, next_cause = ?2 WHERE pk = ?3",
                    params![next, Trigger::Schedule as i32, key],
                )?;
            }
            let resumed = tx.execute(
                "UPDATE runs SET state = ?1, resume_at = NULL WHERE state = ?2 AND resume_at <= ?3",
                params![number(State::Queued), number(State::Parked), micros(now)],
            )?;
            Ok((due.len() + resumed) as u64)
        })
        .await
    }

    async fn claim_run(&self, now: DateTime<Utc>) -> Result<Option<(Run, Fence)>> {
        self.write(move |tx| {
            let oldest: Option<(String, i64)> = tx
                .prepare_cached(
                    "SELECT r.id, r.connection FROM runs r JOIN connections c ON c.pk = r.connection \
                     WHERE r.state = ?1 AND c.deleting_at IS NULL ORDER BY r.created_at, r.id LIMIT 1",
                )?
                .query_row([number(State::Queued)], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((id, connection)) = oldest else { return Ok(None) };
            let fence = connections::sqlite::claim(tx, ConnectionKey(connection))?;
            tx.execute(
                "UPDATE runs SET state = ?1, started_at = coalesce(started_at, ?2), attempts = attempts + 1, \
                 resume_at = NULL WHERE id = ?3",
                params![number(State::Running), micros(now), id],
            )?;
            tx.execute("UPDATE connections SET last_run = ?1 WHERE pk = ?2", params![id, connection])?;
            let run = by_id(tx, &id)?.ok_or(StoreError::Missing("run"))?;
            Ok(Some((run, fence)))
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>> {
        self.read(|tx| {
            let next: Option<i64> = tx
                .prepare_cached(
                    "SELECT min(at) FROM (SELECT min(next_run_at) AS at FROM connections WHERE next_run_at IS NOT NULL \
                     AND disabled = 0 AND paused = 0 AND deleting_at IS NULL AND NOT EXISTS \
                     (SELECT 1 FROM runs WHERE connection = connections.pk AND state IN (1, 2, 3)) \
                     UNION ALL SELECT min(resume_at) FROM runs WHERE state = 3)",
                )?
                .query_row([], |row| row.get(0))?;
            Ok(next.map(time))
        })
        .await
    }

    async fn requeue_running(&self) -> Result<u64> {
        self.write(|tx| {
            let sql = "UPDATE runs SET state = ?1, crashes = crashes + 1 WHERE state = ?2";
            Ok(tx.execute(sql, params![number(State::Queued), number(State::Running)])? as u64)
        })
        .await
    }

    async fn begin_pull(&self, fence: Fence, run: &str, mode: PullMode) -> Result<()> {
        let run = run.to_owned();
        self.write_fenced(fence, move |tx| {
            tx.execute(
                "UPDATE runs SET mode = ?1, pulls = pulls + 1 WHERE id = ?2",
                params![mode as i32, run],
            )?;
            Ok(())
        })
        .await
    }

    async fn end_run(&self, fence: Fence, run: &str, end: RunEnd, now: DateTime<Utc>) -> Result<Run> {
        let run = run.to_owned();
        self.write_fenced(fence, move |tx| {
            let ended = matches!(
                end.state,
                State::Succeeded | State::SucceededWithErrors | State::Failed | State::Cancelled
            );
            let succeeded = matches!(end.state, State::Succeeded | State::SucceededWithErrors);
            let syncs = "SELECT 1 FROM runs WHERE id = ?1 AND renormalizes = 0";
            let syncs = tx.prepare_cached(syncs)?.exists([&run])?;
            tx.execute(
                "UPDATE runs SET state = :state, ended_at = :ended_at, resume_at = :resume_at, crashes = 0, \
                 error = :error, held_sweeps = :held_sweeps WHERE id = :id",
                named_params! {
                    ":state": number(end.state), ":ended_at": ended.then(|| micros(now)),
                    ":resume_at": end.resume_at.map(micros),
                    ":error": end.error.map(|error| to_json("error", &error)).transpose()?,
                    ":held_sweeps": to_json("held_sweeps", &end.held_sweeps)?, ":id": run,
                },
            )?;
            if !syncs {
                return by_id(tx, &run)?.ok_or(StoreError::Missing("run"));
            }
            tx.execute(
                "UPDATE connections SET \
                 next_cause = CASE WHEN next_run_at > :retry_at THEN :retry_cause ELSE next_cause END, \
                 next_run_at = CASE WHEN next_run_at > :retry_at THEN :retry_at ELSE next_run_at END, \
                 last_success_at = CASE WHEN :succeeded THEN :now ELSE last_success_at END, \
                 last_full_at = CASE WHEN :listed_all THEN :now ELSE last_full_at END, \
                 failures = CASE WHEN :succeeded THEN 0 WHEN :failed THEN failures + 1 ELSE failures END \
                 WHERE pk = :key",
                named_params! {
                    ":succeeded": succeeded, ":failed": end.state == State::Failed,
                    ":retry_at": end.retry_at.map(micros), ":retry_cause": Trigger::Retry as i32, ":listed_all": end.listed_all, ":now": micros(now),
                    ":key": fence.connection.0,
                },
            )?;
            by_id(tx, &run)?.ok_or(StoreError::Missing("run"))
        })
        .await
    }

    async fn cancel_waiting_run(&self, id: &str, now: DateTime<Utc>) -> Result<bool> {
        let id = id.to_owned();
        self.write(move |tx| {
            let changed = tx.execute(
                "UPDATE runs SET state = ?1, ended_at = ?2, resume_at = NULL WHERE id = ?3 AND state IN (1, 3)",
                params![number(State::Cancelled), micros(now), id],
            )?;
            Ok(changed > 0)
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

    async fn runs(
        &self,
        connection: Option<ConnectionKey>,
        before: Option<String>,
        limit: usize,
    ) -> Result<Listed<Run>> {
        self.read(move |tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM {TABLES} WHERE (?1 IS NULL OR r.connection = ?1) \
                 AND (?2 IS NULL OR r.id < ?2) ORDER BY r.id DESC LIMIT ?3"
            );
            let values = params![connection.map(|key| key.0), before, limit as i64 + 1];
            let rows =
                tx.prepare_cached(&sql)?.query_map(values, read)?.collect::<rusqlite::Result<Vec<_>>>()?;
            let items = rows.into_iter().collect::<Result<Vec<_>>>()?;
            Ok(Listed::cut(items, limit, |run| run.id.clone()))
        })
        .await
    }

    async fn append_log(&self, run: &str, lines: Vec<LogLine>, max: u64) -> Result<()> {
        let run = run.to_owned();
        self.write(move |tx| {
            let kept: Option<i64> = tx
                .prepare_cached("SELECT log_records FROM runs WHERE id = ?1")?
                .query_row([&run], |row| row.get(0))
                .optional()?;
            let Some(kept) = kept else { return Ok(()) };
            let room = (max as i64 - kept).max(0) as usize;
            let mut insert = tx.prepare_cached(
                "INSERT INTO run_logs (run, seq, time, level, origin, message, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            let mut seq = kept;
            for line in lines.iter().take(room) {
                seq += 1;
                let fields = to_json("fields", &line.fields)?;
                insert.execute(params![
                    run, seq, micros(line.time), line.level as i32, line.origin, line.message, fields
                ])?;
            }
            let dropped = lines.len().saturating_sub(room) as i64;
            tx.execute(
                "UPDATE runs SET log_records = ?1, log_dropped = log_dropped + ?2 WHERE id = ?3",
                params![seq, dropped, run],
            )?;
            Ok(())
        })
        .await
    }

    async fn run_log(
        &self,
        run: &str,
        min_level: Level,
        after: i64,
        limit: usize,
    ) -> Result<(Listed<StoredLogLine, i64>, u64)> {
        let run = run.to_owned();
        self.read(move |tx| {
            let rows = tx
                .prepare_cached(
                    "SELECT seq, time, level, origin, message, fields FROM run_logs \
                     WHERE run = ?1 AND seq > ?2 AND level >= ?3 ORDER BY seq LIMIT ?4",
                )?
                .query_map(params![run, after, min_level as i32, limit as i64 + 1], read_line)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let items = rows.into_iter().collect::<Result<Vec<_>>>()?;
            let dropped: Option<u64> = tx
                .prepare_cached("SELECT log_dropped FROM runs WHERE id = ?1")?
                .query_row([run], |row| row.get(0))
                .optional()?;
            Ok((Listed::cut(items, limit, |line| line.seq), dropped.unwrap_or(0)))
        })
        .await
    }

    async fn trim_runs(&self, keep: usize, before: DateTime<Utc>) -> Result<u64> {
        self.write(move |tx| {
            let old = tx
                .prepare_cached(
                    "SELECT id FROM (SELECT id, ended_at, state, row_number() OVER \
                     (PARTITION BY connection ORDER BY id DESC) AS place FROM runs) \
                     WHERE state > 3 AND (place > ?1 OR ended_at < ?2) LIMIT 1000",
                )?
                .query_map(params![keep as i64, micros(before)], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()?;
            for id in &old {
                tx.execute("DELETE FROM run_logs WHERE run = ?1", [id])?;
                tx.execute("DELETE FROM runs WHERE id = ?1", [id])?;
            }
            Ok(old.len() as u64)
        })
        .await
    }
}

/// Writes what a run did so far.
pub(in crate::store) fn save_counts(tx: &Transaction<'_>, run: &str, counts: &RunCounts) -> Result<()> {
    tx.prepare_cached("UPDATE runs SET counts = ?1 WHERE id = ?2")?
        .execute(params![to_json("counts", counts)?, run])?;
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

/// Cancels a connection's run that nobody works on.
pub(in crate::store) fn cancel_waiting(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.execute(
        "UPDATE runs SET state = ?1, ended_at = ?2, resume_at = NULL WHERE connection = ?3 AND state IN (1, 3)",
        params![number(State::Cancelled), micros(now), connection.0],
    )?;
    Ok(())
}

/// Queues a connection's run again whose worker lost its claim.
pub(in crate::store) fn begin_again(tx: &Transaction<'_>, connection: ConnectionKey) -> Result<()> {
    let sql = "UPDATE runs SET state = ?1 WHERE connection = ?2 AND state = ?3";
    tx.execute(sql, params![number(State::Queued), connection.0, number(State::Running)])?;
    Ok(())
}

fn number(state: State) -> i32 {
    state as i32
}

/// A stored trigger.
fn trigger(number: i32) -> Trigger {
    Trigger::try_from(number).unwrap_or_default()
}

fn insert(
    tx: &Transaction<'_>,
    id: &str,
    connection: ConnectionKey,
    trigger: Trigger,
    full: bool,
    now: DateTime<Utc>,
) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO runs (id, connection, state, cause, full_sync, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![id, connection.0, number(State::Queued), trigger as i32, full, micros(now)])?;
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
        full: row.get(5)?,
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

fn read_line(row: &Row<'_>) -> rusqlite::Result<Result<StoredLogLine>> {
    let fields: String = row.get(5)?;
    let fields = match from_json("fields", &fields) {
        Ok(fields) => fields,
        Err(error) => return Ok(Err(error)),
    };
    let origin: String = row.get(3)?;
    Ok(Ok(StoredLogLine {
        seq: row.get(0)?,
        line: LogLine {
            time: time(row.get(1)?),
            level: Level::try_from(row.get::<_, i32>(2)?).unwrap_or_default(),
            origin: match origin.as_str() {
                "connector" => "connector",
                "stderr" => "stderr",
                _ => "engine",
            },
            message: row.get(4)?,
            fields,
        },
    }))
}
