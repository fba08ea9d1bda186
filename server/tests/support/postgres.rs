//! PostgreSQL for tests of whole servers: databases in the one cluster of the test process.

#[path = "../../src/store/testing/postgres.rs"]
#[allow(dead_code, reason = "shared with the store's own tests, which use more of it")]
mod cluster;

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::TryStreamExt;
use tokio_postgres::{Client, NoTls};

pub use cluster::{Cluster, ClusterOptions};

/// The password that stands in the URL of each database: the cluster asks for none, and nobody may get to see it.
pub const DATABASE_PASSWORD: &str = "pg/Pass word+Canary=8kQ4";

/// A database in the cluster of the test process. It is dropped with the value, whoever is still connected: a hundred
/// tests leave no connections behind that the next ones lack.
#[derive(Debug)]
pub struct Database {
    name: String,
}

impl Database {
    /// A new and empty one.
    pub async fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
        let client = connect("postgres").await;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Self { name }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let password = DATABASE_PASSWORD.replace('/', "%2F").replace(' ', "%20").replace('=', "%3D");
        Cluster::shared().url(&self.name).replacen("postgres@", &format!("postgres:{password}@"), 1)
    }

    /// Lets the time of every lease in it be over.
    pub async fn end_leases(&self) {
        for table in ["connections", "credentials"] {
            let statement = format!("UPDATE {table} SET lease_until = 0 WHERE lease_until IS NOT NULL");
            connect(&self.name).await.batch_execute(&statement).await.unwrap();
        }
    }

    /// Runs these statements in it.
    pub async fn execute(&self, statements: &str) {
        connect(&self.name).await.batch_execute(statements).await.unwrap();
    }

    /// Every value of every row in it, as it is sent and not as it is printed.
    pub async fn everything(&self) -> Vec<u8> {
        let client = connect(&self.name).await;
        let tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'";
        let mut everything = Vec::new();
        for table in client.query(tables, &[]).await.unwrap() {
            let copy = format!("COPY {} TO STDOUT (FORMAT binary)", table.get::<_, &str>(0));
            let rows = client.copy_out(&copy).await.unwrap();
            rows.try_for_each(|row| {
                std::future::ready({
                    everything.extend_from_slice(&row);
                    Ok(())
                })
            })
            .await
            .unwrap();
        }
        everything
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A test that ends has no runtime that could wait for it.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let statement = format!("DROP DATABASE {name} WITH (FORCE)");
                connect("postgres").await.batch_execute(&statement).await
            })
        });
        // What is left goes away with the cluster.
        drop(dropped.join());
    }
}

async fn connect(database: &str) -> Client {
    let url = Cluster::shared().url(database);
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
