//! Who waits, for how long, and what is said then.

use super::*;
use crate::store::documents::{Commit, DocumentStore};
use crate::store::feed::FeedStore;
use crate::store::suite::support::{at, listed, puts, running, write};

#[tokio::test]
async fn a_replica_that_was_stopped_holding_the_head_does_not_stop_the_feed() {
    let database = Database::new().await;
    let config =
        DatabaseConfig { idle_in_transaction_timeout: Duration::from_millis(500), ..database.config() };
    let stopped = PostgresStore::open_with(&config, LeaseClock::Caller).await.unwrap();
    let (_, shared) = open(&database).await;
    let (_, _, fence) = running(&shared, "docs").await;
    let sleeping = stopped.client().await.unwrap();
    sleeping
        .batch_execute("BEGIN; UPDATE meta SET value = value + 1 WHERE name = 'feed_head'")
        .await
        .unwrap();
    // It never speaks again; the server ends it.
    write(&shared, fence, puts(&["1"])).await;
    assert_eq!(listed(&shared).await, ["1"]);
    assert_eq!(shared.feed_bounds().await.unwrap().head, 1);
    assert!(sleeping.batch_execute("COMMIT").await.is_err());
}

#[tokio::test]
async fn a_wait_for_a_lock_has_an_end_and_is_said() {
    let database = Database::new().await;
    let config = DatabaseConfig { lock_timeout: Duration::from_millis(200), ..database.config() };
    let store = PostgresStore::open_with(&config, LeaseClock::Caller).await.unwrap();
    let (_, shared) = open(&database).await;
    let (_, run, fence) = running(&shared, "docs").await;
    let mut holder = database.connect().await;
    let held = holder.transaction().await.unwrap();
    held.execute("SELECT FROM meta WHERE name = 'feed_head' FOR UPDATE", &[]).await.unwrap();
    let commit = Commit { run: run.id, documents: puts(&["1"]), ..Commit::default() };
    let refused = store.commit(fence, commit.clone(), at(1)).await;
    assert!(
        matches!(&refused, Err(StoreError::Unavailable(text)) if text.contains("lock timeout")),
        "{refused:?}"
    );
    held.rollback().await.unwrap();
    store.commit(fence, commit, at(1)).await.expect("the same goes through now");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() {
    let database = Database::new().await;
    let config = DatabaseConfig { statement_timeout: Duration::from_millis(200), ..database.config() };
    let store = PostgresStore::open_with(&config, LeaseClock::Caller).await.unwrap();
    let slow = store.single((), |tx, ()| Box::pin(tx.query("SELECT pg_sleep(600)", &[]))).await;
    let text = slow.unwrap_err().to_string();
    assert!(text.contains("statement timeout"), "{text}");
    store.feed_bounds().await.unwrap();
}

#[tokio::test]
async fn an_exhausted_pool_says_so() {
    let database = Database::new().await;
    let config = DatabaseConfig {
        max_connections: 2,
        acquire_timeout: Duration::from_millis(200),
        ..database.config()
    };
    let store = PostgresStore::open_with(&config, LeaseClock::Caller).await.unwrap();
    let held = (store.client().await.unwrap(), store.client().await.unwrap());
    let refused = store.feed_bounds().await;
    let Err(StoreError::Unavailable(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("all 2 connections") && text.contains("database.max_connections"), "{text}");
    drop(held);
    store.feed_bounds().await.unwrap();
}

#[tokio::test]
async fn a_closed_store_refuses() {
    let database = Database::new().await;
    let store = database.open().await;
    store.close().await;
    assert!(store.feed_bounds().await.is_err());
}
