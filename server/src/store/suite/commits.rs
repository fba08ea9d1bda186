//! A commit is true as a whole or not at all.

use super::support::*;
use crate::store::StoreError;
use crate::store::documents::{Commit, ContainerPut, DocumentKey, DocumentWrite};
use crate::store::item_errors::{Shield, Target};
use crate::store::runs::{RunCounts, RunProgress};
use crate::store::sync_states::ScopeState;
use crate::store::wanted::Leftovers;

/// A commit with something of everything, for document `id`.
fn everything(run: &str, id: &str) -> Commit {
    Commit {
        run: run.to_owned(),
        progress: RunProgress {
            counts: RunCounts { created: 1, ..RunCounts::default() },
            ..RunProgress::default()
        },
        documents: puts(&[id]),
        containers: vec![ContainerPut {
            id: "folder".to_owned(),
            scope: String::new(),
            parent_id: "top".to_owned(),
            name: "folder".to_owned(),
            locator: String::new(),
            generation: 1,
        }],
        removed_containers: Vec::new(),
        item_errors: vec![item_error(Target::Id("x".to_owned()))],
        cleared_items: vec![id.to_owned()],
        gone_items: Vec::new(),
        shields: vec![Shield {
            scope: String::new(),
            target: Target::Id("x".to_owned()),
            with_descendants: true,
        }],
        wanted: vec![wanted("w", "2")],
        answered: Vec::new(),
        states: vec![ScopeState { cursor: Some(vec![1]), ..ScopeState::default() }],
        raw_items: Vec::new(),
        renormalized_to: None,
    }
}

pub async fn a_commit_is_true_as_a_whole(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    store.commit(fence, everything(&run.id, "1"), at(7)).await.unwrap();
    let row = store.document(connection.key, "1").await.unwrap().unwrap();
    assert_eq!((row.offset, row.committed_at), (1, at(7)));
    assert_eq!(store.sync_states(connection.key).await.unwrap()[0].cursor, Some(vec![1]));
    assert_eq!(store.run(&run.id).await.unwrap().unwrap().counts.created, 1);
    assert_eq!(store.parent_of(connection.key, "folder").await.unwrap().as_deref(), Some("top"));
    let totals = store.connection_totals(connection.key).await.unwrap();
    assert_eq!((totals.documents, totals.item_errors), (1, 1));
    assert_eq!(store.shields(connection.key, "").await.unwrap().len(), 1);
    assert_eq!(store.wanted(connection.key, "", 10).await.unwrap(), [wanted("w", "2")]);
}

pub async fn a_failing_commit_leaves_nothing(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let before = store.feed_bounds().await.unwrap();
    let mut changes = store.feed_changes();
    changes.mark_unchanged();
    // The same new document twice: the second breaks the store's own rule, after the first was written.
    let mut commit = everything(&run.id, "1");
    commit.documents = puts(&["1", "2", "1"]);
    assert!(store.commit(fence, commit, at(1)).await.is_err());
    assert!(listed(&store).await.is_empty());
    assert_eq!(store.feed_bounds().await.unwrap(), before);
    assert!(!changes.has_changed().unwrap());
    assert!(store.sync_states(connection.key).await.unwrap().is_empty());
    assert!(store.shields(connection.key, "").await.unwrap().is_empty());
    assert_eq!(store.parent_of(connection.key, "folder").await.unwrap(), None);
    assert_eq!(store.leftovers(connection.key).await.unwrap(), Leftovers::default());
    assert_eq!(store.connection_totals(connection.key).await.unwrap().documents, 0);
    assert_eq!(store.run(&run.id).await.unwrap().unwrap().counts, RunCounts::default());
    store.commit(fence, everything(&run.id, "1"), at(2)).await.unwrap();
    assert_eq!(feed_after(&store, 0).await[0].offset, 1, "no offset was used up");
}

pub async fn the_count_of_documents_is_exact(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let count = async || store.connection_totals(connection.key).await.unwrap().documents;
    write(&store, fence, puts(&["1", "2", "3"])).await;
    assert_eq!(count().await, 3);
    let one = stored(&store, &connection, "1").await;
    write(&store, fence, vec![new_text(&one, "new")]).await;
    assert_eq!(count().await, 3);
    // Burying twice, or what is not there, takes nothing away.
    let gone = vec![one.key, one.key, DocumentKey(9999)];
    let counts = RunCounts { deleted: 1, ..RunCounts::default() };
    let progress = RunProgress { counts, ..RunProgress::default() };
    store.bury(fence, gone, &run.id, progress, at(1)).await.unwrap();
    assert_eq!(count().await, 2);
    assert_eq!(store.run(&run.id).await.unwrap().unwrap().counts.deleted, 1);
    let tombstone = feed_after(&store, 0).await.into_iter().find(|row| row.gone).unwrap();
    write(&store, fence, vec![DocumentWrite::Gone(one.key)]).await;
    let again = feed_after(&store, 0).await.into_iter().find(|row| row.gone).unwrap();
    assert_eq!(tombstone.offset, again.offset, "a tombstone that stands makes no further entry");
    let one = stored(&store, &connection, "1").await;
    write(&store, fence, vec![new_text(&one, "back")]).await;
    assert_eq!(count().await, 3);
    let other = running(&store, "mail").await.2;
    write(&store, other, puts(&["1"])).await;
    assert_eq!(count().await, 3, "each connection has its own");
}

pub async fn a_document_that_was_forgotten_meanwhile_is_refused(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    write(&store, fence, puts(&["1"])).await;
    write(&store, fence, vec![DocumentWrite::Gone(key(&store, &connection, "1").await)]).await;
    let tombstone = stored(&store, &connection, "1").await;
    // Between the look at what is stored and the commit, another replica forgets old tombstones.
    assert_eq!(store.trim_tombstones(at(100), 10).await.unwrap(), 1);
    let mut commit = everything(&run.id, "2");
    commit.documents.push(new_text(&tombstone, "back"));
    let refused = store.commit(fence, commit, at(101)).await;
    assert!(matches!(refused, Err(StoreError::Conflict("document"))), "{refused:?}");
    assert!(listed(&store).await.is_empty(), "nothing of it is there, the cursor least of all");
    assert!(store.sync_states(connection.key).await.unwrap().is_empty());
}
