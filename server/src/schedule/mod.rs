//! When a connection is due, and who works on it: the loop that queues what is due, claims what is queued, and runs as
//! many at once as is allowed. Deletions of connections and the store's upkeep go on beside it.

mod cron;
mod deletion;
mod execute;
#[cfg(test)]
mod tests;
pub mod times;
mod upkeep;

pub(crate) use execute::capabilities;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::Catalog;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::content::Fetcher;
use crate::store::{Store, StoreError};
use crate::sync::Limits;
use crate::sync::port::Connectors;
use crate::sync::report::LiveRuns;

/// The longest time between two looks, whatever is due: a clock may jump, and another process may have written.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Everything that runs are made of. One per process.
pub struct Scheduler {
    store: Arc<dyn Store>,
    clock: SharedClock,
    catalog: Arc<Catalog>,
    connectors: Arc<dyn Connectors>,
    fetcher: Arc<Fetcher>,
    limits: Limits,
    config: Arc<Config>,
    in_flight: Arc<Semaphore>,
    places: Arc<Semaphore>,
    live: Arc<LiveRuns>,
    wake: Notify,
    /// Held from before a claim until the run is among `stops`, so that a claimed run can always be stopped.
    claiming: tokio::sync::Mutex<()>,
    /// Runs under way, by id, and how to stop each.
    stops: Mutex<HashMap<String, CancellationToken>>,
    tasks: TaskTracker,
    drain: CancellationToken,
}

impl Scheduler {
    /// Gets ready; [`Self::run`] begins.
    pub fn new(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        clock: SharedClock,
        catalog: Arc<Catalog>,
        connectors: Arc<dyn Connectors>,
        fetcher: Arc<Fetcher>,
    ) -> Arc<Self> {
        Arc::new(Self {
            limits: Limits::new(&config),
            in_flight: Arc::new(Semaphore::new(config.sync.in_flight_bytes.as_usize())),
            places: Arc::new(Semaphore::new(config.sync.max_concurrent_runs)),
            live: Arc::default(),
            wake: Notify::new(),
            claiming: tokio::sync::Mutex::default(),
            stops: Mutex::default(),
            tasks: TaskTracker::new(),
            drain: CancellationToken::new(),
            store,
            clock,
            catalog,
            connectors,
            fetcher,
            config,
        })
    }

    /// The runs of this process that are under way.
    pub fn live(&self) -> &Arc<LiveRuns> {
        &self.live
    }

    /// Something may be due now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Stops a run of this process. Says whether it was one.
    pub async fn stop(&self, run: &str) -> bool {
        // One that was claimed a moment ago is known once the claim is through.
        let _claimed = self.claiming.lock().await;
        let stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        stops.get(run).map(CancellationToken::cancel).is_some()
    }

    /// Runs what is due until [`Self::shutdown`].
    ///
    /// # Errors
    /// Where the store cannot be read at the start.
    pub async fn run(self: Arc<Self>) -> Result<(), StoreError> {
        let requeued = self.store.requeue_running().await?;
        if requeued > 0 {
            tracing::info!(runs = requeued, "runs that were cut off are gone on with");
        }
        self.spawn_deletions().await?;
        self.tasks.spawn(self.clone().upkeep());
        while !self.drain.is_cancelled() {
            let sleep = match self.tick().await {
                Ok(sleep) => sleep,
                Err(error) => {
                    tracing::error!(%error, "the schedule could not be read; trying again");
                    self.config.sync.schedule_poll
                }
            };
            tokio::select! {
                () = self.drain.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        Ok(())
    }

    /// Takes no new runs, stops those under way at their last committed page, and waits for that up to `patience`.
    pub async fn shutdown(&self, patience: Duration) {
        self.drain.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("some runs did not stop in time; they are gone on with at the next start");
        }
    }

    /// Queues what is due and begins what is queued. Returns how long nothing more is due.
    async fn tick(self: &Arc<Self>) -> Result<Duration, StoreError> {
        let now = self.clock.now();
        self.store.queue_due_runs(new_id, now).await?;
        while let Ok(place) = self.places.clone().try_acquire_owned() {
            let claiming = self.claiming.lock().await;
            let Some((run, fence)) = self.store.claim_run(self.clock.now()).await? else { break };
            let stop = self.drain.child_token();
            self.stops.lock().unwrap_or_else(PoisonError::into_inner).insert(run.id.clone(), stop.clone());
            drop(claiming);
            let scheduler = self.clone();
            self.tasks.spawn(async move {
                let id = run.id.clone();
                scheduler.execute(run, fence, stop).await;
                scheduler.stops.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                drop(place);
                scheduler.wake();
            });
        }
        let next = self.store.next_due().await?;
        let until_due =
            next.map_or(LONGEST_SLEEP, |next| (next - self.clock.now()).to_std().unwrap_or_default());
        // Due now and not begun means that every place is taken: the end of a run wakes the loop.
        let floor = self.config.sync.schedule_poll;
        Ok(until_due.clamp(floor.min(LONGEST_SLEEP), LONGEST_SLEEP))
    }
}

/// A new id: ids are in the order in which they are made.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
