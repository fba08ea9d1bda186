//! The start: schemas, servers and addresses that cannot be used, several replicas at once.

use secrecy::SecretString;

use super::*;
use crate::store::connections::{ConnectionFilter, ConnectionStore};
use crate::store::suite::support::connect;

#[tokio::test]
async fn several_replicas_may_start_on_an_empty_database_at_once() {
    let database = Database::new().await;
    database.connect().await.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
    let stores = futures::future::join_all((0..8).map(|_| database.open())).await;
    let shared: Shared = Arc::new(stores[0].clone());
    connect(&shared, "docs").await;
    for store in &stores {
        let listed = store.connections(ConnectionFilter::default(), "", 10).await.unwrap();
        assert_eq!(listed.items.len(), 1);
    }
}

#[tokio::test]
async fn a_schema_that_is_newer_is_refused() {
    let database = Database::new().await;
    let sql = "INSERT INTO schema_version (number, at) VALUES (9999, clock_timestamp())";
    database.connect().await.batch_execute(sql).await.unwrap();
    let refused = PostgresStore::open(&database.config()).await;
    assert!(matches!(refused, Err(StoreError::TooNew { found: 9999, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_tried_for_a_while_and_named() {
    let config = DatabaseConfig {
        url: Some(SecretString::from("postgres://me:hunter2@%2Fnowhere/db")),
        connect_timeout: Duration::from_millis(600),
        ..DatabaseConfig::default()
    };
    let began = Instant::now();
    let refused = PostgresStore::open(&config).await.unwrap_err();
    assert!(began.elapsed() >= config.connect_timeout);
    let text = refused.to_string();
    assert!(matches!(refused, StoreError::Unavailable(_)) && text.contains("database.url"), "{text}");
    assert!(!text.contains("hunter2"));
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_said_at_once() {
    let database = Database::new().await;
    let mut config = database.config();
    config.url = Some(SecretString::from(crate::store::testing::postgres::Cluster::shared().url("nowhere")));
    let began = Instant::now();
    let refused = PostgresStore::open(&config).await;
    assert!(matches!(&refused, Err(StoreError::Database(text)) if text.contains("nowhere")), "{refused:?}");
    assert!(began.elapsed() < config.connect_timeout);
}

#[tokio::test]
async fn each_migration_has_its_way_back() {
    let database = Database::new().await;
    let client = database.connect().await;
    for down in [
        "0008_access",
        "0007_credentials",
        "0006_history",
        "0005_feed",
        "0004_raw",
        "0003_items",
        "0002_leases",
        "0001_first",
    ] {
        let file = format!("{}/src/store/migrations/postgres/{down}.down.sql", env!("CARGO_MANIFEST_DIR"));
        client.batch_execute(&std::fs::read_to_string(file).unwrap()).await.unwrap();
    }
    client.batch_execute("DROP TABLE schema_version").await.unwrap();
    let left = client.query("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace", &[]);
    assert_eq!(left.await.unwrap().len(), 0);
    database.open().await.close().await;
}
