//! Ids that have to be asked for: named, asked for, answered, tried again.

use super::support::*;
use crate::store::Fence;
use crate::store::documents::Commit;
use crate::store::item_errors::{ItemError, Target};
use crate::store::wanted::{Leftovers, Retried, Wanted, Why};

async fn want(store: &Shared, fence: Fence, wanted: Vec<Wanted>) {
    let commit = Commit { run: "r".to_owned(), wanted, ..Commit::default() };
    store.commit(fence, commit, start()).await.unwrap();
}

pub async fn ids_are_wanted_until_they_are_answered(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let (mail, _, other) = running(&store, "mail").await;
    want(&store, fence, vec![wanted("2", "v"), wanted("1", "v"), wanted("3", "v")]).await;
    want(&store, other, vec![wanted("1", "v")]).await;
    assert_eq!(store.wanted(connection.key, "", 2).await.unwrap(), [wanted("1", "v"), wanted("2", "v")]);
    assert_eq!(store.wanted(connection.key, "2", 2).await.unwrap(), [wanted("3", "v")]);
    let answered = vec!["1".to_owned(), "3".to_owned(), "nobody".to_owned()];
    // What is named again in the same commit is wanted again.
    let commit = Commit { run: run.id, answered, wanted: vec![wanted("3", "w")], ..Commit::default() };
    store.commit(fence, commit, start()).await.unwrap();
    assert_eq!(store.wanted(connection.key, "", 9).await.unwrap(), [wanted("2", "v"), wanted("3", "w")]);
    assert_eq!(store.wanted(mail.key, "", 9).await.unwrap(), [wanted("1", "v")], "its own");
    let leftovers = Leftovers { wanted: true, item_errors: false };
    assert_eq!(store.leftovers(connection.key).await.unwrap(), leftovers);
}

pub async fn attempts_count_for_a_version(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    want(&store, fence, vec![wanted("1", "v"), wanted("2", "v")]).await;
    for _ in 0..2 {
        store.count_attempts(fence, vec!["1".to_owned(), "nobody".to_owned()]).await.unwrap();
    }
    let attempts = async || {
        let wanted = store.wanted(connection.key, "", 9).await.unwrap();
        wanted.into_iter().map(|wanted| (wanted.scope, wanted.attempts)).collect::<Vec<_>>()
    };
    assert_eq!(attempts().await, [(String::new(), 2), (String::new(), 0)]);
    want(&store, fence, vec![Wanted { scope: "b".to_owned(), ..wanted("1", "v") }]).await;
    assert_eq!(attempts().await, [("b".to_owned(), 2), (String::new(), 0)], "the scope that named it last");
    want(&store, fence, vec![wanted("1", "w")]).await;
    assert_eq!(attempts().await, [(String::new(), 0), (String::new(), 0)], "another version, another chance");
}

pub async fn item_errors_are_tried_again_by_id_alone(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    let id = |id: &str| item_error(Target::Id(id.to_owned()));
    let item_errors = vec![
        ItemError { scope: "b".to_owned(), ..id("1") },
        id("2"),
        ItemError { with_descendants: true, ..id("folder") },
        item_error(Target::Locator("at/3".to_owned())),
        item_error(Target::Unnamed),
    ];
    let wanted = vec![wanted("1", "v")];
    let commit = Commit { run: run.id, item_errors, wanted, ..Commit::default() };
    store.commit(fence, commit, start()).await.unwrap();
    store.count_attempts(fence, vec!["1".to_owned()]).await.unwrap();
    let leftovers = Leftovers { wanted: true, item_errors: true };
    assert_eq!(store.leftovers(connection.key).await.unwrap(), leftovers);
    let stored = store.item_errors(connection.key, ItemErrorFilter::default(), None, 9).await.unwrap().items;
    let second = stored.iter().find(|stored| stored.error.target == Target::Id("2".to_owned())).unwrap().key;
    let retried = store.retry_item_errors(connection.key, vec![second, 9999]).await.unwrap();
    assert_eq!(retried, Retried { items: 1, ..Retried::default() });
    let ids = async || {
        let wanted = store.wanted(connection.key, "", 9).await.unwrap();
        let plain = |wanted: Wanted| (wanted.id, wanted.scope, wanted.why, wanted.attempts);
        wanted.into_iter().map(plain).collect::<Vec<_>>()
    };
    let row = |id: &str, scope: &str, why, attempts| (id.to_owned(), scope.to_owned(), why, attempts);
    assert_eq!(ids().await, [row("1", "", Why::Present, 1), row("2", "", Why::Retry, 0)]);
    let all = store.retry_item_errors(connection.key, Vec::new()).await.unwrap();
    assert_eq!(all, Retried { items: 2, subtrees: 1, locators: 1, unnamed: 1 });
    assert_eq!(ids().await, [row("1", "b", Why::Retry, 0), row("2", "", Why::Retry, 0)], "counted anew");
    let (mail, _, _) = running(&store, "mail").await;
    assert_eq!(store.retry_item_errors(mail.key, vec![second]).await.unwrap(), Retried::default());
}
