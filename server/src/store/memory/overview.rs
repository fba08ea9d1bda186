//! How much waits, in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use superfasttt_proto::control::v1::run::State;

use super::MemoryStore;
use crate::store::Result;
use crate::store::overview::{Overview, OverviewStore};
use crate::store::runs::state::has_ended;

#[async_trait]
impl OverviewStore for MemoryStore {
    async fn overview(&self, disabled: &[String], now: DateTime<Utc>) -> Result<Overview> {
        self.read(|data| {
            let enabled = |connector: &String| !disabled.contains(connector);
            let connections = data.every_connection().filter(|connection| enabled(&connection.connector));
            let mut overview = Overview::default();
            for connection in connections {
                let runs = || data.all_runs().filter(|run| run.connection == connection.key);
                let queued = || runs().filter(|run| run.state == State::Queued);
                overview.queued += queued().count() as u64;
                let oldest = queued().map(|run| run.created_at).min();
                overview.oldest_queued_at = overview.oldest_queued_at.into_iter().chain(oldest).min();
                overview.parked += runs().filter(|run| run.state == State::Parked).count() as u64;
                let stopped = connection.disabled || connection.paused || connection.deleting_at.is_some();
                let due = !stopped && connection.next_run_at.is_some_and(|at| at <= now);
                overview.due += u64::from(due && runs().all(|run| has_ended(run.state)));
            }
            overview
        })
        .await
    }
}
