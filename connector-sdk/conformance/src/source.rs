//! The source while the kit runs: the program that is one, and what is done to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::plan::{HttpRequest, Step, Values};

const STARTS_WITHIN: Duration = Duration::from_secs(20);
const STEP_WITHIN: Duration = Duration::from_secs(60);

/// A program that is the source. It ends with this value, and with this process.
#[derive(Debug)]
pub(crate) struct RunningSource {
    /// Its stdin closes with it.
    child: Child,
    /// What its first line said.
    pub(crate) said: Map<String, Value>,
}

impl RunningSource {
    /// Starts it, and waits for its first line.
    ///
    /// # Errors
    ///
    /// What went wrong, in words.
    pub(crate) async fn start(command: &[String], folder: &Path) -> Result<Self, String> {
        let what = command.join(" ");
        let cannot =
            |error: &dyn std::fmt::Display| format!("the source ({what}) cannot be started: {error}");
        let (program, arguments) = command.split_first().ok_or_else(|| cannot(&"its command is empty"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A source that a check refuses or leaves has much to complain of, and it is not what is tried.
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cannot(&error))?;
        let stdout = child.stdout.take().ok_or_else(|| cannot(&"it has no stdout"))?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(STARTS_WITHIN, lines.next_line()).await;
        let line =
            line.map_err(|_| cannot(&"it wrote no first line in time"))?.map_err(|error| cannot(&error))?;
        let line = line.ok_or_else(|| cannot(&"it ended without a line on stdout"))?;
        let said = serde_json::from_str(&line)
            .map_err(|_| cannot(&"its first line on stdout is not a JSON object, such as {\"url\": \"http://127.0.0.1:7090\"}"))?;
        // What else it writes is of no interest, and must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, said })
    }
}

impl Drop for RunningSource {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Does one step. Gives the recording to go on with, where the step is one.
///
/// # Errors
///
/// What went wrong, in words.
pub(crate) async fn take(step: &Step, values: &Values, folder: &Path) -> Result<Option<PathBuf>, String> {
    let done = async {
        match step {
            Step::Run(command) => run(&values.fill_all(command)?, folder).await.map(|()| None),
            Step::Request(request) => send(request, values).await.map(|()| None),
            Step::Replay(file) => Ok(Some(folder.join(file))),
        }
    };
    let late = |_| Err(format!("the step {step:?} took over {} s", STEP_WITHIN.as_secs()));
    tokio::time::timeout(STEP_WITHIN, done).await.unwrap_or_else(late)
}

async fn run(command: &[String], folder: &Path) -> Result<(), String> {
    let what = command.join(" ");
    let (program, arguments) = command.split_first().ok_or("a step's command is empty")?;
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("the step {what} cannot be started: {error}"))?;
    if child.status.success() {
        return Ok(());
    }
    let wrote = String::from_utf8_lossy(&child.stderr);
    let last = wrote.lines().last().unwrap_or_default();
    Err(format!("the step {what} failed ({}): {last}", child.status))
}

async fn send(request: &HttpRequest, values: &Values) -> Result<(), String> {
    let url = values.fill(&request.url)?;
    let failed = |why: &dyn std::fmt::Display| format!("the step {} {url} failed: {why}", request.method);
    let rest = url.strip_prefix("http://").ok_or_else(|| failed(&"only http:// is spoken"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let body = request.json.as_ref().map(|json| values.fill_json(json)).transpose()?;
    let message = Request::builder()
        .method(request.method.as_str())
        .uri(if path.is_empty() { "/" } else { path })
        .header("host", authority)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.map(|json| json.to_string()).unwrap_or_default())))
        .map_err(|error| failed(&error))?;
    let stream = TcpStream::connect(authority).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    let answer = sender.send_request(message).await.map_err(|error| failed(&error))?;
    let status = answer.status();
    // Read to its end: the source has then done what was asked.
    answer.into_body().collect().await.map_err(|error| failed(&error))?;
    if status.is_success() { Ok(()) } else { Err(failed(&format!("it answered {status}"))) }
}
