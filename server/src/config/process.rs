//! Section `process`: how connectors are run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Checks;
use super::units::{ByteSize, duration};

/// How connectors are run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessConfig {
    /// Who shares a process.
    pub isolation: Isolation,
    /// How long a connector may take until it says that it is ready.
    #[serde(with = "duration")]
    pub start_timeout: Duration,
    /// How long a process without work is kept.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How often each process, and each connector that runs elsewhere, is asked for its health.
    #[serde(with = "duration")]
    pub health_interval: Duration,
    /// The pause after a first crash; it doubles with each that follows.
    #[serde(with = "duration")]
    pub restart_backoff_initial: Duration,
    /// The longest pause after a crash.
    #[serde(with = "duration")]
    pub restart_backoff_max: Duration,
    /// How much memory a connector may use, all its processes together.
    pub memory_limit_bytes: ByteSize,
    /// How long a connector has between being asked to stop and being killed.
    #[serde(with = "duration")]
    pub stop_grace: Duration,
    /// The user that connectors run as; `None`: the same as connectord.
    pub run_as: Option<String>,
}

/// Who shares a process of a connector.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// All connections.
    Shared,
    /// The connections of one organisation.
    #[default]
    Organization,
    /// Nobody: each connection has its own.
    Connection,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            isolation: Isolation::default(),
            start_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(10 * 60),
            health_interval: Duration::from_secs(60),
            restart_backoff_initial: Duration::from_secs(1),
            restart_backoff_max: Duration::from_secs(60),
            memory_limit_bytes: ByteSize::mib(1024),
            stop_grace: Duration::from_secs(5),
            run_as: None,
        }
    }
}

impl ProcessConfig {
    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        checks.not_zero("start_timeout", self.start_timeout);
        checks.not_zero("idle_timeout", self.idle_timeout);
        checks.not_zero("health_interval", self.health_interval);
        checks.backoff("restart_backoff", self.restart_backoff_initial, self.restart_backoff_max);
        checks.require(self.memory_limit_bytes >= ByteSize::mib(16), "memory_limit_bytes", || {
            format!("{} is too little for any program; write at least \"16MiB\"", self.memory_limit_bytes)
        });
        checks.require(self.run_as.as_deref() != Some(""), "run_as", || {
            "it is empty; name a user, or leave it out".to_owned()
        });
    }
}
