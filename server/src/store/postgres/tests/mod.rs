//! What only PostgreSQL does: several replicas, connections that end, locks that are held, TLS. What every store does is
//! in `store::suite`.

mod lost;
mod opening;
mod replicas;
mod tls;
mod waiting;

use std::sync::Arc;

use super::*;
use crate::store::suite::support::Shared;
use crate::store::testing::Database;

/// A store as the suite's helpers take it, and itself.
async fn open(database: &Database) -> (PostgresStore, Shared) {
    let store = database.open().await;
    (store.clone(), Arc::new(store))
}

/// Ends all connections to the database but this one.
async fn cut_all(client: &tokio_postgres::Client) {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    client.query(sql, &[]).await.unwrap();
}
