//! The deletion of a connection: nothing begins any more, documents become tombstones in batches, the rest goes.

use superfasttt_proto::control::v1::run::{State, Trigger};

use super::support::*;
use crate::store::StoreError;
use crate::store::connections::{ConnectionFilter, ConnectionTotals, NewConnection};
use crate::store::documents::Commit;
use crate::store::item_errors::{Shield, Target};
use crate::store::runs::Work;
use crate::store::sync_states::ScopeState;

pub async fn nothing_begins_for_a_connection_that_is_being_deleted(store: Shared) {
    let connection = connect(&store, "docs").await;
    let waiting =
        store.queue_run("r-1".to_owned(), connection.key, Trigger::Manual, Work::Changes, start()).await;
    waiting.unwrap();
    store.begin_deletion("c-docs", None, start()).await.unwrap();
    let fence = store.claim_connection(connection.key).await.unwrap();
    assert_eq!(store.claim_run(at(1)).await.unwrap(), None, "a run would end the claim of the deletion");
    assert_eq!(store.run("r-1").await.unwrap().unwrap().state, State::Cancelled);
    let refused =
        store.queue_run("r-2".to_owned(), connection.key, Trigger::Manual, Work::Changes, at(1)).await;
    assert!(matches!(refused, Err(StoreError::Missing("connection"))), "{refused:?}");
    assert_eq!(store.take_over(true, start()).await.unwrap(), 0, "no run is queued again");
    let late = store.end_deletion(fence, at(2)).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    let (_, fence) = store.claim_deletion("another", LEASE, at(2)).await.unwrap().unwrap();
    store.end_deletion(fence, at(2)).await.unwrap();
    let refused =
        store.queue_run("r-3".to_owned(), connection.key, Trigger::Manual, Work::Changes, at(3)).await;
    assert!(matches!(refused, Err(StoreError::Missing("connection"))), "{refused:?}");
}

pub async fn a_deletion_goes_on_in_batches_and_ends_with_tombstones(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let (_, _, other) = running(&store, "mail").await;
    write(&store, other, puts(&["mail"])).await;
    let commit = Commit {
        run: run.id.clone(),
        documents: puts(&["1", "2", "3", "4", "5"]),
        item_errors: vec![item_error(Target::Id("x".to_owned()))],
        shields: vec![Shield {
            scope: String::new(),
            target: Target::Id("x".to_owned()),
            with_descendants: false,
        }],
        states: vec![ScopeState { cursor: Some(vec![1]), ..ScopeState::default() }],
        ..Commit::default()
    };
    store.commit(fence, commit, start()).await.unwrap();
    let head = store.feed_bounds().await.unwrap().head;
    store.begin_deletion("c-docs", None, at(1)).await.unwrap();
    let fence = store.claim_connection(connection.key).await.unwrap();
    let mut deleted = Vec::new();
    let mut after = String::new();
    while let Some((batch, last)) = store.delete_documents_of(fence, &after, 2, at(2)).await.unwrap() {
        deleted.push(batch);
        after = last;
        let left = store.connection_totals(connection.key).await.unwrap().documents;
        assert_eq!(left, 5 - deleted.iter().sum::<u64>());
    }
    assert_eq!(deleted, [2, 2, 1]);
    store.end_deletion(fence, at(3)).await.unwrap();
    assert!(store.claim_deletion("test", LEASE, at(3)).await.unwrap().is_none());
    let rows = feed_after(&store, head).await;
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.gone && row.connection == "c-docs" && row.text.is_none()));
    assert_eq!(listed(&store).await, ["mail"]);
    assert!(store.sync_states(connection.key).await.unwrap().is_empty());
    assert!(store.shields(connection.key, "").await.unwrap().is_empty());
    assert_eq!(store.run(&run.id).await.unwrap(), None);
    assert_eq!(store.connection_totals(connection.key).await.unwrap(), ConnectionTotals::default());
}

pub async fn a_deleted_connection_frees_its_name_and_hides(store: Shared) {
    let new = NewConnection { request: Some(("q".to_owned(), b"h".to_vec())), ..new_connection("docs") };
    let connection = store.create_connection(new.clone(), start()).await.unwrap();
    store.begin_deletion("c-docs", None, start()).await.unwrap();
    let taken = NewConnection { id: "c-2".to_owned(), request: None, ..new.clone() };
    let refused = store.create_connection(taken.clone(), start()).await;
    assert!(matches!(refused, Err(StoreError::Taken("name"))), "not before it is over: {refused:?}");
    let fence = store.claim_connection(connection.key).await.unwrap();
    store.end_deletion(fence, at(1)).await.unwrap();
    assert_eq!(store.connection("c-docs").await.unwrap(), None);
    assert_eq!(store.connection_by_name("acme", "docs").await.unwrap(), None);
    assert!(store.connections(ConnectionFilter::default(), "", 10).await.unwrap().items.is_empty());
    let kept = store.connection_by_key(connection.key).await.unwrap().unwrap();
    assert!(kept.settings.is_empty(), "settings may be private: they go");
    let again = NewConnection { id: "c-3".to_owned(), ..new };
    assert_eq!(store.create_connection(again, at(2)).await.unwrap().id, "c-3", "the request is free as well");
}

pub async fn a_deleted_connection_is_forgotten_with_its_last_tombstone(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    write(&store, fence, puts(&["1", "2"])).await;
    store.begin_deletion("c-docs", None, at(1)).await.unwrap();
    let fence = store.claim_connection(connection.key).await.unwrap();
    store.delete_documents_of(fence, "", 10, at(10)).await.unwrap();
    store.end_deletion(fence, at(10)).await.unwrap();
    assert_eq!(store.trim_tombstones(at(10), 10).await.unwrap(), 0);
    assert!(store.connection_by_key(connection.key).await.unwrap().is_some());
    assert_eq!(store.trim_tombstones(at(11), 1).await.unwrap(), 1);
    assert!(store.connection_by_key(connection.key).await.unwrap().is_some());
    assert_eq!(store.trim_tombstones(at(11), 10).await.unwrap(), 1);
    assert_eq!(store.connection_by_key(connection.key).await.unwrap(), None);
}

pub async fn beginning_a_deletion_again_is_harmless(store: Shared) {
    connect(&store, "docs").await;
    let first = store.begin_deletion("c-docs", None, at(1)).await.unwrap();
    let again = store.begin_deletion("c-docs", None, at(2)).await.unwrap();
    assert_eq!((first.deleting_at, again.deleting_at), (Some(at(1)), Some(at(1))));
    assert_eq!(again.next_run_at, None);
}
