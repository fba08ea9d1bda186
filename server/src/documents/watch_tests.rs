use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::store::Fence;
use crate::store::SqliteStore;
use crate::store::connections::Connection;
use crate::store::suite::support::{
    self, Shared, at, connect, key, new_envelope, new_text, puts, running, stored, write,
};

const TWO: ReadLimit = ReadLimit { rows: 2, bytes: 1 << 20 };

struct Feed {
    store: Shared,
    connection: Connection,
    fence: Fence,
    _folder: tempfile::TempDir,
}

impl Feed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Shared = Arc::new(SqliteStore::open(&folder.path().join("db")).await.unwrap());
        let (connection, _, fence) = running(&store, "docs").await;
        Self { store, connection, fence, _folder: folder }
    }

    /// A reader from this position that reads two rows at a time.
    fn watch(&self, position: &str) -> Watch {
        let position = position.parse().unwrap();
        Watch::new(self.store.clone(), FeedFilter::default(), position, true, TWO)
    }

    async fn put(&self, ids: &[&str]) {
        write(&self.store, self.fence, puts(ids)).await;
    }

    async fn text(&self, id: &str, text: &str) {
        let stored = stored(&self.store, &self.connection, id).await;
        write(&self.store, self.fence, vec![new_text(&stored, text)]).await;
    }

    async fn envelope(&self, id: &str, title: &str) {
        let stored = stored(&self.store, &self.connection, id).await;
        write(&self.store, self.fence, vec![new_envelope(&stored, title)]).await;
    }

    async fn delete(&self, id: &str, second: i64) {
        let key = key(&self.store, &self.connection, id).await;
        self.store.bury(self.fence, vec![key], "r", Default::default(), at(second)).await.unwrap();
    }
}

/// What a reader holds that does as it is told: a text by id.
#[derive(Default)]
struct Reader {
    holds: BTreeMap<String, String>,
    snapshot: Option<BTreeMap<String, String>>,
    position: String,
}

impl Reader {
    fn take(&mut self, batch: Batch) {
        if batch.snapshot_begin {
            self.snapshot = Some(BTreeMap::new());
        }
        let into = self.snapshot.as_mut().unwrap_or(&mut self.holds);
        for row in batch.rows {
            if row.gone {
                into.remove(&row.id);
            } else if row.content_offset > batch.known_to {
                into.insert(row.id, row.text.expect("a text that the reader may not have"));
            } else {
                assert!(into.contains_key(&row.id), "the reader was never given the text of {}", row.id);
            }
        }
        if batch.snapshot_end {
            self.holds = self.snapshot.take().expect("a snapshot that ends has begun");
        }
        self.position = batch.position;
    }

    async fn catch_up(&mut self, feed: &Feed) {
        let mut watch = feed.watch(&self.position);
        loop {
            let batch = watch.next(true).await.unwrap();
            let caught_up = batch.caught_up;
            self.take(batch);
            if caught_up {
                return;
            }
        }
    }

    fn ids(&self) -> Vec<&str> {
        self.holds.keys().map(String::as_str).collect()
    }
}

fn ids(batch: &Batch) -> Vec<&str> {
    batch.rows.iter().map(|row| row.id.as_str()).collect()
}

#[tokio::test]
async fn from_the_beginning_everything_comes_in_batches() {
    let feed = Feed::new().await;
    feed.put(&["1", "2", "3"]).await;
    feed.delete("1", 0).await;
    let mut watch = feed.watch("");
    let first = watch.next(true).await.unwrap();
    assert_eq!((ids(&first), first.caught_up, first.in_snapshot), (vec!["2", "3"], false, false));
    let second = watch.next(true).await.unwrap();
    assert_eq!((ids(&second), second.rows[0].gone, second.caught_up), (vec!["1"], true, true));
    let nothing = watch.next(true).await.unwrap();
    assert_eq!((nothing.rows.len(), nothing.caught_up, &nothing.position), (0, true, &second.position));
    let mut again = feed.watch(&second.position);
    assert!(again.next(true).await.unwrap().rows.is_empty());
    let mut from_an_entry = feed.watch(&entry_position(&first.bounds, first.rows[0].offset, 0, false));
    assert_eq!(ids(&from_an_entry.next(true).await.unwrap()), ["3", "1"]);
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_by_a_commit() {
    let feed = Feed::new().await;
    let mut watch = feed.watch("");
    let read = async { watch.next(false).await.unwrap() };
    let commit = async {
        tokio::task::yield_now().await;
        feed.put(&["1"]).await;
    };
    let both = async { tokio::join!(read, commit) };
    let (batch, ()) = tokio::time::timeout(Duration::from_secs(10), both).await.expect("nobody woke it");
    assert_eq!(ids(&batch), ["1"]);
    feed.put(&["2"]).await;
    assert_eq!(ids(&watch.next(false).await.unwrap()), ["2"], "what came before it waits is not waited for");
}

#[tokio::test]
async fn a_filter_holds_for_the_whole_watch() {
    let feed = Feed::new().await;
    let other = connect(&feed.store, "mail").await;
    let other = feed.store.claim_connection(other.key).await.unwrap();
    feed.put(&["1", "2", "3"]).await;
    write(&feed.store, other, puts(&["a"])).await;
    let filter = FeedFilter { connection: "c-mail".to_owned(), ..FeedFilter::default() };
    let mut watch = Watch::new(feed.store.clone(), filter, Position::Beginning, false, TWO);
    let batch = watch.next(false).await.unwrap();
    assert_eq!((ids(&batch), &batch.rows[0].text), (vec!["a"], &None));
    feed.put(&["4"]).await;
    write(&feed.store, other, puts(&["b"])).await;
    assert_eq!(ids(&watch.next(false).await.unwrap()), ["b"]);
}

#[tokio::test]
async fn i6_a_reader_behind_forgotten_tombstones_gets_the_present_state() {
    let feed = Feed::new().await;
    feed.put(&["1", "2", "3", "4"]).await;
    let mut reader = Reader::default();
    reader.catch_up(&feed).await;
    feed.delete("1", 10).await;
    feed.delete("2", 20).await;
    feed.put(&["5"]).await;
    assert_eq!(feed.store.trim_tombstones(at(15), 10).await.unwrap(), 1);
    let mut watch = feed.watch(&reader.position);
    let first = watch.next(true).await.unwrap();
    assert!(first.snapshot_begin && first.in_snapshot && !first.snapshot_end);
    assert_eq!((ids(&first), first.known_to), (vec!["3", "4"], 0), "texts too, whatever it had");
    let last = watch.next(true).await.unwrap();
    assert!(last.snapshot_end && !last.snapshot_begin);
    assert_eq!(ids(&last), ["5"], "a tombstone of before the snapshot says nothing in it");
    reader.take(first);
    reader.take(last);
    assert_eq!(reader.ids(), ["3", "4", "5"]);
    let mut on = feed.watch(&reader.position);
    let batch = on.next(true).await.unwrap();
    assert_eq!((batch.rows.len(), batch.in_snapshot), (0, false));
}

#[tokio::test]
async fn a_position_of_another_history_or_beyond_the_head_gets_a_snapshot() {
    let feed = Feed::new().await;
    feed.put(&["1"]).await;
    let bounds = feed.store.feed_bounds().await.unwrap();
    let history = bounds.histories.at(1);
    for position in [
        Position::After { history: history + 1, offset: 1, known_to: 1 },
        Position::After { history, offset: 2, known_to: 2 },
        Position::InSnapshot,
    ] {
        let batch = feed.watch(&position.to_string()).next(false).await.unwrap();
        assert!(batch.snapshot_begin && batch.snapshot_end, "{position}");
        assert_eq!(ids(&batch), ["1"], "{position}");
    }
}

#[tokio::test]
async fn a_snapshot_of_nothing_begins_and_ends() {
    let feed = Feed::new().await;
    let position = Position::InSnapshot.to_string();
    let batch = feed.watch(&position).next(false).await.unwrap();
    assert!(
        batch.snapshot_begin && batch.snapshot_end && batch.rows.is_empty(),
        "so the reader drops all it has"
    );
}

#[tokio::test]
async fn a_snapshot_that_was_cut_off_begins_again() {
    let feed = Feed::new().await;
    feed.put(&["1", "2", "3"]).await;
    let mut watch = feed.watch(&Position::InSnapshot.to_string());
    let first = watch.next(true).await.unwrap();
    assert!(first.snapshot_begin && !first.snapshot_end);
    let entry = entry_position(&first.bounds, first.rows[1].offset, first.known_to, first.in_snapshot);
    for position in [first.position.as_str(), entry.as_str()] {
        let again = feed.watch(position).next(true).await.unwrap();
        assert!(again.snapshot_begin);
        assert_eq!(ids(&again), ["1", "2"]);
    }
}

#[tokio::test]
async fn documents_that_change_while_a_snapshot_runs_are_right_at_its_end() {
    let feed = Feed::new().await;
    feed.put(&["1", "2", "3", "4", "5"]).await;
    let mut watch = feed.watch(&Position::InSnapshot.to_string());
    let mut reader = Reader::default();
    reader.take(watch.next(true).await.unwrap());
    // Shown and gone; shown and changed; not shown and changed; not shown and gone; new.
    feed.delete("1", 0).await;
    feed.text("2", "new text of 2").await;
    feed.envelope("3", "renamed").await;
    feed.delete("4", 0).await;
    feed.put(&["6"]).await;
    loop {
        let batch = watch.next(true).await.unwrap();
        let end = batch.snapshot_end;
        reader.take(batch);
        if end {
            break;
        }
    }
    assert_eq!(reader.ids(), ["2", "3", "5", "6"]);
    assert_eq!(reader.holds["2"], "new text of 2");
    assert_eq!(reader.holds["3"], "text of 3");
    assert!(watch.next(true).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn i6_a_snapshot_in_which_tombstones_are_forgotten_begins_again() {
    let feed = Feed::new().await;
    feed.put(&["1", "2", "3", "4"]).await;
    let mut watch = feed.watch(&Position::InSnapshot.to_string());
    let mut reader = Reader::default();
    reader.take(watch.next(true).await.unwrap());
    // The reader has 1 already, and pauses for longer than tombstones are kept.
    feed.delete("1", 0).await;
    assert_eq!(feed.store.trim_tombstones(at(1), 10).await.unwrap(), 1);
    let again = watch.next(true).await.unwrap();
    assert!(again.snapshot_begin);
    reader.take(again);
    reader.take(watch.next(true).await.unwrap());
    assert_eq!(reader.ids(), ["2", "3", "4"]);
}

#[tokio::test]
async fn i7_a_text_is_given_to_who_passed_its_offset_after_the_document_moved_on() {
    let feed = Feed::new().await;
    feed.put(&["a", "b", "c", "d"]).await;
    let mut reader = Reader::default();
    reader.catch_up(&feed).await;
    feed.text("a", "new text of a").await;
    feed.text("b", "new text of b").await;
    feed.text("c", "new text of c").await;
    // Only its envelope now stands before the reader; its text changed at an offset that the first batch passes.
    feed.envelope("a", "renamed").await;
    let mut watch = feed.watch(&reader.position);
    let first = watch.next(true).await.unwrap();
    assert_eq!(ids(&first), ["b", "c"]);
    let entry = entry_position(&first.bounds, first.rows[1].offset, first.known_to, first.in_snapshot);
    reader.take(first);
    // In the same watch, in a new one from the batch's position, and in one from the last entry's.
    let mut others = [feed.watch(&reader.position), feed.watch(&entry)];
    let last = watch.next(true).await.unwrap();
    for other in &mut others {
        assert_eq!(other.next(true).await.unwrap(), last);
    }
    reader.take(last);
    assert_eq!(reader.holds["a"], "new text of a");
    feed.envelope("a", "renamed again").await;
    let batch = watch.next(true).await.unwrap();
    assert_eq!((batch.rows[0].text.clone(), batch.known_to > batch.rows[0].content_offset), (None, true));
}

#[tokio::test]
async fn a_reader_for_whom_nothing_comes_still_moves_on() {
    let feed = Feed::new().await;
    let filter = FeedFilter { connection: "c-nowhere".to_owned(), ..FeedFilter::default() };
    let mut watch = Watch::new(feed.store.clone(), filter, Position::Beginning, false, TWO);
    let many: Vec<_> = (0..TELL_EVERY).map(|id| support::put_with(&id.to_string(), |_| {})).collect();
    write(&feed.store, feed.fence, many).await;
    let batch = watch.next(false).await.unwrap();
    let head = feed.store.feed_bounds().await.unwrap();
    assert_eq!(batch.position, entry_position(&head, head.head, head.head, false));
}

/// Random changes, a reader that reads a little, restarts, or catches up in between, and tombstones that are forgotten.
#[tokio::test]
async fn i6_i7_a_reader_always_ends_with_what_is_stored() {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    let step = (0..7u8, 0..5usize);
    let mut runner = proptest::test_runner::TestRunner::default();
    for _ in 0..25 {
        let steps = proptest::collection::vec(step.clone(), 1..40).new_tree(&mut runner).unwrap().current();
        let feed = Feed::new().await;
        let mut reader = Reader::default();
        let mut watch = feed.watch("");
        for (number, (act, id)) in steps.iter().enumerate() {
            let id = ["a", "b", "c", "d", "e"][*id];
            let found = support::find(&feed.store, &feed.connection, id).await;
            let alive = found.as_ref().is_some_and(|found| !found.gone);
            match act {
                0 | 1 if found.is_none() => feed.put(&[id]).await,
                0 | 1 => feed.text(id, &format!("text {number}")).await,
                2 if alive => feed.envelope(id, &format!("title {number}")).await,
                3 if alive => feed.delete(id, number as i64).await,
                4 => reader.take(watch.next(true).await.unwrap()),
                5 => {
                    (watch, reader.snapshot) = (feed.watch(&reader.position), None);
                }
                6 => {
                    feed.store.trim_tombstones(at(number as i64 - 3), 10).await.unwrap();
                }
                _ => {}
            }
        }
        reader.snapshot = None;
        reader.catch_up(&feed).await;
        let (rows, _) = feed
            .store
            .list_documents(FeedFilter::default(), None, Texts::ChangedAfter(-1), support::ALL)
            .await
            .unwrap();
        let expected: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id, row.text.unwrap())).collect();
        assert_eq!(reader.holds, expected, "after {steps:?}");
    }
}
