//! The store's upkeep: forgets old tombstones and old runs, a little at a time.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::Scheduler;
use crate::store::StoreError;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(600);
/// Rows in one transaction.
const BATCH: usize = 1000;
/// Raw items in one transaction: each may be large.
const RAW_BATCH: usize = 100;

impl Scheduler {
    pub(super) async fn upkeep(self: Arc<Self>) {
        loop {
            if let Err(error) = self.trim().await {
                tracing::warn!(%error, "upkeep of the store failed; it is tried again");
            }
            tokio::select! {
                biased;
                () = self.drain.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn trim(&self) -> Result<(), StoreError> {
        let ago = |age: Duration| self.clock.now() - TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
        let tombstones = ago(self.config.documents.tombstone_retention);
        while self.store.trim_tombstones(tombstones, BATCH).await? > 0 {}
        let runs = &self.config.runs;
        let keep = usize::try_from(runs.history_max_runs).unwrap_or(usize::MAX);
        while self.store.trim_runs(keep, ago(runs.history_max_age)).await? > 0 {}
        self.trim_raw_items().await
    }

    /// Removes raw items that are no longer kept, in the background. What is left over when that is cut off, the upkeep
    /// removes.
    pub fn spawn_trim_raw_items(self: &Arc<Self>) {
        let scheduler = self.clone();
        self.tasks.spawn(async move {
            if let Err(error) = scheduler.trim_raw_items().await {
                tracing::warn!(%error, "raw items that are no longer kept could not be removed; it is tried again");
            }
        });
    }

    pub(super) async fn trim_raw_items(&self) -> Result<(), StoreError> {
        while !self.drain.is_cancelled() && self.store.trim_raw_items(RAW_BATCH).await? > 0 {}
        Ok(())
    }
}
