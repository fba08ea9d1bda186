//! A clock that was ahead and is set back: what was written in between lies too far ahead, and nothing would be due until
//! the clock shows those times again. This notices, and lets the store correct it.

use std::sync::PoisonError;

use chrono::{DateTime, TimeDelta, Utc};

use super::Scheduler;
use crate::store::runs::RunFilter;
use crate::store::{ConnectionKey, StoreError};

/// By how much a clock goes back before it matters: nothing is late by more than this without being corrected.
const TOLERANCE: TimeDelta = TimeDelta::minutes(1);
/// Connections that are corrected in one transaction.
const BATCH: usize = 1000;

impl Scheduler {
    /// Learns which times were seen before by whoever worked on this store, as far as its newest run tells.
    pub(super) async fn ask_latest(&self) -> Result<(), StoreError> {
        let newest = self.store.runs(RunFilter::default(), None, 1).await?.items;
        let times = newest.iter().flat_map(|run| [Some(run.created_at), run.started_at, run.ended_at]);
        self.set_latest(times.flatten().max().unwrap_or_default());
        Ok(())
    }

    /// Has what lies ahead corrected where the clock shows an earlier time than was seen before.
    pub(super) async fn notice_turned_back(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let latest = *self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest - now > TOLERANCE {
            tracing::warn!(was = %latest, is = %now, "the clock was set back; what is due is reckoned anew");
            let mut after = Some(ConnectionKey(0));
            while let Some(behind) = after {
                after = self.store.turn_back(behind, BATCH, now).await?;
            }
            self.set_latest(now);
        } else if now > latest {
            self.set_latest(now);
        }
        Ok(())
    }

    fn set_latest(&self, latest: DateTime<Utc>) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = latest;
    }
}
