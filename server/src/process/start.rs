//! One start of a connector: launch or reach it, and wait until it is ready.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use superfasttt_confine::Domain;
use superfasttt_launch::{Launch, RunAs};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::transport::Channel;

use super::cgroup::{Delegated, Group};
use super::channel::{self, BearerToken};
use super::launcher::Launcher;
use super::output::Output;
use super::running::{Child, Process, Running, StopCause};
use crate::catalog::{ConnectorEntry, Endpoint, Manifest, Runnable};
use crate::clock::SharedClock;
use crate::config::ProcessConfig;

/// A Unix socket's path ends here, on every system that we know.
const MAX_SOCKET_PATH_BYTES: usize = 100;

/// Short: the whole path has to be.
const SOCKET_NAME: &str = "s";

/// What a process was started from: another stamp, another process.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    pub(super) manifest: Arc<Manifest>,
    runnable: Runnable,
    /// The files that the command names, or that the endpoint is reached with.
    files: Vec<FileStamp>,
}

/// Device, inode, size and time of change of a file.
pub(super) type FileStamp = (u64, u64, u64, i64, i64);

/// The stamps of those of these files that are there.
pub(super) fn file_stamps(paths: impl Iterator<Item = PathBuf>) -> Vec<FileStamp> {
    paths
        .filter_map(|path| std::fs::metadata(path).ok())
        .filter(std::fs::Metadata::is_file)
        .map(|file| (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
        .collect()
}

impl Stamp {
    pub(super) fn of(entry: &ConnectorEntry, manifest: &Arc<Manifest>) -> Self {
        let files = match &entry.runnable {
            Runnable::Command(command) => file_stamps(command.iter().map(|word| entry.folder.join(word))),
            Runnable::Endpoint(endpoint) => file_stamps(endpoint.files()),
            Runnable::NotRunnable(_) => Vec::new(),
        };
        Self { manifest: Arc::clone(manifest), runnable: entry.runnable.clone(), files }
    }
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        // The catalogue keeps one value for one text.
        Arc::ptr_eq(&self.manifest, &other.manifest)
            && self.runnable == other.runnable
            && self.files == other.files
    }
}

/// What every start needs.
#[derive(Debug)]
pub(super) struct Starter {
    pub(super) config: ProcessConfig,
    pub(super) clock: SharedClock,
    runtime_dir: PathBuf,
    run_as: Option<RunAs>,
    launcher: Launcher,
    cgroup: Option<Delegated>,
    next_group: AtomicU64,
    /// The tasks that watch over processes: none of them left, none of the processes left.
    pub(super) watching: TaskTracker,
    /// All processes that run, also those that are not ready yet or that were replaced and still have leases.
    processes: Mutex<Vec<Weak<Process>>>,
}

impl Starter {
    pub(super) fn new(
        config: ProcessConfig,
        clock: SharedClock,
        runtime_dir: PathBuf,
        run_as: Option<RunAs>,
        launcher: Launcher,
    ) -> Self {
        Self {
            config,
            clock,
            runtime_dir,
            run_as,
            launcher,
            cgroup: Delegated::find(),
            next_group: AtomicU64::new(0),
            watching: TaskTracker::new(),
            processes: Mutex::default(),
        }
    }

    /// All processes that run.
    pub(super) fn processes(&self) -> Vec<Arc<Process>> {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        processes.retain(|process| process.strong_count() > 0);
        processes.iter().filter_map(Weak::upgrade).collect()
    }

    /// Starts the connector of `entry`, and gives it when it is ready. Dropping the future ends the process again.
    ///
    /// # Errors
    ///
    /// It could not be started or reached, ended, or did not become ready in time.
    pub(super) async fn start(
        &self,
        entry: &ConnectorEntry,
        stamp: Stamp,
        started: impl FnOnce(u32),
    ) -> Result<Arc<Running>, ConnectorError> {
        match &entry.runnable {
            Runnable::Command(command) => self.start_process(entry, command, stamp, started).await,
            Runnable::Endpoint(endpoint) => self.reach(&entry.id, endpoint, stamp).await,
            Runnable::NotRunnable(reason) => Err(not_runnable(&entry.id, reason)),
        }
    }

    async fn start_process(
        &self,
        entry: &ConnectorEntry,
        command: &[String],
        stamp: Stamp,
        started: impl FnOnce(u32),
    ) -> Result<Arc<Running>, ConnectorError> {
        let id = &entry.id;
        let cannot = |error: std::io::Error| {
            let program = command.first().map_or("", String::as_str);
            failed(id, format!("connector {id:?} cannot be started: {program}: {error}"))
        };
        let folder = self.socket_folder().map_err(cannot)?;
        let socket = folder.path().join(SOCKET_NAME);
        let token = new_token().map_err(cannot)?;
        let group = self.group(id);
        let join_file = group.as_ref().map(Group::join_file).transpose().map_err(cannot)?;
        let domain = Domain::new().map_err(cannot)?;
        let launch = Launch {
            command,
            folder: &entry.folder,
            socket: &socket,
            token: token.expose_secret(),
            log: log_level(),
            run_as: self.run_as,
            cgroup: join_file,
            domain,
        };
        // From before it can print it.
        let bearer = BearerToken::new(&token);
        let child = self.launcher.launch(launch).await.map_err(cannot)?;
        let Some(pid) = child.id() else {
            return Err(cannot(std::io::Error::other("it ended before it was looked at")));
        };
        tracing::info!(connector.id = %id, process.pid = pid, "connector process started");
        started(pid);
        let output = Output::new(id, pid);
        let child = Child { child, pid, output, folder, group };
        let process = Process::watch(child, &self.config, &self.watching);
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&process));
        let channel = channel::unix(&socket);
        let ready = tokio::select! {
            // An end is told rather than the broken connection that it leaves.
            biased;
            exit = process.end() => {
                Err(format!("before it was ready it {}", exit.how()))
            }
            ready = self.until_ready(&channel, &bearer) => ready,
        };
        if let Err(reason) = ready {
            process.stop(StopCause::NotReady);
            let last = process.output.last_lines().pop();
            let last = last.map_or_else(String::new, |line| format!("; it last wrote: {line}"));
            return Err(failed(id, format!("connector {id:?} did not start: {reason}{last}")));
        }
        Ok(Running::new(id, channel, bearer, stamp, self.clock.now(), Some(process)))
    }

    async fn reach(
        &self,
        id: &str,
        endpoint: &Endpoint,
        stamp: Stamp,
    ) -> Result<Arc<Running>, ConnectorError> {
        let cannot = |reason: String| {
            failed(id, format!("connector {id:?} at {} cannot be reached: {reason}", endpoint.url))
        };
        let (channel, token) = channel::remote(endpoint).map_err(cannot)?;
        self.until_ready(&channel, &token).await.map_err(cannot)?;
        Ok(Running::new(id, channel, token, stamp, self.clock.now(), None))
    }

    async fn until_ready(&self, channel: &Channel, token: &BearerToken) -> Result<(), String> {
        let limit = self.config.start_timeout;
        let serving = channel::wait_until_serving(channel, token);
        match tokio::time::timeout(limit, serving).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => Err(refused(&status)),
            Err(_) => Err(format!(
                "it was not ready within {}; it must bind CONNECTOR_SOCKET and answer grpc.health.v1 with SERVING",
                humantime::format_duration(limit)
            )),
        }
    }

    /// A fresh folder for one socket, closed to others and removed with its process.
    fn socket_folder(&self) -> std::io::Result<TempDir> {
        let folder_in = |parent: &Path| {
            tempfile::Builder::new()
                .prefix(&socket_folder_prefix(std::process::id()))
                .permissions(std::fs::Permissions::from_mode(0o700))
                .tempdir_in(parent)
        };
        let mut folder = folder_in(&self.runtime_dir)?;
        if folder.path().join(SOCKET_NAME).as_os_str().len() > MAX_SOCKET_PATH_BYTES {
            folder = folder_in(Path::new("/tmp"))?;
        }
        if let Some(run_as) = self.run_as {
            nix::unistd::chown(folder.path(), Some(run_as.uid), Some(run_as.gid))?;
        }
        Ok(folder)
    }

    fn group(&self, id: &str) -> Option<Group> {
        let number = self.next_group.fetch_add(1, Ordering::Relaxed);
        let limit = self.config.memory_limit_bytes.as_u64();
        match self.cgroup.as_ref()?.group(&format!("{id}-{number}"), limit) {
            Ok(group) => Some(group),
            Err(error) => {
                tracing::warn!(connector.id = %id, "no cgroup for this connector, its memory is sampled: {error}");
                None
            }
        }
    }
}

/// What the folders of one server's sockets begin with.
pub(super) fn socket_folder_prefix(server_pid: u32) -> String {
    format!("c{server_pid}-")
}

pub(super) fn not_runnable(id: &str, reason: &str) -> ConnectorError {
    failed(id, format!("connector {id:?} is not runnable: {reason}"))
}

fn failed(id: &str, message: String) -> ConnectorError {
    ConnectorError::new(Reason::ConnectorCrashed, message).with_metadata("connector", id)
}

fn refused(status: &Status) -> String {
    format!(
        "it answered grpc.health.v1 with {:?} ({}); it must serve health, and accept `authorization: Bearer` with \
         CONNECTOR_TOKEN",
        status.code(),
        status.message()
    )
}

/// 256 random bits as hexadecimal digits.
fn new_token() -> std::io::Result<SecretString> {
    let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| std::io::Error::other("no random numbers"))?;
    Ok(SecretString::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

/// How much connectors log: as much as this process.
fn log_level() -> &'static str {
    use tracing::level_filters::LevelFilter;
    match LevelFilter::current() {
        LevelFilter::OFF | LevelFilter::ERROR => "error",
        LevelFilter::WARN => "warn",
        LevelFilter::INFO => "info",
        LevelFilter::DEBUG => "debug",
        _ => "trace",
    }
}
