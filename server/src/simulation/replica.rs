//! A replica: the engine as it is, from the scheduler down, behind its door.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rand::Rng;
use superfasttt_extract::{Pool, PoolConfig};

use super::connector::SimulatedConnectors;
use super::port::{Life, Port, SimulatedClock};
use super::source::KINDS;
use super::store::FaultyStore;
use super::vault::SimulatedVault;
use super::watcher::{SWEEP_MIN, SWEEP_SHARE};
use super::world::World;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::content::Fetcher;
use crate::schedule::Scheduler;
use crate::store::Maintenance;

/// How long a replica may be silent. Short, as everything here is: what decides is how times compare.
pub(super) const LEASE: Duration = Duration::from_secs(6);

/// The connectors that there are. Manifests are read and checked once: that takes longer than a history.
static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("tests have a place for files");
    for kind in KINDS {
        let manifest = serde_json::json!({
            "id": kind.id, "auth": {"type": "none"}, "sync": {"mode": "full"},
            "capabilities": kind.capabilities(),
        });
        let of_kind = folder.path().join(kind.id);
        std::fs::create_dir_all(&of_kind).expect("tests may write there");
        std::fs::write(of_kind.join("manifest.json"), manifest.to_string()).expect("tests may write there");
    }
    Catalog::load(folder.path()).expect("the manifests are good")
});

/// One replica, from its start to its death.
pub(super) struct Replica {
    pub port: Arc<Port>,
    pub clock: SimulatedClock,
    pub scheduler: Arc<Scheduler>,
}

impl Replica {
    /// Starts one.
    pub(super) fn start(world: &Arc<World>, name: String, clock: SimulatedClock) -> Self {
        let port = Port::new(name);
        let deaf = world.store.is_shared() && world.choose(|chance| chance.random_bool(0.5));
        world.tell(format_args!("{} starts", port.name));
        let store = Arc::new(FaultyStore::new(world.clone(), port.clone(), deaf));
        let config = Arc::new(config());
        // Nothing comes as far as a worker.
        let pool = Pool::new(PoolConfig::new("/nonexistent".into(), Vec::new()));
        let fetcher = Arc::new(Fetcher::new(pool, &config.content, std::env::temp_dir()));
        let connectors = Arc::new(SimulatedConnectors { world: world.clone(), port: port.clone() });
        let called =
            (connectors as _, Arc::new(SimulatedVault { world: world.clone(), port: port.clone() }) as _);
        let clock_of_scheduler = Arc::new(clock.clone());
        let scheduler = Scheduler::new(config, store, clock_of_scheduler, CATALOG.clone(), called, fetcher);
        let run = scheduler.clone();
        tokio::spawn(async move {
            // Where the store cannot be read at the start the process ends, and is started again.
            while run.clone().run().await.is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Self { port, clock, scheduler }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.port.life() == Life::Dead
    }
}

/// Small limits, so that small histories meet them.
fn config() -> Config {
    let mut config = Config::default();
    let sync = &mut config.sync;
    sync.max_concurrent_runs = 2;
    sync.lease = LEASE;
    sync.commit_max_changes = 4;
    sync.item_error_share = 0.6;
    sync.item_error_min = 6;
    sync.sweep_share = SWEEP_SHARE;
    sync.sweep_min = SWEEP_MIN;
    sync.sweep_all_min = SWEEP_MIN + 1;
    sync.stall_timeout = Duration::from_secs(10);
    sync.retry_attempts = 3;
    sync.retry_backoff_initial = Duration::from_millis(200);
    sync.retry_backoff_max = Duration::from_secs(4);
    config
}
