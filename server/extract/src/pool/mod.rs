//! The server's side of extraction: a few worker processes, started when first needed, reused, stopped when idle, and
//! killed when a document takes too long. Whatever a document does to its worker, the next one gets a fresh one.

mod process;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::worker::frame::Setup;
use crate::{ExtractError, Extracted, Hints, Limits};
use process::{Failure, Process};

/// How the workers are started, and what they and their documents may cost.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The absolute path of the program that runs [`worker::main`](crate::worker::main), normally the server's own.
    pub program: PathBuf,
    /// Its arguments, normally the hidden sub-command alone.
    pub args: Vec<String>,
    /// The folder below which all documents lie: where the kernel can, workers open nothing else. `None`: anything.
    pub folder: Option<PathBuf>,
    /// All of its environment.
    pub environment: Vec<(&'static str, &'static str)>,
    /// Most workers at a time; further documents wait for one. Default 2.
    pub workers: usize,
    /// Longest time that one document may take. Default 30 s.
    pub timeout: Duration,
    /// Memory that a worker may use, in bytes. Default 512 MiB.
    pub memory_bytes: u64,
    /// Largest file that is read, in bytes. Default 128 MiB.
    pub max_input_bytes: u64,
    /// Largest text handed back, in bytes. Default 16 MiB.
    pub max_text_bytes: usize,
    /// After this many documents a worker is replaced, so that no reader's leaks add up. Default 200.
    pub max_requests_per_worker: u32,
    /// A worker without work for this long is stopped. Default 60 s.
    pub idle_timeout: Duration,
}

impl PoolConfig {
    /// The defaults, for workers started as `program args…`.
    #[must_use]
    pub fn new(program: PathBuf, args: Vec<String>) -> Self {
        let limits = Limits::default();
        Self {
            program,
            args,
            folder: None,
            environment: Vec::new(),
            workers: 2,
            timeout: Duration::from_secs(30),
            memory_bytes: 512 << 20,
            max_input_bytes: limits.max_input_bytes,
            max_text_bytes: limits.max_text_bytes,
            max_requests_per_worker: 200,
            idle_timeout: Duration::from_secs(60),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_input_bytes: self.max_input_bytes,
            max_text_bytes: self.max_text_bytes,
            ..Limits::default()
        }
    }

    fn setup(&self) -> Setup {
        // More than all its documents together may take: this only ends a worker that no longer has a server.
        let life = self.timeout.saturating_mul(self.max_requests_per_worker);
        let folder = self.folder.as_ref().map(|folder| folder.as_os_str().as_bytes().to_vec());
        Setup { memory_bytes: self.memory_bytes, cpu_seconds: life.as_secs().max(60), folder }
    }
}

/// A pool of workers. Cheap to clone; the workers end with the last clone.
#[derive(Debug, Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: PoolConfig,
    slots: Semaphore,
    /// Workers without work, the one used last at the end, each with the time since when.
    idle: Mutex<Vec<(Process, Instant)>>,
}

impl Pool {
    /// A pool that has not started any worker yet.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        let slots = Semaphore::new(config.workers.max(1));
        Self { inner: Arc::new(Inner { config, slots, idle: Mutex::default() }) }
    }

    /// Reads the text of `file` in a worker, waiting for one first where all are at work.
    ///
    /// Dropping the future kills the worker that reads the file: nothing of it goes on in the background.
    ///
    /// # Errors
    /// See [`ExtractError`]. A worker that ends in a way that says little about the document (an earlier one may have
    /// worn it out, or someone killed it) is replaced and the document tried once more before there is a verdict.
    pub async fn extract(&self, file: &Path, hints: Hints) -> Result<Extracted, ExtractError> {
        let _slot = self
            .inner
            .slots
            .acquire()
            .await
            .map_err(|error| ExtractError::unavailable("text extraction is shut down", &error))?;
        let mut worker = match self.inner.take_idle() {
            Some(worker) => worker,
            None => Process::start(&self.inner.config).await?,
        };
        let mut tried_again = false;
        loop {
            match worker.extract(file, &hints, &self.inner.config).await {
                Ok(result) => {
                    // A worker that cannot even try (no memory left for a thread, say) has had its day.
                    if !matches!(result, Err(ExtractError::Unavailable { .. })) {
                        self.inner.put_back(worker);
                    }
                    return result;
                }
                Err(Failure { error, trust }) => {
                    tracing::debug!(
                        extract.code = error.code(),
                        extract.believed = trust,
                        "an extraction worker ended"
                    );
                    if trust || tried_again {
                        return Err(error);
                    }
                    tried_again = true;
                    worker = Process::start(&self.inner.config).await?;
                }
            }
        }
    }

    /// Stops the idle workers and refuses further documents; those under way still finish.
    pub async fn shutdown(&self) {
        self.inner.slots.close();
        let idle = std::mem::take(&mut *self.inner.lock_idle());
        for (worker, _) in idle {
            worker.stop().await;
        }
    }
}

impl Inner {
    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<(Process, Instant)>> {
        // Nothing that could panic runs under this lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Process> {
        let mut idle = self.lock_idle();
        while let Some((mut worker, _)) = idle.pop() {
            if worker.is_alive() {
                return Some(worker);
            }
        }
        None
    }

    /// Keeps a worker for the next document, unless it has served its time.
    fn put_back(self: &Arc<Self>, worker: Process) {
        if worker.served() >= self.config.max_requests_per_worker || self.slots.is_closed() {
            return;
        }
        self.lock_idle().push((worker, Instant::now()));
        let (pool, idle_timeout) = (Arc::downgrade(self), self.config.idle_timeout);
        tokio::spawn(async move {
            tokio::time::sleep(idle_timeout).await;
            if let Some(pool) = pool.upgrade() {
                pool.lock_idle().retain(|(_, since)| since.elapsed() < idle_timeout);
            }
        });
    }
}
