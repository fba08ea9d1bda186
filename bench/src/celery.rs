//! The other side of *idle syncs*: the same syncs as tasks of Celery, with Redis as the broker and the states in
//! PostgreSQL (`celery/tasks.py`), which is how the first version of this product did them.
//!
//! It is tuned as well as we know: the broker on a Unix socket and without persistence, tasks acknowledged before
//! their work and fetched ahead, no results, no events, one database connection for each process, prepared
//! statements, and as many worker processes as serve it best. Queueing tasks is not part of its time, although a beat would need
//! about as long for that as workers for the work: the tasks are there before they begin.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::connectord::Programs;
use crate::machine::find_program;
use crate::postgres;
use crate::report::note;
use crate::venv::{self, succeeded};

const TASKS: &str = include_str!("../celery/tasks.py");
const REQUIREMENTS: &str = include_str!("../celery/requirements.txt");

/// Tasks that wait before workers begin.
const QUEUED: i64 = 20_000;

/// How many worker processes are tried, for each processor. Celery's own default is one.
const WORKERS_PER_PROCESSOR: [usize; 3] = [1, 2, 4];

/// How long workers may take to begin, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Celery with what it needs.
#[derive(Debug)]
pub struct Celery {
    folder: TempDir,
    programs: PathBuf,
    broker: String,
    url: String,
    connections: usize,
    _redis: Group,
}

/// A process with all that it starts. Killed when it is dropped.
#[derive(Debug)]
struct Group(Child);

impl Group {
    fn start(command: &mut Command) -> std::io::Result<Self> {
        Ok(Self(command.process_group(0).kill_on_drop(true).spawn()?))
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(id) = self.0.id() {
            nix::sys::signal::kill(Pid::from_raw(id.try_into()?), Signal::SIGTERM)?;
        }
        tokio::time::timeout(PATIENCE, self.0.wait()).await.context("Celery does not stop")??;
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // One that has ended has no number, and its group nobody in it.
        if let Some(id) = self.0.id().and_then(|id| id.try_into().ok()) {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// What is missing on this machine, and how to install it.
pub fn missing() -> Option<String> {
    if find_program("redis-server").is_none() {
        return Some("redis-server is missing: apt-get install redis-server".to_owned());
    }
    venv::missing(None)
}

impl Celery {
    /// Gets it ready with so many connections, whose states are in the database of that URL.
    ///
    /// # Errors
    /// Where something cannot be installed or started.
    pub async fn prepare(programs: &Programs, url: String, connections: usize) -> anyhow::Result<Self> {
        let installed = venv::install(&programs.folder, "bench-celery", REQUIREMENTS).await?;
        let folder = tempfile::Builder::new().prefix("bench-celery-").tempdir()?;
        std::fs::write(folder.path().join("tasks.py"), TASKS)?;
        let socket = folder.path().join("redis.socket");
        let mut redis = Command::new("redis-server");
        redis.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        redis.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let celery = Self {
            programs: installed,
            broker: format!("redis+socket://{}", socket.display()),
            url,
            connections,
            _redis: Group::start(&mut redis)?,
            folder,
        };
        let begun = Instant::now();
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            ensure!(begun.elapsed() < PATIENCE, "Redis does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        succeeded(celery.tasks(&["prepare", &connections.to_string()]).output().await?)?;
        Ok(celery)
    }

    /// How many syncs a second it does, with as many worker processes as serve it best: some wait for the disk.
    ///
    /// # Errors
    /// Where it does none, or has done them all before the time is over.
    pub async fn rate(&self, warm_up: Duration, window: Duration) -> anyhow::Result<f64> {
        let mut best = 0.0_f64;
        for workers in WORKERS_PER_PROCESSOR {
            let workers = workers * std::thread::available_parallelism()?.get();
            let rate = self.rate_of(workers, warm_up, window).await?;
            note(&format!("Celery with {workers} worker processes: {rate:.0} syncs/s"));
            best = best.max(rate);
        }
        Ok(best)
    }

    async fn rate_of(&self, workers: usize, warm_up: Duration, window: Duration) -> anyhow::Result<f64> {
        let done = self.syncs().await?;
        self.queue().await?;
        let mut command = self.program("celery");
        command.args(["-A", "tasks", "worker", "--pool", "prefork", "--concurrency", &workers.to_string()]);
        command.args(["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error"]);
        // It warns whoever runs it as root.
        command.stderr(Stdio::null());
        let worker = Group::start(&mut command)?;
        let begun = Instant::now();
        while self.syncs().await? == done {
            ensure!(begun.elapsed() < PATIENCE, "Celery does not begin");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(warm_up).await;
        let (before, begun) = (self.syncs().await?, Instant::now());
        tokio::time::sleep(window).await;
        let (after, took) = (self.syncs().await?, begun.elapsed());
        ensure!(after < done + QUEUED, "Celery had done everything before the time was over");
        worker.stop().await?;
        Ok((after - before) as f64 / took.as_secs_f64())
    }

    async fn syncs(&self) -> anyhow::Result<i64> {
        postgres::number(&self.url, "SELECT sum(syncs)::bigint FROM sync_states").await
    }

    /// Fills the queue; what a run before has left does not count.
    async fn queue(&self) -> anyhow::Result<()> {
        let (connections, half) = (self.connections.to_string(), (QUEUED / 2).to_string());
        let arguments = ["queue", &connections, &half];
        let (mut one, mut other) = (self.tasks(&arguments), self.tasks(&arguments));
        let (one, other) = tokio::try_join!(one.output(), other.output())?;
        succeeded(one)?;
        succeeded(other)
    }

    fn tasks(&self, arguments: &[&str]) -> Command {
        let mut command = self.program("python");
        command.arg("tasks.py").args(arguments);
        command
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.env("BENCH_BROKER", &self.broker).env("BENCH_DATABASE", &self.url);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command
    }
}
