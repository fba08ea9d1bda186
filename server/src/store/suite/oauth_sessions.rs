//! Authorizations under way: taken once, in time, and forgotten.

use super::credentials::secrets;
use super::support::*;
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::oauth_sessions::{Details, Ending, NewOAuthSession, OAuthSession, Standing, Taking};

/// An authorization of ten minutes.
pub fn session(of: &Connection, id: &str) -> NewOAuthSession {
    let details = Details {
        oauth_app: "app".to_owned(),
        redirect_uri: "https://connect.example/oauth/callback".to_owned(),
        return_url: Some("https://app.example/".to_owned()),
        scopes: vec!["read".to_owned()],
        started_by: "hash".to_owned(),
        ending: None,
    };
    let (created_at, expires_at) = (at(0), at(600));
    NewOAuthSession {
        session: OAuthSession { id: id.to_owned(), connection: of.key, details, created_at, expires_at },
        secrets: secrets([("code_verifier", "v")]),
    }
}

pub async fn an_authorization_is_taken_once(store: Shared) {
    let connection = connect(&store, "docs").await;
    let new = session(&connection, "1");
    store.create_oauth_session(new.clone()).await.unwrap();
    let again = store.create_oauth_session(new.clone()).await;
    assert!(matches!(again, Err(StoreError::Taken("oauth_session"))), "{again:?}");
    assert_eq!(store.take_oauth_session("2", at(1)).await.unwrap(), Taking::Unknown);
    // Of many answers at once one is the answer.
    let takes = futures::future::join_all((0..8).map(|_| store.take_oauth_session("1", at(599)))).await;
    let (taken, others): (Vec<_>, Vec<_>) =
        takes.into_iter().map(Result::unwrap).partition(|taking| matches!(taking, Taking::Taken(..)));
    assert_eq!(taken, [Taking::Taken(Box::new(new.session), new.secrets)]);
    assert!(others.len() == 7 && others.iter().all(|taking| *taking == Taking::Used), "{others:?}");
    assert!(store.count_secrets().await.unwrap().is_empty(), "its secrets went with it");
    assert_eq!(store.take_oauth_session("1", at(9999)).await.unwrap(), Taking::Used);
}

pub async fn an_authorization_ends_by_itself_and_is_forgotten(store: Shared) {
    let connection = connect(&store, "docs").await;
    for (id, expires_at) in [("1", 600), ("2", 601), ("3", 700)] {
        let mut new = session(&connection, id);
        new.session.expires_at = at(expires_at);
        store.create_oauth_session(new).await.unwrap();
    }
    assert_eq!(store.take_oauth_session("1", at(600)).await.unwrap(), Taking::Expired);
    assert_eq!(store.trim_oauth_sessions(at(600), 9).await.unwrap(), 0);
    assert_eq!(store.trim_oauth_sessions(at(650), 1).await.unwrap(), 1);
    assert_eq!(store.take_oauth_session("1", at(650)).await.unwrap(), Taking::Unknown, "the oldest first");
    assert_eq!(store.trim_oauth_sessions(at(650), 9).await.unwrap(), 1);
    assert_eq!(store.count_secrets().await.unwrap().into_values().sum::<u64>(), 1);
    assert!(matches!(store.take_oauth_session("3", at(650)).await.unwrap(), Taking::Taken(..)));
}

pub async fn no_authorization_begins_for_what_is_being_deleted(store: Shared) {
    let connection = connect(&store, "docs").await;
    store.begin_deletion(&connection.id, None, at(0)).await.unwrap();
    let refused = store.create_oauth_session(session(&connection, "1")).await;
    assert!(matches!(refused, Err(StoreError::Missing("connection"))), "{refused:?}");
    assert!(store.count_secrets().await.unwrap().is_empty());
}

pub async fn what_came_of_an_authorization_is_kept_with_it(store: Shared) {
    let connection = connect(&store, "docs").await;
    let new = session(&connection, "1");
    store.create_oauth_session(new.clone()).await.unwrap();
    let begun = Standing { session: new.session.clone(), taken: false, secrets: new.secrets };
    assert_eq!(store.oauth_session("1").await.unwrap(), Some(begun), "a look takes nothing");
    assert_eq!(store.oauth_session("2").await.unwrap(), None);
    store.take_oauth_session("1", at(1)).await.unwrap();
    let taken = store.oauth_session("1").await.unwrap().unwrap();
    assert!(taken.taken && taken.secrets.is_empty() && taken.session == new.session, "{taken:?}");
    let refused = Ending { succeeded: false, message: "the person refused".to_owned() };
    store.finish_oauth_session("1", refused.clone()).await.unwrap();
    store.finish_oauth_session("1", Ending { succeeded: true, message: String::new() }).await.unwrap();
    let ended = store.oauth_session("1").await.unwrap().unwrap();
    assert_eq!(ended.session.details.ending, Some(refused), "the first word stands");
    assert_eq!(store.take_oauth_session("1", at(2)).await.unwrap(), Taking::Used);
    let missing = store.finish_oauth_session("2", Ending { succeeded: true, message: String::new() }).await;
    assert!(matches!(missing, Err(StoreError::Missing("oauth_session"))), "{missing:?}");
}
