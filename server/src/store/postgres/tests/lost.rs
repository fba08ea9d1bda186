//! Connections and notifications that are lost.

use std::sync::atomic::AtomicU32;

use super::*;
use crate::documents::Position;
use crate::store::feed::FeedStore;
use crate::store::suite::support::{listed, puts, running, write};

#[tokio::test]
async fn what_was_cut_off_before_its_end_is_done_again() {
    static ATTEMPT: AtomicU32 = AtomicU32::new(0);
    let database = Database::new().await;
    let (store, _) = open(&database).await;
    let done = store
        .write((), |tx, ()| {
            Box::pin(async move {
                tx.execute("UPDATE meta SET value = value + 7 WHERE name = 'feed_floor'", &[]).await?;
                if ATTEMPT.fetch_add(1, Ordering::Relaxed) < 2 {
                    // The connection ends under it.
                    tx.query("SELECT pg_terminate_backend(pg_backend_pid())", &[]).await?;
                }
                Ok(tx
                    .query_one("SELECT value FROM meta WHERE name = 'feed_floor'", &[])
                    .await?
                    .get::<_, i64>(0))
            })
        })
        .await;
    assert_eq!((done.unwrap(), ATTEMPT.load(Ordering::Relaxed)), (7, 3), "what the others wrote went away");
}

#[tokio::test]
async fn who_loses_a_race_runs_again() {
    static ATTEMPT: AtomicU32 = AtomicU32::new(0);
    let database = Database::new().await;
    let (store, _) = open(&database).await;
    let raise = "DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40P01'; END $$";
    let done = store
        .write(raise, |tx, raise| {
            Box::pin(async move {
                if ATTEMPT.fetch_add(1, Ordering::Relaxed) < 3 {
                    tx.execute(raise, &[]).await?;
                }
                Ok(())
            })
        })
        .await;
    assert!(done.is_ok(), "{done:?}");
    let always = store.write(raise, |tx, raise| Box::pin(tx.execute(raise, &[]))).await;
    assert!(matches!(always, Err(StoreError::Unavailable(_))), "but not for ever: {always:?}");
}

#[tokio::test]
async fn a_transaction_that_panics_leaves_no_connection_in_the_middle_of_it() {
    let database = Database::new().await;
    let config = DatabaseConfig { max_connections: 2, ..database.config() };
    let store = PostgresStore::open_with(&config, LeaseClock::Caller).await.unwrap();
    for _ in 0..4 {
        let panicked = store
            .write((), |tx, ()| {
                Box::pin(async move {
                    tx.execute("UPDATE meta SET value = 99 WHERE name = 'feed_floor'", &[]).await?;
                    if tx.query("SELECT 1", &[]).await?.len() == 1 {
                        panic!("as the test wants it");
                    }
                    Ok(())
                })
            })
            .await;
        assert!(matches!(panicked, Err(StoreError::Database(_))), "{panicked:?}");
    }
    assert_eq!(store.feed_bounds().await.unwrap().floor, 0);
}

#[tokio::test]
async fn a_change_whose_notification_is_lost_is_seen_all_the_same() {
    let database = Database::new().await;
    let (store, _) = open(&database).await;
    let mut changes = store.feed_changes();
    // As a commit of another replica whose notification got lost.
    let moved = "UPDATE meta SET value = 5 WHERE name = 'feed_head'";
    database.connect().await.batch_execute(moved).await.unwrap();
    let seen = tokio::time::timeout(Duration::from_secs(20), changes.wait_for(|head| *head == 5));
    seen.await.expect("nobody looked").unwrap();
}

#[tokio::test]
async fn a_store_whose_connections_are_all_cut_goes_on_and_begins_a_history() {
    let database = Database::new().await;
    let (store, shared) = open(&database).await;
    let (_, _, fence) = running(&shared, "docs").await;
    write(&shared, fence, puts(&["1", "2"])).await;
    let before = store.feed_bounds().await.unwrap();
    let position = Position::after(&before, 2, 2);
    let mut changes = store.feed_changes();
    changes.borrow_and_update();
    let client = database.connect().await;
    cut_all(&client).await;
    write(&shared, fence, puts(&["3"])).await;
    assert_eq!(listed(&shared).await, ["1", "2", "3"]);
    assert_eq!(*changes.wait_for(|head| *head == 3).await.unwrap(), 3);
    // The database that it found then might have been a restored one: offsets are told apart from there on.
    let after = store.feed_bounds().await.unwrap();
    assert_ne!(after.histories.at(3), after.histories.at(2));
    assert_eq!(position.resume(&after), Some(2), "which costs nobody a snapshot");
    // The listener comes back by itself.
    let other = database.open().await;
    let (_, _, fence) = running(&(Arc::new(other) as Shared), "mail").await;
    write(&shared, fence, puts(&["4"])).await;
    changes.wait_for(|head| *head == 4).await.unwrap();
}

#[tokio::test]
async fn a_restart_of_the_server_is_outlived() {
    use crate::store::testing::postgres::{Cluster, ClusterOptions};
    let cluster =
        Arc::new(tokio::task::spawn_blocking(|| Cluster::start(ClusterOptions::default())).await.unwrap());
    let config = DatabaseConfig {
        url: Some(secrecy::SecretString::from(cluster.url("postgres"))),
        ..DatabaseConfig::default()
    };
    let store = PostgresStore::open_with(&config, LeaseClock::Caller).await.unwrap();
    let shared: Shared = Arc::new(store.clone());
    let (_, _, fence) = running(&shared, "docs").await;
    write(&shared, fence, puts(&["1"])).await;
    let killed = cluster.clone();
    tokio::task::spawn_blocking(move || killed.kill()).await.unwrap();
    let away = store.feed_bounds().await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    let started = cluster.clone();
    tokio::task::spawn_blocking(move || started.up()).await.unwrap();
    write(&shared, fence, puts(&["2"])).await;
    assert_eq!(listed(&shared).await, ["1", "2"]);
    store.close().await;
}
