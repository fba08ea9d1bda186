//! The process host itself: the places of all processes, and the task that looks after them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use superfasttt_launch::Processes;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hardening;
use super::health::{self, ConnectorHealth, Remotes};
use super::launcher::Launcher;
use super::lease::Lease;
use super::running::StopCause;
use super::slot::{Slot, SlotKey};
use super::start::{Stamp, Starter, not_runnable, socket_folder_prefix};
use super::status::ProcessStatus;
use crate::catalog::{Catalog, ConnectorEntry, Runnable};
use crate::clock::SharedClock;
use crate::config::ProcessConfig;

/// How often memory is sampled, and at least how often idle processes are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A place without a process is forgotten after this long: connections come and go.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// The process host cannot work on this machine.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The folder for sockets cannot be made.
    #[error("{} cannot hold the sockets of connectors: {source}; check that connectord may write there", path.display())]
    RuntimeDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The user of `process.run_as` cannot be used.
    #[error("process.run_as: {0}; create the user or leave the key out")]
    RunAs(String),
    /// The thread that starts programs could not be started.
    #[error("the launcher thread cannot be started: {0}")]
    Launcher(std::io::Error),
}

/// Finds, starts, watches and stops the processes of connectors. Clones are the same host. When the last one is
/// dropped all processes end; [`ProcessHost::shutdown`] lets them end in order.
#[derive(Clone, Debug)]
pub struct ProcessHost {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) starter: Arc<Starter>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) remotes: Remotes,
    slots: Mutex<HashMap<SlotKey, Arc<Slot>>>,
    stopping: CancellationToken,
}

impl ProcessHost {
    /// Makes a host whose sockets are below `runtime_dir`, and starts to look after its processes.
    ///
    /// # Errors
    ///
    /// The folder or the user that the configuration names cannot be used.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn new(
        config: ProcessConfig,
        clock: SharedClock,
        catalog: Arc<Catalog>,
        runtime_dir: &Path,
    ) -> Result<Self, HostError> {
        let run_as = hardening::run_as(config.run_as.as_deref()).map_err(HostError::RunAs)?;
        hardening::warn_without_domains();
        let runtime_dir = hardening::make_runtime_dir(runtime_dir, run_as)
            .map_err(|source| HostError::RuntimeDir { path: runtime_dir.to_owned(), source })?;
        remove_left_behind(&runtime_dir);
        let look_every = (config.idle_timeout / 4).clamp(Duration::from_millis(10), LOOK_EVERY);
        let launcher = Launcher::start().map_err(HostError::Launcher)?;
        let health_interval = config.health_interval;
        let starter = Starter::new(config, clock, runtime_dir, run_as, launcher);
        let inner = Arc::new(Inner {
            starter: Arc::new(starter),
            catalog,
            remotes: Remotes::default(),
            slots: Mutex::default(),
            stopping: CancellationToken::new(),
        });
        tokio::spawn(look_after(Arc::downgrade(&inner), look_every));
        tokio::spawn(health::check(Arc::downgrade(&inner), health_interval));
        Ok(Self { inner })
    }

    /// A process of this connector that may work for this connection, ready to be called. Starts one where there
    /// is none; callers that come meanwhile wait for the same one. Cancelling the wait does not stop the start.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND`: the catalogue has no such connector. `CONNECTOR_CRASHED`: it cannot be started, did not become
    /// ready, or failed a short while ago (then with the time after which it is tried again).
    pub async fn acquire(
        &self,
        connector_id: &str,
        organization: &str,
        connection: &str,
    ) -> Result<Lease, ConnectorError> {
        let inner = &self.inner;
        if inner.stopping.is_cancelled() {
            return Err(stopping(connector_id));
        }
        let entry = inner.catalog.get(connector_id).ok_or_else(|| {
            let message =
                format!("there is no connector {connector_id:?}; add its folder to the connectors directory");
            ConnectorError::new(Reason::NotFound, message)
        })?;
        if inner.catalog.is_disabled(connector_id) {
            return Err(disabled(connector_id));
        }
        let manifest = match (&entry.manifest, &entry.runnable) {
            (_, Runnable::NotRunnable(reason)) => return Err(not_runnable(connector_id, reason)),
            (None, _) => return Err(not_runnable(connector_id, "its manifest has problems")),
            (Some(manifest), _) => manifest,
        };
        let stamp = Stamp::of(&entry, manifest);
        let slot = inner.slot(connector_id, organization, connection);
        if let Some(lease) = slot.lease(&stamp) {
            return Ok(lease);
        }
        let start_right = Arc::clone(&slot.starting).lock_owned().await;
        // Whoever had the right before may have started it.
        if let Some(lease) = slot.lease(&stamp) {
            return Ok(lease);
        }
        slot.make_room(&inner.starter.config).await?;
        let starter = Arc::clone(&inner.starter);
        let given_up = inner.stopping.clone();
        let connector = connector_id.to_owned();
        let start = async move {
            let _until_started = start_right;
            tokio::select! {
                started = slot.start(&starter, &entry, stamp) => started,
                () = given_up.cancelled() => {
                    slot.start_given_up();
                    Err(stopping(&connector))
                }
            }
        };
        // A task of its own: a caller that goes away takes nothing from those who wait for the same start.
        tokio::spawn(start).await.unwrap_or_else(|error| {
            Err(ConnectorError::new(
                Reason::Internal,
                format!("the start of {connector_id:?} failed: {error}"),
            ))
        })
    }

    /// The processes of a connector, those that ended included.
    #[must_use]
    pub fn status(&self, connector_id: &str) -> Vec<ProcessStatus> {
        let now = self.inner.starter.clock.now();
        let mut statuses: Vec<ProcessStatus> = self
            .inner
            .slots()
            .into_iter()
            .map(|slot| slot.status(now))
            .filter(|status| status.connector_id == connector_id)
            .collect();
        statuses.sort_by(|a, b| (&a.organization, &a.connection).cmp(&(&b.organization, &b.connection)));
        statuses
    }

    /// How a connector does: what its processes, or where it runs elsewhere, answer.
    #[must_use]
    pub fn health(&self, entry: &ConnectorEntry) -> ConnectorHealth {
        self.health_of(entry, &self.status(&entry.id))
    }

    /// The same as far as these of its processes tell.
    #[must_use]
    pub fn health_of(&self, entry: &ConnectorEntry, processes: &[ProcessStatus]) -> ConnectorHealth {
        match &entry.runnable {
            Runnable::Endpoint(_) => health::of_remote(self.inner.remotes.checked(&entry.id)),
            Runnable::Command(_) | Runnable::NotRunnable(_) => health::of_processes(processes),
        }
    }

    /// Stops all processes and waits until they have ended: each is asked, and killed after `process.stop_grace`.
    /// Nothing is started any more.
    pub async fn shutdown(&self) {
        self.inner.stopping.cancel();
        for slot in self.inner.slots() {
            // A start that is under way gives up at once and lets go of this.
            let _no_start = slot.starting.lock().await;
            slot.stop();
        }
        self.inner.starter.watching.close();
        self.inner.starter.watching.wait().await;
    }
}

impl Inner {
    fn slot(&self, connector_id: &str, organization: &str, connection: &str) -> Arc<Slot> {
        let key = SlotKey::new(self.starter.config.isolation, connector_id, organization, connection);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key.clone()).or_insert_with(|| Slot::new(key)))
    }

    pub(super) fn slots(&self) -> Vec<Arc<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn stop_idle(&self) {
        for slot in self.slots() {
            slot.stop_if_idle(self.starter.config.idle_timeout);
        }
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // One that somebody else holds is about to be used.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_forgotten(FORGET_AFTER));
    }

    async fn limit_memory(&self) {
        let processes = self.starter.processes();
        let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
        if pids.is_empty() {
            return;
        }
        let resident = move || -> HashMap<u32, u64> {
            let all = Processes::now();
            pids.into_iter().map(|pid| (pid, all.resident_bytes(pid))).collect()
        };
        let Ok(resident) = tokio::task::spawn_blocking(resident).await else { return };
        let limit_bytes = self.starter.config.memory_limit_bytes.as_u64();
        for process in processes {
            let resident_bytes = resident.get(&process.pid).copied().unwrap_or_default();
            process.resident_bytes.store(resident_bytes, Ordering::Relaxed);
            if resident_bytes > limit_bytes && !process.limited_by_kernel {
                process.stop(StopCause::Memory { limit_bytes });
            }
        }
    }
}

/// Looks after the processes of a host for as long as there is one.
async fn look_after(host: Weak<Inner>, look_every: Duration) {
    let mut sampled = Instant::now();
    loop {
        tokio::time::sleep(look_every).await;
        let Some(host) = host.upgrade() else { return };
        host.stop_idle();
        if sampled.elapsed() >= LOOK_EVERY {
            sampled = Instant::now();
            host.limit_memory().await;
        }
    }
}

/// Removes the sockets of servers that were killed.
fn remove_left_behind(runtime_dir: &Path) {
    for item in std::fs::read_dir(runtime_dir).into_iter().flatten().flatten() {
        let name = item.file_name().to_string_lossy().into_owned();
        let owner: Option<u32> = name
            .strip_prefix('c')
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(pid, _)| pid.parse().ok())
            .filter(|pid| name.starts_with(&socket_folder_prefix(*pid)));
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(item.path());
        }
    }
}

fn disabled(connector_id: &str) -> ConnectorError {
    let message = format!(
        "an administrator disabled connector {connector_id:?}: set connectors.{connector_id}.enabled to use it again"
    );
    ConnectorError::new(Reason::AccessDenied, message).with_metadata("connector", connector_id)
}

fn stopping(connector_id: &str) -> ConnectorError {
    let message = format!("connector {connector_id:?} is not started: the server stops");
    ConnectorError::new(Reason::ConnectorCrashed, message)
}
