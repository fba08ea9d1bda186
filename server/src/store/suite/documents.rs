//! Documents as the engine sees them: stored, absent, found by locator and below containers.

use super::support::*;
use crate::store::Fence;
use crate::store::documents::{Commit, ContainerPut, ContentState, DocumentWrite, TextWrite};
use crate::store::item_errors::Target;
use crate::store::sync_states::{Listing, ScopeState};

async fn contain(store: &Shared, fence: Fence, containers: &[(&str, &str, &str)]) {
    let containers = containers.iter().map(|(id, parent, scope)| ContainerPut {
        id: (*id).to_owned(),
        scope: (*scope).to_owned(),
        parent_id: (*parent).to_owned(),
        name: (*id).to_owned(),
        locator: format!("path/{id}"),
        generation: 1,
    });
    let commit = Commit { run: "r".to_owned(), containers: containers.collect(), ..Commit::default() };
    store.commit(fence, commit, start()).await.unwrap();
}

pub async fn a_document_is_read_back_as_it_was_put(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let document = put_with("1", |put| {
        put.scope = "drive".to_owned();
        put.generation = 4;
        put.content_state = ContentState::Truncated;
    });
    let DocumentWrite::Put(given) = &document else { unreachable!() };
    let given = given.clone();
    write(&store, fence, vec![document]).await;
    let found = stored(&store, &connection, "1").await;
    assert_eq!((found.scope.as_str(), found.gone, found.generation), ("drive", false, 4));
    assert_eq!((&found.version, &found.content_version), (&given.version, &given.content_version));
    assert_eq!(found.content_state, ContentState::Truncated);
    assert_eq!((found.text_hash, found.text_bytes), (given.text_hash, given.text_bytes));
    assert_eq!(found.envelope_hash, given.envelope_hash);
    let envelopes = store.stored_envelopes(vec![found.key]).await.unwrap();
    assert_eq!(envelopes, [(found.key, given.envelope.clone())]);
    let row = store.document(connection.key, "1").await.unwrap().unwrap();
    assert_eq!(
        (row.id.as_str(), row.connection.as_str(), row.organization.as_str()),
        ("1", "c-docs", "acme")
    );
    assert_eq!((row.envelope, row.text.as_deref()), (given.envelope, Some("text of 1")));
    assert_eq!(store.text(connection.key, "1").await.unwrap(), Some(Some("text of 1".to_owned())));
    let asked = vec!["1".to_owned(), "nobody".to_owned()];
    assert_eq!(store.stored_documents(connection.key, asked).await.unwrap(), [found]);
    assert_eq!(store.text(connection.key, "nobody").await.unwrap(), None);
}

pub async fn a_document_without_text_has_none(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let without = put_with("1", |put| {
        put.text = TextWrite::Set(None);
        put.text_hash = None;
        put.text_bytes = 0;
        put.content_version = None;
        put.content_state = ContentState::None;
    });
    write(&store, fence, vec![without]).await;
    let found = stored(&store, &connection, "1").await;
    assert_eq!((found.text_hash, found.content_version.clone()), (None, None));
    assert_eq!(store.text(connection.key, "1").await.unwrap(), Some(None));
    write(&store, fence, vec![new_text(&found, "")]).await;
    assert_eq!(
        store.text(connection.key, "1").await.unwrap(),
        Some(Some(String::new())),
        "empty is not absent"
    );
}

pub async fn a_deleted_document_is_a_tombstone_and_may_return(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    write(&store, fence, vec![put_with("1", |put| put.locator = "a/1".to_owned())]).await;
    let first = stored(&store, &connection, "1").await;
    write(&store, fence, vec![DocumentWrite::Gone(first.key)]).await;
    let gone = stored(&store, &connection, "1").await;
    assert!(gone.gone);
    assert_eq!((gone.content_version.clone(), gone.text_hash), (None, None));
    assert_eq!(store.document(connection.key, "1").await.unwrap(), None);
    assert_eq!(store.text(connection.key, "1").await.unwrap(), None);
    assert_eq!(store.id_of_locator(connection.key, "", "a/1").await.unwrap(), None);
    assert!(store.stored_envelopes(vec![first.key]).await.unwrap().is_empty(), "nothing of it is kept");
    let rows = feed_after(&store, 0).await;
    assert_eq!((rows.len(), rows[0].gone, rows[0].envelope.len(), &rows[0].text), (1, true, 0, &None));
    write(&store, fence, vec![new_text(&gone, "back")]).await;
    let back = stored(&store, &connection, "1").await;
    assert_eq!((back.gone, back.key), (false, first.key));
    let rows = feed_after(&store, 0).await;
    assert_eq!((rows.len(), rows[0].gone, rows[0].text.as_deref()), (1, false, Some("back")));
    assert!(rows[0].offset > 2 && rows[0].content_offset == rows[0].offset);
}

pub async fn counts_of_absence_are_per_scope_and_listing(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let document = |id, scope: &str, generation| {
        put_with(id, |put| {
            put.scope = scope.to_owned();
            put.generation = generation;
        })
    };
    let documents =
        vec![document("1", "a", 1), document("2", "a", 2), document("3", "a", 3), document("4", "b", 1)];
    write(&store, fence, documents).await;
    let count =
        async |scope: &str, generation| store.count_absent(connection.key, scope, generation).await.unwrap();
    assert_eq!(count("a", 1).await, (3, 0));
    assert_eq!(count("a", 3).await, (3, 2));
    assert_eq!(count("a", i64::MAX).await, (3, 3));
    assert_eq!(count("b", 2).await, (1, 1));
    assert_eq!(count("nowhere", 2).await, (0, 0));
    let seen = key(&store, &connection, "1").await;
    write(&store, fence, vec![DocumentWrite::Seen { key: seen, generation: 3, message_hash: None }]).await;
    assert_eq!(count("a", 3).await, (3, 1));
    assert_eq!(store.feed_bounds().await.unwrap().head, 4, "being seen is no change");
    write(&store, fence, vec![DocumentWrite::Gone(key(&store, &connection, "2").await)]).await;
    assert_eq!(count("a", 3).await, (2, 0), "a tombstone is not absent");
}

pub async fn absent_documents_come_in_pages(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let mut documents = puts(&["3", "1", "2"]);
    documents.push(put_with("4", |put| put.generation = 2));
    documents.push(put_with("5", |put| put.scope = "other".to_owned()));
    documents.push(put_with("0", |put| {
        put.parent_id = "folder".to_owned();
        put.locator = "folder/0".to_owned();
    }));
    write(&store, fence, documents).await;
    let absent = async |after: &str, limit| {
        let page = store.absent(connection.key, "", 2, after, limit).await.unwrap();
        page.into_iter().map(|document| document.id).collect::<Vec<_>>()
    };
    assert_eq!(absent("", 2).await, ["0", "1"]);
    assert_eq!(absent("1", 2).await, ["2", "3"]);
    assert_eq!(absent("3", 2).await, [""; 0]);
    let first = store.absent(connection.key, "", 2, "", 1).await.unwrap().remove(0);
    assert_eq!(
        (first.parent_id.as_str(), first.locator.as_str(), first.generation),
        ("folder", "folder/0", 1)
    );
    assert_eq!(first.key, key(&store, &connection, "0").await);
}

pub async fn a_locator_is_found_within_its_scope(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let document = |id, scope: &str| {
        put_with(id, |put| {
            put.scope = scope.to_owned();
            put.locator = "same".to_owned();
        })
    };
    write(&store, fence, vec![document("1", "a"), document("2", "b"), put_with("3", |_| {})]).await;
    contain(&store, fence, &[("folder", "", "a")]).await;
    let find =
        async |scope: &str, locator: &str| store.id_of_locator(connection.key, scope, locator).await.unwrap();
    assert_eq!(find("a", "same").await.as_deref(), Some("1"));
    assert_eq!(find("b", "same").await.as_deref(), Some("2"));
    assert_eq!(find("a", "path/folder").await.as_deref(), Some("folder"));
    assert_eq!(find("b", "path/folder").await, None);
    assert_eq!(find("", "").await, None, "no locator is not a locator");
}

pub async fn descendants_are_found_through_containers_and_circles(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    contain(&store, fence, &[("top", "", ""), ("mid", "top", ""), ("low", "mid", ""), ("far", "mid", "b")])
        .await;
    // Two folders that hold each other: a source may say so for a moment, while it moves them.
    contain(&store, fence, &[("x", "y", ""), ("y", "x", "")]).await;
    let under = |id, parent: &str| put_with(id, |put| put.parent_id = parent.to_owned());
    let mut documents =
        vec![under("1", "top"), under("2", "low"), under("3", "x"), under("4", "2"), under("5", "")];
    documents.push(put_with("6", |put| {
        put.parent_id = "mid".to_owned();
        put.scope = "b".to_owned();
    }));
    write(&store, fence, documents).await;
    let descendants = async |scope: &str, id: &str| {
        let mut ids = store.descendants(connection.key, scope, id).await.unwrap();
        ids.sort_unstable();
        ids
    };
    assert_eq!(descendants("", "top").await, ["1", "2", "4", "low", "mid"]);
    assert_eq!(descendants("", "low").await, ["2", "4"]);
    assert_eq!(descendants("", "x").await, ["3", "x", "y"]);
    assert_eq!(descendants("b", "mid").await, ["6", "far"]);
    assert!(descendants("", "1").await.is_empty());
    assert!(descendants("", "").await.is_empty(), "the top of a scope is no container");
}

pub async fn a_container_knows_its_parent(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    contain(&store, fence, &[("folder", "top", "")]).await;
    write(&store, fence, vec![put_with("1", |put| put.parent_id = "folder".to_owned())]).await;
    let parent = async |id: &str| store.parent_of(connection.key, id).await.unwrap();
    assert_eq!(parent("folder").await.as_deref(), Some("top"));
    assert_eq!(parent("1").await.as_deref(), Some("folder"));
    assert_eq!(parent("nobody").await, None);
    contain(&store, fence, &[("folder", "elsewhere", "")]).await;
    assert_eq!(parent("folder").await.as_deref(), Some("elsewhere"));
    let removed_containers = vec![("other".to_owned(), "folder".to_owned())];
    let commit = Commit { run: run.id.clone(), removed_containers, ..Commit::default() };
    store.commit(fence, commit, at(1)).await.unwrap();
    assert_eq!(parent("folder").await.as_deref(), Some("elsewhere"), "another scope has no say");
    let removed_containers = vec![(String::new(), "folder".to_owned())];
    store
        .commit(fence, Commit { run: run.id, removed_containers, ..Commit::default() }, at(1))
        .await
        .unwrap();
    assert_eq!(parent("folder").await, None);
}

pub async fn the_end_of_a_listing_forgets_what_it_did_not_name(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    contain(&store, fence, &[("old", "", ""), ("elsewhere", "", "b")]).await;
    let error = |id: &str| item_error(Target::Id(id.to_owned()));
    let errors = Commit { run: run.id.clone(), item_errors: vec![error("old")], ..Commit::default() };
    store.commit(fence, errors, at(1)).await.unwrap();
    let errors = Commit { run: run.id, item_errors: vec![error("new")], ..Commit::default() };
    store.commit(fence, errors, at(10)).await.unwrap();
    let state = ScopeState {
        generation: 2,
        listing: Listing::None,
        listing_started_at: Some(at(5)),
        ..ScopeState::default()
    };
    store.end_listing(fence, state.clone(), false).await.unwrap();
    assert_eq!(store.count_item_errors(connection.key).await.unwrap(), 2);
    assert!(store.parent_of(connection.key, "old").await.unwrap().is_some());
    store.end_listing(fence, state.clone(), true).await.unwrap();
    assert_eq!(store.sync_states(connection.key).await.unwrap(), [state]);
    let left = store.item_errors(connection.key, None, 10).await.unwrap().items;
    assert_eq!(left.into_iter().map(|left| left.error).collect::<Vec<_>>(), [error("new")]);
    assert_eq!(store.parent_of(connection.key, "old").await.unwrap(), None);
    assert!(store.parent_of(connection.key, "elsewhere").await.unwrap().is_some());
}
