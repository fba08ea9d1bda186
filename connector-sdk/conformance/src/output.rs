//! What a connector's processes write, kept for the checks that look at it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

/// What is kept of each of the two; a connector that writes more is not read in full, and goes on all the same.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What all processes of one run wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Output {
    /// Reads what comes until it ends. A process that left a child behind keeps it open.
    pub(crate) fn follow(
        &self,
        stream: Stream,
        mut from: impl AsyncRead + Unpin + Send + 'static,
    ) -> JoinHandle<()> {
        let output = self.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer).await {
                let mut written = output.lock();
                let kept = match stream {
                    Stream::Stdout => &mut written.stdout,
                    Stream::Stderr => &mut written.stderr,
                };
                if kept.len() < MOST_BYTES {
                    kept.extend_from_slice(&buffer[..read]);
                }
            }
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Written> {
        // Only appended to, so it is whole after a panic as well.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last line of stderr, for an error that says how a process ended.
    pub(crate) fn last_line(&self) -> Option<String> {
        let written = self.lock();
        let text = String::from_utf8_lossy(&written.stderr);
        text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.chars().take(300).collect())
    }
}
