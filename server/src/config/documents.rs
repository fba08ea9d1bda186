//! Section `documents`: the feed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Checks;
use super::units::duration;

/// The feed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DocumentsConfig {
    /// How long a deleted document stays in the feed, so that consumers which were away hear of it. One that was
    /// away for longer gets the whole present state.
    #[serde(with = "duration")]
    pub tombstone_retention: Duration,
    /// How many entries a watch reads from the store at a time.
    pub watch_batch: usize,
}

impl Default for DocumentsConfig {
    fn default() -> Self {
        Self { tombstone_retention: Duration::from_secs(30 * 24 * 3600), watch_batch: 500 }
    }
}

impl DocumentsConfig {
    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        checks.not_zero("tombstone_retention", self.tombstone_retention);
        checks.at_least_one("watch_batch", self.watch_batch as u64);
    }
}
