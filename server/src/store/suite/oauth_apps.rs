//! OAuth apps: of an organisation, of the installation, and which of them is used.

use super::credentials::secrets;
use super::support::*;
use crate::catalog::AuthKind;
use crate::store::StoreError;
use crate::store::credentials::{Account, CredentialPut, State, Status};
use crate::store::oauth_apps::{NewOAuthApp, OAuthAppChange};
use crate::store::secrets::SecretsWrite;

fn app(id: &str, organization: &str, connector: &str) -> NewOAuthApp {
    NewOAuthApp {
        id: id.to_owned(),
        organization: organization.to_owned(),
        connector: connector.to_owned(),
        client_id: format!("client of {id}"),
        secrets: secrets([("client_secret", id)]),
    }
}

async fn create(store: &Shared, id: &str, organization: &str, connector: &str) {
    store.create_oauth_app(app(id, organization, connector), at(0)).await.unwrap();
}

pub async fn an_organisations_own_app_comes_first(store: Shared) {
    create(&store, "1", "", "drive").await;
    create(&store, "2", "acme", "drive").await;
    create(&store, "3", "acme", "slack").await;
    let used = async |organization: &str, connector: &str| {
        let found = store.oauth_app_for(organization, connector).await.unwrap();
        found.map(|(app, stored)| {
            assert_eq!(stored, secrets([("client_secret", &app.id)]));
            app.id
        })
    };
    assert_eq!(used("acme", "drive").await.as_deref(), Some("2"));
    assert_eq!(used("other", "drive").await.as_deref(), Some("1"));
    assert_eq!(used("", "drive").await.as_deref(), Some("1"));
    assert_eq!(used("other", "slack").await, None, "another organisation's is nobody's");
    assert!(store.remove_oauth_app("2").await.unwrap());
    assert!(!store.remove_oauth_app("2").await.unwrap());
    assert_eq!(used("acme", "drive").await.as_deref(), Some("1"));
    assert_eq!(store.count_secrets().await.unwrap().into_values().sum::<u64>(), 2, "its secret went with it");
}

pub async fn accounts_that_are_connected_through_an_app_are_counted(store: Shared) {
    let put = async |name: &str, oauth_app: &str, state: State| {
        let connection = connect(&store, name).await;
        let account = Some(Account { id: "\0 \\u0000 \"".to_owned(), ..Account::default() });
        let status = Status { state, oauth_app: oauth_app.to_owned(), account, ..Status::default() };
        let put = CredentialPut {
            kind: AuthKind::OAuth2,
            status,
            expires_at: None,
            refresh_at: None,
            secrets: SecretsWrite::keep(),
            refreshed: false,
        };
        let version = store.put_credential(connection.key, None, put, at(0)).await.unwrap();
        (connection.key, version)
    };
    assert_eq!(store.count_grants("1").await.unwrap(), 0);
    let (removed, version) = put("a", "1", State::Connected).await;
    put("b", "1", State::Connected).await;
    put("c", "1", State::Pending).await;
    put("d", "1", State::NeedsReconnect).await;
    put("e", "1", State::Revoked).await;
    put("f", "2", State::Connected).await;
    put("g", "", State::Connected).await;
    assert_eq!(store.count_grants("1").await.unwrap(), 3);
    store.remove_credential(removed, version, at(1)).await.unwrap();
    assert_eq!(store.count_grants("1").await.unwrap(), 2);
    assert_eq!(store.count_grants("2").await.unwrap(), 1);
}

pub async fn an_app_is_changed_by_revision_and_keeps_what_is_not_named(store: Shared) {
    let made = store.create_oauth_app(app("1", "acme", "drive"), at(0)).await.unwrap();
    assert_eq!((made.revision, made.created_at, made.client_id.as_str()), (1, at(0), "client of 1"));
    let again = store.create_oauth_app(app("2", "acme", "drive"), at(0)).await;
    assert!(matches!(again, Err(StoreError::Taken("oauth_app"))), "{again:?}");
    assert_eq!(store.count_secrets().await.unwrap().into_values().sum::<u64>(), 1);
    let change = |client_id: Option<&str>, secrets| OAuthAppChange {
        client_id: client_id.map(str::to_owned),
        secrets,
    };
    let signing = SecretsWrite::Update(secrets([("signing_secret", "x")]));
    let changed = store.update_oauth_app("1", Some(1), change(None, signing), at(1)).await.unwrap();
    assert_eq!((changed.revision, changed.updated_at, changed.created_at), (2, at(1), at(0)));
    let stale = store.update_oauth_app("1", Some(1), change(Some("new"), SecretsWrite::keep()), at(2)).await;
    assert!(matches!(stale, Err(StoreError::Conflict("oauth_app"))), "{stale:?}");
    store.update_oauth_app("1", None, change(Some("new"), SecretsWrite::keep()), at(2)).await.unwrap();
    let (stored, kept) = store.oauth_app("1").await.unwrap().unwrap();
    assert_eq!((stored.client_id.as_str(), stored.revision), ("new", 3));
    assert_eq!(kept, secrets([("client_secret", "1"), ("signing_secret", "x")]));
    let nobody = store.update_oauth_app("9", None, change(None, SecretsWrite::keep()), at(2)).await;
    assert!(matches!(nobody, Err(StoreError::Missing("oauth_app"))), "{nobody:?}");
    assert_eq!(store.oauth_app("9").await.unwrap(), None);
}

pub async fn apps_are_listed_in_pages_by_owner(store: Shared) {
    for (id, organization) in [("1", ""), ("2", "acme"), ("3", "other"), ("4", "acme"), ("5", "acme")] {
        create(&store, id, organization, &format!("connector-{id}")).await;
    }
    let list = async |organization: Option<&str>, after: &str| {
        let page = store.oauth_apps(organization.map(str::to_owned), after, 2).await.unwrap();
        (page.items.into_iter().map(|app| app.id).collect::<Vec<_>>().join(" "), page.next)
    };
    assert_eq!(list(Some("acme"), "").await, ("2 4".to_owned(), Some("4".to_owned())));
    assert_eq!(list(Some("acme"), "4").await, ("5".to_owned(), None));
    assert_eq!(list(Some(""), "").await, ("1".to_owned(), None));
    assert_eq!(list(None, "2").await, ("3 4".to_owned(), Some("4".to_owned())));
}
