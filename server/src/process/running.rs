//! A process that runs, from its start to its end, and the task that watches over it.

use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;

use super::cgroup::Group;
use super::channel::BearerToken;
use super::health::Checks;
use super::output::Output;
use super::start::Stamp;
use crate::config::{ByteSize, ProcessConfig};

/// How long the last lines of a process that ended may take to arrive; a child of it may hold the pipe open.
const LAST_LINES_WAIT: Duration = Duration::from_millis(200);

/// How many of the last lines an error message quotes.
const QUOTED_LINES: usize = 5;

/// Why a process was ended by us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StopCause {
    /// Nobody used it.
    Idle,
    /// Its manifest or program changed.
    Replaced,
    /// The server stops.
    Shutdown,
    /// It did not become ready.
    NotReady,
    /// It did not answer its health checks.
    Unhealthy,
    /// It used more memory than it may.
    Memory { limit_bytes: u64 },
}

/// How a process ended.
#[derive(Clone, Debug)]
pub(super) struct Exit {
    /// What the system said, such as "exit status: 1".
    pub(super) status: String,
    /// Why we ended it; `None`: it ended by itself.
    pub(super) cause: Option<StopCause>,
    /// The last lines that it wrote.
    pub(super) last_lines: Vec<String>,
}

impl Exit {
    /// Whether it ended in a way that it should not.
    pub(super) fn is_crash(&self) -> bool {
        matches!(self.cause, None | Some(StopCause::Memory { .. } | StopCause::Unhealthy))
    }

    /// How it ended, in words that go on after its name.
    pub(super) fn how(&self) -> String {
        match &self.cause {
            None => format!("ended by itself ({})", self.status),
            Some(StopCause::Memory { limit_bytes }) => {
                format!("went over its memory limit of {} and was killed", ByteSize::bytes(*limit_bytes))
            }
            Some(StopCause::Unhealthy) => "did not answer its health checks and was stopped".to_owned(),
            Some(StopCause::Shutdown) => "was stopped because the server stops".to_owned(),
            Some(StopCause::Idle | StopCause::Replaced | StopCause::NotReady) => "was stopped".to_owned(),
        }
    }

    /// The word for a crash in metrics.
    pub(super) fn cause_name(&self) -> &'static str {
        match self.cause {
            Some(StopCause::Memory { .. }) => "memory",
            Some(StopCause::Unhealthy) => "unhealthy",
            _ => "crashed",
        }
    }

    /// What a caller is told.
    pub(super) fn error(&self, connector_id: &str) -> ConnectorError {
        let mut message = format!("connector {connector_id:?} {}", self.how());
        if self.is_crash() && !self.last_lines.is_empty() {
            let quoted = &self.last_lines[self.last_lines.len().saturating_sub(QUOTED_LINES)..];
            message = format!("{message}; it last wrote: {}", quoted.join(" | "));
        }
        ConnectorError::new(Reason::ConnectorCrashed, message)
            .with_metadata("connector", connector_id)
            .with_metadata("exit_status", self.status.clone())
    }
}

/// A connector that can be called.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) connector_id: String,
    pub(super) channel: Channel,
    pub(super) token: BearerToken,
    /// What it was started from.
    pub(super) stamp: Stamp,
    pub(super) started_at: DateTime<Utc>,
    /// The process here; `None` for a remote connector.
    pub(super) process: Option<Arc<Process>>,
    /// What its health checks brought.
    pub(super) checks: Checks,
    leases: AtomicUsize,
    last_used: Mutex<Instant>,
    /// No lease is given any more; it ends with the last one.
    retired: AtomicBool,
}

/// The process behind a [`Running`].
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) output: Arc<Output>,
    pub(super) resident_bytes: AtomicU64,
    /// A limit that the kernel keeps needs no looking after.
    pub(super) limited_by_kernel: bool,
    exit: watch::Receiver<Option<Exit>>,
    stop: watch::Sender<Option<StopCause>>,
}

impl Running {
    pub(super) fn new(
        connector_id: &str,
        channel: Channel,
        token: BearerToken,
        stamp: Stamp,
        started_at: DateTime<Utc>,
        process: Option<Arc<Process>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connector_id: connector_id.to_owned(),
            channel,
            token,
            stamp,
            started_at,
            process,
            checks: Checks::answered(started_at),
            leases: AtomicUsize::new(0),
            last_used: Mutex::new(Instant::now()),
            retired: AtomicBool::new(false),
        })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.exit.borrow().is_some())
    }

    /// Waits for the end of the process; for ever where there is none here.
    pub(super) async fn ended(&self) -> Exit {
        let Some(process) = &self.process else { return std::future::pending().await };
        process.end().await
    }

    pub(super) fn lease_taken(&self) {
        self.leases.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn lease_given_back(&self) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        if self.leases.fetch_sub(1, Ordering::SeqCst) == 1 && self.retired.load(Ordering::SeqCst) {
            self.stop(StopCause::Replaced);
        }
    }

    /// Lets it end with its last lease.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        if self.leases.load(Ordering::SeqCst) == 0 {
            self.stop(StopCause::Replaced);
        }
    }

    /// Whether nobody has used it for `idle_timeout`.
    pub(super) fn is_idle(&self, idle_timeout: Duration) -> bool {
        let last_used = *self.last_used.lock().unwrap_or_else(PoisonError::into_inner);
        self.leases.load(Ordering::SeqCst) == 0 && last_used.elapsed() >= idle_timeout
    }

    /// Asks the process to stop; the first cause stays.
    pub(super) fn stop(&self, cause: StopCause) {
        if let Some(process) = &self.process {
            process.stop(cause);
        }
    }
}

impl Process {
    /// Watches over a child from here to its end.
    pub(super) fn watch(child: Child, config: &ProcessConfig, watching: &TaskTracker) -> Arc<Self> {
        let (stop, stop_asked) = watch::channel(None);
        let (ended, exit) = watch::channel(None);
        let (pid, output) = (child.pid, Arc::clone(&child.output));
        let limited_by_kernel = child.group.is_some();
        watching.spawn(child.watch(config.clone(), stop_asked, ended));
        Arc::new(Self { pid, output, resident_bytes: AtomicU64::new(0), limited_by_kernel, exit, stop })
    }

    pub(super) fn stop(&self, cause: StopCause) {
        self.stop.send_if_modified(|asked| {
            let first = asked.is_none();
            if first {
                *asked = Some(cause);
            }
            first
        });
    }

    /// Waits for the end of the process, without holding it.
    pub(super) fn end(&self) -> impl Future<Output = Exit> + Send + 'static {
        let mut exit = self.exit.clone();
        async move {
            match exit.wait_for(Option::is_some).await {
                Ok(exit) => exit.clone().unwrap_or_else(lost),
                // The runtime shuts down and took the watching task with it.
                Err(_) => lost(),
            }
        }
    }
}

fn lost() -> Exit {
    Exit { status: "unknown".to_owned(), cause: Some(StopCause::Shutdown), last_lines: Vec::new() }
}

/// A process that was just started, and all that goes with it.
pub(super) struct Child {
    pub(super) child: tokio::process::Child,
    pub(super) pid: u32,
    pub(super) output: Arc<Output>,
    /// The folder of its socket.
    pub(super) folder: TempDir,
    pub(super) group: Option<Group>,
}

impl Child {
    async fn watch(
        mut self,
        config: ProcessConfig,
        mut stop: watch::Receiver<Option<StopCause>>,
        ended: watch::Sender<Option<Exit>>,
    ) {
        let readers = self.read_output();
        let (status, mut cause) = tokio::select! {
            status = self.child.wait() => (status, None),
            cause = asked_to_stop(&mut stop) => (self.stop(&cause, config.stop_grace).await, Some(cause)),
        };
        // What the connector started and left behind. Its group's number is not given out again while one of them
        // is in it; with none of them there, nobody has it.
        self.signal(Signal::SIGKILL);
        if let Some(group) = &self.group {
            group.kill();
            if cause.is_none() && group.was_out_of_memory() {
                cause = Some(StopCause::Memory { limit_bytes: config.memory_limit_bytes.as_u64() });
            }
        }
        let _ = tokio::time::timeout(LAST_LINES_WAIT, futures::future::join_all(readers)).await;
        let status = describe(status);
        tracing::debug!(process.pid = self.pid, ?cause, "connector process ended: {status}");
        drop(self.folder);
        drop(self.group);
        ended.send_replace(Some(Exit { status, cause, last_lines: self.output.last_lines() }));
    }

    /// Asks, waits, and then ends the whole group.
    async fn stop(&mut self, cause: &StopCause, grace: Duration) -> std::io::Result<ExitStatus> {
        // A process that eats the machine's memory is not asked.
        if !matches!(cause, StopCause::Memory { .. }) {
            self.signal(Signal::SIGTERM);
            if let Ok(status) = tokio::time::timeout(grace, self.child.wait()).await {
                return status;
            }
        }
        self.signal(Signal::SIGKILL);
        self.child.wait().await
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.pid) {
            // Fails where the group is empty already.
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }

    fn read_output(&mut self) -> Vec<JoinHandle<()>> {
        let mut readers = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            readers.push(tokio::spawn(Arc::clone(&self.output).read_stderr(stderr)));
        }
        if let Some(stdout) = self.child.stdout.take() {
            readers.push(tokio::spawn(Arc::clone(&self.output).read_stdout(stdout)));
        }
        readers
    }
}

async fn asked_to_stop(stop: &mut watch::Receiver<Option<StopCause>>) -> StopCause {
    match stop.wait_for(Option::is_some).await.map(|cause| cause.clone()) {
        Ok(Some(cause)) => cause,
        // Nobody holds the process any more.
        Ok(None) | Err(_) => StopCause::Shutdown,
    }
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| format!("exit status not known: {error}"), |status| status.to_string())
}
