//! Connections: names, requests, revisions, pages, claims.

use serde_json::json;
use superfasttt_proto::control::v1::run::Trigger;

use super::support::*;
use crate::schedule::times::Due;
use crate::store::connections::{ConnectionChange, ConnectionFilter, NewConnection, Schedule};
use crate::store::{ConnectionKey, StoreError};

pub async fn a_connection_is_read_back_as_it_was_made(store: Shared) {
    let settings = json!({"root": "/srv/données", "deep": {"list": [1, 2.5, null]}});
    let new = NewConnection {
        settings: settings.as_object().unwrap().clone(),
        schedule: Schedule { frequency: every(900), full_frequency: every(86_400), ..Schedule::default() },
        disabled: true,
        next: Some(Due { at: at(5), cause: Trigger::Planned, full: true }),
        ..new_connection("docs")
    };
    let made = store.create_connection(new.clone(), start()).await.unwrap();
    assert_eq!((made.id.as_str(), made.organization.as_str()), ("c-docs", "acme"));
    assert_eq!((made.connector.as_str(), made.name.as_str()), ("demo", "docs"));
    assert_eq!((&made.settings, &made.schedule), (&new.settings, &new.schedule));
    assert_eq!((made.disabled, made.paused, made.next_run_at), (true, false, Some(at(5))));
    assert_eq!(made.next_cause, Trigger::Planned);
    assert_eq!((made.revision, made.failures), (1, 0));
    assert_eq!((made.created_at, made.updated_at), (start(), start()));
    assert_eq!(made.synced_settings, None);
    assert_eq!(store.connection("c-docs").await.unwrap().as_ref(), Some(&made));
    assert_eq!(store.connection_by_key(made.key).await.unwrap().as_ref(), Some(&made));
    assert_eq!(store.connection_by_name("acme", "docs").await.unwrap().as_ref(), Some(&made));
}

pub async fn a_name_is_unique_within_its_organization(store: Shared) {
    connect(&store, "docs").await;
    let again = NewConnection { id: "c-other".to_owned(), ..new_connection("docs") };
    let refused = store.create_connection(again.clone(), start()).await;
    assert!(matches!(refused, Err(StoreError::Taken("name"))), "{refused:?}");
    assert_eq!(store.connection("c-other").await.unwrap(), None, "a refused one leaves no trace");
    let elsewhere = NewConnection { organization: "umbrella".to_owned(), ..again };
    store.create_connection(elsewhere, start()).await.unwrap();
    connect(&store, "mail").await;
    let rename = ConnectionChange { name: Some("docs".to_owned()), ..ConnectionChange::default() };
    let refused = store.update_connection("c-mail", None, rename, start()).await;
    assert!(matches!(refused, Err(StoreError::Taken("name"))), "{refused:?}");
}

pub async fn the_same_request_makes_a_connection_once(store: Shared) {
    let request = |hash: &[u8]| Some(("request".to_owned(), hash.to_vec()));
    let new = NewConnection { request: request(b"one"), ..new_connection("docs") };
    let made = store.create_connection(new.clone(), start()).await.unwrap();
    let again = NewConnection { id: "c-again".to_owned(), ..new };
    assert_eq!(store.create_connection(again.clone(), at(60)).await.unwrap(), made);
    let other = NewConnection { request: request(b"two"), name: "other".to_owned(), ..again };
    let refused = store.create_connection(other, at(60)).await;
    assert!(matches!(refused, Err(StoreError::Taken("request_id"))), "{refused:?}");
    let listed = store.connections(ConnectionFilter::default(), "", 10).await.unwrap();
    assert_eq!(listed.items, [made]);
}

pub async fn a_request_id_is_free_again_after_a_day(store: Shared) {
    let request = Some(("request".to_owned(), b"one".to_vec()));
    let new = NewConnection { request: request.clone(), ..new_connection("docs") };
    store.create_connection(new, start()).await.unwrap();
    let day = 24 * 3600;
    let later =
        NewConnection { request: Some(("request".to_owned(), b"two".to_vec())), ..new_connection("later") };
    let made = store.create_connection(later, at(day + 1)).await.unwrap();
    assert_eq!(made.name, "later");
    let again =
        NewConnection { request: Some(("request".to_owned(), b"two".to_vec())), ..new_connection("x") };
    let found = store.create_connection(again, at(day + 2)).await.unwrap();
    assert_eq!(found.id, made.id, "the newest request of this id counts");
}

pub async fn a_request_id_is_an_organizations_own(store: Shared) {
    let request = Some(("request".to_owned(), b"one".to_vec()));
    let new = NewConnection { request: request.clone(), ..new_connection("docs") };
    let made = store.create_connection(new.clone(), start()).await.unwrap();
    let other = NewConnection { id: "c-other".to_owned(), organization: "other".to_owned(), ..new };
    let others = store.create_connection(other, start()).await.unwrap();
    assert_ne!(others.id, made.id, "the same request elsewhere is another one");
    let hash = NewConnection {
        id: "c-third".to_owned(),
        organization: "third".to_owned(),
        request: Some(("request".to_owned(), b"two".to_vec())),
        ..new_connection("docs")
    };
    store.create_connection(hash, start()).await.unwrap();
    assert!(store.was_connection("acme", &made.id).await.unwrap());
    assert!(store.was_connection("", &made.id).await.unwrap());
    assert!(!store.was_connection("other", &made.id).await.unwrap());
    assert!(store.was_connection("other", "").await.unwrap());
}

pub async fn an_update_changes_only_what_it_names(store: Shared) {
    let made = connect(&store, "docs").await;
    let change = ConnectionChange { paused: Some(true), ..ConnectionChange::default() };
    let paused = store.update_connection("c-docs", Some(1), change, at(1)).await.unwrap();
    assert!(paused.paused && !paused.disabled);
    assert_eq!((paused.revision, paused.updated_at, paused.created_at), (2, at(1), start()));
    assert_eq!((&paused.name, paused.schedule, paused.next_run_at), (&made.name, made.schedule, None));
    let change = ConnectionChange {
        name: Some("papers".to_owned()),
        settings: Some(json!({"a": 1}).as_object().unwrap().clone()),
        schedule: Some(Schedule { frequency: every(60), ..Schedule::default() }),
        disabled: Some(true),
        paused: Some(false),
        keep_raw: Some(true),
        next: Some(due(at(60))),
    };
    let changed = store.update_connection("c-docs", None, change, at(2)).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.disabled, changed.paused), ("papers", true, false));
    assert_eq!((changed.schedule.frequency, changed.next_run_at), (every(60), Some(at(60))));
    assert_eq!(changed.settings.get("a"), Some(&json!(1)));
    assert_eq!((changed.keep_raw, changed.raw_epoch), (true, 1));
    let change = ConnectionChange { next: Some(None), ..ConnectionChange::default() };
    assert_eq!(store.update_connection("c-docs", None, change, at(3)).await.unwrap().next_run_at, None);
}

pub async fn an_update_of_an_older_revision_is_refused(store: Shared) {
    connect(&store, "docs").await;
    let rename = |name: &str| ConnectionChange { name: Some(name.to_owned()), ..ConnectionChange::default() };
    store.update_connection("c-docs", Some(1), rename("first"), at(1)).await.unwrap();
    let refused = store.update_connection("c-docs", Some(1), rename("second"), at(1)).await;
    assert!(matches!(refused, Err(StoreError::Conflict("connection"))), "{refused:?}");
    let refused = store.begin_deletion("c-docs", Some(1), at(1)).await;
    assert!(matches!(refused, Err(StoreError::Conflict("connection"))), "{refused:?}");
    let kept = store.connection("c-docs").await.unwrap().unwrap();
    assert_eq!((kept.name.as_str(), kept.revision, kept.deleting_at), ("first", 2, None));
}

pub async fn connections_are_listed_in_pages(store: Shared) {
    for (name, organization, connector) in
        [("a", "acme", "demo"), ("b", "acme", "mail"), ("c", "umbrella", "demo"), ("d", "acme", "demo")]
    {
        let new = NewConnection {
            organization: organization.to_owned(),
            connector: connector.to_owned(),
            ..new_connection(name)
        };
        store.create_connection(new, start()).await.unwrap();
    }
    let ids = async |organization: &str, connector: &str, after: &str, limit| {
        let filter =
            ConnectionFilter { organization: organization.to_owned(), connector: connector.to_owned() };
        let page = store.connections(filter, after, limit).await.unwrap();
        (page.items.into_iter().map(|found| found.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(ids("", "", "", 2).await, (vec!["c-a".into(), "c-b".into()], Some("c-b".into())));
    assert_eq!(ids("", "", "c-b", 2).await, (vec!["c-c".into(), "c-d".into()], None));
    assert_eq!(ids("", "", "c-d", 2).await, (vec![], None));
    assert_eq!(ids("acme", "", "", 3).await, (vec!["c-a".into(), "c-b".into(), "c-d".into()], None));
    assert_eq!(ids("acme", "demo", "", 1).await, (vec!["c-a".into()], Some("c-a".into())));
    assert_eq!(ids("acme", "demo", "c-a", 1).await, (vec!["c-d".into()], None));
    assert_eq!(ids("nobody", "", "", 3).await, (vec![], None));
}

pub async fn what_does_not_exist_is_missing(store: Shared) {
    assert_eq!(store.connection("c-docs").await.unwrap(), None);
    assert_eq!(store.connection_by_key(ConnectionKey(7)).await.unwrap(), None);
    assert_eq!(store.connection_by_name("acme", "docs").await.unwrap(), None);
    let missing = [
        store.update_connection("c-docs", None, ConnectionChange::default(), start()).await.map(|_| ()),
        store.begin_deletion("c-docs", None, start()).await.map(|_| ()),
        store.claim_connection(ConnectionKey(7)).await.map(|_| ()),
    ];
    for answer in missing {
        assert!(matches!(answer, Err(StoreError::Missing("connection"))), "{answer:?}");
    }
}

pub async fn a_claim_ends_every_earlier_one(store: Shared) {
    let (_, _, first) = running(&store, "docs").await;
    write(&store, first, puts(&["1"])).await;
    store.take_over(true, at(1)).await.unwrap();
    let (_, second) = store.claim_run(at(1)).await.unwrap().unwrap();
    assert!(second.number > first.number);
    let refused = store.delete_documents_of(first, "", 10, start()).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    write(&store, second, puts(&["2"])).await;
    assert_eq!(listed(&store).await, ["1", "2"]);
}
