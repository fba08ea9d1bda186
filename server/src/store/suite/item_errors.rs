//! Item errors and shields, as commits write them.

use superfasttt_proto::connector::v1::Reason;

use super::support::*;
use crate::store::Fence;
use crate::store::documents::Commit;
use crate::store::item_errors::{ItemError, Shield, Target};

fn id(id: &str) -> ItemError {
    item_error(Target::Id(id.to_owned()))
}

async fn record(store: &Shared, fence: Fence, run: &str, second: i64, item_errors: Vec<ItemError>) {
    let commit = Commit { run: run.to_owned(), item_errors, ..Commit::default() };
    store.commit(fence, commit, at(second)).await.unwrap();
}

pub async fn an_error_that_is_met_again_is_the_same_one(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    record(&store, fence, "r-1", 1, vec![id("x")]).await;
    record(&store, fence, "r-1", 2, vec![id("x")]).await;
    let changed = ItemError { message: "still not".to_owned(), with_descendants: true, ..id("x") };
    record(&store, fence, "r-2", 3, vec![changed.clone()]).await;
    let errors = store.item_errors(connection.key, ItemErrorFilter::default(), None, 10).await.unwrap().items;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].error, changed);
    assert_eq!((errors[0].first_seen_at, errors[0].last_seen_at), (at(1), at(3)));
    assert_eq!((errors[0].attempts, errors[0].run.as_str()), (2, "r-2"), "attempts are runs");
}

pub async fn errors_are_told_apart_by_scope_and_target(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let locator = item_error(Target::Locator("x".to_owned()));
    let unnamed = |message: &str| ItemError { message: message.to_owned(), ..item_error(Target::Unnamed) };
    let elsewhere = ItemError { scope: "b".to_owned(), ..id("x") };
    let errors = vec![id("x"), locator, unnamed("one"), unnamed("two"), unnamed("one"), elsewhere, id("x")];
    record(&store, fence, "r-1", 1, errors).await;
    let stored = store.item_errors(connection.key, ItemErrorFilter::default(), None, 10).await.unwrap().items;
    let mut targets: Vec<_> =
        stored.into_iter().map(|error| (error.error.scope, error.error.target)).collect();
    targets.sort_unstable();
    let expected = [
        ("", Target::Id("x".to_owned())),
        ("", Target::Locator("x".to_owned())),
        ("", Target::Unnamed),
        ("", Target::Unnamed),
        ("b", Target::Id("x".to_owned())),
    ];
    assert_eq!(targets, expected.map(|(scope, target)| (scope.to_owned(), target)));
    assert_eq!(store.count_item_errors(connection.key).await.unwrap(), 5);
}

pub async fn errors_come_newest_first_in_pages(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let (mail, _, _) = running(&store, "mail").await;
    for name in ["1", "2", "3"] {
        record(&store, fence, "r", 1, vec![id(name)]).await;
    }
    let page = store.item_errors(connection.key, ItemErrorFilter::default(), None, 2).await.unwrap();
    let targets: Vec<_> = page.items.iter().map(|error| error.error.target.clone()).collect();
    assert_eq!(targets, [Target::Id("3".to_owned()), Target::Id("2".to_owned())]);
    let page = store.item_errors(connection.key, ItemErrorFilter::default(), page.next, 2).await.unwrap();
    assert_eq!((page.items.len(), page.next), (1, None));
    assert!(store.item_errors(mail.key, ItemErrorFilter::default(), None, 2).await.unwrap().items.is_empty());
}

pub async fn reading_an_item_clears_its_error(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    record(&store, fence, "r", 1, vec![id("x"), id("y"), item_error(Target::Locator("x".to_owned()))]).await;
    let cleared_items = vec!["x".to_owned(), "nobody".to_owned()];
    store.commit(fence, Commit { run: run.id, cleared_items, ..Commit::default() }, at(2)).await.unwrap();
    let left = store.item_errors(connection.key, ItemErrorFilter::default(), None, 10).await.unwrap().items;
    let left: Vec<_> = left.into_iter().map(|error| error.error.target).collect();
    assert_eq!(left, [Target::Locator("x".to_owned()), Target::Id("y".to_owned())]);
}

pub async fn an_item_that_left_one_scope_keeps_its_error_in_another(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let elsewhere = ItemError { scope: "b".to_owned(), ..id("x") };
    record(&store, fence, "r", 1, vec![id("x"), elsewhere.clone()]).await;
    let gone_items = vec![(String::new(), "x".to_owned()), ("c".to_owned(), "x".to_owned())];
    store.commit(fence, Commit { run: run.id, gone_items, ..Commit::default() }, at(2)).await.unwrap();
    let left = store.item_errors(connection.key, ItemErrorFilter::default(), None, 10).await.unwrap().items;
    assert_eq!(left.into_iter().map(|error| error.error).collect::<Vec<_>>(), [elsewhere]);
}

pub async fn reading_an_item_clears_the_error_of_its_locator(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let located = |locator: &str| item_error(Target::Locator(locator.to_owned()));
    let elsewhere = ItemError { scope: "b".to_owned(), ..located("at/1") };
    record(&store, fence, "r", 1, vec![located("at/1"), located("at/2"), elsewhere]).await;
    let commit = Commit {
        run: run.id,
        documents: vec![put_with("1", |put| put.locator = "at/1".to_owned())],
        cleared_items: vec!["1".to_owned()],
        ..Commit::default()
    };
    store.commit(fence, commit, at(2)).await.unwrap();
    let left = store.item_errors(connection.key, ItemErrorFilter::default(), None, 10).await.unwrap().items;
    let left: Vec<_> = left.into_iter().map(|left| (left.error.scope, left.error.target)).collect();
    let locator = |locator: &str| Target::Locator(locator.to_owned());
    assert_eq!(left, [("b".to_owned(), locator("at/1")), (String::new(), locator("at/2"))]);
}

pub async fn errors_are_listed_by_scope_and_reason(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let elsewhere = ItemError { scope: "b".to_owned(), ..id("2") };
    let other = ItemError { reason: Reason::ContentTooLarge, ..id("3") };
    record(&store, fence, "r", 1, vec![id("1"), elsewhere, other]).await;
    let count = async |scope: Option<&str>, reason| {
        let filter = ItemErrorFilter { scope: scope.map(str::to_owned), reason };
        store.item_errors(connection.key, filter, None, 10).await.unwrap().items.len()
    };
    assert_eq!(count(None, None).await, 3);
    assert_eq!((count(Some(""), None).await, count(Some("b"), None).await), (2, 1));
    assert_eq!(count(None, Some(Reason::AccessDenied)).await, 2);
    assert_eq!(count(Some(""), Some(Reason::ContentTooLarge)).await, 1);
    assert_eq!(count(Some("b"), Some(Reason::ContentTooLarge)).await, 0);
}

pub async fn an_error_comes_after_what_it_clears(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    record(&store, fence, "r-0", 1, vec![id("x")]).await;
    // Read, and then not: the error is a new one.
    let commit = Commit {
        run: run.id,
        cleared_items: vec!["x".to_owned()],
        item_errors: vec![id("x")],
        ..Commit::default()
    };
    store.commit(fence, commit, at(2)).await.unwrap();
    let errors = store.item_errors(connection.key, ItemErrorFilter::default(), None, 10).await.unwrap().items;
    assert_eq!((errors.len(), errors[0].first_seen_at, errors[0].attempts), (1, at(2), 1));
}

pub async fn a_wider_shield_stays_wide(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let shield = |with_descendants, target| Shield { scope: String::new(), target, with_descendants };
    let x = || Target::Id("x".to_owned());
    for shields in [vec![shield(true, x())], vec![shield(false, x()), shield(false, Target::Unnamed)]] {
        let commit = Commit { run: run.id.clone(), shields, ..Commit::default() };
        store.commit(fence, commit, at(1)).await.unwrap();
    }
    let mut shields = store.shields(connection.key, "").await.unwrap();
    shields.sort_unstable_by(|a, b| a.target.cmp(&b.target));
    assert_eq!(shields, [shield(true, x()), shield(false, Target::Unnamed)]);
    assert!(store.shields(connection.key, "b").await.unwrap().is_empty());
}
