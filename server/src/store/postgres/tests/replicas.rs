//! Several replicas on one database.

use std::collections::BTreeMap;

use superfasttt_proto::control::v1::run::{State, Trigger};

use super::*;
use crate::catalog::AuthKind;
use crate::store::credentials::{CredentialPut, CredentialStore, RefreshClaim, Status};
use crate::store::documents::{Commit, DocumentStore, DocumentWrite};
use crate::store::feed::{FeedFilter, FeedStore, Texts};
use crate::store::runs::{Claiming, RunStore, Work};
use crate::store::secrets::SecretsWrite;
use crate::store::suite::support::{
    ALL, LEASE, at, claimed, connect, put_with, puts, running, start, stored, write,
};

#[tokio::test]
async fn i4_a_reader_skips_nothing_of_writers_that_overlap() {
    const WRITERS: usize = 6;
    const COMMITS: usize = 25;
    let database = Database::new().await;
    let (first, shared) = open(&database).await;
    let (second, _) = open(&database).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (_, run, fence) = running(&shared, &format!("w{writer}")).await;
        let store = if writer % 2 == 0 { first.clone() } else { second.clone() };
        writers.spawn(async move {
            for number in 0..COMMITS {
                let ids = (0..=number % 5).map(|place| format!("{writer}-{number}-{place}"));
                let documents = ids.map(|id| put_with(&id, |_| {})).collect();
                let commit = Commit { run: run.id.clone(), documents, ..Commit::default() };
                store.commit(fence, commit, at(0)).await.unwrap();
            }
        });
    }
    // Documents are only added, so each offset up to the head must be met, whenever the reader looks.
    let mut at = 0;
    let mut read = 0;
    let expected = WRITERS * (0..COMMITS).map(|number| number % 5 + 1).sum::<usize>();
    while read < expected {
        let page = first.read_feed(FeedFilter::default(), at, Texts::Omit, ALL).await.unwrap();
        for row in &page.rows {
            assert_eq!(row.offset, at + 1, "an offset became visible later than the next one");
            at = row.offset;
            read += 1;
        }
    }
    writers.join_all().await;
    assert_eq!(first.feed_bounds().await.unwrap().head, at);
}

#[tokio::test]
async fn replicas_hear_of_each_others_runs_and_documents() {
    let database = Database::new().await;
    let (_, here) = open(&database).await;
    let (there, _) = open(&database).await;
    let (mut runs, mut feed) = (there.run_changes.subscribe(), there.feed_changes());
    // The listener says so once when it begins.
    runs.changed().await.unwrap();
    let connection = connect(&here, "docs").await;
    runs.changed().await.unwrap();
    let (_, fence) = claimed(&here, &connection, "r-1").await;
    runs.changed().await.unwrap();
    write(&here, fence, puts(&["1", "2"])).await;
    feed.wait_for(|head| *head == 2).await.unwrap();
}

#[tokio::test]
async fn i3_a_claim_waits_for_a_commit_of_the_older_one_and_then_ends_it() {
    let database = Database::new().await;
    let (store, shared) = open(&database).await;
    let (_, run, fence) = running(&shared, "docs").await;
    let mut holder = database.connect().await;
    let head = holder.transaction().await.unwrap();
    head.execute("SELECT FROM meta WHERE name = 'feed_head' FOR UPDATE", &[]).await.unwrap();
    // This commit has passed the check of its fence and waits for the head.
    let commit = Commit { run: run.id.clone(), documents: puts(&["1"]), ..Commit::default() };
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.commit(fence, commit, at(1)).await }
    });
    let watcher = database.connect().await;
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1";
    while watcher.query_one(blocked, &[&"UPDATE meta%"]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    let cancelling = tokio::spawn({
        let (store, id) = (store.clone(), run.id.clone());
        async move { store.cancel_run(&id, at(2)).await }
    });
    while watcher.query_one(blocked, &[&"SELECT FROM connections%"]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    head.rollback().await.unwrap();
    waiting.await.unwrap().expect("it was first");
    assert!(cancelling.await.unwrap().unwrap());
    let late = Commit { run: run.id.clone(), documents: puts(&["2"]), ..Commit::default() };
    let refused = store.commit(fence, late, at(3)).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
}

#[tokio::test]
async fn i3_replicas_that_claim_at_once_never_get_the_same_run() {
    let database = Database::new().await;
    let (first, shared) = open(&database).await;
    let (second, _) = open(&database).await;
    for number in 0..40 {
        let connection = connect(&shared, &format!("c{number:02}")).await;
        let id = format!("r-{number:02}");
        shared.queue_run(id, connection.key, Trigger::Manual, Work::Changes, start()).await.unwrap();
    }
    let mut claiming = tokio::task::JoinSet::new();
    for (holder, store) in [("a", first), ("b", second)] {
        for _ in 0..4 {
            let store = store.clone();
            claiming.spawn(async move {
                let mut got = Vec::new();
                loop {
                    let claiming =
                        Claiming { holder: holder.into(), lease: LEASE, places: 3, ..Claiming::default() };
                    let claims = store.claim_runs(claiming, at(1)).await.unwrap().claims;
                    if claims.is_empty() {
                        return got;
                    }
                    got.extend(claims.into_iter().map(|claim| (claim.run.id, claim.run.state)));
                }
            });
        }
    }
    let claimed: Vec<_> = claiming.join_all().await.into_iter().flatten().collect();
    let once: BTreeMap<_, _> = claimed.iter().cloned().collect();
    assert_eq!((claimed.len(), once.len()), (40, 40));
    assert!(once.values().all(|state| *state == State::Running));
}

#[tokio::test]
async fn leases_go_by_the_databases_clock() {
    let database = Database::new().await;
    let offset = Arc::new(AtomicI64::new(0));
    let clock = LeaseClock::Database(offset.clone());
    let store = PostgresStore::open_with(&database.config(), clock).await.unwrap();
    let shared: Shared = Arc::new(store.clone());
    let (connection, run, fence) = running(&shared, "docs").await;
    // Whatever this replica takes for the time: the lease is neither over nor endless.
    let (never, always) = (at(-1_000_000_000), at(1_000_000_000));
    assert_eq!(store.take_over(false, always).await.unwrap(), 0);
    assert_eq!(store.renew_leases(vec![fence], LEASE, never).await.unwrap(), []);
    assert_eq!(store.take_over(false, always).await.unwrap(), 0);
    offset.store(LEASE.as_micros() as i64 + 1_000_000, Ordering::Relaxed);
    assert_eq!(store.take_over(false, never).await.unwrap(), 1);
    assert_eq!(store.run(&run.id).await.unwrap().unwrap().state, State::Queued);
    assert_eq!(store.lost_claims(vec![fence]).await.unwrap(), [fence]);
    assert_eq!(store.renew_leases(vec![fence], LEASE, never).await.unwrap(), [fence]);
    write_is_refused(&shared, &connection, fence).await;
}

async fn write_is_refused(
    store: &Shared,
    connection: &crate::store::connections::Connection,
    fence: crate::store::Fence,
) {
    let commit = Commit { run: "r".into(), documents: puts(&["late"]), ..Commit::default() };
    let refused = store.commit(fence, commit, at(1)).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    assert!(store.stored_documents(connection.key, vec!["late".into()]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lease_is_renewed_while_a_commit_holds_its_connection() {
    let database = Database::new().await;
    let (store, shared) = open(&database).await;
    let (_, _, busy) = running(&shared, "busy").await;
    let (_, _, idle) = running(&shared, "idle").await;
    let mut holder = database.connect().await;
    let held = holder.transaction().await.unwrap();
    held.execute("SELECT FROM connections WHERE name = 'busy' FOR NO KEY UPDATE", &[]).await.unwrap();
    let renewing = tokio::spawn({
        let store = store.clone();
        async move { store.renew_leases(vec![busy, idle], LEASE, at(20)).await }
    });
    // The other one is renewed although the first is held: nobody takes it over at a time past its first lease.
    let watcher = database.connect().await;
    let renewed = "SELECT lease_until > $1 FROM connections WHERE name = 'idle'";
    let first_end = at(31).timestamp_micros();
    while !watcher.query_one(renewed, &[&first_end]).await.unwrap().get::<_, bool>(0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.take_over(false, at(40)).await.unwrap(), 0, "what is held is not taken over either");
    held.commit().await.unwrap();
    assert_eq!(renewing.await.unwrap().unwrap(), []);
    assert_eq!(store.take_over(false, at(40)).await.unwrap(), 0);
}

#[tokio::test]
async fn i6_tombstones_that_a_run_brings_back_are_not_trimmed_under_it() {
    let database = Database::new().await;
    let (store, shared) = open(&database).await;
    let (connection, _, fence) = running(&shared, "docs").await;
    write(&shared, fence, puts(&["1", "2"])).await;
    let gone = ["1", "2"].map(|id| stored(&shared, &connection, id));
    for document in futures::future::join_all(gone).await {
        write(&shared, fence, vec![DocumentWrite::Gone(document.key)]).await;
    }
    let mut holder = database.connect().await;
    let held = holder.transaction().await.unwrap();
    held.execute("UPDATE documents SET gone = FALSE WHERE id = '1'", &[]).await.unwrap();
    assert_eq!(store.trim_tombstones(at(100), 10).await.unwrap(), 1);
    held.commit().await.unwrap();
    assert!(!stored(&shared, &connection, "1").await.gone);
}

#[tokio::test]
async fn a_refresh_is_leased_by_the_databases_clock() {
    let database = Database::new().await;
    let offset = Arc::new(AtomicI64::new(0));
    let clock = LeaseClock::Database(offset.clone());
    let store = PostgresStore::open_with(&database.config(), clock).await.unwrap();
    let shared: Shared = Arc::new(store.clone());
    let connection = connect(&shared, "docs").await;
    let put = |refreshed| CredentialPut {
        kind: AuthKind::OAuth2,
        status: Status::default(),
        expires_at: None,
        refresh_at: Some(at(0)),
        secrets: SecretsWrite::keep(),
        refreshed,
    };
    store.put_credential(connection.key, None, put(false), at(0)).await.unwrap();
    // Clocks of replicas say what they like.
    let claim =
        async |holder, now| store.claim_refresh(connection.key, 1, holder, LEASE, at(now)).await.unwrap();
    assert_eq!(claim("a", -5000).await, RefreshClaim::Granted);
    let held = claim("b", 5000).await;
    assert!(matches!(held, RefreshClaim::Held(left) if left <= LEASE && left > LEASE / 2), "{held:?}");
    let refused = store.put_credential(connection.key, Some(1), put(false), at(5000)).await;
    assert!(matches!(refused, Err(StoreError::Conflict("credential"))), "{refused:?}");
    assert_eq!(store.due_refreshes(9, at(5000)).await.unwrap(), []);
    offset.store(LEASE.as_micros() as i64 + 1_000_000, Ordering::Relaxed);
    assert_eq!(store.due_refreshes(9, at(0)).await.unwrap().len(), 1);
    assert_eq!(claim("b", -5000).await, RefreshClaim::Granted);
}
