//! The audit log: what was written is there in its order, is found, and ends when it is old.

use chrono::{DateTime, Utc};

use super::support::*;
use crate::store::audit::{Actor, AuditEvent, AuditFilter, Detail};

fn event(action: &str, when: DateTime<Utc>) -> AuditEvent {
    AuditEvent {
        actor: Actor { token: "t1".to_owned(), name: "deploy".to_owned(), address: "192.0.2.1".to_owned() },
        organization: "acme".to_owned(),
        action: action.to_owned(),
        target: "connection/1".to_owned(),
        outcome: "OK".to_owned(),
        detail: Detail { run: "r1".to_owned(), fields: vec!["name".to_owned()], ..Detail::default() },
        first_at: when,
        last_at: when,
        count: 3,
    }
}

async fn actions(store: &Shared, filter: AuditFilter) -> String {
    let listed = store.audit_events(filter, None, 100).await.unwrap();
    listed.items.into_iter().map(|event| event.action).collect::<Vec<_>>().join(" ")
}

pub async fn events_are_listed_either_way_in_pages(store: Shared) {
    store.append_audit(vec![event("a", at(1)), event("b", at(2))]).await.unwrap();
    store.append_audit(vec![event("c", at(3))]).await.unwrap();
    for (oldest_first, expected) in [(true, ["a", "b", "c"]), (false, ["c", "b", "a"])] {
        let filter = AuditFilter { oldest_first, ..AuditFilter::default() };
        let first = store.audit_events(filter.clone(), None, 2).await.unwrap();
        assert!(first.next.is_some());
        let second = store.audit_events(filter, first.next, 2).await.unwrap();
        assert_eq!(second.next, None);
        let listed: Vec<_> = first.items.into_iter().chain(second.items).collect();
        assert_eq!(listed.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(), expected);
        let a = listed.iter().find(|event| event.action == "a");
        assert_eq!(a, Some(&event("a", at(1))), "everything comes back");
    }
}

pub async fn events_are_found_by_whose_who_what_and_when(store: Shared) {
    let mut events = vec![event("a", at(10)), event("b", at(20)), event("c", at(30)), event("d", at(40))];
    events[1].organization = "other".to_owned();
    events[2].actor = Actor { name: "anyone".to_owned(), ..Actor::default() };
    events[3].target = "connection/2".to_owned();
    // Done several times between 40 and 50.
    events[3].last_at = at(50);
    store.append_audit(events).await.unwrap();
    let find =
        async |filter: AuditFilter| actions(&store, AuditFilter { oldest_first: true, ..filter }).await;
    let text = str::to_owned;
    assert_eq!(find(AuditFilter { organization: text("acme"), ..Default::default() }).await, "a c d");
    assert_eq!(find(AuditFilter { actor: text("t1"), ..Default::default() }).await, "a b d");
    assert_eq!(find(AuditFilter { actor: text("deploy"), ..Default::default() }).await, "a b d");
    assert_eq!(find(AuditFilter { actor: text("anyone"), ..Default::default() }).await, "c");
    assert_eq!(find(AuditFilter { target: text("connection/2"), ..Default::default() }).await, "d");
    assert_eq!(find(AuditFilter { since: Some(at(20)), ..Default::default() }).await, "b c d");
    assert_eq!(find(AuditFilter { since: Some(at(45)), ..Default::default() }).await, "d");
    assert_eq!(find(AuditFilter { until: Some(at(20)), ..Default::default() }).await, "a");
    let both = AuditFilter { since: Some(at(15)), until: Some(at(31)), ..Default::default() };
    assert_eq!(find(both).await, "b c");
}

pub async fn old_events_are_trimmed_a_few_at_a_time(store: Shared) {
    store.append_audit((1..=5).map(|n| event(&n.to_string(), at(n))).collect()).await.unwrap();
    assert_eq!(store.trim_audit(at(4), 2).await.unwrap(), 2);
    assert_eq!(actions(&store, AuditFilter::default()).await, "5 4 3", "the oldest go first");
    assert_eq!(store.trim_audit(at(4), 2).await.unwrap(), 1);
    assert_eq!(store.trim_audit(at(4), 2).await.unwrap(), 0);
    store.append_audit(vec![event("6", at(6))]).await.unwrap();
    assert_eq!(actions(&store, AuditFilter::default()).await, "6 5 4");
}
