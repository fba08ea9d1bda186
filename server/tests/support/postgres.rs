//! PostgreSQL for tests of whole servers: databases in the one cluster of the test process.

#[path = "../../src/store/testing/postgres.rs"]
#[allow(dead_code, reason = "shared with the store's own tests, which use more of it")]
mod cluster;

use std::sync::atomic::{AtomicUsize, Ordering};

pub use cluster::Cluster;

/// The URL of a new and empty database. It goes away with the process.
pub async fn database() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
    let (client, connection) =
        tokio_postgres::connect(&cluster.url("postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    cluster.url(&name)
}
