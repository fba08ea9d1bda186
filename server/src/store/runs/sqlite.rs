//! Runs and their logs in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, named_params, params};
use superfasttt_proto::connector::v1::{PullMode, log_record::Level};
use superfasttt_proto::control::v1::run::{State, Trigger};
use tokio::sync::watch;

use super::fair::{self, Lane, LaneKey, Load};
use super::{
    Claim, Claiming, Claims, LogLine, LogPart, Queued, Run, RunOutcome, RunProgress, RunStore, StoredLogLine,
    Work, lanes_in_a_look, state,
};
use crate::schedule::times;
use crate::store::connections::Schedule;
use crate::store::sqlite::{from_json, micros, time, to_json};
use crate::store::{
    ConnectionKey, Fence, Listed, Result, SqliteStore, StoreError, connections, sync_states, wanted,
};

const COLUMNS: &str = "r.id, r.connection, c.id, r.state, r.cause, r.work, r.mode, r.created_at, r.started_at, \
     r.ended_at, r.resume_at, r.pulls, r.attempts, r.counts, r.error, r.held_sweeps, r.crashes, r.renormalizes, \
     r.renormalized_to";

/// The runs of a lane that wait.
type Waiting = Lane<(String, ConnectionKey)>;

const TABLES: &str = "runs r JOIN connections c ON c.pk = r.connection";

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

    async fn queue_due_runs(&self, new_id: fn() -> String, limit: usize, now: DateTime<Utc>) -> Result<u64> {
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
            let mut queued = 0;
            for (key, id, schedule, last_full_at, cause, active) in due {
                let connection = ConnectionKey(key);
                let mut schedule: Schedule = from_json("schedule", &schedule)?;
                let last_full_at = last_full_at.map(time);
                let full = times::is_full(&id, &schedule, last_full_at, now);
                // A person who plans a full run wants one; the schedule wants to be sure that nothing is missed.
                let planned = schedule.planned_full && schedule.planned_at.is_some_and(|at| at <= now);
                let work = match (planned, full) {
                    (true, _) => Work::Full,
                    (false, true) => Work::Reconcile,
                    (false, false) => Work::Changes,
                };
                if active.is_none() {
                    insert(tx, &new_id(), connection, trigger(cause), work, now)?;
                    queued += 1;
                } else if active == Some(true) || schedule.buffers(trigger(cause)) {
                    // A re-normalization brings nothing of what the sync would have brought.
                    follow(tx, connection, trigger(cause), work)?;
                }
                let planned_at = schedule.planned_at;
                schedule.forget_planned(now);
                // A full run that begins now counts: it is not due once more right behind it.
                let last_full_at = if full { Some(now) } else { last_full_at };
                let next = times::next(&id, &schedule, last_full_at, now);
                connections::sqlite::set_next(tx, connection, next)?;
                if schedule.planned_at != planned_at {
                    tx.prepare_cached("UPDATE connections SET schedule = ?1 WHERE pk = ?2")?
                        .execute(params![to_json("schedule", &schedule)?, key])?;
                }
            }
            let resumed = tx
                .prepare_cached("UPDATE runs SET state = ?1, resume_at = NULL WHERE state = 3 AND resume_at <= ?2")?
                .execute(params![number(State::Queued), micros(now)])?;
            Ok(queued + resumed as u64)
        })
        .await
    }

    async fn claim_runs(&self, claiming: Claiming, now: DateTime<Utc>) -> Result<Claims> {
        self.write(move |tx| {
            let lanes = lanes(tx, claiming.after.as_ref(), claiming.places)?;
            if lanes.is_empty() {
                return Ok(Claims::default());
            }
            let chosen = fair::choose(lanes, load(tx)?, &claiming.limits, claiming.places);
            let until = lease_until(now, claiming.lease);
            let mut claims = Vec::with_capacity(chosen.runs.len());
            for (id, connection) in chosen.runs {
                tx.prepare_cached(
                    "UPDATE runs SET state = ?1, attempts = attempts + 1, resume_at = NULL, \
                     started_at = coalesce(started_at, max(?2, created_at, coalesce((SELECT before.ended_at \
                     FROM connections c JOIN runs before ON before.id = c.last_run WHERE c.pk = runs.connection), 0))) \
                     WHERE id = ?3",
                )?
                .execute(params![number(State::Running), micros(now), id])?;
                let lease = (claiming.holder.as_str(), until);
                let connection = connections::sqlite::claim_for_run(tx, connection, lease, &id)?;
                claims.push(Claim {
                    run: by_id(tx, &id)?.ok_or(StoreError::Missing("run"))?,
                    fence: Fence { connection: connection.key, number: connection.fence },
                    states: sync_states::sqlite::all(tx, connection.key)?,
                    leftovers: wanted::sqlite::leftovers(tx, connection.key)?,
                    connection,
                });
            }
            Ok(Claims { claims, after: chosen.after })
        })
        .await
    }

    async fn renew_leases(
        &self,
        fences: Vec<Fence>,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<Fence>> {
        self.write(move |tx| {
            let until = lease_until(now, lease);
            let mut lost = Vec::new();
            for fence in fences {
                let renewed = tx
                    .prepare_cached(
                        "UPDATE connections SET lease_until = ?1 \
                         WHERE pk = ?2 AND fence = ?3 AND lease_until IS NOT NULL",
                    )?
                    .execute(params![until, fence.connection.0, fence.number])?;
                if renewed == 0 {
                    lost.push(fence);
                }
            }
            Ok(lost)
        })
        .await
    }

    async fn lost_claims(&self, fences: Vec<Fence>) -> Result<Vec<Fence>> {
        self.read(move |tx| {
            let mut held = tx.prepare_cached("SELECT 1 FROM connections WHERE pk = ?1 AND fence = ?2")?;
            let mut lost = Vec::new();
            for fence in fences {
                if !held.exists([fence.connection.0, fence.number])? {
                    lost.push(fence);
                }
            }
            Ok(lost)
        })
        .await
    }

    async fn take_over(&self, everyone: bool, now: DateTime<Utc>) -> Result<u64> {
        self.write(move |tx| {
            let lost = tx
                .prepare_cached(
                    "SELECT pk FROM connections WHERE lease_until IS NOT NULL AND (?1 OR lease_until < ?2)",
                )?
                .query_map(params![everyone, micros(now)], |row| row.get(0).map(ConnectionKey))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut queued = 0;
            for connection in lost {
                connections::sqlite::claim(tx, connection, None)?;
                queued += begin_again(tx, connection, 1)?;
            }
            Ok(queued)
        })
        .await
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
        let work = move |tx: &Transaction<'_>| {
            let mut ended = Vec::with_capacity(outcomes.len());
            for outcome in outcomes {
                match end(tx, outcome, now) {
                    // These are said before anything is written.
                    refused @ Err(
                        StoreError::Fenced | StoreError::Missing(_) | StoreError::Illegal { .. },
                    ) => {
                        ended.push(refused);
                    }
                    Err(error) => return Err(error),
                    Ok(()) => ended.push(Ok(())),
                }
            }
            Ok(ended)
        };
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

    async fn append_log(&self, run: &str, part: LogPart) -> Result<()> {
        let run = run.to_owned();
        self.write(move |tx| append(tx, &run, part)).await
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

/// Queues a connection's run again whose worker lost its claim; `crashes` is 1 where that was not in order. Says how
/// many runs.
pub(in crate::store) fn begin_again(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    crashes: u32,
) -> Result<u64> {
    let sql = "UPDATE runs SET state = ?1, crashes = crashes + ?2 WHERE connection = ?3 AND state = 2";
    Ok(tx.execute(sql, params![number(State::Queued), crashes, connection.0])? as u64)
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

/// Lets one more run follow the one under way.
fn follow(tx: &Transaction<'_>, connection: ConnectionKey, cause: Trigger, work: Work) -> Result<()> {
    tx.execute(
        "UPDATE connections SET follow_cause = ?1, follow_work = max(follow_work, ?2) WHERE pk = ?3",
        params![cause as i32, work as i32, connection.0],
    )?;
    Ok(())
}

/// The lanes in which runs wait, with as many runs of each as there are places: those behind `after` first, then from
/// the beginning, [`lanes_in_a_look`] at most. A lane is found from the one before it by one step in the index, however
/// many runs wait in it.
fn lanes(tx: &Transaction<'_>, after: Option<&LaneKey>, places: usize) -> Result<Vec<Waiting>> {
    let mut next = tx.prepare_cached(
        "SELECT organization, connector FROM runs WHERE state = 1 AND (organization, connector) > (?1, ?2) \
         ORDER BY organization, connector LIMIT 1",
    )?;
    let mut waiting = tx.prepare_cached(
        "SELECT id, connection FROM runs WHERE state = 1 AND organization = ?1 AND connector = ?2 \
         ORDER BY turn, created_at, id LIMIT ?3",
    )?;
    let mut lanes = Vec::new();
    let mut at = after.cloned().unwrap_or_default();
    let mut around = after.is_none();
    while lanes.len() < lanes_in_a_look(places) {
        let found: Option<LaneKey> =
            next.query_row([&at.0, &at.1], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some(lane) if !around || after.is_none_or(|after| lane <= *after) => at = lane,
            None if !around => {
                around = true;
                at = LaneKey::default();
                continue;
            }
            Some(_) | None => break,
        }
        let runs = waiting
            .query_map(params![at.0, at.1, places as i64], |row| {
                Ok((row.get(0)?, ConnectionKey(row.get(1)?)))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        lanes.push(Lane { organization: at.0.clone(), connector: at.1.clone(), waiting: runs });
    }
    Ok(lanes)
}

/// How many runs are under way.
fn load(tx: &Transaction<'_>) -> Result<Load> {
    let mut load = Load::default();
    let mut statement = tx.prepare_cached(
        "SELECT organization, connector, count(*) FROM runs WHERE state = 2 GROUP BY organization, connector",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (organization, connector): (String, String) = (row.get(0)?, row.get(1)?);
        load.add(&organization, &connector, row.get(2)?);
    }
    Ok(load)
}

/// When a lease of this length ends.
pub(in crate::store) fn lease_until(now: DateTime<Utc>, lease: Duration) -> i64 {
    micros(now).saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX))
}

/// Appends to a run's log, up to its limit.
fn append(tx: &Transaction<'_>, run: &str, part: LogPart) -> Result<()> {
    if part.lines.is_empty() && part.dropped == 0 {
        return Ok(());
    }
    let kept: Option<i64> = tx
        .prepare_cached("SELECT log_records FROM runs WHERE id = ?1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    let Some(kept) = kept else { return Ok(()) };
    let (kept, dropped) = insert_lines(tx, run, kept, &part)?;
    tx.prepare_cached("UPDATE runs SET log_records = ?1, log_dropped = log_dropped + ?2 WHERE id = ?3")?
        .execute(params![kept, dropped, run])?;
    Ok(())
}

/// Writes lines behind the `kept` ones of a run's log, up to its limit. Says how many there are then, and how many had
/// no room.
fn insert_lines(tx: &Transaction<'_>, run: &str, kept: i64, part: &LogPart) -> Result<(i64, u64)> {
    let room = (part.max as i64 - kept).max(0) as usize;
    let mut insert = tx.prepare_cached(
        "INSERT INTO run_logs (run, seq, time, level, origin, message, fields) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let mut seq = kept;
    for line in part.lines.iter().take(room) {
        seq += 1;
        let fields = to_json("fields", &line.fields)?;
        insert.execute(params![
            run,
            seq,
            micros(line.time),
            line.level as i32,
            line.origin,
            line.message,
            fields
        ])?;
    }
    Ok((seq, part.lines.len().saturating_sub(room) as u64 + part.dropped))
}

fn number(state: State) -> i32 {
    state as i32
}

/// A stored trigger.
pub(in crate::store) fn trigger(number: i32) -> Trigger {
    Trigger::try_from(number).unwrap_or_default()
}

/// Where in its lane a run waits: what somebody asked for comes first.
pub(super) fn turn(trigger: Trigger) -> i32 {
    i32::from(matches!(trigger, Trigger::Schedule | Trigger::Retry))
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
