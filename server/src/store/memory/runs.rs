//! Runs, their claims and their logs in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use superfasttt_proto::connector::v1::{PullMode, log_record::Level};
use superfasttt_proto::control::v1::run::{State, Trigger};
use tokio::sync::watch;

use super::connections::{delta, set_next};
use super::{Data, MemoryStore};
use crate::schedule::times;
use crate::store::runs::fair::{self, Lane, LaneKey, Load};
use crate::store::runs::{
    Claim, Claiming, Claims, DueRuns, LogPart, LookedAt, Queued, Run, RunCounts, RunFilter, RunOutcome,
    RunProgress, RunStore, StoredLogLine, Surplus, Work, lanes_in_a_look, state,
};
use crate::store::{ConnectionKey, Fence, Listed, Result, StoreError};

/// A run with its log.
#[derive(Clone, Debug)]
pub(crate) struct RunRow {
    pub(crate) run: Run,
    lane: LaneKey,
    /// Where in its lane it waits: what somebody asked for comes first.
    turn: u8,
    log: Vec<StoredLogLine>,
    dropped: u64,
}

#[async_trait]
impl RunStore for MemoryStore {
    fn run_changes(&self) -> watch::Receiver<u64> {
        let (sender, receiver) = watch::channel(0);
        self.run_changes.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    async fn queue_run(
        &self,
        id: String,
        connection: ConnectionKey,
        trigger: Trigger,
        work: Work,
        now: DateTime<Utc>,
    ) -> Result<Queued> {
        let queued = self
            .write(|data| {
                let Some(row) = data.active(connection) else {
                    data.check_open(connection)?;
                    return Ok(Queued::New(data.insert_run(id, connection, trigger, work, now)?));
                };
                if row.run.renormalizes {
                    let run = row.run.clone();
                    data.follow(connection, trigger, work)?;
                    return Ok(Queued::Follows(run));
                }
                if row.run.state == State::Running {
                    let run = row.run.clone();
                    // What is wanted by id may have been asked for already when the wish came.
                    if trigger != Trigger::Event && work != Work::Items && run.work >= work {
                        return Ok(Queued::Existing(run));
                    }
                    data.follow(connection, trigger, work)?;
                    return Ok(Queued::Follows(run));
                }
                row.run.work = row.run.work.max(work);
                row.turn = row.turn.min(turn(trigger));
                (row.run.state, row.run.resume_at) = (State::Queued, None);
                Ok(Queued::Existing(row.run.clone()))
            })
            .await;
        self.tell_run_changes();
        queued
    }

    async fn queue_renormalization(
        &self,
        id: String,
        connection: ConnectionKey,
        now: DateTime<Utc>,
    ) -> Result<Queued> {
        let queued = self
            .write(|data| {
                if let Some(row) = data.active(connection) {
                    return Ok(Queued::Existing(row.run.clone()));
                }
                data.check_open(connection)?;
                let run = data.insert_run(id, connection, Trigger::Manual, Work::Changes, now)?;
                let row = data.runs.get_mut(&run.id).ok_or(StoreError::Missing("run"))?;
                row.run.renormalizes = true;
                Ok(Queued::New(row.run.clone()))
            })
            .await;
        self.tell_run_changes();
        queued
    }

    async fn queue_due_runs(
        &self,
        new_id: fn() -> String,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<DueRuns> {
        self.write(|data| {
            let due = data.due().filter(|(at, _)| *at <= now);
            let mut due: Vec<_> = due.collect();
            due.sort_unstable();
            due.truncate(limit);
            let (mut queued, more) = (0, due.len() == limit);
            for (_, key) in due {
                let connection = &data.row(key)?.connection;
                let (cause, last_full_at) = (connection.next_cause, connection.last_full_at);
                let turn = times::turn(&connection.id, connection.schedule.clone(), last_full_at, now);
                let active = data.active(key).map(|row| row.run.renormalizes);
                if active.is_none() {
                    data.insert_run(new_id(), key, cause, turn.work, now)?;
                    queued += 1;
                } else if active == Some(true) || turn.schedule.buffers(cause) {
                    data.follow(key, cause, turn.work)?;
                }
                let connection = &mut data.row(key)?.connection;
                set_next(connection, turn.next);
                connection.schedule = turn.schedule;
            }
            for row in data.runs.values_mut() {
                let parked = row.run.state == State::Parked;
                if parked && row.run.resume_at.is_some_and(|at| at <= now) {
                    (row.run.state, row.run.resume_at) = (State::Queued, None);
                    queued += 1;
                }
            }
            Ok(DueRuns { queued, more })
        })
        .await
    }

    async fn turn_back(
        &self,
        after: ConnectionKey,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Option<ConnectionKey>> {
        self.write(|data| {
            let later = |at: Option<DateTime<Utc>>| at.is_some_and(|at| at > now);
            let open = data.connections.values_mut().map(|row| &mut row.connection).filter(|connection| {
                connection.key > after
                    && connection.deleting_at.is_none()
                    && (later(connection.next_run_at) || later(connection.last_full_at))
            });
            let mut ahead: Vec<_> = open.collect();
            ahead.sort_by_key(|connection| connection.key);
            ahead.truncate(limit);
            for connection in &mut ahead {
                connection.last_full_at = connection.last_full_at.map(|at| at.min(now));
                if let Some(at) = connection.next_run_at {
                    let told = (at, connection.next_cause);
                    let (schedule, last_full_at) = (&connection.schedule, connection.last_full_at);
                    let next = times::turned_back(&connection.id, schedule, last_full_at, told, now);
                    set_next(connection, next);
                }
            }
            let last = ahead.last().map(|connection| connection.key);
            for row in data.runs.values_mut() {
                if row.run.state == State::Parked && later(row.run.resume_at) {
                    row.run.resume_at = Some(now);
                }
            }
            Ok(last)
        })
        .await
    }

    async fn claim_runs(&self, claiming: Claiming, now: DateTime<Utc>) -> Result<Claims> {
        self.write(|data| {
            let lanes = data.lanes(claiming.after.as_ref(), claiming.places);
            if lanes.is_empty() {
                return Ok(Claims::default());
            }
            let chosen = fair::choose(lanes, data.load(), &claiming.limits, claiming.places);
            let mut claims = Vec::with_capacity(chosen.runs.len());
            for id in chosen.runs {
                let before = data.end_of_the_run_before(&id);
                let row = data.runs.get_mut(&id).ok_or(StoreError::Missing("run"))?;
                row.run.state = State::Running;
                let started = now.max(row.run.created_at).max(before.unwrap_or(now));
                row.run.started_at = row.run.started_at.or(Some(started));
                row.run.attempts += 1;
                row.run.resume_at = None;
                let run = row.run.clone();
                let key = run.connection;
                let until = now + delta(claiming.lease);
                let fence = data.claim(key, Some((claiming.holder.clone(), until)))?;
                let connection = &mut data.row(key)?.connection;
                connection.last_run = Some(id);
                let connection = connection.clone();
                let leftovers = data.leftovers(key);
                claims.push(Claim { run, fence, connection, states: data.states_of(key), leftovers });
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
        self.write(|data| {
            let mut lost = Vec::new();
            for fence in fences {
                let held = data.check(fence).is_ok();
                match data.connections.get_mut(&fence.connection).and_then(|row| row.lease.as_mut()) {
                    Some((_, until)) if held => *until = now + delta(lease),
                    Some(_) | None => lost.push(fence),
                }
            }
            Ok(lost)
        })
        .await
    }

    async fn lost_claims(&self, fences: Vec<Fence>) -> Result<Vec<Fence>> {
        self.read(|data| fences.into_iter().filter(|fence| data.check(*fence).is_err()).collect()).await
    }

    async fn take_over(&self, everyone: bool, now: DateTime<Utc>) -> Result<u64> {
        self.write(|data| {
            let leased = data.connections.values().filter_map(|row| {
                let (_, until) = row.lease.as_ref()?;
                (everyone || *until < now).then_some(row.connection.key)
            });
            let mut queued = 0;
            for key in leased.collect::<Vec<_>>() {
                data.end_claim(key)?;
                queued += data.begin_again(key, 1);
            }
            Ok(queued)
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>> {
        self.read(|data| {
            let parked = data.runs.values().filter(|row| row.run.state == State::Parked);
            data.due().map(|(at, _)| at).chain(parked.filter_map(|row| row.run.resume_at)).min()
        })
        .await
    }

    async fn end_runs(&self, outcomes: Vec<RunOutcome>, now: DateTime<Utc>) -> Result<Vec<Result<()>>> {
        let ended =
            self.write(|data| Ok(outcomes.into_iter().map(|outcome| data.end(outcome, now)).collect())).await;
        self.tell_run_changes();
        ended
    }

    async fn cancel_run(&self, id: &str, now: DateTime<Utc>) -> Result<bool> {
        let cancelled = self
            .write(|data| {
                let run = data.runs.get(id).map(|row| (row.run.state, row.run.connection));
                let Some((from, connection)) = run else { return Ok(false) };
                if !state::may_follow(from, State::Cancelled) {
                    return Ok(false);
                }
                if from == State::Running {
                    data.end_claim(connection)?;
                }
                data.cancel(connection, now);
                Ok(true)
            })
            .await;
        self.tell_run_changes();
        cancelled
    }

    async fn run(&self, id: &str) -> Result<Option<Run>> {
        self.read(|data| data.runs.get(id).map(|row| row.run.clone())).await
    }

    async fn active_run(&self, connection: ConnectionKey) -> Result<Option<Run>> {
        self.read(|data| {
            let mut active = data.runs.values().filter(|row| row.run.connection == connection);
            active.find(|row| !state::has_ended(row.run.state)).map(|row| row.run.clone())
        })
        .await
    }

    async fn runs(&self, filter: RunFilter, before: Option<String>, limit: usize) -> Result<Listed<Run>> {
        self.read(|data| {
            let runs = data.runs.values().rev().map(|row| &row.run);
            let runs = runs.filter(|run| filter.connection.is_none_or(|key| run.connection == key));
            let of =
                |run: &Run| data.connections.get(&run.connection).map(|row| &row.connection.organization);
            let runs = runs.filter(|run| {
                filter.organization.is_empty() || of(run).is_some_and(|owner| *owner == filter.organization)
            });
            let runs = runs.filter(|run| before.as_ref().is_none_or(|before| run.id < *before));
            Listed::cut(runs.take(limit + 1).cloned().collect(), limit, |run| run.id.clone())
        })
        .await
    }

    async fn append_log(&self, run: &str, part: LogPart) -> Result<()> {
        self.write(|data| {
            data.append(run, part);
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
        self.read(|data| {
            let row = data.runs.get(run);
            let lines = row.into_iter().flat_map(|row| &row.log);
            let lines = lines.filter(|line| line.seq > after && line.line.level as i32 >= min_level as i32);
            let listed = Listed::cut(lines.take(limit + 1).cloned().collect(), limit, |line| line.seq);
            (listed, row.map_or(0, |row| row.dropped))
        })
        .await
    }

    async fn trim_runs(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write(|data| {
            let mut old: Vec<_> = data.ended().filter(|(ended, _)| ended.ended_at < before).collect();
            old.sort();
            old.truncate(limit);
            old.iter().for_each(|(ended, _)| drop(data.runs.remove(&ended.id)));
            Ok(old.len() as u64)
        })
        .await
    }

    async fn trim_surplus_runs(&self, keep: usize, after: LookedAt, limit: usize) -> Result<Surplus> {
        self.write(|data| {
            let mut ended: Vec<_> = data.ended().filter(|(ended, _)| *ended > after).collect();
            ended.sort();
            ended.truncate(limit);
            let connections: BTreeSet<ConnectionKey> =
                ended.iter().map(|(_, connection)| *connection).collect();
            let mut old = Vec::new();
            for connection in connections {
                let runs = data.all_runs().filter(|run| run.connection == connection).collect::<Vec<_>>();
                let surplus = runs.iter().take(runs.len().saturating_sub(keep));
                old.extend(surplus.filter(|run| state::has_ended(run.state)).map(|run| run.id.clone()));
            }
            old.truncate(limit);
            old.iter().for_each(|id| drop(data.runs.remove(id)));
            let last = ended.last().map(|(ended, _)| (ended.ended_at, ended.id.as_str()));
            Ok(Surplus::new(after, last, old.len(), limit))
        })
        .await
    }
}

impl MemoryStore {
    pub(super) fn tell_run_changes(&self) {
        let mut listeners = self.run_changes.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| !listener.is_closed());
        listeners.iter().for_each(|listener| listener.send_modify(|changes| *changes += 1));
    }
}

impl Data {
    /// Every run that there is, in order of creation.
    pub(crate) fn all_runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().map(|row| &row.run)
    }

    /// Every run that has ended, and whose it is.
    fn ended(&self) -> impl Iterator<Item = (LookedAt, ConnectionKey)> {
        self.all_runs().filter_map(|run| {
            Some((LookedAt { ended_at: run.ended_at?, id: run.id.clone() }, run.connection))
        })
    }

    /// When the run ended that came before this one.
    fn end_of_the_run_before(&self, id: &str) -> Option<DateTime<Utc>> {
        let connection = self.connections.get(&self.runs.get(id)?.run.connection)?;
        self.runs.get(connection.connection.last_run.as_ref()?)?.run.ended_at
    }

    /// Cancels a connection's run, wherever it stands.
    pub(super) fn cancel(&mut self, connection: ConnectionKey, now: DateTime<Utc>) {
        if let Some(row) = self.active(connection) {
            let ended = now.max(row.run.started_at.unwrap_or(row.run.created_at));
            (row.run.state, row.run.ended_at, row.run.resume_at) = (State::Cancelled, Some(ended), None);
        }
    }

    /// Queues a connection's run again whose worker lost its claim. Says how many runs.
    pub(super) fn begin_again(&mut self, connection: ConnectionKey, crashes: u32) -> u64 {
        let Some(row) = self.active(connection).filter(|row| row.run.state == State::Running) else {
            return 0;
        };
        row.run.state = State::Queued;
        row.run.crashes += crashes;
        1
    }

    /// Writes how far a run is. One that gets on is no run that crashes again and again.
    pub(super) fn save_progress(&mut self, run: &str, progress: RunProgress) {
        let Some(row) = self.runs.get_mut(run) else { return };
        row.run.counts = progress.counts;
        row.run.pulls = row.run.pulls.max(progress.pulls);
        row.run.crashes = 0;
        if progress.mode != PullMode::Unspecified {
            row.run.mode = progress.mode;
        }
    }

    /// Refuses a connection that is not there, or is being deleted.
    fn check_open(&self, connection: ConnectionKey) -> Result<()> {
        let row = self.connections.get(&connection);
        let open = row.is_some_and(|row| row.connection.deleting_at.is_none());
        if open { Ok(()) } else { Err(StoreError::Missing("connection")) }
    }

    fn active(&mut self, connection: ConnectionKey) -> Option<&mut RunRow> {
        let mut runs = self.runs.values_mut().filter(|row| row.run.connection == connection);
        runs.find(|row| !state::has_ended(row.run.state))
    }

    fn insert_run(
        &mut self,
        id: String,
        key: ConnectionKey,
        trigger: Trigger,
        work: Work,
        now: DateTime<Utc>,
    ) -> Result<Run> {
        let connection = &self.row(key)?.connection;
        let lane = (connection.organization.clone(), connection.connector.clone());
        let run = Run {
            id: id.clone(),
            connection: key,
            connection_id: connection.id.clone(),
            state: State::Queued,
            trigger,
            work,
            mode: PullMode::Unspecified,
            created_at: now,
            started_at: None,
            ended_at: None,
            resume_at: None,
            pulls: 0,
            attempts: 0,
            crashes: 0,
            counts: RunCounts::default(),
            error: None,
            held_sweeps: Vec::new(),
            renormalizes: false,
            renormalized_to: String::new(),
        };
        let row = RunRow { run: run.clone(), lane, turn: turn(trigger), log: Vec::new(), dropped: 0 };
        self.runs.insert(id, row);
        Ok(run)
    }

    /// Lets one more run follow the one under way.
    fn follow(&mut self, key: ConnectionKey, cause: Trigger, work: Work) -> Result<()> {
        let follow = &mut self.row(key)?.follow;
        *follow = Some((cause, follow.map_or(work, |(_, before)| before.max(work))));
        Ok(())
    }

    /// Connections that become due by themselves, and when.
    fn due(&self) -> impl Iterator<Item = (DateTime<Utc>, ConnectionKey)> {
        self.connections.values().filter_map(|row| {
            let connection = &row.connection;
            let stopped = connection.disabled || connection.paused || connection.deleting_at.is_some();
            connection.next_run_at.filter(|_| !stopped).map(|at| (at, connection.key))
        })
    }

    /// The lanes in which runs wait, those behind `after` first.
    fn lanes(&self, after: Option<&LaneKey>, places: usize) -> Vec<Lane<String>> {
        let mut lanes: BTreeMap<&LaneKey, Vec<_>> = BTreeMap::new();
        for row in self.runs.values().filter(|row| row.run.state == State::Queued) {
            lanes.entry(&row.lane).or_default().push((row.turn, row.run.created_at, &row.run.id));
        }
        let mut lanes: Vec<_> = lanes.into_iter().collect();
        lanes.sort_by_key(|(lane, _)| Some(*lane) <= after);
        let lanes = lanes.into_iter().take(lanes_in_a_look(places)).map(
            |((organization, connector), mut waiting)| {
                waiting.sort_unstable();
                let waiting = waiting.into_iter().take(places).map(|(.., id)| id.clone()).collect();
                Lane { organization: organization.clone(), connector: connector.clone(), waiting }
            },
        );
        lanes.collect()
    }

    /// How many runs are under way.
    fn load(&self) -> Load {
        let mut load = Load::default();
        for row in self.runs.values().filter(|row| row.run.state == State::Running) {
            load.add(&row.lane.0, &row.lane.1, 1);
        }
        load
    }

    /// Ends or pauses one run.
    fn end(&mut self, outcome: RunOutcome, now: DateTime<Utc>) -> Result<()> {
        let RunOutcome { fence, run: id, end, progress, states, log } = outcome;
        self.check(fence)?;
        let key = fence.connection;
        let row = self.runs.get(&id).filter(|row| row.run.connection == key);
        let from = row.ok_or(StoreError::Missing("run"))?.run.state;
        state::check(from, end.state)?;
        for state in states {
            self.save_state(key, state);
        }
        if let Some(progress) = progress {
            self.save_progress(&id, progress);
        }
        self.append(&id, log);
        let (ended, succeeded) = (state::has_ended(end.state), state::has_succeeded(end.state));
        let run = &mut self.runs.get_mut(&id).ok_or(StoreError::Missing("run"))?.run;
        let ended_at = now.max(run.started_at.unwrap_or(now));
        (run.state, run.ended_at, run.resume_at) = (end.state, ended.then_some(ended_at), end.resume_at);
        (run.crashes, run.error, run.held_sweeps) = (0, end.error, end.held_sweeps);
        let syncs = !run.renormalizes;
        let row = self.row(key)?;
        let connection = &mut row.connection;
        if let Some(retry_at) = end.retry_at.filter(|at| syncs && connection.next_run_at > Some(*at)) {
            (connection.next_run_at, connection.next_cause) = (Some(retry_at), Trigger::Retry);
        }
        if succeeded && syncs {
            (connection.last_success_at, connection.failures) = (Some(now), 0);
        }
        if end.listed_all {
            connection.last_full_at = Some(now);
        }
        connection.failures += i64::from(syncs && end.state == State::Failed);
        let follow = if ended { row.follow.take() } else { None };
        self.end_claim(key)?;
        if let Some((cause, work)) = follow {
            self.insert_run(end.next_id, key, cause, work, now)?;
        }
        Ok(())
    }

    /// Appends to a run's log, up to its limit.
    fn append(&mut self, run: &str, part: LogPart) {
        let Some(row) = self.runs.get_mut(run) else { return };
        let room = usize::try_from(part.max).unwrap_or(usize::MAX).saturating_sub(row.log.len());
        row.dropped += part.lines.len().saturating_sub(room) as u64 + part.dropped;
        for line in part.lines.into_iter().take(room) {
            let seq = row.log.len() as i64 + 1;
            row.log.push(StoredLogLine { seq, line });
        }
    }
}

fn turn(trigger: Trigger) -> u8 {
    u8::from(!matches!(trigger, Trigger::Manual | Trigger::Event | Trigger::Settings))
}
