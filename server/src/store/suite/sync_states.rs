//! Where scopes stand: saved, reset, removed; approvals; the shields of a listing.

use superfasttt_proto::control::v1::run::State;

use super::support::*;
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::documents::{Commit, ContainerPut};
use crate::store::item_errors::{Shield, Target};
use crate::store::sync_states::{Held, Listing, ListingMode, ScopeState};

fn scope(name: &str) -> ScopeState {
    ScopeState { scope: name.to_owned(), cursor: Some(b"cursor".to_vec()), ..ScopeState::default() }
}

fn held(name: &str, generation: i64) -> ScopeState {
    let held = Held { generation, absent: 60, total: 100, at: at(generation) };
    ScopeState { held: Some(held), generation, ..scope(name) }
}

async fn get(store: &Shared, connection: &Connection, name: &str) -> ScopeState {
    let states = store.sync_states(connection.key).await.unwrap();
    states.into_iter().find(|state| state.scope == name).unwrap()
}

pub async fn states_are_read_back_ordered_by_scope(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let full = ScopeState {
        scope: "b".to_owned(),
        cursor: Some(vec![0, 255]),
        listing: Listing::UnderWay,
        listing_mode: ListingMode::List,
        listing_cursor: Some(vec![1]),
        listing_unreliable: true,
        listing_for_settings: true,
        listing_started_at: Some(at(1)),
        listing_completed_at: Some(at(2)),
        generation: 7,
        checkpoint_at: Some(at(3)),
        held: Some(Held { generation: 6, absent: 1, total: 2, at: at(4) }),
        approved_generation: None,
    };
    let complete = ScopeState { listing: Listing::Complete, ..scope("a") };
    store.save_sync_states(fence, vec![full.clone(), complete.clone()], Some(vec![9])).await.unwrap();
    assert_eq!(store.sync_states(connection.key).await.unwrap(), [complete.clone(), full]);
    let shown = store.connection_by_key(connection.key).await.unwrap().unwrap();
    assert_eq!(shown.synced_settings, Some(vec![9]));
    store.save_sync_states(fence, vec![scope("b")], None).await.unwrap();
    assert_eq!(store.sync_states(connection.key).await.unwrap(), [complete, scope("b")]);
    let shown = store.connection_by_key(connection.key).await.unwrap().unwrap();
    assert_eq!(shown.synced_settings, Some(vec![9]), "no settings leave them as they were");
}

pub async fn an_approval_survives_a_save_and_ends_with_the_hold(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    store.save_sync_states(fence, vec![held("", 3)], None).await.unwrap();
    let approved = store.approve_held(connection.key, Vec::new()).await.unwrap();
    assert_eq!(approved, [held("", 3)], "as they were");
    // The run that goes on meanwhile has read the state before the approval.
    store.save_sync_states(fence, vec![held("", 4)], None).await.unwrap();
    assert_eq!(get(&store, &connection, "").await.approved_generation, Some(3));
    let commit = Commit { run: run.id.clone(), states: vec![held("", 5)], ..Commit::default() };
    store.commit(fence, commit, at(1)).await.unwrap();
    store.save_sync_states(fence, vec![held("", 5)], None).await.unwrap();
    assert_eq!(get(&store, &connection, "").await.approved_generation, Some(3));
    store.save_sync_states(fence, vec![scope("")], None).await.unwrap();
    assert_eq!(get(&store, &connection, "").await.approved_generation, None);
    let forged = ScopeState { approved_generation: Some(9), ..held("", 6) };
    store.save_sync_states(fence, vec![forged], None).await.unwrap();
    assert_eq!(get(&store, &connection, "").await.approved_generation, None, "only a person approves");
}

pub async fn only_held_scopes_are_approved(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let states = vec![held("a", 3), held("b", 4), scope("c")];
    store.save_sync_states(fence, states, None).await.unwrap();
    assert_eq!(store.connection_totals(connection.key).await.unwrap().held_sweeps, 2);
    let asked = vec!["b".to_owned(), "c".to_owned(), "nowhere".to_owned()];
    assert_eq!(store.approve_held(connection.key, asked).await.unwrap(), [held("b", 4)]);
    let approved = async |name| get(&store, &connection, name).await.approved_generation;
    assert_eq!((approved("a").await, approved("b").await, approved("c").await), (None, Some(4), None));
}

pub async fn a_reset_forgets_cursors_and_ends_claims(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let under_way = ScopeState { listing: Listing::UnderWay, listing_cursor: Some(vec![1]), ..held("a", 3) };
    store.save_sync_states(fence, vec![under_way, scope("b")], None).await.unwrap();
    store.end_run(fence, &run.id, ended(State::Succeeded), at(1)).await.unwrap();
    store.reset_sync_states(connection.key, vec!["a".to_owned()]).await.unwrap();
    let reset = get(&store, &connection, "a").await;
    assert_eq!((reset.cursor, reset.listing, reset.listing_cursor), (None, Listing::None, None));
    assert_eq!(reset.generation, 3, "listings are counted on");
    assert_eq!(get(&store, &connection, "b").await, scope("b"));
    let refused = store.save_sync_states(fence, vec![scope("a")], None).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    store.reset_sync_states(connection.key, Vec::new()).await.unwrap();
    assert_eq!(get(&store, &connection, "b").await.cursor, None);
}

pub async fn a_reset_queues_a_run_under_way_again(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    store.save_sync_states(fence, vec![scope("")], None).await.unwrap();
    store.reset_sync_states(connection.key, Vec::new()).await.unwrap();
    let (again, _) =
        store.claim_run(at(1)).await.unwrap().expect("its worker can write no more: it is begun again");
    assert_eq!(again.id, run.id);
}

pub async fn a_removed_scope_takes_its_rows_with_it(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let container = |id: &str, scope: &str| ContainerPut {
        id: id.to_owned(),
        scope: scope.to_owned(),
        parent_id: "top".to_owned(),
        name: id.to_owned(),
        locator: String::new(),
        generation: 1,
    };
    let shield = |scope: &str| Shield {
        scope: scope.to_owned(),
        target: Target::Id("x".into()),
        with_descendants: false,
    };
    let error = |scope: &str| crate::store::item_errors::ItemError {
        scope: scope.to_owned(),
        ..item_error(Target::Id("x".to_owned()))
    };
    let commit = Commit {
        run: run.id,
        states: vec![scope("a"), scope("b")],
        containers: vec![container("in-a", "a"), container("in-b", "b")],
        shields: vec![shield("a"), shield("b")],
        item_errors: vec![error("a"), error("b")],
        ..Commit::default()
    };
    store.commit(fence, commit, at(1)).await.unwrap();
    store.remove_scope(fence, "a").await.unwrap();
    assert_eq!(store.sync_states(connection.key).await.unwrap(), [scope("b")]);
    assert!(store.shields(connection.key, "a").await.unwrap().is_empty());
    assert_eq!(store.shields(connection.key, "b").await.unwrap().len(), 1);
    assert_eq!(store.count_item_errors(connection.key).await.unwrap(), 1);
    assert_eq!(store.parent_of(connection.key, "in-a").await.unwrap(), None);
    assert_eq!(store.parent_of(connection.key, "in-b").await.unwrap().as_deref(), Some("top"));
}

pub async fn shields_go_only_when_a_listing_begins(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let target = Target::Locator("a/b".to_owned());
    let shields = vec![Shield { scope: String::new(), target, with_descendants: true }];
    let commit = Commit { run: run.id, shields: shields.clone(), ..Commit::default() };
    store.commit(fence, commit, at(1)).await.unwrap();
    let save = async |state: ScopeState| {
        store.save_sync_states(fence, vec![state], None).await.unwrap();
        store.shields(connection.key, "").await.unwrap()
    };
    let goes_on =
        ScopeState { listing: Listing::UnderWay, listing_cursor: Some(vec![1]), ..ScopeState::default() };
    assert_eq!(save(goes_on).await, shields);
    assert_eq!(save(ScopeState { listing: Listing::Complete, ..ScopeState::default() }).await, shields);
    assert_eq!(save(ScopeState::default()).await, shields);
    let elsewhere = ScopeState { scope: "b".to_owned(), listing: Listing::UnderWay, ..ScopeState::default() };
    assert_eq!(save(elsewhere).await, shields);
    assert_eq!(save(ScopeState { listing: Listing::UnderWay, ..ScopeState::default() }).await, []);
}

pub async fn a_cursor_is_set_by_hand(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let listing = ScopeState { listing: Listing::UnderWay, listing_cursor: Some(vec![7]), ..scope("a") };
    store.save_sync_states(fence, vec![listing.clone(), scope("b")], None).await.unwrap();
    let set = store.set_cursor(connection.key, "a", b"mine".to_vec(), Some(listing.clone())).await.unwrap();
    let expected = ScopeState { cursor: Some(b"mine".to_vec()), ..listing.clone() };
    assert_eq!((&set, &get(&store, &connection, "a").await), (&expected, &expected), "and nothing else");
    assert_eq!(get(&store, &connection, "b").await, scope("b"));
    let late = store.save_sync_states(fence, vec![listing.clone()], None).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "a run cannot write over it: {late:?}");
    assert_eq!(store.run(&run.id).await.unwrap().unwrap().state, State::Queued);
    let older = store.set_cursor(connection.key, "a", b"late".to_vec(), Some(listing)).await;
    assert!(matches!(older, Err(StoreError::Conflict("sync state"))), "{older:?}");
    let nowhere = store.set_cursor(connection.key, "nowhere", vec![1], None).await;
    assert!(matches!(nowhere, Err(StoreError::Missing("scope"))), "{nowhere:?}");
    assert_eq!(get(&store, &connection, "a").await.cursor, Some(b"mine".to_vec()));
}
