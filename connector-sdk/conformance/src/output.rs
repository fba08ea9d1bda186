//! What a connector's processes write, kept for the checks that look at it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
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
    /// Who hears it as it comes.
    listener: Option<mpsc::Sender<(Stream, Vec<u8>)>>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Where nothing may be said.
    Stdout,
    /// Where logs go.
    Stderr,
}

impl Output {
    /// Hands on what is written as it comes, too. Who listens slowly holds the process up.
    pub(crate) fn heard_by(listener: mpsc::Sender<(Stream, Vec<u8>)>) -> Self {
        let output = Self::default();
        output.lock().listener = Some(listener);
        output
    }

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
                if let Some(listener) = output.keep(stream, &buffer[..read]) {
                    // One who has gone no longer wants it.
                    let _ = listener.send((stream, buffer[..read].to_vec())).await;
                }
            }
        })
    }

    fn keep(&self, stream: Stream, bytes: &[u8]) -> Option<mpsc::Sender<(Stream, Vec<u8>)>> {
        let mut written = self.lock();
        let kept = match stream {
            Stream::Stdout => &mut written.stdout,
            Stream::Stderr => &mut written.stderr,
        };
        if kept.len() < MOST_BYTES {
            kept.extend_from_slice(bytes);
        }
        written.listener.clone()
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
