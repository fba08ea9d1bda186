//! What a connector writes to stderr and stdout: log records, the last lines for error messages, and a feed for
//! whoever wants them. The pipes are always read to the end: a connector that writes a flood is never blocked by
//! it, and the flood is thinned out here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tracing::Level;

use super::level::level_of;
use crate::redact;

/// A longer line is cut here.
const MAX_LINE_BYTES: usize = 4096;

/// How many of the last lines are kept for error messages.
const KEPT_LINES: usize = 50;

/// How many lines a receiver may be behind before it misses some.
const FEED_LINES: usize = 1024;

/// How many lines may come at once, and how many a second after that.
const BURST_LINES: f64 = 500.0;
const LINES_PER_SECOND: f64 = 100.0;

/// One line that a connector wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessLine {
    /// The level that the line itself names; `INFO` where it names none.
    pub level: Level,
    /// The line, at most 4 KiB, valid UTF-8.
    pub text: String,
}

/// The output of one process.
#[derive(Debug)]
pub(super) struct Output {
    connector_id: String,
    pid: u32,
    last: Mutex<VecDeque<String>>,
    feed: broadcast::Sender<ProcessLine>,
}

impl Output {
    pub(super) fn new(connector_id: &str, pid: u32) -> Arc<Self> {
        Arc::new(Self {
            connector_id: connector_id.to_owned(),
            pid,
            last: Mutex::new(VecDeque::with_capacity(KEPT_LINES)),
            feed: broadcast::Sender::new(FEED_LINES),
        })
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<ProcessLine> {
        self.feed.subscribe()
    }

    /// The last lines that the process wrote to stderr, oldest first.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Reads stderr to its end.
    pub(super) async fn read_stderr(self: Arc<Self>, pipe: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(pipe);
        let mut limit = RateLimit::new();
        while let Some(text) = lines.next().await {
            {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.len() == KEPT_LINES {
                    last.pop_front();
                }
                last.push_back(text.clone());
            }
            if let Some(dropped) = limit.admit() {
                if dropped > 0 {
                    self.publish(Level::WARN, format!("{dropped} lines were left out: too many at once"));
                }
                self.publish(level_of(&text), text);
            }
        }
        if limit.dropped > 0 {
            self.publish(Level::WARN, format!("{} lines were left out: too many at once", limit.dropped));
        }
    }

    /// Reads stdout to its end. Nothing is to be said there; the author hears of it once.
    pub(super) async fn read_stdout(self: Arc<Self>, pipe: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(pipe);
        let mut told = false;
        while let Some(line) = lines.next().await {
            if !told {
                told = true;
                self.publish(
                    Level::WARN,
                    format!("wrote to stdout, where nothing is read (use stderr): {line}"),
                );
            }
        }
    }

    fn publish(&self, level: Level, text: String) {
        let (connector, pid) = (&self.connector_id, self.pid);
        match level {
            Level::ERROR => tracing::error!(connector.id = %connector, process.pid = pid, "{text}"),
            Level::WARN => tracing::warn!(connector.id = %connector, process.pid = pid, "{text}"),
            Level::INFO => tracing::info!(connector.id = %connector, process.pid = pid, "{text}"),
            Level::DEBUG => tracing::debug!(connector.id = %connector, process.pid = pid, "{text}"),
            Level::TRACE => tracing::trace!(connector.id = %connector, process.pid = pid, "{text}"),
        }
        // Nobody may be listening.
        let _ = self.feed.send(ProcessLine { level, text });
    }
}

/// Lines of bounded length from a pipe that may hold anything.
struct Lines<R> {
    reader: BufReader<R>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(pipe: R) -> Self {
        Self { reader: BufReader::new(pipe) }
    }

    /// The next line without its end and without secrets; `None` at the end of the pipe, or when it breaks.
    async fn next(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let mut cut = false;
        let mut any = false;
        loop {
            let chunk = self.reader.fill_buf().await.ok()?;
            if chunk.is_empty() {
                return any.then(|| finish(&line, cut));
            }
            any = true;
            let newline = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..newline.unwrap_or(chunk.len())];
            let room = MAX_LINE_BYTES - line.len();
            cut |= part.len() > room;
            line.extend_from_slice(&part[..part.len().min(room)]);
            let used = newline.map_or(chunk.len(), |at| at + 1);
            self.reader.consume(used);
            if newline.is_some() {
                return Some(finish(&line, cut));
            }
        }
    }
}

fn finish(line: &[u8], cut: bool) -> String {
    let text = String::from_utf8_lossy(line);
    // Before anything is put after it: at the end of a cut line the beginning of a secret is known for one.
    let text = redact::text(text.trim_end_matches('\r'));
    if cut { format!("{text}… (cut)") } else { text.into_owned() }
}

/// A bucket of lines that fills up again with time.
struct RateLimit {
    left: f64,
    filled: Instant,
    dropped: u64,
}

impl RateLimit {
    fn new() -> Self {
        Self { left: BURST_LINES, filled: Instant::now(), dropped: 0 }
    }

    /// Whether a line may pass, and how many could not before it.
    fn admit(&mut self) -> Option<u64> {
        let passed: Duration = self.filled.elapsed();
        self.filled += passed;
        self.left = (self.left + passed.as_secs_f64() * LINES_PER_SECOND).min(BURST_LINES);
        if self.left < 1.0 {
            self.dropped += 1;
            return None;
        }
        self.left -= 1.0;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> (Vec<ProcessLine>, Vec<String>) {
        let _kept = redact::keep("hunter2-and-longer");
        let output = Output::new("demo", 1);
        let mut feed = output.subscribe();
        Arc::clone(&output).read_stderr(bytes).await;
        let mut lines = Vec::new();
        while let Ok(line) = feed.try_recv() {
            lines.push(line);
        }
        (lines, output.last_lines())
    }

    #[tokio::test]
    async fn lines_are_bounded_valid_and_without_the_token() {
        let mut bytes = b"caf\xe9 hunter2-and-longer\r\n\n".to_vec();
        bytes.extend_from_slice(&[b'x'; 5000]);
        bytes.push(b'\n');
        bytes.extend_from_slice(&[b'x'; MAX_LINE_BYTES - 12]);
        bytes.extend_from_slice(b"hunter2-and-longer");
        bytes.extend_from_slice(b"\nno newline at the end");
        let (_, last) = read(&bytes).await;
        assert_eq!(last.len(), 5);
        assert_eq!(last[0], "caf\u{fffd} [redacted]");
        assert_eq!(last[1], "");
        assert_eq!(last[2], format!("{}… (cut)", "x".repeat(MAX_LINE_BYTES)));
        assert_eq!(last[3], format!("{}[redacted]… (cut)", "x".repeat(MAX_LINE_BYTES - 12)));
        assert_eq!(last[4], "no newline at the end");
    }

    #[tokio::test]
    async fn the_level_is_the_one_that_the_line_names() {
        let (lines, _) =
            read(b"2026-01-01T00:00:00Z  WARN demo: slow\n[ERROR] broken\nhello\nlevel=debug x\n").await;
        let levels: Vec<Level> = lines.iter().map(|line| line.level).collect();
        assert_eq!(levels, [Level::WARN, Level::ERROR, Level::INFO, Level::DEBUG]);
    }

    #[tokio::test]
    async fn a_flood_is_thinned_out_and_its_last_lines_are_kept() {
        let flood: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
        let (lines, last) = read(flood.as_bytes()).await;
        // A few more than the burst, for the time that reading takes.
        assert!((501..1000).contains(&lines.len()), "{}", lines.len());
        assert!(lines.last().unwrap().text.ends_with("lines were left out: too many at once"));
        assert_eq!((last.len(), last[49].as_str()), (50, "line 9999"));
    }
}
