//! What Prometheus is answered at `/metrics`. Most metrics are counted where things happen; what only the store knows (how
//! much waits, how far consumers are behind) is read when it is asked for, by one reader at a time, kept for a few
//! seconds, and never waited for long: a scrape cannot hurt.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use chrono::TimeDelta;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::Instant;

use super::metrics::{
    BUILD_INFO, CONNECTIONS_DUE, CONNECTOR_ENABLED, CONNECTOR_HEALTHY, CONNECTOR_PROCESSES,
    CONNECTOR_RESIDENT, CONSUMER_LAG, CONSUMER_LAG_SECONDS, CPU, FEED_HEAD, OPEN_FILES, RESIDENT,
    RUNS_PARKED, RUNS_QUEUED, RUNS_QUEUED_OLDEST_AGE, STORE_UP, UPTIME,
};
use super::own_process::OwnProcess;
use crate::catalog::Catalog;
use crate::clock::SharedClock;
use crate::documents::{Position, lag_offset};
use crate::process::{HealthState, ProcessHost, ProcessState};
use crate::store::{Result, Store};

/// How long what was read of the store is good for.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// How long a scrape waits for the store.
const PATIENCE: Duration = Duration::from_secs(2);
/// Consumers whose lag is shown.
const MAX_CONSUMERS: usize = 100;
/// How often durations are put into their buckets where nobody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Answers scrapes.
#[derive(Clone)]
pub struct Scrape {
    inner: Arc<Inner>,
    /// When the store was last read. Held while it is being read.
    read_at: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

struct Inner {
    handle: PrometheusHandle,
    store: Arc<dyn Store>,
    clock: SharedClock,
    catalog: Arc<Catalog>,
    host: ProcessHost,
    began: Instant,
    /// Consumers that were shown: one that is gone is shown as not known.
    consumers: std::sync::Mutex<Vec<String>>,
}

impl std::fmt::Debug for Scrape {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Scrape {
    /// Answers with what `handle` has collected, and what these know.
    pub fn new(
        handle: PrometheusHandle,
        store: Arc<dyn Store>,
        clock: SharedClock,
        catalog: Arc<Catalog>,
        host: ProcessHost,
    ) -> Self {
        BUILD_INFO.set([env!("CARGO_PKG_VERSION"), store.kind()], 1);
        let began = Instant::now();
        let inner =
            Arc::new(Inner { handle, store, clock, catalog, host, began, consumers: Default::default() });
        Self { inner, read_at: Arc::default() }
    }

    /// The path `/metrics`.
    pub fn routes(self) -> Router {
        Router::new().route("/metrics", get(answer)).with_state(self)
    }

    /// Keeps what was collected small for as long as nobody scrapes.
    pub async fn upkeep(self) {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            self.inner.handle.run_upkeep();
        }
    }

    /// Everything, as text.
    pub async fn render(&self) -> String {
        self.inner.read_connectors();
        self.inner.read_process();
        self.read_store().await;
        self.inner.handle.render()
    }

    async fn read_store(&self) {
        // Somebody else reads: what is there is shown.
        let Ok(mut read_at) = self.read_at.clone().try_lock_owned() else { return };
        if read_at.is_some_and(|at| at.elapsed() < GOOD_FOR) {
            return;
        }
        let inner = self.inner.clone();
        // A task of its own, so that a scraper that hangs up does not begin another reading beside this one.
        let reading = tokio::spawn(async move {
            let read = inner.read_store().await;
            if let Err(error) = &read {
                tracing::debug!(%error, "metrics could not be read of the store");
            }
            STORE_UP.set([], u64::from(read.is_ok()));
            *read_at = Some(Instant::now());
        });
        if tokio::time::timeout(PATIENCE, reading).await.is_err() {
            STORE_UP.set([], 0);
        }
    }
}

async fn answer(State(scrape): State<Scrape>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], scrape.render().await)
}

impl Inner {
    async fn read_store(&self) -> Result<()> {
        let now = self.clock.now();
        let disabled = self.catalog.disabled();
        let overview = self.store.overview(disabled, now).await?;
        RUNS_QUEUED.set([], overview.queued);
        let oldest = overview.oldest_queued_at.map_or(TimeDelta::zero(), |at| now - at);
        RUNS_QUEUED_OLDEST_AGE.set_float([], seconds(oldest));
        RUNS_PARKED.set([], overview.parked);
        CONNECTIONS_DUE.set([], overview.due);

        let bounds = self.store.feed_bounds().await?;
        FEED_HEAD.set([], bounds.head.unsigned_abs());
        let consumers = self.store.consumers("", MAX_CONSUMERS).await?.items;
        for consumer in &consumers {
            let offset = lag_offset(consumer.position.parse().unwrap_or(Position::Beginning), &bounds);
            let lag = self.store.feed_lag(consumer.filter.clone(), offset).await?;
            let waits = lag.since.map_or(TimeDelta::zero(), |since| now - since);
            CONSUMER_LAG.set([&consumer.name], lag.entries);
            CONSUMER_LAG_SECONDS.set_float([&consumer.name], seconds(waits));
        }
        let shown: Vec<String> = consumers.into_iter().map(|consumer| consumer.name).collect();
        let mut before = self.consumers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for gone in before.iter().filter(|name| !shown.contains(name)) {
            CONSUMER_LAG.set_float([gone], f64::NAN);
            CONSUMER_LAG_SECONDS.set_float([gone], f64::NAN);
        }
        *before = shown;
        Ok(())
    }

    fn read_connectors(&self) {
        const STATES: [ProcessState; 5] = [
            ProcessState::Starting,
            ProcessState::Ready,
            ProcessState::Backoff,
            ProcessState::Failed,
            ProcessState::Stopped,
        ];
        for entry in self.catalog.list() {
            let id = entry.id.as_str();
            CONNECTOR_ENABLED.set([id], u64::from(!self.catalog.is_disabled(id)));
            let processes = self.host.status(id);
            for state in STATES {
                let count = processes.iter().filter(|process| process.state == state).count();
                CONNECTOR_PROCESSES.set([id, state.as_str()], count as u64);
            }
            CONNECTOR_RESIDENT.set([id], processes.iter().map(|process| process.resident_bytes).sum());
            let healthy = match self.host.health(&entry).state {
                HealthState::Healthy => 1.0,
                HealthState::Unhealthy => 0.0,
                // What does not run is neither; a number that is none raises no alarm.
                HealthState::NotStarted | HealthState::Stopped => f64::NAN,
            };
            CONNECTOR_HEALTHY.set_float([id], healthy);
        }
    }

    fn read_process(&self) {
        UPTIME.set_float([], self.began.elapsed().as_secs_f64());
        if let Some(own) = OwnProcess::read() {
            RESIDENT.set([], own.resident_bytes);
            CPU.set_float([], own.cpu.as_secs_f64());
            OPEN_FILES.set([], own.open_files);
        }
    }
}

/// Not below zero: clocks differ a little between replicas.
fn seconds(duration: TimeDelta) -> f64 {
    duration.to_std().unwrap_or_default().as_secs_f64()
}
