//! Sealed secrets: read, kept, walked over, sealed again.

use std::collections::BTreeMap;

use super::support::*;
use crate::store::secrets::{Resealed, StoredSecret};
use crate::vault::{KeyId, Place, Sealed};

/// What looks like a secret sealed with this key.
pub fn sealed(key: u8, secret: &str) -> Sealed {
    Sealed([&[1][..], &[key; 8], secret.as_bytes()].concat())
}

fn place(owner: &str, field: &str) -> Place {
    Place { organization: "acme".to_owned(), owner: owner.to_owned(), field: field.to_owned() }
}

async fn put(store: &Shared, owner: &str, field: &str, sealed: Sealed) {
    assert_eq!(store.secret_or(place(owner, field), sealed.clone()).await.unwrap(), sealed);
}

pub async fn a_secret_is_kept_as_it_was_first_put(store: Shared) {
    let at = place("a", "token");
    assert_eq!(store.secret(at.clone()).await.unwrap(), None);
    put(&store, "a", "token", sealed(1, "x")).await;
    assert_eq!(store.secret_or(at.clone(), sealed(1, "y")).await.unwrap(), sealed(1, "x"));
    assert_eq!(store.secret(at.clone()).await.unwrap(), Some(sealed(1, "x")));
    for other in [place("a", "key"), place("b", "token"), Place { organization: String::new(), ..at }] {
        assert_eq!(store.secret(other.clone()).await.unwrap(), None, "{other:?}");
    }
    // Names are anything that an organisation may be called.
    put(&store, "nul \0 and \u{10FFFD}", "field", sealed(1, "z")).await;
}

pub async fn what_has_an_older_key_is_walked_over_in_pages(store: Shared) {
    let newest = KeyId([2; 8]);
    for owner in ["a", "b", "c"] {
        put(&store, owner, "token", sealed(1, owner)).await;
        put(&store, owner, "newer", sealed(2, owner)).await;
    }
    put(&store, "short", "token", Sealed(vec![1])).await;
    put(&store, "empty", "token", Sealed(Vec::new())).await;
    let mut walked = Vec::new();
    let mut after = 0;
    loop {
        let page = store.secrets_to_reseal(newest, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        assert!(page.iter().all(|secret| secret.key > after));
        after = last.key;
        walked.extend(page);
    }
    let owners: Vec<_> = walked.iter().map(|secret| secret.place.owner.as_str()).collect();
    assert_eq!(owners, ["a", "b", "c", "short", "empty"], "in the order of their rows");
    assert_eq!(walked[1].place, place("b", "token"));
    assert_eq!(walked[1].sealed, sealed(1, "b"));
    let counts = BTreeMap::from([(None, 2), (Some(KeyId([1; 8])), 3), (Some(newest), 3)]);
    assert_eq!(store.count_secrets().await.unwrap(), counts);
}

pub async fn what_was_written_meanwhile_is_not_replaced(store: Shared) {
    for owner in ["a", "b", "c"] {
        put(&store, owner, "token", sealed(1, owner)).await;
    }
    let read = store.secrets_to_reseal(KeyId([2; 8]), 0, 9).await.unwrap();
    let again = |StoredSecret { place, sealed: old, .. }: StoredSecret| {
        let new = sealed(2, &place.owner);
        Resealed { place, old, new }
    };
    let mut again: Vec<_> = read.into_iter().map(again).collect();
    let first = again.remove(0);
    assert_eq!(store.reseal(vec![first.clone()]).await.unwrap(), 1);
    assert_eq!(store.reseal(vec![first]).await.unwrap(), 0, "it is not what was read any more");
    let gone = Resealed { place: place("gone", "token"), old: sealed(1, ""), new: sealed(2, "") };
    again.push(gone.clone());
    assert_eq!(store.reseal(again).await.unwrap(), 2);
    assert_eq!(store.secret(gone.place).await.unwrap(), None, "what is gone does not come back");
    assert_eq!(store.count_secrets().await.unwrap(), BTreeMap::from([(Some(KeyId([2; 8])), 3)]));
    assert_eq!(store.reseal(Vec::new()).await.unwrap(), 0);
}
