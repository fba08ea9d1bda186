//! The last gate before the log: what a record says, whoever wrote it and wherever in it, goes through here.

use std::io::{self, Write};

/// A writer that each record goes through without its secrets. A record is what one call of `write` brings: the log
/// formats a whole record before it writes it.
#[derive(Debug)]
pub struct Redacted<W>(pub W);

impl<W: Write> Write for Redacted<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.0.write_all(&super::bytes(record))?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The standard error of this process without secrets, for the log.
pub fn stderr() -> Redacted<io::Stderr> {
    Redacted(io::stderr())
}
