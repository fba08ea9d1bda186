//! Section `runs`: how much of past runs is kept.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Checks;
use super::units::duration;

/// How much of past runs is kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunsConfig {
    /// How many log records one run keeps.
    pub log_max_records: u64,
    /// How many runs of one connection are kept.
    pub history_max_runs: u64,
    /// How long a run is kept.
    #[serde(with = "duration")]
    pub history_max_age: Duration,
}

impl Default for RunsConfig {
    fn default() -> Self {
        Self {
            log_max_records: 2000,
            history_max_runs: 200,
            history_max_age: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

impl RunsConfig {
    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        checks.at_least_one("log_max_records", self.log_max_records);
        checks.at_least_one("history_max_runs", self.history_max_runs);
        checks.not_zero("history_max_age", self.history_max_age);
    }
}
