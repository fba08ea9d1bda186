//! One worker process as the server sees it: started in a clean environment, asked one document at a time, and judged by how
//! it ended when it did not answer.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PoolConfig;
use crate::worker::frame::{self, Reply, Request};
use crate::{ExtractError, Extracted, Format, Hints};

/// How long a worker may take to start and to put on its limits.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a worker that went silent gets to finish ending by itself.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// What the Rust runtime says when an allocation fails, just before it aborts.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// Longest file name or media type that is passed on: only its end or start matters.
const MAX_HINT_BYTES: usize = 255;

/// A running worker. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    /// Ends with the worker's standard error; says whether memory ran out.
    errors: JoinHandle<bool>,
    served: u32,
}

/// The worker is gone without an answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: ExtractError,
    /// Whether this is the document's doing, as far as can be told.
    pub(super) trust: bool,
}

impl Process {
    /// Starts a worker and waits until its limits are in place.
    pub(super) async fn start(config: &PoolConfig) -> Result<Self, ExtractError> {
        let unavailable = |error| ExtractError::unavailable("no extraction worker could be started", &error);
        let mut child = Command::new(&config.program)
            .args(&config.args)
            .env_clear()
            .envs(config.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in the server's terminal is for the server: it lets documents under way finish.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(unavailable)?;
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(unavailable(std::io::ErrorKind::BrokenPipe.into()));
        };
        let errors = tokio::spawn(listen(errors, child.id()));
        let mut worker = Self { child, input, output, errors, served: 0 };
        let ready = async {
            worker.input.write_all(&frame::header(&config.setup())?).await?;
            match worker.read_reply().await? {
                Reply::Ready => Ok(()),
                _ => Err(out_of_protocol()),
            }
        };
        match timeout(START_TIMEOUT, ready).await {
            Ok(Ok(())) => Ok(worker),
            Ok(Err(error)) => Err(unavailable(error)),
            Err(_) => Err(unavailable(std::io::ErrorKind::TimedOut.into())),
        }
    }

    /// Asks for the text of one file. After a [`Failure`] the process is gone.
    pub(super) async fn extract(
        &mut self,
        file: &Path,
        hints: &Hints,
        config: &PoolConfig,
    ) -> Result<Result<Extracted, ExtractError>, Failure> {
        match timeout(config.timeout, self.ask(file, hints, config)).await {
            // Some readers notice that memory ran out and say so before anything aborts.
            Ok(Ok(Err(ExtractError::OutOfMemory))) => {
                self.end().await;
                Err(Failure { error: ExtractError::OutOfMemory, trust: self.served == 0 })
            }
            Ok(Ok(result)) => {
                self.served += 1;
                Ok(result)
            }
            Ok(Err(error)) => Err(self.judge(&error).await),
            Err(_) => {
                self.end().await;
                let limit_ms = u64::try_from(config.timeout.as_millis()).unwrap_or(u64::MAX);
                Err(Failure { error: ExtractError::TimedOut { limit_ms }, trust: true })
            }
        }
    }

    async fn ask(
        &mut self,
        file: &Path,
        hints: &Hints,
        config: &PoolConfig,
    ) -> std::io::Result<Result<Extracted, ExtractError>> {
        // The worker runs in another folder.
        let file = std::path::absolute(file)?;
        let path = file.as_os_str().as_bytes();
        let request = Request { path_bytes: path.len(), hints: bounded(hints), limits: config.limits() };
        self.input.write_all(&frame::header(&request)?).await?;
        self.input.write_all(path).await?;
        match self.read_reply().await? {
            Reply::Failed { error } => Ok(Err(error)),
            Reply::Text { text_bytes, truncated, media_type, extractor } => {
                let extractor = Format::from_name(&extractor).ok_or_else(out_of_protocol)?.name();
                if text_bytes > config.max_text_bytes {
                    return Err(out_of_protocol());
                }
                let mut text = vec![0; text_bytes];
                self.output.read_exact(&mut text).await?;
                let text = String::from_utf8(text).map_err(|_| out_of_protocol())?;
                Ok(Ok(Extracted { text, truncated, media_type, extractor }))
            }
            Reply::Ready => Err(out_of_protocol()),
        }
    }

    async fn read_reply(&mut self) -> std::io::Result<Reply> {
        let mut length = [0; 4];
        self.output.read_exact(&mut length).await?;
        let mut header = vec![0; frame::checked(length)?];
        self.output.read_exact(&mut header).await?;
        Ok(serde_json::from_slice(&header)?)
    }

    /// Why the worker did not answer, from how it ended.
    async fn judge(&mut self, error: &std::io::Error) -> Failure {
        let ended = timeout(END_TIMEOUT, self.child.wait()).await;
        self.end().await;
        let out_of_memory =
            timeout(END_TIMEOUT, &mut self.errors).await.is_ok_and(|ended| ended.unwrap_or(false));
        let status = match ended {
            Ok(Ok(status)) => Some(status),
            _ => None,
        };
        let error = if out_of_memory {
            ExtractError::OutOfMemory
        } else {
            let how = status.map_or_else(|| format!("it broke off its answer: {error}"), describe);
            ExtractError::Crashed { how: how.into() }
        };
        // A kill comes from outside: a person, or the kernel that ran out of memory for others' sake.
        let killed = status.and_then(|status| status.signal()) == Some(Signal::SIGKILL as i32);
        Failure { error, trust: self.served == 0 && !killed }
    }

    pub(super) fn served(&self) -> u32 {
        self.served
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops the worker and waits until it is gone.
    pub(super) async fn stop(mut self) {
        self.end().await;
    }

    async fn end(&mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "an extraction worker could not be killed");
        }
    }
}

/// Keeps what the worker says on standard error in the debug log (a worker says nothing of a document there), and
/// notices when it ran out of memory.
async fn listen(mut errors: ChildStderr, pid: Option<u32>) -> bool {
    let mut buffer = [0; 4096];
    let mut tail = String::new();
    let mut out_of_memory = false;
    while let Ok(read @ 1..) = errors.read(&mut buffer).await {
        let said = String::from_utf8_lossy(&buffer[..read]);
        tracing::debug!(worker.pid = pid, "extraction worker: {}", said.trim_end());
        tail.push_str(&said);
        out_of_memory |= tail.contains(OUT_OF_MEMORY);
        // The next piece may hold the other half of the words looked for.
        tail.drain(..tail.floor_char_boundary(tail.len().saturating_sub(OUT_OF_MEMORY.len())));
    }
    out_of_memory
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(number), _) => match Signal::try_from(number) {
            Ok(signal) => format!("by signal {signal}"),
            Err(_) => format!("by signal {number}"),
        },
        (None, Some(code)) => format!("with exit code {code}"),
        (None, None) => "in an unknown way".to_owned(),
    }
}

/// Hints that fit into a header, whatever the source sent.
fn bounded(hints: &Hints) -> Hints {
    let media_type = hints.media_type.clone().filter(|media_type| media_type.len() <= MAX_HINT_BYTES);
    let file_name = hints.file_name.as_deref().map(|name| {
        let end = name.ceil_char_boundary(name.len().saturating_sub(MAX_HINT_BYTES));
        name[end..].to_owned()
    });
    Hints { media_type, file_name }
}

fn out_of_protocol() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "not an answer that a worker gives")
}
