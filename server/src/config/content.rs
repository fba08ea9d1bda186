//! Section `content`: how documents' bytes are fetched and turned into text.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Checks;
use super::units::{ByteSize, duration};

/// How documents' bytes are fetched and turned into text.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContentConfig {
    /// How many documents of one run are fetched at the same time.
    pub concurrent_fetches: usize,
    /// How long fetching one document may take.
    #[serde(with = "duration")]
    pub fetch_timeout: Duration,
    /// A document with more bytes is stored without text.
    pub max_bytes: ByteSize,
    /// How many documents are turned into text at the same time, each in a process of its own.
    pub extract_workers: usize,
    /// How long turning one document into text may take.
    #[serde(with = "duration")]
    pub extract_timeout: Duration,
    /// How much memory turning one document into text may take.
    pub extract_memory_bytes: ByteSize,
    /// A longer text is cut here, and marked.
    pub max_text_bytes: ByteSize,
}

impl Default for ContentConfig {
    fn default() -> Self {
        Self {
            concurrent_fetches: 4,
            fetch_timeout: Duration::from_secs(2 * 60),
            max_bytes: ByteSize::mib(256),
            extract_workers: 2,
            extract_timeout: Duration::from_secs(30),
            extract_memory_bytes: ByteSize::mib(512),
            max_text_bytes: ByteSize::mib(16),
        }
    }
}

impl ContentConfig {
    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        checks.at_least_one("concurrent_fetches", self.concurrent_fetches as u64);
        checks.not_zero("fetch_timeout", self.fetch_timeout);
        checks.at_least_one("max_bytes", self.max_bytes.as_u64());
        checks.at_least_one("extract_workers", self.extract_workers as u64);
        checks.not_zero("extract_timeout", self.extract_timeout);
        checks.require(self.extract_memory_bytes >= ByteSize::mib(64), "extract_memory_bytes", || {
            format!("{} is too little for a parser; write at least \"64MiB\"", self.extract_memory_bytes)
        });
        checks.at_least_one("max_text_bytes", self.max_text_bytes.as_u64());
    }
}
