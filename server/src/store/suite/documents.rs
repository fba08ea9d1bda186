//! Documents as the engine sees them: stored, absent, found by locator and below containers.

use super::support::*;
use crate::store::documents::{Commit, ContainerPut, ContentState, DocumentWrite, Generation, TextWrite};
use crate::store::item_errors::{ItemError, Shield, Target};
use crate::store::{Fence, StoreError};

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
    let count = async || {
        let generations = store.generations(connection.key).await.unwrap();
        let plain = |found: Generation| (found.scope, found.generation, found.documents);
        generations.into_iter().map(plain).collect::<Vec<_>>()
    };
    let expected = |counts: &[(&str, i64, u64)]| {
        let owned = |(scope, generation, documents): &(&str, i64, u64)| {
            ((*scope).to_owned(), *generation, *documents)
        };
        counts.iter().map(owned).collect::<Vec<_>>()
    };
    assert_eq!(count().await, expected(&[("a", 1, 1), ("a", 2, 1), ("a", 3, 1), ("b", 1, 1)]));
    let seen = key(&store, &connection, "1").await;
    write(&store, fence, vec![DocumentWrite::Seen { key: seen, generation: 3, message_hash: None }]).await;
    assert_eq!(count().await, expected(&[("a", 2, 1), ("a", 3, 2), ("b", 1, 1)]));
    assert_eq!(store.feed_bounds().await.unwrap().head, 4, "being seen is no change");
    write(&store, fence, vec![DocumentWrite::Gone(key(&store, &connection, "2").await)]).await;
    assert_eq!(count().await, expected(&[("a", 3, 2), ("b", 1, 1)]), "a tombstone is not absent");
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
    let same = put_with("zz", |put| {
        put.scope = "a".to_owned();
        put.locator = "path/folder".to_owned();
    });
    write(&store, fence, vec![same]).await;
    assert_eq!(find("a", "path/folder").await.as_deref(), Some("zz"), "a document goes before a folder");
    assert_eq!(find("b", "path/folder").await, None);
    assert_eq!(find("", "").await, None, "no locator is not a locator");
}

pub async fn what_is_right_under_something_comes_in_order(store: Shared) {
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
    let children = async |scope: &str, id: &str, limit| {
        let children = store.children(connection.key, scope, id, limit).await.unwrap();
        children.into_iter().map(|child| (child.id, child.has_children)).collect::<Vec<_>>()
    };
    let expected = |children: &[(&str, bool)]| {
        children.iter().map(|(id, more)| ((*id).to_owned(), *more)).collect::<Vec<_>>()
    };
    assert_eq!(children("", "top", 10).await, expected(&[("1", false), ("mid", true)]));
    assert_eq!(children("", "top", 1).await, expected(&[("1", false)]));
    assert_eq!(children("", "mid", 10).await, expected(&[("low", true)]), "far is another scope's");
    assert_eq!(children("", "low", 10).await, expected(&[("2", true)]), "documents hold documents as well");
    assert_eq!(children("", "x", 10).await, expected(&[("3", false), ("y", true)]));
    assert_eq!(children("b", "mid", 10).await, expected(&[("6", false), ("far", false)]));
    assert!(children("", "1", 10).await.is_empty());
    assert!(children("", "", 10).await.is_empty(), "the top of a scope is no container");
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

pub async fn old_containers_and_errors_are_found_and_forgotten(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    contain(&store, fence, &[("old", "top", ""), ("older", "", ""), ("elsewhere", "", "b")]).await;
    let new = ContainerPut {
        id: "new".to_owned(),
        scope: String::new(),
        parent_id: String::new(),
        name: String::new(),
        locator: String::new(),
        generation: 2,
    };
    let error = |id: &str| item_error(Target::Id(id.to_owned()));
    let unread = put_with("unread", |put| put.content_state = ContentState::Unreadable);
    let first = Commit {
        run: run.id.clone(),
        containers: vec![new],
        documents: vec![unread],
        item_errors: vec![error("old"), error("older"), error("unread")],
        ..Commit::default()
    };
    store.commit(fence, first, at(1)).await.unwrap();
    let errors = Commit { run: run.id, item_errors: vec![error("new")], ..Commit::default() };
    store.commit(fence, errors, at(10)).await.unwrap();
    let old = async |after: &str, limit| {
        let old = store.old_containers(connection.key, "", 2, after, limit).await.unwrap();
        old.into_iter().map(|old| (old.id, old.parent_id, old.locator)).collect::<Vec<_>>()
    };
    let named = |id: &str, parent: &str| (id.to_owned(), parent.to_owned(), format!("path/{id}"));
    assert_eq!(old("", 10).await, [named("old", "top"), named("older", "")]);
    assert_eq!(old("", 1).await, [named("old", "top")]);
    assert_eq!(old("old", 10).await, [named("older", "")]);
    let errors = store.old_item_errors(connection.key, "", at(5), 0, 10).await.unwrap();
    let targets: Vec<_> = errors.iter().map(|(_, target)| target.clone()).collect();
    let id = |id: &str| Target::Id(id.to_owned());
    assert_eq!(targets, [id("old"), id("older")], "what is said of a content stands as long as it is so");
    let after = store.old_item_errors(connection.key, "", at(5), errors[0].0, 10).await.unwrap();
    assert_eq!(after, errors[1..]);
    assert!(store.old_item_errors(connection.key, "b", at(5), 0, 10).await.unwrap().is_empty());
    let containers = vec!["old".to_owned(), "elsewhere".to_owned()];
    store.forget(fence, "", containers, vec![errors[0].0], None).await.unwrap();
    assert_eq!(old("", 10).await, [named("older", "")]);
    assert!(store.parent_of(connection.key, "elsewhere").await.unwrap().is_some(), "another scope's stays");
    assert_eq!(store.count_item_errors(connection.key).await.unwrap(), 3);
}

pub async fn whatever_a_source_sends_comes_back(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    // Letters that databases are known to stumble over, and the longest keys that the engine lets through.
    let id = "nul \0 and mark \u{10FFFD}0 '; -- %_\\";
    let long = |letter: &str| letter.repeat(4096 / letter.len());
    let put = put_with(id, |put| {
        put.parent_id = "\0".to_owned();
        put.locator = long("é");
        put.version = "\0\u{10FFFD}".to_owned();
        put.text = TextWrite::Set(Some("text \0 text".to_owned()));
        put.text_bytes = 11;
    });
    let container = ContainerPut {
        id: long("i")[..1024].to_owned(),
        scope: String::new(),
        parent_id: long("p")[..1024].to_owned(),
        name: long("n"),
        locator: long("l"),
        generation: 1,
    };
    let mut error = item_error(Target::Locator(long("x")));
    error.message = "what \0 happened".to_owned();
    let unnamed = ItemError { target: Target::Unnamed, message: long("m").repeat(4), ..error.clone() };
    let commit = Commit {
        run: run.id,
        documents: vec![put],
        containers: vec![container.clone()],
        item_errors: vec![error.clone(), unnamed.clone()],
        shields: vec![Shield { scope: String::new(), target: error.target.clone(), with_descendants: true }],
        ..Commit::default()
    };
    store.commit(fence, commit, at(1)).await.unwrap();
    assert_eq!(stored(&store, &connection, id).await.version, "\0\u{10FFFD}");
    assert_eq!(store.text(connection.key, id).await.unwrap(), Some(Some("text \0 text".to_owned())));
    assert_eq!(listed(&store).await, [id]);
    assert_eq!(store.id_of_locator(connection.key, "", &long("é")).await.unwrap().as_deref(), Some(id));
    let children = store.children(connection.key, "", "\0", 10).await.unwrap();
    assert_eq!(children.into_iter().map(|child| child.id).collect::<Vec<_>>(), [id]);
    assert_eq!(
        store.id_of_locator(connection.key, "", &long("l")).await.unwrap(),
        Some(container.id.clone())
    );
    assert_eq!(store.parent_of(connection.key, &container.id).await.unwrap(), Some(container.parent_id));
    let errors = store.item_errors(connection.key, Default::default(), None, 10).await.unwrap().items;
    let errors: Vec<_> = errors.into_iter().map(|stored| stored.error).collect();
    assert_eq!(errors, [unnamed, error.clone()]);
    assert_eq!(store.shields(connection.key, "").await.unwrap()[0].target, error.target);
}

pub async fn a_tombstone_that_was_forgotten_meanwhile_is_no_document_to_write_to(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    write(&store, fence, puts(&["1"])).await;
    let alive = stored(&store, &connection, "1").await;
    write(&store, fence, vec![DocumentWrite::Gone(alive.key)]).await;
    let gone = stored(&store, &connection, "1").await;
    // The engine has seen the tombstone and brings the document back; in between the tombstone is forgotten.
    assert_eq!(store.trim_tombstones(at(100), 10).await.unwrap(), 1);
    let commit = Commit { run: run.id, documents: vec![new_text(&gone, "back")], ..Commit::default() };
    let refused = store.commit(fence, commit, at(101)).await;
    assert!(matches!(refused, Err(StoreError::Conflict("document"))), "{refused:?}");
    assert_eq!(
        store.connection_totals(connection.key).await.unwrap().documents,
        0,
        "none is lost in silence"
    );
}
