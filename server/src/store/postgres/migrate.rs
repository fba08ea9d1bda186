//! Brings the schema up to date, in one transaction under a lock: of several replicas that start at once, one does it
//! and the others find it done.

use tokio_postgres::Client;

use super::transaction::{Failure, Outcome};
use crate::store::StoreError;

/// One step of the schema; the number is that of its files.
struct Migration {
    number: i64,
    up: &'static str,
}

macro_rules! migration {
    ($number:literal, $name:literal) => {
        Migration { number: $number, up: include_str!(concat!("../migrations/postgres/", $name, ".up.sql")) }
    };
}

/// All of them, in order.
static MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_first"),
    migration!(2, "0002_leases"),
    migration!(3, "0003_items"),
    migration!(4, "0004_raw"),
    migration!(5, "0005_feed"),
    migration!(6, "0006_history"),
    migration!(7, "0007_credentials"),
    migration!(8, "0008_access"),
];

/// The newest that this program knows.
fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |last| last.number)
}

/// The lock's name, with the schema's number as its second half: several installations may share a database.
const LOCK: i32 = 0x636f_6e6e;

/// Brings the schema up to date.
pub(super) async fn migrate(client: &Client) -> Outcome<()> {
    // The usual start: nothing to do, and nobody to wait for.
    if found(client).await? == newest() {
        return Ok(());
    }
    client.batch_execute("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
    client
        .execute(
            "SELECT pg_advisory_xact_lock($1, (SELECT oid::int FROM pg_namespace WHERE nspname = current_schema()))",
            &[&LOCK],
        )
        .await?;
    let found = found(client).await?;
    if found > newest() {
        return Err(Failure::Store(StoreError::TooNew { found, known: newest() }));
    }
    if found == 0 {
        client
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS schema_version (number BIGINT PRIMARY KEY, at TIMESTAMPTZ NOT NULL)",
            )
            .await?;
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.number > found) {
        client.batch_execute(migration.up).await?;
        let sql = "INSERT INTO schema_version (number, at) VALUES ($1, clock_timestamp())";
        client.execute(sql, &[&migration.number]).await?;
        tracing::info!(number = migration.number, "the database's schema was brought forward");
    }
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// The schema's number; 0 where there is none yet.
async fn found(client: &Client) -> Outcome<i64> {
    // Read as a table is: what a name stands for is remembered by each connection, also that it stood for nothing.
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = current_schema() AND c.relname = 'schema_version')";
    if !client.query_one(sql, &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let row = client.query_one("SELECT coalesce(max(number), 0) FROM schema_version", &[]).await?;
    Ok(row.get(0))
}
