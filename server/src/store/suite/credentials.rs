//! Credentials: written by version, refreshed by one, removed with their connection.

use std::time::Duration;

use serde_json::json;

use super::secrets::sealed;
use super::support::*;
use crate::catalog::AuthKind;
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::credentials::{Account, CredentialPut, DueRefresh, RefreshClaim, State, Status, Trouble};
use crate::store::oauth_apps::NewOAuthApp;
use crate::store::secrets::{Secrets, SecretsWrite};
use crate::vault::Place;

/// Secrets of these fields, each with a text that is its value.
pub fn secrets<const N: usize>(fields: [(&str, &str); N]) -> Secrets {
    fields.map(|(field, value)| (field.to_owned(), sealed(1, value))).into()
}

/// A grant with these secrets and no others.
fn grant<const N: usize>(fields: [(&str, &str); N]) -> CredentialPut {
    CredentialPut {
        kind: AuthKind::OAuth2,
        status: Status { state: State::Connected, since: start(), ..Status::default() },
        expires_at: Some(at(3600)),
        refresh_at: Some(at(3000)),
        secrets: SecretsWrite::Replace(secrets(fields)),
        refreshed: false,
    }
}

/// What a refresh brings.
fn refreshed<const N: usize>(fields: [(&str, &str); N]) -> CredentialPut {
    CredentialPut { secrets: SecretsWrite::Update(secrets(fields)), refreshed: true, ..grant([]) }
}

fn conflict<T: std::fmt::Debug>(result: crate::store::Result<T>) {
    assert!(matches!(result, Err(StoreError::Conflict("credential"))), "{result:?}");
}

async fn claim(store: &Shared, of: &Connection, version: i64, holder: &str, seconds: i64) -> RefreshClaim {
    store.claim_refresh(of.key, version, holder, LEASE, at(seconds)).await.unwrap()
}

pub async fn a_credential_is_read_back_as_it_was_put(store: Shared) {
    let connection = connect(&store, "docs").await;
    assert_eq!(store.credential(connection.key).await.unwrap(), None);
    let account = |id: &str| Some(Account { id: id.to_owned(), name: "Ada \0".to_owned() });
    let status = Status {
        state: State::NeedsReconnect,
        since: at(1),
        trouble: Some(Trouble {
            reason: "CREDENTIAL_REVOKED".to_owned(),
            message: "m".to_owned(),
            since: at(1),
        }),
        connected_at: Some(at(2)),
        refreshed_at: Some(at(3)),
        failures: 4,
        account: account("1"),
        other_account: account("2"),
        oauth_app: "app".to_owned(),
        token_type: "Bearer".to_owned(),
        granted_scopes: vec!["a".to_owned()],
        missing_scopes: vec!["b".to_owned()],
        extras: json!({"instance_url": "https://acme.example"}).as_object().unwrap().clone(),
    };
    let put =
        CredentialPut { status: status.clone(), ..grant([("refresh_token", "r"), ("access_token", "a")]) };
    assert_eq!(store.put_credential(connection.key, None, put, at(5)).await.unwrap(), 1);
    let (credential, stored) = store.credential(connection.key).await.unwrap().unwrap();
    assert_eq!(stored, secrets([("access_token", "a"), ("refresh_token", "r")]));
    assert_eq!(
        (credential.connection, credential.version, credential.kind),
        (connection.key, 1, AuthKind::OAuth2)
    );
    assert_eq!((credential.expires_at, credential.refresh_at), (Some(at(3600)), Some(at(3000))));
    assert_eq!((&credential.status, credential.updated_at), (&status, at(5)));
    let place = Place::of_connection("acme", &connection.id, "access_token");
    assert_eq!(
        store.secret(place).await.unwrap(),
        Some(sealed(1, "a")),
        "sealed for the place that it is at"
    );
    let other = connect(&store, "mail").await;
    let kind = AuthKind::ApiKey;
    let put = CredentialPut { kind, expires_at: None, refresh_at: None, ..grant([]) };
    store.put_credential(other.key, None, put, at(6)).await.unwrap();
    let nobody = crate::store::ConnectionKey(9999);
    let several = store.credentials(vec![other.key, nobody, connection.key]).await.unwrap();
    assert_eq!(several.iter().map(|one| one.kind).collect::<Vec<_>>(), [AuthKind::ApiKey, AuthKind::OAuth2]);
    assert_eq!(several[1], credential);
    let missing = store.put_credential(nobody, None, grant([]), at(6)).await;
    assert!(matches!(missing, Err(StoreError::Missing("connection"))), "{missing:?}");
}

pub async fn a_write_of_an_older_version_changes_nothing(store: Shared) {
    let connection = connect(&store, "docs").await;
    let key = connection.key;
    conflict(store.put_credential(key, Some(1), grant([]), at(0)).await);
    store
        .put_credential(key, None, grant([("refresh_token", "1"), ("access_token", "1")]), at(0))
        .await
        .unwrap();
    conflict(store.put_credential(key, None, grant([]), at(1)).await);
    assert_eq!(
        store.put_credential(key, Some(1), refreshed([("access_token", "2")]), at(1)).await.unwrap(),
        2
    );
    conflict(store.put_credential(key, Some(1), refreshed([("access_token", "lost")]), at(2)).await);
    let (credential, stored) = store.credential(key).await.unwrap().unwrap();
    assert_eq!((credential.version, credential.updated_at), (2, at(1)));
    assert_eq!(stored, secrets([("access_token", "2"), ("refresh_token", "1")]), "what was not named stays");
    store.put_credential(key, Some(2), grant([("access_token", "3")]), at(3)).await.unwrap();
    let (_, stored) = store.credential(key).await.unwrap().unwrap();
    assert_eq!(stored, secrets([("access_token", "3")]), "a new grant keeps nothing of the old one");
}

pub async fn of_many_writes_at_once_one_counts(store: Shared) {
    let connection = connect(&store, "docs").await;
    for expected in [None, Some(1), Some(2)] {
        let put = |number: usize| {
            let number = number.to_string();
            let fields = [("access_token", number.as_str()), ("refresh_token", number.as_str())];
            store.put_credential(connection.key, expected, grant(fields), at(0))
        };
        let puts = futures::future::join_all((0..8).map(put)).await;
        let one = puts.iter().position(Result::is_ok).unwrap().to_string();
        assert_eq!(puts.iter().filter(|put| put.is_ok()).count(), 1, "{puts:?}");
        let (_, stored) = store.credential(connection.key).await.unwrap().unwrap();
        assert_eq!(stored, secrets([("access_token", one.as_str()), ("refresh_token", one.as_str())]));
    }
    let holders: Vec<_> = (0..8).map(|holder| format!("h-{holder}")).collect();
    let claims = holders.iter().map(|holder| claim(&store, &connection, 3, holder, 0));
    let granted = futures::future::join_all(claims).await;
    assert_eq!(granted.iter().filter(|claim| **claim == RefreshClaim::Granted).count(), 1, "{granted:?}");
}

pub async fn a_removed_credential_leaves_no_secret_and_no_version_twice(store: Shared) {
    let connection = connect(&store, "docs").await;
    let key = connection.key;
    store.put_credential(key, None, grant([("access_token", "1")]), at(0)).await.unwrap();
    conflict(store.remove_credential(key, 2, at(1)).await);
    store.remove_credential(key, 1, at(1)).await.unwrap();
    conflict(store.remove_credential(key, 2, at(1)).await);
    assert_eq!(store.credential(key).await.unwrap(), None);
    assert!(store.credentials(vec![key]).await.unwrap().is_empty());
    assert!(store.count_secrets().await.unwrap().is_empty());
    assert_eq!(store.due_refreshes(9, at(9999)).await.unwrap(), []);
    assert_eq!(claim(&store, &connection, 2, "r", 1).await, RefreshClaim::Changed);
    // Who read the first version writes nothing over a credential that came later.
    assert_eq!(store.put_credential(key, None, grant([]), at(2)).await.unwrap(), 3);
    conflict(store.put_credential(key, Some(1), refreshed([("access_token", "old")]), at(3)).await);
}

pub async fn one_refreshes_and_others_wait_for_its_version(store: Shared) {
    let connection = connect(&store, "docs").await;
    let key = connection.key;
    assert_eq!(claim(&store, &connection, 1, "a", 0).await, RefreshClaim::Changed, "there is none");
    store.put_credential(key, None, grant([("refresh_token", "1")]), at(0)).await.unwrap();
    assert_eq!(claim(&store, &connection, 1, "a", 0).await, RefreshClaim::Granted);
    assert_eq!(claim(&store, &connection, 1, "b", 10).await, RefreshClaim::Held(Duration::from_secs(20)));
    assert_eq!(
        claim(&store, &connection, 1, "a", 10).await,
        RefreshClaim::Granted,
        "its own lease gets longer"
    );
    assert_eq!(claim(&store, &connection, 1, "b", 35).await, RefreshClaim::Held(Duration::from_secs(5)));
    assert_eq!(claim(&store, &connection, 1, "b", 35).await, RefreshClaim::Held(Duration::from_secs(5)));
    let version =
        store.put_credential(key, Some(1), refreshed([("refresh_token", "2")]), at(36)).await.unwrap();
    assert_eq!(claim(&store, &connection, 1, "b", 36).await, RefreshClaim::Changed);
    assert_eq!(
        claim(&store, &connection, version, "b", 36).await,
        RefreshClaim::Granted,
        "the lease ended with it"
    );
    // b died. Its lease runs out; c may, and what b still writes would be of the same version.
    assert_eq!(claim(&store, &connection, version, "c", 66).await, RefreshClaim::Granted);
    store.put_credential(key, Some(version), refreshed([("refresh_token", "3")]), at(67)).await.unwrap();
    conflict(store.put_credential(key, Some(version), refreshed([("refresh_token", "4")]), at(67)).await);
}

pub async fn nobody_makes_a_refresh_under_way_an_old_one(store: Shared) {
    let connection = connect(&store, "docs").await;
    let key = connection.key;
    store.put_credential(key, None, grant([("refresh_token", "1")]), at(0)).await.unwrap();
    assert_eq!(claim(&store, &connection, 1, "a", 0).await, RefreshClaim::Granted);
    // A test of the connection notes the account meanwhile.
    let note = || CredentialPut { refreshed: false, ..refreshed([]) };
    conflict(store.put_credential(key, Some(1), note(), at(1)).await);
    assert_eq!(
        store.put_credential(key, Some(1), refreshed([("refresh_token", "2")]), at(2)).await.unwrap(),
        2
    );
    assert_eq!(store.put_credential(key, Some(2), note(), at(3)).await.unwrap(), 3);
    // A person who connects again needs nothing of what was there; nor does one wait for a lease that ran out.
    assert_eq!(claim(&store, &connection, 3, "b", 4).await, RefreshClaim::Granted);
    assert_eq!(store.put_credential(key, Some(3), grant([("refresh_token", "n")]), at(5)).await.unwrap(), 4);
    conflict(store.put_credential(key, Some(3), refreshed([("refresh_token", "o")]), at(6)).await);
    assert_eq!(claim(&store, &connection, 4, "c", 6).await, RefreshClaim::Granted);
    assert_eq!(store.put_credential(key, Some(4), note(), at(36)).await.unwrap(), 5);
}

pub async fn what_is_due_is_told_once_nobody_refreshes_it(store: Shared) {
    let mut connections = Vec::new();
    for (name, refresh_at) in
        [("a", Some(30)), ("b", Some(10)), ("c", None), ("d", Some(20)), ("e", Some(99))]
    {
        let connection = connect(&store, name).await;
        let put = CredentialPut { refresh_at: refresh_at.map(at), ..grant([("refresh_token", "1")]) };
        store.put_credential(connection.key, None, put, at(0)).await.unwrap();
        connections.push(connection);
    }
    let [a, b, _, d, _] = connections.as_slice() else { panic!("there are five") };
    let due = async |limit, seconds| {
        let due = store.due_refreshes(limit, at(seconds)).await.unwrap();
        due.into_iter().map(|due| due.connection).collect::<Vec<_>>()
    };
    let first = DueRefresh { connection: b.key, version: 1, refresh_at: at(10) };
    assert_eq!(store.due_refreshes(9, at(10)).await.unwrap(), [first]);
    assert_eq!(due(9, 30).await, [b.key, d.key, a.key]);
    assert_eq!(due(2, 30).await, [b.key, d.key]);
    assert_eq!(claim(&store, b, 1, "r", 30).await, RefreshClaim::Granted);
    assert_eq!(due(9, 31).await, [d.key, a.key]);
    assert_eq!(due(9, 60).await, [b.key, d.key, a.key], "its lease ran out");
    store.begin_deletion(&d.id, None, at(60)).await.unwrap();
    assert_eq!(due(9, 60).await, [b.key, a.key]);
}

pub async fn secrets_go_with_their_connection(store: Shared) {
    let (connection, _, _) = running(&store, "docs").await;
    let other = connect(&store, "mail").await;
    for connection in [&connection, &other] {
        let put = grant([("access_token", "1"), ("refresh_token", "1")]);
        store.put_credential(connection.key, None, put, at(0)).await.unwrap();
        store
            .create_oauth_session(super::oauth_sessions::session(connection, &connection.name))
            .await
            .unwrap();
    }
    let app = NewOAuthApp {
        // Of another kind, whatever it is called.
        id: connection.id.clone(),
        organization: "acme".to_owned(),
        connector: "demo".to_owned(),
        client_id: "id".to_owned(),
        secrets: secrets([("client_secret", "s")]),
    };
    store.create_oauth_app(app, at(0)).await.unwrap();
    store.begin_deletion(&connection.id, None, at(1)).await.unwrap();
    let fence = store.claim_connection(connection.key).await.unwrap();
    // While it is being deleted the provider is told, and that is noted.
    store.put_credential(connection.key, Some(1), grant([("access_token", "2")]), at(1)).await.unwrap();
    store.end_deletion(fence, at(2)).await.unwrap();
    assert_eq!(store.credential(connection.key).await.unwrap(), None);
    let counts: u64 = store.count_secrets().await.unwrap().into_values().sum();
    assert_eq!(counts, 2 + 1 + 1, "of the other one, its authorization, and the app");
    let late = store.put_credential(connection.key, None, grant([("access_token", "3")]), at(3)).await;
    assert!(matches!(late, Err(StoreError::Missing("connection"))), "{late:?}");
    assert!(store.credential(other.key).await.unwrap().is_some());
}
