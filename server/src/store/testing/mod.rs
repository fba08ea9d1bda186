//! Databases for tests: each its own, in the one PostgreSQL cluster of the test process.

pub(crate) mod postgres;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::OnceCell;
use tokio_postgres::error::SqlState;

use self::postgres::Cluster;
use super::postgres::LeaseClock;
use super::{Maintenance, PostgresStore};
use crate::config::DatabaseConfig;

/// A database with the schema in it. It goes away with this.
pub(crate) struct Database {
    name: String,
}

impl Database {
    /// An empty one.
    pub(crate) async fn new() -> Self {
        Self::copy_of(template().await).await
    }

    /// One as this one is now. Nobody may be connected to it.
    pub(crate) async fn copy(&self) -> Self {
        Self::copy_of(&self.name).await
    }

    async fn copy_of(template: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        create(&name, template).await;
        Self { name }
    }

    /// Replaces what is in it by what is in the other. Nobody may be connected to either.
    pub(crate) async fn restore(&self, backup: &Database) {
        admin(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await.unwrap();
        create(&self.name, &backup.name).await;
    }

    /// How it is connected to.
    pub(crate) fn config(&self) -> DatabaseConfig {
        config(&self.name)
    }

    /// A store in it, whose leases go by the clock of the tests.
    pub(crate) async fn open(&self) -> PostgresStore {
        PostgresStore::open_with(&self.config(), LeaseClock::Caller).await.unwrap()
    }

    /// A connection to it that is no store's.
    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        connect(&self.name).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // Without a runtime of its own this could not be waited for; where it fails the cluster takes it along.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(admin(&sql)))
        });
    }
}

/// How a database of the process's cluster is connected to.
fn config(name: &str) -> DatabaseConfig {
    DatabaseConfig {
        url: Some(SecretString::from(Cluster::shared().url(name))),
        max_connections: 8,
        ..DatabaseConfig::default()
    }
}

/// The name of a database with the schema in it, from which others are copied.
async fn template() -> &'static str {
    static TEMPLATE: OnceCell<()> = OnceCell::const_new();
    TEMPLATE
        .get_or_init(|| async {
            // Starting a cluster takes a second, in which other tests go on.
            tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
            admin("CREATE DATABASE schema_only").await.unwrap();
            let store = PostgresStore::open(&config("schema_only")).await.unwrap();
            store.close().await;
        })
        .await;
    "schema_only"
}

async fn create(name: &str, template: &str) {
    loop {
        match admin(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await {
            Ok(()) => return,
            // Somebody is about to leave it.
            Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn admin(sql: &str) -> Result<(), tokio_postgres::Error> {
    connect("postgres").await.batch_execute(sql).await
}

/// A connection to a database of the cluster, as anybody has one.
pub(crate) async fn connect(database: &str) -> tokio_postgres::Client {
    let url = Cluster::shared().url(database);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
