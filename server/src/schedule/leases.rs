//! The claims of this replica: kept for as long as it is alive, dropped as soon as they are lost.
//!
//! A claim is safe without any of this: the store refuses what comes with an old fence. A lease is renewed so that
//! nobody takes over from a replica that is alive, and a lost claim is noticed so that no work is done for nothing: a
//! run that a person cancelled, wherever that was asked, stops within a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Scheduler;
use crate::store::{Fence, StoreError};
use crate::telemetry::metrics::{GaugeGuard, LEASE_RENEWALS, LEASES_HELD, LEASES_LOST};

/// How often lost claims are looked for where no word of a change came, and how often at most where changes never end.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_AT_MOST: Duration = Duration::from_millis(100);

/// The claims that this replica works on.
#[derive(Debug, Default)]
pub(super) struct Held {
    claims: Mutex<HashMap<Fence, Watch>>,
}

/// How a claim is looked after.
#[derive(Debug, Clone)]
struct Watch {
    lost: CancellationToken,
    /// The run's end is being written, which gives the claim back: whether it was lost before, the store says then.
    ending: bool,
}

/// Keeps a claim among the held ones.
#[derive(Debug)]
pub(super) struct HeldClaim {
    held: Arc<Held>,
    fence: Fence,
    lost: CancellationToken,
    _shown: GaugeGuard,
}

impl Held {
    /// Adds a claim until the guard is dropped.
    pub(super) fn hold(self: &Arc<Self>, fence: Fence) -> HeldClaim {
        let lost = CancellationToken::new();
        self.claims().insert(fence, Watch { lost: lost.clone(), ending: false });
        HeldClaim { held: self.clone(), fence, lost, _shown: LEASES_HELD.enter([]) }
    }

    /// The claims, perhaps with those that are being given back.
    fn fences(&self, with_ending: bool) -> Vec<Fence> {
        let claims = self.claims();
        let chosen = claims.iter().filter(|(_, watch)| with_ending || !watch.ending);
        let mut fences: Vec<_> = chosen.map(|(fence, _)| *fence).collect();
        fences.sort_unstable_by_key(|fence| fence.connection);
        fences
    }

    /// Says that these are somebody else's, but for those that are being given back. Returns how many are.
    fn lose(&self, lost: &[Fence]) -> u64 {
        let claims = self.claims();
        let mut count = 0;
        for watch in lost.iter().filter_map(|fence| claims.get(fence)).filter(|watch| !watch.ending) {
            count += 1;
            if !watch.lost.is_cancelled() {
                LEASES_LOST.add([], 1);
                watch.lost.cancel();
            }
        }
        count
    }

    fn claims(&self) -> std::sync::MutexGuard<'_, HashMap<Fence, Watch>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldClaim {
    /// Waits until the claim is somebody else's.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// The run's end is written from now on, which gives the claim back.
    pub(super) fn ending(&self) {
        if let Some(watch) = self.held.claims().get_mut(&self.fence) {
            watch.ending = true;
        }
    }
}

impl Drop for HeldClaim {
    fn drop(&mut self) {
        self.held.claims().remove(&self.fence);
    }
}

impl Scheduler {
    /// Renews the leases of what is held at a third of their life, and looks for what was lost.
    pub(super) async fn keep_claims(self: Arc<Self>) {
        let lease = self.config.sync.lease;
        let mut changes = self.store.run_changes();
        let mut renewed_at = Instant::now();
        while !self.ended.is_cancelled() {
            let result = if renewed_at.elapsed() >= lease / 3 {
                let result = self.renew().await;
                if result.is_ok() {
                    renewed_at = Instant::now();
                }
                result
            } else {
                self.look_for_lost().await
            };
            if let Err(error) = result {
                tracing::warn!(%error, "the leases of runs under way could not be looked after; trying again");
                // Another replica has taken over by now, or will; the store lets only one of us write. Where there is no
                // other, nobody would: the claims stay ours, and the runs go on when the store is back.
                if self.store.is_shared() && renewed_at.elapsed() >= lease {
                    self.held.lose(&self.held.fences(false));
                }
            }
            let pause = LOOK.min(lease / 3);
            let next_change = async {
                tokio::time::sleep(LOOK_AT_MOST.min(pause)).await;
                changes.changed().await
            };
            tokio::select! {
                biased;
                () = self.ended.cancelled() => {}
                _ = next_change => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn renew(&self) -> Result<(), StoreError> {
        // Also those whose end is being written: it may take the store long, and nobody should begin the run again.
        let fences = self.held.fences(true);
        if fences.is_empty() {
            return Ok(());
        }
        let count = fences.len() as u64;
        let lost = self.store.renew_leases(fences, self.config.sync.lease, self.clock.now()).await;
        let lost = lost.inspect_err(|_| LEASE_RENEWALS.add(["failed"], count))?;
        let lost = self.held.lose(&lost);
        LEASE_RENEWALS.add(["ok"], count - lost);
        LEASE_RENEWALS.add(["lost"], lost);
        Ok(())
    }

    async fn look_for_lost(&self) -> Result<(), StoreError> {
        let fences = self.held.fences(false);
        if !fences.is_empty() {
            let lost = self.store.lost_claims(fences).await?;
            self.held.lose(&lost);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ConnectionKey;

    fn fence(connection: i64) -> Fence {
        Fence { connection: ConnectionKey(connection), number: 1 }
    }

    #[test]
    fn i3_a_claim_that_its_run_gives_back_is_not_taken_as_lost() {
        let held = Arc::new(Held::default());
        let (working, ending) = (held.hold(fence(1)), held.hold(fence(2)));
        ending.ending();
        assert_eq!(held.fences(false), [fence(1)]);
        assert_eq!(held.fences(true), [fence(1), fence(2)], "its lease is kept while its end is written");
        assert_eq!(held.lose(&[fence(1), fence(2)]), 1);
        assert!(working.lost.is_cancelled() && !ending.lost.is_cancelled());
        drop((working, ending));
        assert!(held.fences(true).is_empty());
    }
}
