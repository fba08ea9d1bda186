use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::sync::envelope::{envelope_hash, text_hash};

fn scope(name: &str) -> Arc<str> {
    name.into()
}

/// A document as it comes, whose text is behind a reference where the server reads it.
fn document(id: &str, version: &str, text: Text) -> Document {
    let content_ref = match text {
        Text::None => String::new(),
        _ => "ref".to_owned(),
    };
    let envelope = DocumentEnvelope {
        id: id.to_owned(),
        title: format!("title of {version}"),
        version: version.to_owned(),
        content_ref,
        permissions: Some(permissions("private")),
        ..DocumentEnvelope::default()
    };
    let encoded = envelope.encode_to_vec();
    let mut document = Document { envelope, encoded, text, hash: None, message_hash: None, raw: None };
    document.seal();
    document
}

fn known(text: &str, version: &str) -> Text {
    let hash = text_hash(text);
    Text::Known { text: text.to_owned(), hash, truncated: false, version: version.to_owned() }
}

fn permissions(visibility: &str) -> Permissions {
    Permissions { visibility: visibility.to_owned(), ..Permissions::default() }
}

fn error(reason: Reason) -> ConnectorError {
    ConnectorError::new(reason, "no")
}

/// What is stored of `1` after `document` in scope "a".
fn stored(document: &Document) -> StoredDocument {
    let mut store = Memory::default();
    let mut plan = Plan::new(Vec::new());
    plan.document(&scope("a"), 1, copy(document));
    store.apply(plan.finish());
    store.documents.remove("1").unwrap().row
}

fn copy(document: &Document) -> Document {
    let text = match &document.text {
        Text::Known { text, hash, truncated, version } => {
            Text::Known { text: text.clone(), hash: *hash, truncated: *truncated, version: version.clone() }
        }
        Text::None => Text::None,
        Text::Held => Text::Held,
        Text::Kept => Text::Kept,
        Text::Unread => Text::Unread,
        Text::Unreadable(error) => Text::Unreadable(error.clone()),
        Text::Failed(error) => Text::Failed(error.clone()),
    };
    let Document { envelope, encoded, hash, message_hash, .. } = document;
    Document {
        envelope: envelope.clone(),
        encoded: encoded.clone(),
        text,
        hash: *hash,
        message_hash: *message_hash,
        raw: None,
    }
}

fn only_put(outcome: &Outcome) -> &DocumentPut {
    match outcome.writes.as_slice() {
        [DocumentWrite::Put(put)] => put,
        writes => panic!("not one put: {writes:?}"),
    }
}

fn over(stored: &StoredDocument, act: impl FnOnce(&mut Plan)) -> Outcome {
    let mut plan = Plan::new(vec![stored.clone()]);
    act(&mut plan);
    plan.finish()
}

#[test]
fn a_new_document_arrives_with_its_text() {
    let mut plan = Plan::new(Vec::new());
    plan.document(&scope("a"), 3, document("1", "v1", known("text", "v1")));
    let outcome = plan.finish();
    let put = only_put(&outcome);
    assert_eq!((put.key, put.arrives, put.scope.as_str(), put.generation), (None, true, "a", 3));
    assert_eq!((put.entry, put.content_version.as_deref()), (FeedEntryKind::Content, Some("v1")));
    assert_eq!((put.text.clone(), put.text_bytes), (TextWrite::Set(Some("text".to_owned())), 4));
    assert_eq!((outcome.created, outcome.updated, outcome.unchanged, outcome.deleted), (1, 0, 0, 0));
    assert_eq!(outcome.cleared, ["1"]);
}

#[test]
fn i2_the_same_document_again_is_only_seen() {
    let first = document("1", "v1", known("text", "v1"));
    let stored = stored(&first);
    let outcome = over(&stored, |plan| plan.document(&scope("a"), 2, copy(&first)));
    assert_eq!(outcome.writes, [DocumentWrite::Seen { key: stored.key, generation: 2, message_hash: None }]);
    assert_eq!((outcome.unchanged, outcome.updated), (1, 0));
    let outcome = over(&stored, |plan| plan.document(&scope("a"), 2, document("1", "v1", Text::Held)));
    assert_eq!(outcome.writes, [DocumentWrite::Seen { key: stored.key, generation: 2, message_hash: None }]);
}

#[test]
fn changes_of_one_document_collapse_to_the_last() {
    let mut plan = Plan::new(Vec::new());
    plan.document(&scope("a"), 1, document("1", "v1", known("one", "v1")));
    plan.document(&scope("a"), 1, document("2", "v1", known("two", "v1")));
    plan.document(&scope("a"), 1, document("1", "v2", known("three", "v2")));
    let outcome = plan.finish();
    assert_eq!(outcome.created, 2);
    let ids: Vec<_> = outcome.writes.iter().map(id_of_put).collect();
    assert_eq!(ids, ["2", "1"], "in the order of their last change");
    let DocumentWrite::Put(put) = &outcome.writes[1] else { panic!("not a put") };
    assert_eq!((put.version.as_str(), &put.text), ("v2", &TextWrite::Set(Some("three".to_owned()))));
}

fn id_of_put(write: &DocumentWrite) -> &str {
    match write {
        DocumentWrite::Put(put) => &put.id,
        write => panic!("not a put: {write:?}"),
    }
}

#[test]
fn what_comes_and_goes_within_a_plan_leaves_nothing() {
    let mut plan = Plan::new(Vec::new());
    plan.document(&scope("a"), 1, document("1", "v1", Text::None));
    plan.deletion("a", "1");
    let outcome = plan.finish();
    assert!(outcome.writes.is_empty());
    assert_eq!((outcome.created, outcome.deleted), (0, 0));
}

#[test]
fn a_document_that_goes_and_comes_back_stays() {
    let first = document("1", "v1", known("text", "v1"));
    let stored = stored(&first);
    let outcome = over(&stored, |plan| {
        plan.deletion("a", "1");
        plan.document(&scope("a"), 2, copy(&first));
    });
    assert_eq!(outcome.writes, [DocumentWrite::Seen { key: stored.key, generation: 2, message_hash: None }]);
    assert_eq!(outcome.deleted, 0);
    let outcome = over(&stored, |plan| {
        plan.document(&scope("a"), 2, document("1", "v2", Text::None));
        plan.deletion("a", "1");
    });
    assert_eq!((outcome.writes, outcome.deleted), (vec![DocumentWrite::Gone(stored.key)], 1));
}

#[test]
fn only_the_owner_deletes_so_that_a_move_is_right_in_either_order() {
    let first = document("1", "v1", known("text", "v1"));
    let stored = stored(&first);
    let foreign = over(&stored, |plan| plan.deletion("b", "1"));
    assert!(foreign.writes.is_empty() && foreign.cleared.is_empty());
    for deleted_first in [true, false] {
        let outcome = over(&stored, |plan| {
            if deleted_first {
                plan.deletion("a", "1");
            }
            plan.document(&scope("b"), 7, copy(&first));
            if !deleted_first {
                plan.deletion("a", "1");
            }
        });
        let put = only_put(&outcome);
        assert_eq!((put.scope.as_str(), put.generation, put.entry), ("b", 7, FeedEntryKind::None));
        assert_eq!(put.text, TextWrite::Keep);
        assert_eq!((outcome.deleted, outcome.unchanged), (0, 1));
    }
}

#[test]
fn the_version_alone_is_stored_without_an_entry() {
    let first = document("1", "v1", known("text", "v1"));
    let stored = stored(&first);
    let mut next = document("1", "v2", known("text", "v2"));
    next.envelope.title.clone_from(&first.envelope.title);
    next.seal();
    let outcome = over(&stored, |plan| plan.document(&scope("a"), 2, next));
    let put = only_put(&outcome);
    assert_eq!((put.entry, put.version.as_str()), (FeedEntryKind::None, "v2"));
    assert_eq!((put.content_version.as_deref(), &put.text), (Some("v2"), &TextWrite::Keep));
    assert_eq!((outcome.unchanged, outcome.updated), (1, 0));
}

#[test]
fn an_entry_says_whether_the_text_is_new() {
    let stored = stored(&document("1", "v1", known("text", "v1")));
    let renamed =
        over(&stored, |plan| plan.document(&scope("a"), 2, document("1", "v2", known("text", "v2"))));
    assert_eq!(
        (only_put(&renamed).entry, &only_put(&renamed).text),
        (FeedEntryKind::Envelope, &TextWrite::Keep)
    );
    let rewritten =
        over(&stored, |plan| plan.document(&scope("a"), 2, document("1", "v2", known("new", "v2"))));
    assert_eq!(only_put(&rewritten).entry, FeedEntryKind::Content);
    let emptied = over(&stored, |plan| plan.document(&scope("a"), 2, document("1", "v2", Text::None)));
    let put = only_put(&emptied);
    assert_eq!((put.entry, &put.text, put.text_hash), (FeedEntryKind::Content, &TextWrite::Set(None), None));
    assert_eq!((put.content_version.clone(), put.content_state), (None, ContentState::None));
}

#[test]
fn a_text_for_now_not_to_be_had_keeps_the_older_one_marked_stale() {
    let stored = stored(&document("1", "v1", known("text", "v1")));
    let outcome = over(&stored, |plan| {
        let failed = Text::Failed(error(Reason::SourceUnavailable));
        plan.document(&scope("a"), 2, document("1", "v2", failed));
    });
    let put = only_put(&outcome);
    assert_eq!((&put.text, put.text_hash), (&TextWrite::Keep, stored.text_hash));
    assert_eq!((put.version.as_str(), put.content_version.as_deref()), ("v2", Some("v1")));
    assert_eq!((put.content_state, put.entry), (ContentState::Stale, FeedEntryKind::Envelope));
    assert_eq!((outcome.failed_contents, outcome.errors.len()), (1, 1));
    assert!(outcome.cleared.is_empty());
}

#[test]
fn a_new_document_whose_text_fails_is_there_without_one() {
    let mut plan = Plan::new(Vec::new());
    plan.document(&scope("a"), 1, document("1", "v1", Text::Failed(error(Reason::SourceUnavailable))));
    let outcome = plan.finish();
    let put = only_put(&outcome);
    assert_eq!((put.content_version.clone(), put.content_state), (None, ContentState::Stale));
    assert_eq!((put.text.clone(), put.text_hash), (TextWrite::Set(None), None));
}

#[test]
fn a_verdict_holds_for_its_version_and_removes_the_text() {
    let stored = stored(&document("1", "v1", known("text", "v1")));
    for told in [None, Some(error(Reason::ContentUnreadable))] {
        let outcome = over(&stored, |plan| {
            plan.document(&scope("a"), 2, document("1", "v2", Text::Unreadable(told.clone())));
        });
        let put = only_put(&outcome);
        assert_eq!(
            (put.content_version.as_deref(), put.content_state),
            (Some("v2"), ContentState::Unreadable)
        );
        assert_eq!((&put.text, put.entry), (&TextWrite::Set(None), FeedEntryKind::Content));
        assert_eq!(outcome.errors.len(), usize::from(told.is_some()));
        assert_eq!((outcome.without_text, outcome.failed_contents), (1, 0));
        assert_eq!(outcome.cleared.len(), usize::from(told.is_none()), "a picture has no text: no fault");
    }
}

#[test]
fn without_a_version_no_content_version_is_kept() {
    for text in [known("text", ""), Text::Unreadable(None)] {
        let mut plan = Plan::new(Vec::new());
        plan.document(&scope("a"), 1, document("1", "", text));
        assert_eq!(only_put(&plan.finish()).content_version, None, "so it is fetched each time");
    }
}

#[test]
fn what_was_held_and_is_no_longer_is_stale() {
    let stored = stored(&document("1", "v1", known("text", "v1")));
    let outcome = over(&stored, |plan| plan.document(&scope("a"), 2, document("1", "v2", Text::Held)));
    let put = only_put(&outcome);
    assert_eq!((put.content_state, put.content_version.as_deref()), (ContentState::Stale, Some("v1")));
    assert_eq!(put.text, TextWrite::Keep);
}

#[test]
fn a_text_served_at_another_version_is_of_that_one() {
    let mut plan = Plan::new(Vec::new());
    plan.document(&scope("a"), 1, document("1", "v1", known("newer", "v2")));
    let outcome = plan.finish();
    let put = only_put(&outcome);
    assert_eq!((put.version.as_str(), put.content_version.as_deref()), ("v1", Some("v2")));
}

fn wanted(scope: &str, id: &str, version: &str) -> Wanted {
    Wanted { scope: scope.to_owned(), ..crate::store::suite::support::wanted(id, version) }
}

#[test]
fn a_tombstone_comes_back_only_as_a_whole_document() {
    let mut tombstone = stored(&document("1", "v1", known("text", "v1")));
    tombstone.gone = true;
    for outcome in [
        over(&tombstone, |plan| plan.permissions(&scope("a"), 2, "1", permissions("public"))),
        over(&tombstone, |plan| plan.deletion("a", "1")),
    ] {
        assert!(outcome.writes.is_empty());
        assert_eq!(outcome.deleted, 0);
    }
    let present = over(&tombstone, |plan| plan.present(&scope("a"), 2, "1", "v1"));
    assert!(present.writes.is_empty());
    assert_eq!(present.wanted, [wanted("a", "1", "v1")]);
    let back =
        over(&tombstone, |plan| plan.document(&scope("b"), 2, document("1", "v1", known("text", "v1"))));
    let put = only_put(&back);
    assert_eq!((put.key, put.arrives, put.entry), (Some(tombstone.key), true, FeedEntryKind::Content));
    assert_eq!(
        put.text,
        TextWrite::Set(Some("text".to_owned())),
        "its old text is gone, whatever the hash says"
    );
    assert_eq!((back.created, put.scope.as_str()), (1, "b"));
}

#[test]
fn permissions_alone_change_the_stored_envelope() {
    let first = document("1", "v1", known("text", "v1"));
    let stored = stored(&first);
    let mut plan = Plan::new(vec![stored.clone()]);
    assert_eq!(plan.key("1"), Some(stored.key));
    plan.know_envelope("1", first.encoded.clone());
    plan.permissions(&scope("a"), 2, "1", permissions("public"));
    let outcome = plan.finish();
    let put = only_put(&outcome);
    let envelope = DocumentEnvelope::decode(put.envelope.as_slice()).unwrap();
    assert_eq!(
        envelope,
        DocumentEnvelope { permissions: Some(permissions("public")), ..first.envelope.clone() }
    );
    assert_eq!((put.entry, &put.text, put.generation), (FeedEntryKind::Envelope, &TextWrite::Keep, 2));
    assert_eq!((put.version.as_str(), put.content_version.as_deref()), ("v1", Some("v1")));
    assert_eq!(put.envelope_hash, envelope_hash(&envelope, stored.text_hash.as_ref()));
    let mut plan = Plan::new(vec![stored.clone()]);
    plan.know_envelope("1", first.encoded.clone());
    plan.permissions(&scope("a"), 2, "1", permissions("private"));
    assert_eq!(
        plan.finish().writes,
        [DocumentWrite::Seen { key: stored.key, generation: 2, message_hash: None }],
        "as they were"
    );
}

#[test]
fn i7_permissions_after_a_new_text_hide_nothing_of_it() {
    let first = document("1", "v1", known("text", "v1"));
    let mut plan = Plan::new(vec![stored(&first)]);
    plan.know_envelope("1", first.encoded.clone());
    plan.document(&scope("a"), 2, document("1", "v2", known("new", "v2")));
    plan.permissions(&scope("a"), 2, "1", permissions("public"));
    let outcome = plan.finish();
    let put = only_put(&outcome);
    let envelope = DocumentEnvelope::decode(put.envelope.as_slice()).unwrap();
    assert_eq!((envelope.version.as_str(), envelope.permissions), ("v2", Some(permissions("public"))));
    assert_eq!((put.entry, &put.text), (FeedEntryKind::Content, &TextWrite::Set(Some("new".to_owned()))));
    let mut plan = Plan::new(Vec::new());
    plan.document(&scope("a"), 1, document("2", "v1", known("new", "v1")));
    plan.permissions(&scope("a"), 1, "2", permissions("public"));
    let outcome = plan.finish();
    assert_eq!(
        (only_put(&outcome).arrives, &only_put(&outcome).text),
        (true, &TextWrite::Set(Some("new".to_owned())))
    );
}

#[test]
fn permissions_of_what_another_scope_owns_or_nobody_knows_change_nothing() {
    let stored = stored(&document("1", "v1", Text::None));
    let outcome = over(&stored, |plan| {
        plan.permissions(&scope("b"), 2, "1", permissions("public"));
        plan.permissions(&scope("a"), 2, "2", permissions("public"));
    });
    assert!(outcome.writes.is_empty());
}

#[test]
fn present_at_the_stored_version_is_seen_and_at_any_other_wanted() {
    let text = || known("text", "v1");
    let (held, nameless) = (stored(&document("1", "v1", text())), stored(&document("1", "", text())));
    let stale = stored(&document("1", "v1", Text::Failed(error(Reason::SourceUnavailable))));
    let cases = [
        (&held, "a", "v1", true, false),
        (&held, "a", "v2", true, true),
        (&held, "b", "v1", false, true),
        (&nameless, "a", "", true, true),
        (&stale, "a", "v1", true, true),
    ];
    for (number, (stored, name, version, seen, wanted)) in cases.into_iter().enumerate() {
        let outcome = over(stored, |plan| plan.present(&scope(name), 2, "1", version));
        let expected = [DocumentWrite::Seen { key: stored.key, generation: 2, message_hash: None }];
        assert_eq!(outcome.writes, expected[..usize::from(seen)], "case {number}");
        assert_eq!(!outcome.wanted.is_empty(), wanted, "case {number}");
    }
    let unknown = over(&held, |plan| plan.present(&scope("a"), 2, "2", "v1"));
    assert_eq!((unknown.writes.len(), unknown.wanted), (0, vec![wanted("a", "2", "v1")]));
    let answered = over(&held, |plan| {
        plan.present(&scope("a"), 2, "1", "v2");
        plan.document(&scope("a"), 2, document("1", "v2", text()));
    });
    assert!(answered.wanted.is_empty(), "it came by itself");
}

#[test]
fn an_error_stands_unless_the_item_was_read_afterwards() {
    let failed = || item_error("a", Target::Id("1".to_owned()), false, error(Reason::AccessDenied));
    let read = || document("1", "v1", known("text", "v1"));
    let mut plan = Plan::new(Vec::new());
    plan.item_error(failed());
    plan.document(&scope("a"), 1, read());
    let outcome = plan.finish();
    assert_eq!((outcome.errors.len(), outcome.cleared.len()), (0, 1));
    let mut plan = Plan::new(Vec::new());
    plan.document(&scope("a"), 1, read());
    plan.item_error(failed());
    let outcome = plan.finish();
    assert_eq!((outcome.errors.as_slice(), outcome.writes.len()), ([failed()].as_slice(), 1));
    let mut plan = Plan::new(Vec::new());
    plan.document(&scope("a"), 1, document("1", "v1", Text::Failed(error(Reason::SourceUnavailable))));
    plan.document(&scope("a"), 1, read());
    let outcome = plan.finish();
    assert_eq!((outcome.errors.len(), outcome.cleared.len(), outcome.failed_contents), (0, 1, 1));
    let unnamed = item_error("a", Target::Unnamed, false, error(Reason::AccessDenied));
    let mut plan = Plan::new(Vec::new());
    plan.item_error(unnamed.clone());
    plan.document(&scope("a"), 1, read());
    assert_eq!(plan.finish().errors, [unnamed]);
}

#[test]
fn an_item_that_could_never_be_read_and_is_gone_has_no_error_left() {
    let mut plan = Plan::new(Vec::new());
    plan.deletion("a", "1");
    let outcome = plan.finish();
    let gone = vec![("a".to_owned(), "1".to_owned())];
    assert_eq!((outcome.gone, outcome.writes.len(), outcome.deleted), (gone, 0, 0));
}

#[test]
fn i10_an_item_that_moved_to_where_it_cannot_be_read_keeps_its_error() {
    let failed = || item_error("b", Target::Id("1".to_owned()), false, error(Reason::AccessDenied));
    let held = stored(&document("1", "v1", known("text", "v1")));
    // The page of the scope that it came to may be before or behind that of the one that it left.
    for error_first in [true, false] {
        let outcome = over(&held, |plan| {
            if error_first {
                plan.item_error(failed());
            }
            plan.deletion("a", "1");
            if !error_first {
                plan.item_error(failed());
            }
        });
        assert_eq!((outcome.errors.as_slice(), outcome.deleted), ([failed()].as_slice(), 1));
        assert!(outcome.cleared.is_empty(), "nor is one forgotten that stands in the store");
    }
}

/// A store of nothing but documents and errors.
#[derive(Clone, Debug, Default)]
struct Memory {
    documents: BTreeMap<String, Kept>,
    errors: BTreeSet<(String, Target)>,
    keys: i64,
}

#[derive(Clone, Debug, PartialEq)]
struct Kept {
    row: StoredDocument,
    text: Option<String>,
    envelope: Vec<u8>,
}

impl Memory {
    fn apply(&mut self, outcome: Outcome) {
        for id in outcome.cleared {
            self.errors.retain(|(_, target)| *target != Target::Id(id.clone()));
        }
        for (scope, id) in outcome.gone {
            self.errors.remove(&(scope, Target::Id(id)));
        }
        self.errors.extend(outcome.errors.into_iter().map(|error| (error.scope, error.target)));
        for write in outcome.writes {
            match write {
                DocumentWrite::Seen { key, generation, .. } => self.kept(key).row.generation = generation,
                DocumentWrite::Gone(key) => {
                    let kept = self.kept(key);
                    assert!(!kept.row.gone, "a tombstone was buried");
                    kept.row.gone = true;
                    kept.row.content_version = None;
                    kept.row.text_hash = None;
                    (kept.text, kept.envelope) = (None, Vec::new());
                }
                DocumentWrite::Put(put) => self.put(*put),
            }
        }
    }

    fn kept(&mut self, key: DocumentKey) -> &mut Kept {
        self.documents.values_mut().find(|kept| kept.row.key == key).unwrap()
    }

    fn put(&mut self, put: DocumentPut) {
        let before = self.documents.remove(&put.id);
        assert_eq!(before.as_ref().map(|before| before.row.key), put.key);
        assert_eq!(before.as_ref().is_none_or(|before| before.row.gone), put.arrives);
        let text = match put.text {
            TextWrite::Set(text) => text,
            TextWrite::Keep => before.as_ref().unwrap().text.clone(),
        };
        assert_eq!(text.as_deref().map(text_hash), put.text_hash, "the hash is the text's");
        self.keys += 1;
        let row = StoredDocument {
            key: put.key.unwrap_or(DocumentKey(self.keys)),
            id: put.id.clone(),
            scope: put.scope,
            gone: false,
            generation: put.generation,
            version: put.version,
            content_version: put.content_version,
            content_state: put.content_state,
            extractor: put.extractor,
            text_hash: put.text_hash,
            text_bytes: put.text_bytes,
            envelope_hash: put.envelope_hash,
            message_hash: put.message_hash,
        };
        self.documents.insert(put.id, Kept { row, text, envelope: put.envelope });
    }

    fn plan(&self) -> Plan {
        let mut plan = Plan::new(self.documents.values().map(|kept| kept.row.clone()).collect());
        for (id, kept) in &self.documents {
            plan.know_envelope(id, kept.envelope.clone());
        }
        plan
    }

    /// What somebody sees of it. A tombstone of what nobody ever saw is nothing.
    fn seen(&self) -> BTreeMap<&str, (StoredDocument, Option<&str>)> {
        let alive = self.documents.iter().filter(|(_, kept)| !kept.row.gone);
        let rows = alive.map(|(id, kept)| {
            let row = StoredDocument { key: DocumentKey(0), ..kept.row.clone() };
            (id.as_str(), (row, kept.text.as_deref()))
        });
        rows.collect()
    }
}

/// A change as it is drawn; what text it has depends on what is stored when it comes.
#[derive(Clone, Debug)]
enum Drawn {
    Document(u8, u8),
    Present(u8),
    Permissions(bool),
    Deletion,
    Error,
}

fn drawn() -> impl Strategy<Value = (u8, bool, Drawn)> {
    let change = prop_oneof![
        6 => (0..3u8, 0..6u8).prop_map(|(version, text)| Drawn::Document(version, text)),
        1 => (0..3u8).prop_map(Drawn::Present),
        2 => any::<bool>().prop_map(Drawn::Permissions),
        3 => Just(Drawn::Deletion),
        1 => Just(Drawn::Error),
    ];
    (0..3u8, any::<bool>(), change)
}

/// Applies a change to a plan. `one_by_one` is what is stored when every change before it has been committed.
fn apply(plan: &mut Plan, one_by_one: &Memory, generation: i64, (id, scoped, change): &(u8, bool, Drawn)) {
    let (id, name) = (format!("{id}"), scope(if *scoped { "a" } else { "b" }));
    match change {
        Drawn::Document(version, text) => {
            let version = format!("v{version}");
            let before = one_by_one.documents.get(&id).filter(|before| !before.row.gone);
            let held = before.is_some_and(|before| before.row.content_version.as_ref() == Some(&version));
            let text = match text {
                0 => Text::None,
                1 => Text::Failed(error(Reason::SourceUnavailable)),
                2 => Text::Unreadable(Some(error(Reason::ContentUnreadable))),
                3 if held => Text::Held,
                text => known(&format!("text {text}"), &version),
            };
            plan.document(&name, generation, document(&id, &version, text));
        }
        Drawn::Present(version) => plan.present(&name, generation, &id, &format!("v{version}")),
        Drawn::Permissions(public) => {
            let visibility = if *public { "public" } else { "private" };
            plan.permissions(&name, generation, &id, permissions(visibility));
        }
        Drawn::Deletion => plan.deletion(&name, &id),
        Drawn::Error => {
            plan.item_error(item_error(&name, Target::Id(id), false, error(Reason::AccessDenied)))
        }
    }
}

proptest! {
    /// However changes are grouped into commits, the same is stored in the end.
    #[test]
    fn one_plan_for_all_changes_equals_one_for_each(changes in vec(drawn(), 1..24), cut in 0..24usize) {
        let (mut one_by_one, mut grouped) = (Memory::default(), Memory::default());
        let cut = cut.min(changes.len());
        for group in [&changes[..cut], &changes[cut..]] {
            let mut plan = grouped.plan();
            for (number, change) in group.iter().enumerate() {
                let generation = number as i64;
                apply(&mut plan, &one_by_one, generation, change);
                let mut single = one_by_one.plan();
                apply(&mut single, &one_by_one, generation, change);
                one_by_one.apply(single.finish());
            }
            grouped.apply(plan.finish());
            prop_assert_eq!(grouped.seen(), one_by_one.seen());
            prop_assert_eq!(&grouped.errors, &one_by_one.errors);
        }
    }
}
