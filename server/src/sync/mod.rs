//! A run: the stream of a connector becomes documents in the store.
//!
//! `run` drives one run from its claim to its end, `pulling` goes on until it is caught up; `pull` reads the stream, `change` checks what comes, the content
//! stage (`crate::content`) adds texts (before it, where raw items are kept, `raw_stage` has `normalize` make envelopes of them), `commit` writes groups of changes with the cursors that cover them, by what
//! `plan` decides; `scopes` is where cursors and listings stand, `sweep` deletes by absence, `outcome` says what a
//! failure leads to, `report` tells those who watch, `authentication` is what the
//! connector is called with.

mod asking;
pub mod authentication;
pub mod change;
pub mod commit;
mod draft;
pub mod envelope;
mod group;
pub mod in_flight;
pub mod json;
mod listing;
mod loops;
pub mod normalize;
pub mod outcome;
pub mod plan;
pub mod port;
pub mod pull;
mod pulling;
pub mod raw_stage;
pub mod renormalize;
pub mod report;
pub mod run;
pub mod scopes;
mod shields;
pub mod sweep;
mod synced;
#[cfg(test)]
pub(crate) mod testing;
pub mod unopened;

pub use loops::cursor_hash;

use std::sync::Arc;
use std::time::Duration;

use superfasttt_proto::connector::v1::Capabilities;

use crate::clock::SharedClock;
use crate::config::Config;
use crate::store::runs::LogPart;
use crate::store::{Fence, Store, StoreError};
use report::Report;

/// What bounds a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Changes in one transaction.
    pub commit_max_changes: usize,
    /// Bytes in one transaction.
    pub commit_max_bytes: usize,
    /// The share of item errors over which a run fails.
    pub item_error_share: f64,
    /// And so many of them at least.
    pub item_error_min: u64,
    /// The share of deletions by absence over which a person is asked.
    pub sweep_share: f64,
    /// And so many of them at least.
    pub sweep_min: u64,
    /// Or everything, when it is so many at least.
    pub sweep_all_min: u64,
    /// Documents that are swept in one transaction.
    pub sweep_batch: usize,
    /// How long a connector may say nothing.
    pub stall_timeout: Duration,
    /// How often a pull is tried again within a run.
    pub retry_attempts: u32,
    /// The first pause before trying again; it doubles.
    pub retry_backoff_initial: Duration,
    /// The longest pause.
    pub retry_backoff_max: Duration,
    /// Lines of log that are kept of a run.
    pub log_max_records: u64,
}

impl Limits {
    /// As they are configured.
    pub fn new(config: &Config) -> Self {
        let sync = &config.sync;
        Self {
            commit_max_changes: sync.commit_max_changes,
            commit_max_bytes: sync.commit_max_bytes.as_usize(),
            item_error_share: sync.item_error_share,
            item_error_min: sync.item_error_min,
            sweep_share: sync.sweep_share,
            sweep_min: sync.sweep_min,
            sweep_all_min: sync.sweep_all_min,
            sweep_batch: 500,
            stall_timeout: sync.stall_timeout,
            retry_attempts: sync.retry_attempts,
            retry_backoff_initial: sync.retry_backoff_initial,
            retry_backoff_max: sync.retry_backoff_max,
            log_max_records: config.runs.log_max_records,
        }
    }
}

/// What every part of one run needs.
#[derive(Clone)]
pub struct RunContext {
    /// Where it is written.
    pub store: Arc<dyn Store>,
    /// The right to write.
    pub fence: Fence,
    /// The run's id.
    pub run: String,
    /// What the connector can do.
    pub capabilities: Capabilities,
    /// What bounds the run.
    pub limits: Limits,
    /// What time it is.
    pub clock: SharedClock,
    /// Who listens.
    pub report: Arc<Report>,
}

impl RunContext {
    /// Writes the lines of log that wait.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn flush_log(&self) -> Result<(), StoreError> {
        let part = self.log_part();
        if part.lines.is_empty() && part.dropped == 0 {
            return Ok(());
        }
        self.store.append_log(&self.run, part).await
    }

    /// The lines of log that wait, taken to be written.
    pub fn log_part(&self) -> LogPart {
        let (lines, dropped) = self.report.take_lines();
        LogPart { lines, dropped, max: self.limits.log_max_records }
    }
}

impl std::fmt::Debug for RunContext {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RunContext")
            .field("run", &self.run)
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}
