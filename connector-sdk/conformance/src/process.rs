//! A connector's process, started as connectord starts it ([`superfasttt_launch`]), and driven.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rand::Rng;
use superfasttt_confine::Domain;
use superfasttt_launch::{Processes, Usage};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::output::{Output, Stream};
use crate::wire::Wire;

/// connectord's `process.start_timeout`.
const START_WITHIN: Duration = Duration::from_secs(20);
/// What is written before an end is there at once, unless somebody else holds the other side open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How to start a connector.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Where it is started.
    pub(crate) folder: PathBuf,
    /// A recording that its SDK answers from.
    pub(crate) replay: Option<PathBuf>,
    /// A recording that its SDK makes.
    pub(crate) record: Option<PathBuf>,
    /// How much it logs.
    pub(crate) log: &'static str,
}

/// A connector's process that is ready.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    pub(crate) wire: Wire,
    pub(crate) token: String,
    /// How long it took to be ready.
    pub(crate) started_in: Duration,
    /// What takes in its output.
    readers: Vec<JoinHandle<()>>,
    _socket_folder: TempDir,
}

impl Launch {
    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// What went wrong, in words.
    pub(crate) async fn start(&self, output: &Output) -> Result<Process, String> {
        let began = std::time::Instant::now();
        let program = self.command.first().map_or("", String::as_str);
        let cannot = |error: io::Error| format!("{program} cannot be started: {error}");
        let socket_folder = tempfile::Builder::new().prefix("conformance-").tempdir().map_err(cannot)?;
        let socket = socket_folder.path().join("s");
        let token = random_token();
        let mut child = self.command(&socket, &token).and_then(|mut it| it.spawn()).map_err(cannot)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let pid = pid.ok_or_else(|| "it ended before it was looked at".to_owned())?;
        let stdout = child.stdout.take().map(|stdout| output.follow(Stream::Stdout, stdout));
        let stderr = child.stderr.take().map(|stderr| output.follow(Stream::Stderr, stderr));
        let wire = Wire::unix(&socket, &token);
        let mut process = Process {
            child,
            pid,
            wire,
            token,
            started_in: Duration::ZERO,
            readers: stdout.into_iter().chain(stderr).collect(),
            _socket_folder: socket_folder,
        };
        let ready = tokio::select! {
            biased;
            exit = process.child.wait() => Err(format!("before it was ready it ended ({})", told(exit))),
            ready = tokio::time::timeout(START_WITHIN, process.wire.until_serving()) => match ready {
                Ok(Ok(())) => Ok(()),
                Ok(Err(status)) => Err(format!("it answered grpc.health.v1 with {:?} ({})", status.code(), status.message())),
                Err(_) => Err(format!(
                    "it was not ready within {} s: it must bind CONNECTOR_SOCKET and answer grpc.health.v1 with SERVING",
                    START_WITHIN.as_secs()
                )),
            },
        };
        if let Err(reason) = ready {
            process.kill().await;
            let last = output.last_line().map_or_else(String::new, |line| format!("; it last wrote: {line}"));
            return Err(format!("{reason}{last}"));
        }
        process.started_in = began.elapsed();
        Ok(process)
    }

    fn command(&self, socket: &Path, token: &str) -> io::Result<tokio::process::Command> {
        let launch = superfasttt_launch::Launch {
            command: &self.command,
            folder: &self.folder,
            socket,
            token,
            log: self.log,
            run_as: None,
            cgroup: None,
            domain: Domain::new()?,
        };
        let mut command = launch.command()?;
        if let Some(recording) = &self.replay {
            command.env("CONNECTOR_HTTP_REPLAY", recording);
        }
        if let Some(recording) = &self.record {
            command.env("CONNECTOR_HTTP_RECORD", recording);
        }
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        Ok(command)
    }
}

impl Process {
    /// Whether it runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, where it has.
    pub(crate) fn exit(&mut self) -> Option<String> {
        self.child.try_wait().transpose().map(told)
    }

    /// What it and all that it started use.
    pub(crate) fn usage(&self) -> Usage {
        Processes::now().usage(self.pid.as_raw().unsigned_abs())
    }

    /// Ends it at once, as a crash would, and takes in what it wrote last.
    pub(crate) async fn kill(mut self) {
        let _ = killpg(self.pid, Signal::SIGKILL);
        let _ = self.child.wait().await;
        let readers = futures::future::join_all(std::mem::take(&mut self.readers));
        let _ = tokio::time::timeout(LAST_WORDS, readers).await;
    }

    /// Asks it to end, and waits for `limit`. `None`: it had to be killed.
    pub(crate) async fn stop(mut self, limit: Duration) -> Option<String> {
        let _ = killpg(self.pid, Signal::SIGTERM);
        let exit = tokio::time::timeout(limit, self.child.wait()).await;
        let exit = exit.ok().map(told);
        self.kill().await;
        exit
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child itself is killed by its handle; this reaches what it started.
        let _ = killpg(self.pid, Signal::SIGKILL);
    }
}

fn told(exit: io::Result<ExitStatus>) -> String {
    exit.map_or_else(|error| error.to_string(), |status| status.to_string())
}

fn random_token() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
