//! The store's upkeep: forgets old tombstones and old runs, a little at a time.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::Scheduler;
use crate::store::StoreError;
use crate::store::runs::LookedAt;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(600);
/// Rows in one transaction.
const BATCH: usize = 1000;
/// Raw items in one transaction: each may be large.
const RAW_BATCH: usize = 100;

impl Scheduler {
    pub(super) async fn upkeep(self: Arc<Self>) {
        let mut looked_at = LookedAt::default();
        loop {
            if let Err(error) = self.trim(&mut looked_at).await {
                tracing::warn!(%error, "upkeep of the store failed; it is tried again");
            }
            tokio::select! {
                biased;
                () = self.drain.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// `looked_at`: of which runs it is known that no older ones of their connections are too many.
    async fn trim(&self, looked_at: &mut LookedAt) -> Result<(), StoreError> {
        let ago = |age: Duration| self.clock.now() - TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
        let tombstones = ago(self.config.documents.tombstone_retention);
        while self.store.trim_tombstones(tombstones, BATCH).await? > 0 {}
        let runs = &self.config.runs;
        let keep = usize::try_from(runs.history_max_runs).unwrap_or(usize::MAX);
        while self.store.trim_runs(ago(runs.history_max_age), BATCH).await? > 0 {}
        while !self.drain.is_cancelled() {
            let surplus = self.store.trim_surplus_runs(keep, looked_at.clone(), BATCH).await?;
            *looked_at = surplus.looked_at;
            if !surplus.more {
                break;
            }
        }
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
