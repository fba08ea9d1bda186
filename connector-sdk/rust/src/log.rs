//! The log: lines on stderr, where the server reads them, without the secrets of running calls.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::redact::Redactor;

/// The secrets of all calls. Those of a call are forgotten with it.
static RUNNING: Mutex<Vec<Weak<Redactor>>> = Mutex::new(Vec::new());

/// Keeps what `redactor` knows out of the log, as long as anybody holds it.
pub(crate) fn keep_out(redactor: &Arc<Redactor>) {
    if redactor.has_secrets() {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|other| other.strong_count() > 0);
        running.push(Arc::downgrade(redactor));
    }
}

/// Logs to stderr at the level of CONNECTOR_LOG. The server adds the time itself.
pub(crate) fn to_stderr() {
    let level = std::env::var("CONNECTOR_LOG").ok().filter(|level| !level.is_empty());
    let filter = level.and_then(|level| level.parse().ok());
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Redacted(io::stderr))
        .with_ansi(false)
        .without_time()
        .with_max_level(filter.unwrap_or(LevelFilter::INFO))
        .finish();
    // An author may have set a subscriber before; that one stays, and so does the usual report of panics.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    }
}

/// Writes each event as one line to what the function gives.
struct Redacted<F>(F);

impl<'a, F: Fn() -> W + 'a, W: Write> MakeWriter<'a> for Redacted<F> {
    type Writer = Line<W>;

    fn make_writer(&'a self) -> Line<W> {
        Line((self.0)())
    }
}

/// Takes one event with each write.
struct Line<W>(W);

impl<W: Write> Write for Line<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut line = event.trim_ascii().to_vec();
        for redactor in running.iter().filter_map(Weak::upgrade) {
            line = redactor.mask_bytes(&line);
        }
        // What follows on a line break would be a line without a level.
        line.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        line.push(b'\n');
        self.0.write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_without_the_secrets_of_running_calls() {
        let (running, ended) =
            (Arc::new(Redactor::new(["s3cret-one"])), Arc::new(Redactor::new(["s3cret-two"])));
        keep_out(&running);
        keep_out(&ended);
        drop(ended);
        let mut written = Vec::new();
        Line(&mut written).write_all(b" INFO it has s3cret-one\nand s3cret-two\n").unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "INFO it has [redacted] and s3cret-two\n");
    }
}
