//! The place of one process: a connector, for all connections, for those of one organisation, or for one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use tokio::time::Instant;

use super::lease::Lease;
use super::running::{Exit, Running, StopCause};
use super::start::{Stamp, Starter};
use super::status::{ProcessState, ProcessStatus};
use crate::catalog::ConnectorEntry;
use crate::config::{Isolation, ProcessConfig};
use crate::telemetry::metrics::{CONNECTOR_FAILURES, CONNECTOR_RESTARTS};

/// Who shares a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SlotKey {
    pub(super) connector_id: String,
    organization: Option<String>,
    connection: Option<String>,
}

impl SlotKey {
    pub(super) fn new(
        isolation: Isolation,
        connector_id: &str,
        organization: &str,
        connection: &str,
    ) -> Self {
        let apart = |when: bool, name: &str| when.then(|| name.to_owned());
        Self {
            connector_id: connector_id.to_owned(),
            organization: apart(isolation != Isolation::Shared, organization),
            connection: apart(isolation == Isolation::Connection, connection),
        }
    }
}

/// The place of one process.
#[derive(Debug)]
pub(super) struct Slot {
    key: SlotKey,
    /// Held during a start: whoever needs the process meanwhile waits for that start.
    pub(super) starting: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: Option<Arc<Running>>,
    phase: ProcessState,
    starting_pid: Option<u32>,
    /// Failures in a row, each of which makes the next pause longer.
    failures: u32,
    restarts: u64,
    retry_at: Option<Instant>,
    last_error: Option<String>,
    changed: Instant,
}

impl State {
    fn enter(&mut self, phase: ProcessState) {
        self.phase = phase;
        self.changed = Instant::now();
    }
}

impl Slot {
    pub(super) fn new(key: SlotKey) -> Arc<Self> {
        let state = State {
            running: None,
            phase: ProcessState::Stopped,
            starting_pid: None,
            failures: 0,
            restarts: 0,
            retry_at: None,
            last_error: None,
            changed: Instant::now(),
        };
        Arc::new(Self { key, starting: Arc::default(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lease on the process that is there, if it is the right one.
    pub(super) fn lease(&self, stamp: &Stamp) -> Option<Lease> {
        let state = self.state();
        let running = state.running.as_ref()?;
        (!running.has_ended() && running.stamp == *stamp).then(|| Lease::new(Arc::clone(running)))
    }

    /// Prepares for a start: what is there goes, and after a failure its pause must be over.
    ///
    /// # Errors
    ///
    /// The pause is not over.
    pub(super) async fn make_room(&self, config: &ProcessConfig) -> Result<(), ConnectorError> {
        let before = self.state().running.clone();
        if let Some(running) = before {
            if running.has_ended() {
                // Its own task may not have come to it yet.
                let exit = running.ended().await;
                self.process_ended(&running, &exit, config);
            } else {
                running.retire();
                self.state().running = None;
            }
        }
        let state = self.state();
        let wait = state.retry_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        if wait.is_zero() {
            return Ok(());
        }
        let id = &self.key.connector_id;
        let why = state.last_error.as_deref().unwrap_or_default();
        let message = format!("connector {id:?} is started again in {:.1} s: {why}", wait.as_secs_f64());
        Err(ConnectorError::new(Reason::ConnectorCrashed, message)
            .with_metadata("connector", id)
            .with_retry_after(wait))
    }

    /// Starts the process. The caller holds `starting`.
    ///
    /// # Errors
    ///
    /// It did not become ready; the next start waits.
    pub(super) async fn start(
        self: &Arc<Self>,
        starter: &Starter,
        entry: &ConnectorEntry,
        stamp: Stamp,
    ) -> Result<Lease, ConnectorError> {
        {
            let mut state = self.state();
            if state.failures > 0 {
                state.restarts += 1;
                CONNECTOR_RESTARTS.add([&self.key.connector_id], 1);
            }
            state.enter(ProcessState::Starting);
        }
        let started = starter.start(entry, stamp, |pid| self.state().starting_pid = Some(pid)).await;
        self.state().starting_pid = None;
        match started {
            Ok(running) => {
                let lease = Lease::new(Arc::clone(&running));
                {
                    let mut state = self.state();
                    state.running = Some(Arc::clone(&running));
                    state.enter(ProcessState::Ready);
                }
                if let Some(process) = &running.process {
                    self.follow(&running, process.end(), starter.config.clone());
                }
                Ok(lease)
            }
            Err(error) => {
                tracing::warn!(connector.id = %self.key.connector_id, "{}", error.message);
                CONNECTOR_FAILURES.add([&self.key.connector_id, "not_started"], 1);
                self.failed(ProcessState::Failed, error.message.clone(), &starter.config);
                Err(error)
            }
        }
    }

    /// A start was given up because the server stops.
    pub(super) fn start_given_up(&self) {
        let mut state = self.state();
        state.starting_pid = None;
        state.enter(ProcessState::Stopped);
    }

    /// Notes the end of the process when it comes. Holds nothing: a process that nobody holds is stopped.
    fn follow(
        self: &Arc<Self>,
        running: &Arc<Running>,
        end: impl Future<Output = Exit> + Send + 'static,
        config: ProcessConfig,
    ) {
        let (slot, running) = (Arc::downgrade(self), Arc::downgrade(running));
        tokio::spawn(async move {
            let exit = end.await;
            if let (Some(slot), Some(running)) = (slot.upgrade(), running.upgrade()) {
                slot.process_ended(&running, &exit, &config);
            }
        });
    }

    /// Notes the end of a process; the second time, or after it was replaced, nothing.
    fn process_ended(&self, running: &Arc<Running>, exit: &Exit, config: &ProcessConfig) {
        {
            let mut state = self.state();
            if !state.running.as_ref().is_some_and(|current| Arc::ptr_eq(current, running)) {
                return;
            }
            state.running = None;
            if !exit.is_crash() {
                state.enter(ProcessState::Stopped);
                return;
            }
            // It did well for a while: this is the first failure of a new row.
            if state.changed.elapsed() > config.restart_backoff_max {
                state.failures = 0;
            }
        }
        let error = exit.error(&self.key.connector_id);
        tracing::warn!(connector.id = %self.key.connector_id, "{}", error.message);
        CONNECTOR_FAILURES.add([&self.key.connector_id, exit.cause_name()], 1);
        self.failed(ProcessState::Backoff, error.message, config);
    }

    fn failed(&self, phase: ProcessState, message: String, config: &ProcessConfig) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        state.retry_at = Some(Instant::now() + pause(state.failures, config));
        state.last_error = Some(message);
        state.enter(phase);
    }

    /// Stops the process if nobody has used it for a while.
    pub(super) fn stop_if_idle(&self, idle_timeout: Duration) {
        let mut state = self.state();
        // Under the lock under which leases are given: nobody can have taken one since.
        if let Some(running) = state.running.take_if(|running| running.is_idle(idle_timeout)) {
            running.stop(StopCause::Idle);
            state.enter(ProcessState::Stopped);
            tracing::info!(connector.id = %self.key.connector_id, "connector process is idle and stopped");
        }
    }

    /// Stops the process, whoever uses it.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        if let Some(running) = state.running.take() {
            running.stop(StopCause::Shutdown);
            state.enter(ProcessState::Stopped);
        }
    }

    /// Whether there has been nothing here for so long that it can be forgotten.
    pub(super) fn is_forgotten(&self, after: Duration) -> bool {
        let state = self.state();
        state.running.is_none() && state.phase != ProcessState::Starting && state.changed.elapsed() > after
    }

    /// What runs here now.
    pub(super) fn running(&self) -> Option<Arc<Running>> {
        self.state().running.clone()
    }

    pub(super) fn status(&self, now: DateTime<Utc>) -> ProcessStatus {
        let state = self.state();
        let checked = state.running.as_ref().map(|running| running.checks.now());
        let changed = TimeDelta::from_std(state.changed.elapsed()).unwrap_or_default();
        let process = state.running.as_ref().and_then(|running| running.process.as_ref());
        ProcessStatus {
            connector_id: self.key.connector_id.clone(),
            organization: self.key.organization.clone(),
            connection: self.key.connection.clone(),
            state: state.phase,
            unhealthy: checked.as_ref().is_some_and(|checked| checked.failures > 0),
            since: checked.as_ref().map_or(now - changed, |checked| checked.since),
            checked_at: checked.as_ref().map(|checked| checked.at),
            pid: process.map(|process| process.pid).or(state.starting_pid),
            started_at: state.running.as_ref().map(|running| running.started_at),
            restarts: state.restarts,
            last_error: checked.and_then(|checked| checked.last_error).or_else(|| state.last_error.clone()),
            resident_bytes: process
                .map_or(0, |process| process.resident_bytes.load(std::sync::atomic::Ordering::Relaxed)),
        }
    }
}

/// The pause after so many failures in a row: doubled with each, and any part of that by chance, so that many
/// connectors that failed together do not come back together.
fn pause(failures: u32, config: &ProcessConfig) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let longest =
        config.restart_backoff_initial.saturating_mul(1 << doublings).min(config.restart_backoff_max);
    longest.mul_f64(rand::rng().random_range(0.0..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_up_to_its_limit() {
        let config = ProcessConfig::default();
        for (failures, longest) in [(1, 1), (2, 2), (5, 16), (7, 60), (1000, 60)] {
            let pauses: Vec<Duration> = (0..200).map(|_| pause(failures, &config)).collect();
            assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(longest)));
            assert!(pauses.iter().any(|pause| *pause > Duration::from_secs(longest) / 2));
        }
    }

    #[test]
    fn isolation_says_who_shares_a_process() {
        let key =
            |isolation, organization, connection| SlotKey::new(isolation, "demo", organization, connection);
        assert_eq!(key(Isolation::Shared, "a", "1"), key(Isolation::Shared, "b", "2"));
        assert_eq!(key(Isolation::Organization, "a", "1"), key(Isolation::Organization, "a", "2"));
        assert_ne!(key(Isolation::Organization, "a", "1"), key(Isolation::Organization, "b", "1"));
        assert_ne!(key(Isolation::Connection, "a", "1"), key(Isolation::Connection, "a", "2"));
    }
}
