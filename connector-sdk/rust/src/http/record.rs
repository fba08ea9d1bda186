//! Writes exchanges to a file: HAR 1.2, one entry a line.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::http::har::Entry;

const HEAD: &str = concat!(
    r#"{"log":{"version":"1.2","creator":{"name":"superfasttt-connector-rust","version":""#,
    env!("CARGO_PKG_VERSION"),
    "\"},\"entries\":[\n"
);
const TAIL: &str = "\n]}}\n";

/// The file that is written. It is whole after each entry.
#[derive(Debug)]
pub(super) struct Recorder {
    file: File,
    /// Where the next entry goes: over the tail.
    end: Mutex<u64>,
}

impl Recorder {
    /// Begins the file anew. Only its owner may read it: what the source said stands in it.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all_at(format!("{HEAD}{TAIL}").as_bytes(), 0)?;
        Ok(Self { file, end: Mutex::new(HEAD.len() as u64) })
    }

    pub(super) fn append(&self, entry: &Entry) -> io::Result<()> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let between = if *end == HEAD.len() as u64 { "" } else { ",\n" };
        let line = format!("{between}{}", serde_json::to_string(entry)?);
        // One write, so that a process that is killed leaves a file that can be read.
        self.file.write_all_at(format!("{line}{TAIL}").as_bytes(), *end)?;
        *end += line.len() as u64;
        Ok(())
    }
}
