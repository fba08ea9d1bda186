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

/// How often lost claims are looked for where no word of a change came.
const LOOK: Duration = Duration::from_millis(500);

/// The claims that this replica works on.
#[derive(Debug, Default)]
pub(super) struct Held {
    claims: Mutex<HashMap<Fence, CancellationToken>>,
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
        self.claims().insert(fence, lost.clone());
        HeldClaim { held: self.clone(), fence, lost, _shown: LEASES_HELD.enter([]) }
    }

    fn fences(&self) -> Vec<Fence> {
        let mut fences: Vec<_> = self.claims().keys().copied().collect();
        fences.sort_unstable_by_key(|fence| fence.connection);
        fences
    }

    fn lose(&self, lost: &[Fence]) {
        let claims = self.claims();
        for claim in lost.iter().filter_map(|fence| claims.get(fence)).filter(|claim| !claim.is_cancelled()) {
            LEASES_LOST.add([], 1);
            claim.cancel();
        }
    }

    fn claims(&self) -> std::sync::MutexGuard<'_, HashMap<Fence, CancellationToken>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldClaim {
    /// Waits until the claim is somebody else's.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
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
                    self.held.lose(&self.held.fences());
                }
            }
            tokio::select! {
                biased;
                () = self.ended.cancelled() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK.min(lease / 3)) => {}
            }
        }
    }

    async fn renew(&self) -> Result<(), StoreError> {
        let fences = self.held.fences();
        if fences.is_empty() {
            return Ok(());
        }
        let count = fences.len() as u64;
        let lost = self.store.renew_leases(fences, self.config.sync.lease, self.clock.now()).await;
        let lost = lost.inspect_err(|_| LEASE_RENEWALS.add(["failed"], count))?;
        LEASE_RENEWALS.add(["ok"], count - lost.len() as u64);
        LEASE_RENEWALS.add(["lost"], lost.len() as u64);
        self.held.lose(&lost);
        Ok(())
    }

    async fn look_for_lost(&self) -> Result<(), StoreError> {
        let fences = self.held.fences();
        if fences.is_empty() {
            return Ok(());
        }
        self.held.lose(&self.store.lost_claims(fences).await?);
        Ok(())
    }
}
