//! Section `sync`: how runs go, and what they may not do by themselves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Checks;
use super::units::{ByteSize, duration};

/// A lease is renewed at a third of its life, and that must come through.
const MIN_LEASE: Duration = Duration::from_secs(3);

/// How runs go, and what they may not do by themselves.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncConfig {
    /// How many runs go on at the same time in this process.
    pub max_concurrent_runs: usize,
    /// How many runs go on at the same time in all processes that share the store. Absent: as many as they have places.
    pub max_runs: Option<usize>,
    /// How many of them may be one organisation's.
    pub max_runs_per_organization: Option<usize>,
    /// How many of them may be one connector's.
    pub max_runs_per_connector: Option<usize>,
    /// How long this process may be silent before another one takes over its runs.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// How often the schedule is looked at.
    #[serde(with = "duration")]
    pub schedule_poll: Duration,
    /// How many changes a transaction holds.
    pub commit_max_changes: usize,
    /// How large a transaction may be.
    pub commit_max_bytes: ByteSize,
    /// How much of one run may be in memory, between the connector and the store.
    pub in_flight_bytes: ByteSize,
    /// A run in which a larger share of the items failed is itself a failure.
    pub item_error_share: f64,
    /// Fewer failed items than this never fail a run.
    pub item_error_min: u64,
    /// A run that would delete a larger share of the documents because they are absent waits for a person.
    pub sweep_share: f64,
    /// Fewer absent documents than this never wait because of their share.
    pub sweep_min: u64,
    /// The absence of all documents waits for a person from this many on.
    pub sweep_all_min: u64,
    /// How long a connector may be silent during a pull.
    #[serde(with = "duration")]
    pub stall_timeout: Duration,
    /// How often a failed attempt is made again within one run.
    pub retry_attempts: u32,
    /// The pause before the first further attempt; it doubles with each that follows.
    #[serde(with = "duration")]
    pub retry_backoff_initial: Duration,
    /// The longest pause between attempts.
    #[serde(with = "duration")]
    pub retry_backoff_max: Duration,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            max_concurrent_runs: 32,
            max_runs: None,
            max_runs_per_organization: None,
            max_runs_per_connector: None,
            lease: Duration::from_secs(30),
            schedule_poll: Duration::from_secs(1),
            commit_max_changes: 2000,
            commit_max_bytes: ByteSize::mib(8),
            in_flight_bytes: ByteSize::mib(32),
            item_error_share: 0.15,
            item_error_min: 100,
            sweep_share: 0.20,
            sweep_min: 50,
            sweep_all_min: 10,
            stall_timeout: Duration::from_secs(5 * 60),
            retry_attempts: 5,
            retry_backoff_initial: Duration::from_secs(1),
            retry_backoff_max: Duration::from_secs(5 * 60),
        }
    }
}

impl SyncConfig {
    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        checks.at_least_one("max_concurrent_runs", self.max_concurrent_runs as u64);
        let limits = [
            ("max_runs", self.max_runs),
            ("max_runs_per_organization", self.max_runs_per_organization),
            ("max_runs_per_connector", self.max_runs_per_connector),
        ];
        for (name, limit) in limits {
            checks.at_least_one(name, limit.unwrap_or(1) as u64);
        }
        checks.require(self.lease >= MIN_LEASE, "lease", || {
            format!(
                "{} is too short to be renewed in time; write at least \"3s\"",
                humantime::format_duration(self.lease)
            )
        });
        checks.not_zero("schedule_poll", self.schedule_poll);
        checks.at_least_one("commit_max_changes", self.commit_max_changes as u64);
        checks.at_least_one("commit_max_bytes", self.commit_max_bytes.as_u64());
        // One message of the largest size must always fit, or the run could never go on.
        checks.require(self.in_flight_bytes >= ByteSize::mib(8), "in_flight_bytes", || {
            format!(
                "{} is too little to hold two of the largest messages; write at least \"8MiB\"",
                self.in_flight_bytes
            )
        });
        checks.share("item_error_share", self.item_error_share);
        checks.share("sweep_share", self.sweep_share);
        checks.at_least_one("sweep_all_min", self.sweep_all_min);
        checks.not_zero("stall_timeout", self.stall_timeout);
        checks.backoff("retry_backoff", self.retry_backoff_initial, self.retry_backoff_max);
    }
}
