//! Real processes on both stores, while everything that can go wrong does: connectord, its connectors and the database
//! are killed, replicas are suspended past their leases, the database goes away. Meanwhile the sources change and a
//! reader follows the feed all along; at the end it holds exactly what the sources have.
//!
//! [`Chaos`] is one such storm. `make test` runs short ones; `make chaos` long ones, by `CHAOS_CONNECTIONS` and
//! `CHAOS_SECONDS`. Which faults come when follows from a seed, which is printed (`CHAOS_SEED` repeats it); what they
//! meet does not, because the processes are real.

mod faults;
pub(super) mod ledgers;
pub(super) mod reader;
mod storm;

use std::time::Duration;

use faults::Fault;
use storm::{Chaos, Store};

/// A number from the environment.
fn measure(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"))
}

fn chaos(store: Store, replicas: usize, faults: &'static [Fault]) -> Chaos {
    Chaos {
        store,
        replicas,
        faults,
        connections: measure("CHAOS_CONNECTIONS", 40),
        lasts: Duration::from_secs(measure("CHAOS_SECONDS", 12) as u64),
        seed: measure("CHAOS_SEED", rand::random::<u32>() as usize) as u64,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_sqlite_survives_the_deaths_of_its_processes() {
    chaos(Store::Sqlite, 1, &[Fault::KillReplica, Fault::KillConnector]).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_i3_replicas_on_postgresql_survive_deaths_and_pauses() {
    chaos(Store::Postgres, 3, &[Fault::KillReplica, Fault::KillConnector, Fault::SuspendReplica]).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_i4_replicas_survive_the_death_of_their_database() {
    chaos(Store::Postgres, 2, &[Fault::KillDatabase, Fault::StopDatabase]).run().await;
}
