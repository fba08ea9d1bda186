//! I3: whoever lost its claim writes nothing, by whatever method.

use superfasttt_proto::connector::v1::PullMode;
use superfasttt_proto::control::v1::run::State;

use super::support::*;
use crate::store::StoreError;
use crate::store::documents::Commit;
use crate::store::runs::{RunCounts, RunEnd, RunProgress};
use crate::store::sync_states::ScopeState;

pub async fn i3_a_stale_fence_writes_nothing(store: Shared) {
    let (connection, run, stale) = running(&store, "docs").await;
    write(&store, stale, puts(&["1"])).await;
    let state = ScopeState { cursor: Some(vec![1]), generation: 1, ..ScopeState::default() };
    store.save_sync_states(stale, vec![state.clone()], Some(vec![1])).await.unwrap();
    let document = key(&store, &connection, "1").await;
    store.claim_connection(connection.key).await.unwrap();
    let before = (
        store.connection_by_key(connection.key).await.unwrap(),
        store.run(&run.id).await.unwrap(),
        store.sync_states(connection.key).await.unwrap(),
        feed_after(&store, 0).await,
        store.feed_bounds().await.unwrap(),
    );
    let counts = RunCounts { created: 9, deleted: 9, ..RunCounts::default() };
    let progress = RunProgress { mode: PullMode::Full, pulls: 9, counts };
    let other = ScopeState { cursor: Some(vec![2]), generation: 2, ..ScopeState::default() };
    let commit = Commit {
        run: run.id.clone(),
        progress,
        documents: puts(&["2"]),
        states: vec![other.clone()],
        ..Commit::default()
    };
    let end = RunEnd { retry_at: Some(at(1)), listed_all: true, ..ended(State::Failed) };
    let refused = [
        ("commit", store.commit(stale, commit, at(1)).await),
        ("bury", store.bury(stale, vec![document], &run.id, progress, at(1)).await),
        ("forget", store.forget(stale, "", vec!["x".to_owned()], vec![1], Some(9)).await),
        ("count_attempts", store.count_attempts(stale, vec!["1".to_owned()]).await),
        ("save_sync_states", store.save_sync_states(stale, vec![other], Some(vec![2])).await),
        ("remove_scope", store.remove_scope(stale, "").await),
        ("end_run", store.end_run(stale, &run.id, end, at(1)).await.map(|_| ())),
        ("delete_documents_of", store.delete_documents_of(stale, "", 10, at(1)).await.map(|_| ())),
        ("release_claim", store.release_claim(stale).await.and(Err(StoreError::Fenced))),
        ("end_deletion", store.end_deletion(stale, at(1)).await),
    ];
    for (method, answer) in refused {
        assert!(matches!(answer, Err(StoreError::Fenced)), "{method}: {answer:?}");
    }
    let after = (
        store.connection_by_key(connection.key).await.unwrap(),
        store.run(&run.id).await.unwrap(),
        store.sync_states(connection.key).await.unwrap(),
        feed_after(&store, 0).await,
        store.feed_bounds().await.unwrap(),
    );
    assert_eq!(before, after);
}

pub async fn a_fence_of_a_forgotten_connection_is_refused(store: Shared) {
    let (connection, _, stale) = running(&store, "docs").await;
    store.begin_deletion("c-docs", None, at(1)).await.unwrap();
    let fence = store.claim_connection(connection.key).await.unwrap();
    store.end_deletion(fence, at(1)).await.unwrap();
    store.trim_tombstones(at(1), 10).await.unwrap();
    assert_eq!(store.connection_by_key(connection.key).await.unwrap(), None);
    let refused = store.commit(stale, Commit::default(), at(1)).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
}
