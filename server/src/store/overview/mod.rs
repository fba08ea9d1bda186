//! How much waits in the whole installation: what operators watch.

mod postgres;
pub mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::Result;

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Runs that wait for a worker.
    pub queued: u64,
    /// Since when the oldest of them waits.
    pub oldest_queued_at: Option<DateTime<Utc>>,
    /// Runs that wait until their source allows them to go on.
    pub parked: u64,
    /// Connections that are due and for which nothing is queued yet.
    pub due: u64,
}

/// What the store tells operators.
#[async_trait]
pub trait OverviewStore: Send + Sync {
    /// How much waits now. Connections of the `disabled` connectors wait for a person and are left out.
    async fn overview(&self, disabled: &[String], now: DateTime<Utc>) -> Result<Overview>;
}
