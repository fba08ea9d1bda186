//! When a connection is due, and who works on it: the loop that queues what is due, claims what is queued, and runs as
//! many at once as is allowed. Any number of replicas may do so on one store. `times` says when a connection is due,
//! `execute` works on one run, `outcomes` writes how runs end, `leases` keeps the claims; deletions of connections and
//! the store's upkeep go on beside it.

mod cron;
mod deletion;
mod execute;
mod leases;
mod outcomes;
#[cfg(test)]
mod tests;
pub mod times;
mod turned_back;
mod upkeep;

pub use crate::chance::new_id;
pub(crate) use execute::capabilities;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::catalog::Catalog;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::content::Fetcher;
use crate::store::runs::Claiming;
use crate::store::runs::fair::{ClaimLimits, LaneKey};
use crate::store::{Store, StoreError};
use crate::sync::Limits;
use crate::sync::port::{Connectors, CredentialSource};
use crate::sync::report::LiveRuns;
use crate::telemetry;
use crate::telemetry::metrics::RUNS_TAKEN_OVER;
use leases::Held;
use outcomes::Outcomes;

/// The longest time between two looks, whatever is due: a clock may jump, and another process may have written.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const SHARED_LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Due connections that are queued in one transaction: few enough that what is free meanwhile does not wait for long.
const DUE_AT_ONCE: usize = 200;
/// How often in a row what waits is looked at, when all that was seen is over its limits.
const LOOKS: usize = 16;
/// How long to wait for more where one claim, or one write, can be for many runs.
const GATHER: Duration = Duration::from_millis(2);
/// Connections that are deleted at the same time.
const MAX_DELETIONS: usize = 4;

/// Everything that runs are made of. One per process.
pub struct Scheduler {
    store: Arc<dyn Store>,
    clock: SharedClock,
    catalog: Arc<Catalog>,
    connectors: Arc<dyn Connectors>,
    credentials: Arc<dyn CredentialSource>,
    fetcher: Arc<Fetcher>,
    limits: Limits,
    config: Arc<Config>,
    in_flight: Arc<Semaphore>,
    /// Bytes in flight of envelopes that were made of raw items.
    normalized: Arc<Semaphore>,
    places: Arc<Semaphore>,
    deletions: Arc<Semaphore>,
    live: Arc<LiveRuns>,
    held: Arc<Held>,
    outcomes: Outcomes,
    /// What this replica is called in its claims.
    holder: String,
    /// Behind which lane the next look at what waits begins.
    after: Mutex<Option<LaneKey>>,
    /// The latest time that was seen.
    latest: Mutex<DateTime<Utc>>,
    /// Something may be due at another time than was thought.
    wake: Notify,
    /// A place is free.
    freed: Notify,
    tasks: TaskTracker,
    /// No new runs; those under way stop.
    drain: CancellationToken,
    /// Nothing is under way any more.
    ended: CancellationToken,
}

impl Scheduler {
    /// Gets ready; [`Self::run`] begins.
    pub fn new(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        clock: SharedClock,
        catalog: Arc<Catalog>,
        (connectors, credentials): (Arc<dyn Connectors>, Arc<dyn CredentialSource>),
        fetcher: Arc<Fetcher>,
    ) -> Arc<Self> {
        Arc::new(Self {
            limits: Limits::new(&config),
            in_flight: Arc::new(Semaphore::new(config.sync.in_flight_bytes.as_usize())),
            normalized: Arc::new(Semaphore::new(config.sync.in_flight_bytes.as_usize())),
            places: Arc::new(Semaphore::new(config.sync.max_concurrent_runs)),
            deletions: Arc::new(Semaphore::new(MAX_DELETIONS)),
            live: Arc::default(),
            held: Arc::default(),
            outcomes: Outcomes::new(store.clone(), clock.clone()),
            holder: new_id(),
            after: Mutex::default(),
            latest: Mutex::default(),
            wake: Notify::new(),
            freed: Notify::new(),
            tasks: TaskTracker::new(),
            drain: CancellationToken::new(),
            ended: CancellationToken::new(),
            store,
            clock,
            catalog,
            connectors,
            credentials,
            fetcher,
            config,
        })
    }

    /// The runs of this process that are under way.
    pub fn live(&self) -> &Arc<LiveRuns> {
        &self.live
    }

    /// Runs what is due until [`Self::shutdown`].
    ///
    /// # Errors
    /// Where the store cannot be read at the start.
    pub async fn run(self: Arc<Self>) -> Result<(), StoreError> {
        // What an earlier process left: of a store that is shared, only what nobody else works on.
        let requeued = self.store.take_over(!self.store.is_shared(), self.clock.now()).await?;
        RUNS_TAKEN_OVER.add([], requeued);
        if requeued > 0 {
            tracing::info!(runs = requeued, "runs that were cut off are gone on with");
        }
        tokio::spawn(self.clone().keep_claims());
        self.tasks.spawn(self.clone().upkeep());
        let mut changes = self.store.run_changes();
        let mut look_at = Instant::now();
        self.ask_latest().await?;
        while !self.drain.is_cancelled() {
            let looked = if Instant::now() < look_at {
                self.begin_runs().await
            } else {
                self.tick().await.map(|sleep| look_at = Instant::now() + sleep)
            };
            if let Err(error) = looked {
                tracing::error!(%error, "the schedule could not be read; trying again");
                look_at = Instant::now() + self.config.sync.schedule_poll;
            }
            tokio::select! {
                biased;
                () = self.drain.cancelled() => {}
                () = self.wake.notified() => look_at = Instant::now(),
                _ = changes.changed() => look_at = Instant::now(),
                () = tokio::time::sleep_until(look_at) => {}
                () = self.freed.notified() => tokio::time::sleep(GATHER).await,
            }
        }
        Ok(())
    }

    /// Takes no new runs, stops those under way at their last committed page and gives their claims back, so that
    /// another replica goes on at once. Waits for that up to `patience`.
    pub async fn shutdown(&self, patience: Duration) {
        self.drain.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("some runs did not stop in time; they are gone on with when their leases end");
        }
        self.ended.cancel();
    }

    /// Queues what is due and begins what is queued. Returns how long nothing more is due.
    async fn tick(self: &Arc<Self>) -> Result<Duration, StoreError> {
        self.notice_turned_back().await?;
        if self.store.is_shared() {
            let requeued = self.store.take_over(false, self.clock.now()).await?;
            if requeued > 0 {
                RUNS_TAKEN_OVER.add([], requeued);
                tracing::warn!(runs = requeued, "a replica fell silent; its runs are gone on with");
            }
        }
        self.begin_deletions().await?;
        let mut next = self.store.next_due().await?;
        if next.is_some_and(|next| next <= self.clock.now()) {
            while self.store.queue_due_runs(new_id, DUE_AT_ONCE, self.clock.now()).await?.more {
                self.begin_runs().await?;
            }
            next = self.store.next_due().await?;
        }
        self.begin_runs().await?;
        let until_due =
            next.map_or(LONGEST_SLEEP, |next| (next - self.clock.now()).to_std().unwrap_or_default());
        // A shared store is looked at more often: word of what another replica did may not have come.
        let longest = if self.store.is_shared() { SHARED_LONGEST_SLEEP } else { LONGEST_SLEEP };
        Ok(until_due.clamp(self.config.sync.schedule_poll.min(longest), longest))
    }

    /// Claims as many runs as there are free places, and begins them.
    async fn begin_runs(self: &Arc<Self>) -> Result<(), StoreError> {
        for _ in 0..LOOKS {
            let places = self.places.available_permits();
            if places == 0 || self.drain.is_cancelled() {
                return Ok(());
            }
            let after = self.after.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let claiming = Claiming {
                holder: self.holder.clone(),
                lease: self.config.sync.lease,
                places,
                limits: self.claim_limits(),
                after: after.clone(),
            };
            let claims = self.store.claim_runs(claiming, self.clock.now()).await?;
            self.after.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&claims.after);
            // Nothing waits, or nothing of what waits may begin, and there is no more of it.
            if claims.claims.is_empty() && (claims.after.is_none() || claims.after == after) {
                return Ok(());
            }
            let filled = claims.claims.len() == places;
            for claim in claims.claims {
                let place = self.places.clone().try_acquire_owned();
                let scheduler = self.clone();
                self.tasks.spawn(async move {
                    let span = telemetry::runs::span(&claim);
                    scheduler.execute(claim).instrument(span).await;
                    drop(place);
                    scheduler.freed.notify_one();
                });
            }
            if filled {
                // What got free meanwhile is gathered first.
                return Ok(());
            }
        }
        Ok(())
    }

    fn claim_limits(&self) -> ClaimLimits {
        let sync = &self.config.sync;
        ClaimLimits {
            total: sync.max_runs,
            per_organization: sync.max_runs_per_organization,
            per_connector: sync.max_runs_per_connector,
            connectors: self.config.connectors.max_runs(),
        }
    }
}
