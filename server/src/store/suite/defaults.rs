//! Default connections: at most one of a category in an organisation, and none that is being deleted.

use super::support::*;
use crate::store::StoreError;
use crate::store::connections::NewConnection;

pub async fn an_organization_has_one_default_of_a_category(store: Shared) {
    let (a, b) = (connect(&store, "a").await, connect(&store, "b").await);
    let new = NewConnection { organization: "other".to_owned(), ..new_connection("c") };
    let other = store.create_connection(new, start()).await.unwrap();
    let default = async |organization: &str, category: &str| {
        let found = store.default_connection(organization, category).await.unwrap();
        found.map_or_else(|| "none".to_owned(), |found| found.name)
    };
    assert_eq!(default("acme", "files").await, "none");
    store.set_default(a.key, "files").await.unwrap();
    store.set_default(other.key, "files").await.unwrap();
    store.set_default(b.key, "chat").await.unwrap();
    assert_eq!(default("acme", "files").await, "a");
    assert_eq!(default("other", "files").await, "c", "each organisation has its own");
    assert_eq!(default("acme", "chat").await, "b");
    store.set_default(b.key, "files").await.unwrap();
    assert_eq!(default("acme", "files").await, "b", "in place of the one that was");
    assert_eq!(default("acme", "chat").await, "none", "a connection is of one category");
    store.set_default(b.key, "files").await.unwrap();
    assert_eq!(default("acme", "files").await, "b", "again is harmless");
    assert!(store.connection_totals(b.key).await.unwrap().is_default);
    assert!(!store.connection_totals(a.key).await.unwrap().is_default);
}

pub async fn a_deletion_frees_a_default(store: Shared) {
    let a = connect(&store, "a").await;
    store.set_default(a.key, "files").await.unwrap();
    store.begin_deletion(&a.id, None, at(1)).await.unwrap();
    assert_eq!(store.default_connection("acme", "files").await.unwrap(), None);
    let again = store.set_default(a.key, "files").await;
    assert!(matches!(again, Err(StoreError::Missing("connection"))), "{again:?}");
    let b = connect(&store, "b").await;
    store.set_default(b.key, "files").await.unwrap();
    assert_eq!(store.default_connection("acme", "files").await.unwrap().map(|found| found.id), Some(b.id));
}
