//! Random commits against a model of what a store is: a map of documents, each with the offset of its newest change.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use super::support::*;
use crate::store::connections::Connection;
use crate::store::documents::{DocumentWrite, FeedEntryKind};
use crate::store::feed::{FeedFilter, FeedRow, ReadLimit, Texts};

const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const SCOPES: [&str; 2] = ["", "other"];

/// What is done to one document.
#[derive(Clone, Debug)]
enum Step {
    Text(u8),
    Envelope(u8),
    /// Written again as it is: no entry.
    Same,
    Seen,
    Gone,
}

/// What the model knows of a document.
#[derive(Clone, Debug, Default)]
struct Known {
    gone: bool,
    scope: &'static str,
    generation: i64,
    text: String,
    offset: i64,
    content_offset: i64,
}

#[derive(Default)]
struct Model {
    documents: BTreeMap<&'static str, Known>,
    head: i64,
}

type Commits = Vec<Vec<(usize, usize, i64, Step)>>;

fn commits() -> impl Strategy<Value = Commits> {
    let step = prop_oneof![
        3 => (0..4u8).prop_map(Step::Text),
        2 => (0..4u8).prop_map(Step::Envelope),
        1 => Just(Step::Same),
        2 => Just(Step::Seen),
        2 => Just(Step::Gone),
    ];
    vec(vec((0..IDS.len(), 0..SCOPES.len(), 1..4i64, step), 1..6), 1..8)
}

/// Thirty histories, one after the other in the same store, each on a connection of its own.
pub async fn i2_random_commits_equal_a_simple_model(store: Shared) {
    let mut runner = TestRunner::new(Config::default());
    let mut model = Model::default();
    for history in 0..30 {
        let commits = commits().new_tree(&mut runner).unwrap().current();
        let (connection, _, fence) = running(&store, &format!("{history:02}")).await;
        model.documents.clear();
        let began_at = model.head;
        for (number, steps) in commits.iter().enumerate() {
            let mut writes = Vec::new();
            for (id, scope, generation, step) in steps {
                let id = IDS[*id];
                // One write for each document of a commit, as the trait asks.
                if steps.iter().filter(|other| IDS[other.0] == id).count() > 1 {
                    continue;
                }
                writes.extend(model.apply(&store, &connection, id, SCOPES[*scope], *generation, step).await);
            }
            write(&store, fence, writes).await;
            let told = format!("after commit {number} of {commits:?}");
            model.check(&store, &connection, began_at, &told).await;
        }
    }
}

impl Model {
    async fn apply(
        &mut self,
        store: &Shared,
        connection: &Connection,
        id: &'static str,
        scope: &'static str,
        generation: i64,
        step: &Step,
    ) -> Option<DocumentWrite> {
        let known = self.documents.get(id).cloned();
        let alive = known.as_ref().is_some_and(|known| !known.gone);
        let stored = find(store, connection, id).await;
        let mut next = known.unwrap_or_default();
        let mut put = match (step, &stored) {
            (Step::Gone | Step::Seen | Step::Same | Step::Envelope(_), _) if !alive => return None,
            (Step::Gone, Some(stored)) => {
                self.head += 1;
                next.gone = true;
                (next.offset, next.content_offset) = (self.head, self.head);
                self.documents.insert(id, next);
                return Some(DocumentWrite::Gone(stored.key));
            }
            (Step::Seen, Some(stored)) => {
                next.generation = generation;
                self.documents.insert(id, next);
                return Some(DocumentWrite::Seen { key: stored.key, generation, message_hash: None });
            }
            (Step::Text(_), None) => put_with(id, |_| {}),
            (Step::Text(text), Some(stored)) => new_text(stored, &format!("text {text}")),
            (Step::Envelope(title), Some(stored)) => new_envelope(stored, &format!("title {title}")),
            (Step::Same, Some(stored)) => new_envelope(stored, "same"),
            (_, None) => return None,
        };
        let DocumentWrite::Put(written) = &mut put else { unreachable!("the other writes have returned") };
        written.scope = scope.to_owned();
        written.generation = generation;
        if matches!(step, Step::Same) {
            written.entry = FeedEntryKind::None;
        } else {
            self.head += 1;
            next.offset = self.head;
        }
        if let Step::Text(text) = step {
            next.content_offset = self.head;
            next.text = if stored.is_none() { format!("text of {id}") } else { format!("text {text}") };
        }
        (next.gone, next.scope, next.generation) = (false, scope, generation);
        self.documents.insert(id, next);
        Some(put)
    }

    async fn check(&self, store: &Shared, connection: &Connection, began_at: i64, told: &str) {
        let alive = || self.documents.iter().filter(|(_, known)| !known.gone);
        let filter = FeedFilter { connection: connection.id.clone(), ..FeedFilter::default() };
        let (rows, _) =
            store.list_documents(filter.clone(), None, Texts::ChangedAfter(-1), ALL).await.unwrap();
        let shown: Vec<_> = rows.iter().map(|row| (row.id.as_str(), row.text.as_deref())).collect();
        let expected: Vec<_> = alive().map(|(id, known)| (*id, Some(known.text.as_str()))).collect();
        assert_eq!(shown, expected, "{told}");
        let count = store.connection_totals(connection.key).await.unwrap().documents;
        assert_eq!(count, alive().count() as u64, "{told}");
        for from in [0, began_at + (self.head - began_at) / 2, self.head] {
            // In pages of two, as a reader does.
            let mut read = Vec::new();
            let mut at = from;
            loop {
                let limit = ReadLimit { rows: 2, bytes: 1 << 20 };
                let page =
                    store.read_feed(filter.clone(), at, Texts::ChangedAfter(from), limit).await.unwrap();
                read.extend(page.rows);
                at = page.read_to;
                if page.caught_up {
                    break;
                }
            }
            assert_eq!(at, self.head, "{told}");
            assert_eq!(shape(&read), self.feed_after(from), "from {from} {told}");
        }
        for scope in SCOPES {
            let owned = || alive().filter(|(_, known)| known.scope == scope);
            let absent = owned().filter(|(_, known)| known.generation < 2).count();
            let mut counts = (0, 0);
            for found in store.generations(connection.key).await.unwrap() {
                if found.scope == scope {
                    counts.0 += found.documents;
                    counts.1 += if found.generation < 2 { found.documents } else { 0 };
                }
            }
            assert_eq!(counts, (owned().count() as u64, absent as u64), "{told}");
        }
    }

    fn feed_after(&self, from: i64) -> Vec<(String, i64, bool, Option<String>)> {
        let mut rows: Vec<_> = self.documents.iter().filter(|(_, known)| known.offset > from).collect();
        rows.sort_unstable_by_key(|(_, known)| known.offset);
        let rows = rows.into_iter().map(|(id, known)| {
            let text = (!known.gone && known.content_offset > from).then(|| known.text.clone());
            ((*id).to_owned(), known.offset, known.gone, text)
        });
        rows.collect()
    }
}

fn shape(rows: &[FeedRow]) -> Vec<(String, i64, bool, Option<String>)> {
    rows.iter().map(|row| (row.id.clone(), row.offset, row.gone, row.text.clone())).collect()
}
