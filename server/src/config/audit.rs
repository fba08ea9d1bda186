//! Section `audit`: how long it is known who did what.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Checks;
use super::units::duration;

/// The audit log.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// How long an event is kept.
    #[serde(with = "duration")]
    pub retention: Duration,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { retention: Duration::from_secs(365 * 24 * 3600) }
    }
}

impl AuditConfig {
    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        checks.not_zero("retention", self.retention);
    }
}
