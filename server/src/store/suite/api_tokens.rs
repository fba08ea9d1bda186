//! API tokens: found by what was shown, ended once, and noted when they were shown.

use super::support::*;
use crate::access::Permission;
use crate::store::StoreError;
use crate::store::api_tokens::NewApiToken;

fn token(id: &str, name: &str, organization: &str) -> NewApiToken {
    NewApiToken {
        id: id.to_owned(),
        name: name.to_owned(),
        hash: [id.as_bytes()[0]; 32],
        organization: organization.to_owned(),
        permissions: vec![Permission::Read, Permission::Manage],
        expires_at: Some(at(100)),
    }
}

pub async fn a_token_is_found_by_its_hash(store: Shared) {
    let made = store.create_api_token(token("1", "deploy", "acme"), at(0)).await.unwrap();
    assert_eq!((made.created_at, made.expires_at), (at(0), Some(at(100))));
    assert_eq!((made.last_used_at, made.revoked_at), (None, None));
    assert_eq!(made.permissions, [Permission::Read, Permission::Manage]);
    assert_eq!(store.api_token_by_hash([b'1'; 32]).await.unwrap(), Some(made));
    assert_eq!(store.api_token_by_hash([b'2'; 32]).await.unwrap(), None);
}

pub async fn a_revoked_token_stays_known_and_frees_its_name(store: Shared) {
    store.create_api_token(token("1", "deploy", "acme"), at(0)).await.unwrap();
    let again = store.create_api_token(token("2", "deploy", "other"), at(0)).await;
    assert!(matches!(again, Err(StoreError::Taken("api_token"))), "{again:?}");
    assert_eq!(store.revoke_api_token("1", at(5)).await.unwrap().revoked_at, Some(at(5)));
    assert_eq!(store.revoke_api_token("1", at(9)).await.unwrap().revoked_at, Some(at(5)), "once");
    let found = store.api_token_by_hash([b'1'; 32]).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(at(5)), "so that its use can be told from a guess");
    store.create_api_token(token("2", "deploy", "other"), at(6)).await.unwrap();
    let nobody = store.revoke_api_token("9", at(5)).await;
    assert!(matches!(nobody, Err(StoreError::Missing("api_token"))), "{nobody:?}");
}

pub async fn a_use_is_noted_and_never_goes_back(store: Shared) {
    store.create_api_token(token("1", "a", "acme"), at(0)).await.unwrap();
    store.create_api_token(token("2", "b", "acme"), at(0)).await.unwrap();
    let note = async |id: &str, second| {
        store.note_api_tokens(vec![(id.to_owned(), at(second)), ("gone".to_owned(), at(1))]).await.unwrap();
        store.api_token_by_hash([id.as_bytes()[0]; 32]).await.unwrap().unwrap().last_used_at
    };
    assert_eq!(note("1", 20).await, Some(at(20)));
    assert_eq!(note("1", 10).await, Some(at(20)), "another replica was later");
    assert_eq!(note("2", 30).await, Some(at(30)));
}

pub async fn tokens_are_listed_in_pages_by_organization(store: Shared) {
    for (id, organization) in [("1", ""), ("2", "acme"), ("3", "other"), ("4", "acme"), ("5", "acme")] {
        store.create_api_token(token(id, id, organization), at(0)).await.unwrap();
    }
    let list = async |organization: Option<&str>, after: &str| {
        let page = store.api_tokens(organization.map(str::to_owned), after, 2).await.unwrap();
        (page.items.into_iter().map(|token| token.id).collect::<Vec<_>>().join(" "), page.next)
    };
    assert_eq!(list(Some("acme"), "").await, ("2 4".to_owned(), Some("4".to_owned())));
    assert_eq!(list(Some("acme"), "4").await, ("5".to_owned(), None));
    assert_eq!(list(Some(""), "").await, ("1".to_owned(), None));
    assert_eq!(list(None, "3").await, ("4 5".to_owned(), None));
}
