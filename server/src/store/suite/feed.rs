//! The feed: offsets, compaction, texts per reader, bounds, listing, trimming, waking.

use std::time::Duration;

use super::support::*;
use crate::store::documents::{Commit, DocumentWrite, TextWrite};
use crate::store::feed::{FeedFilter, FeedRow, MAX_INLINE_TEXT_BYTES, ReadLimit, Texts};

fn offsets(rows: &[FeedRow]) -> Vec<(&str, i64)> {
    rows.iter().map(|row| (row.id.as_str(), row.offset)).collect()
}

pub async fn offsets_grow_in_the_order_of_commits_and_documents(store: Shared) {
    let (_, _, docs) = running(&store, "docs").await;
    let (_, _, mail) = running(&store, "mail").await;
    assert_eq!(store.feed_bounds().await.unwrap().head, 0);
    write(&store, docs, puts(&["b", "a"])).await;
    write(&store, mail, puts(&["c"])).await;
    write(&store, docs, puts(&["d"])).await;
    assert_eq!(offsets(&feed_after(&store, 0).await), [("b", 1), ("a", 2), ("c", 3), ("d", 4)]);
    let page = store.read_feed(FeedFilter::default(), 4, Texts::Omit, ALL).await.unwrap();
    assert!(page.rows.is_empty() && page.caught_up);
    assert_eq!((page.read_to, page.bounds.head, page.bounds.floor), (4, 4, 0));
    assert_eq!(store.feed_bounds().await.unwrap(), page.bounds);
    assert!(page.bounds.histories.at(1) > 0);
}

pub async fn each_document_stands_once_at_its_newest_offset(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    write(&store, fence, puts(&["1", "2", "3"])).await;
    write(&store, fence, vec![new_text(&stored(&store, &connection, "1").await, "new")]).await;
    write(&store, fence, vec![DocumentWrite::Gone(key(&store, &connection, "2").await)]).await;
    let rows = feed_after(&store, 0).await;
    assert_eq!(offsets(&rows), [("3", 3), ("1", 4), ("2", 5)]);
    assert_eq!(rows.iter().map(|row| row.gone).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(offsets(&feed_after(&store, 4).await), [("2", 5)]);
    let (shown, _) = store.list_documents(FeedFilter::default(), None, Texts::Omit, ALL).await.unwrap();
    assert_eq!(offsets(&shown), [("1", 4), ("3", 3)]);
}

pub async fn i7_an_envelope_alone_hides_no_text_from_who_has_not_seen_it(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    write(&store, fence, puts(&["1"])).await;
    write(&store, fence, vec![new_text(&stored(&store, &connection, "1").await, "second")]).await;
    write(&store, fence, vec![new_envelope(&stored(&store, &connection, "1").await, "renamed")]).await;
    let read = async |from| {
        let mut rows = feed_after(&store, from).await;
        let row = rows.pop().unwrap();
        (row.offset, row.content_offset, row.text)
    };
    assert_eq!(read(0).await, (3, 2, Some("second".to_owned())));
    assert_eq!(read(1).await, (3, 2, Some("second".to_owned())), "it has seen only the first text");
    assert_eq!(read(2).await, (3, 2, None), "it knows the text: only the envelope is new");
    let page = store.read_feed(FeedFilter::default(), 0, Texts::Omit, ALL).await.unwrap();
    assert_eq!(page.rows[0].text, None);
    assert_eq!(store.text(connection.key, "1").await.unwrap(), Some(Some("second".to_owned())));
}

pub async fn a_read_is_bounded_by_rows_and_bytes(store: Shared) {
    let (_, _, fence) = running(&store, "docs").await;
    write(&store, fence, puts(&["1", "2", "3", "4"])).await;
    let read = async |offset, rows, bytes| {
        let limit = ReadLimit { rows, bytes };
        let page = store.read_feed(FeedFilter::default(), offset, Texts::ChangedAfter(offset), limit).await;
        let page = page.unwrap();
        (page.rows.len(), page.read_to, page.caught_up)
    };
    assert_eq!(read(0, 3, 1 << 20).await, (3, 3, false));
    assert_eq!(read(3, 3, 1 << 20).await, (1, 4, true));
    assert_eq!(read(0, 4, 1 << 20).await, (4, 4, true), "the limit is met at the head");
    assert_eq!(read(0, 100, 1).await, (1, 1, false), "at least one row, however large");
    let one = feed_after(&store, 0).await.remove(0);
    let bytes = one.envelope.len() + one.text.unwrap().len();
    assert_eq!(read(0, 100, 2 * bytes).await, (2, 2, false));
}

pub async fn a_filter_passes_over_others_and_moves_on(store: Shared) {
    let (_, _, docs) = running(&store, "docs").await;
    let umbrella = crate::store::connections::NewConnection {
        organization: "umbrella".to_owned(),
        ..new_connection("mail")
    };
    let mail = store.create_connection(umbrella, start()).await.unwrap();
    let mail = store.claim_connection(mail.key).await.unwrap();
    write(&store, docs, puts(&["1"])).await;
    write(&store, mail, puts(&["2"])).await;
    write(&store, docs, puts(&["3"])).await;
    let read = async |connection: &str, organization: &str, rows| {
        let filter = FeedFilter { connection: connection.to_owned(), organization: organization.to_owned() };
        let limit = ReadLimit { rows, bytes: 1 << 20 };
        let page = store.read_feed(filter, 0, Texts::Omit, limit).await.unwrap();
        (page.rows.into_iter().map(|row| row.id).collect::<Vec<_>>(), page.read_to, page.caught_up)
    };
    assert_eq!(read("c-mail", "", 10).await, (vec!["2".into()], 3, true));
    assert_eq!(read("", "acme", 10).await, (vec!["1".into(), "3".into()], 3, true));
    assert_eq!(read("c-docs", "acme", 1).await, (vec!["1".into()], 1, false));
    assert_eq!(read("c-docs", "umbrella", 10).await, (vec![], 3, true));
    assert_eq!(read("c-nowhere", "", 10).await, (vec![], 3, true));
}

pub async fn documents_are_listed_in_pages_without_tombstones(store: Shared) {
    let (docs, _, fence) = running(&store, "docs").await;
    let (mail, _, other) = running(&store, "mail").await;
    write(&store, other, puts(&["a", "b"])).await;
    write(&store, fence, puts(&["3", "1", "2"])).await;
    write(&store, fence, vec![DocumentWrite::Gone(key(&store, &docs, "2").await)]).await;
    let page = async |after, rows| {
        let limit = ReadLimit { rows, bytes: 1 << 20 };
        let (found, more) =
            store.list_documents(FeedFilter::default(), after, Texts::Omit, limit).await.unwrap();
        (found.into_iter().map(|row| row.id).collect::<Vec<_>>(), more)
    };
    assert_eq!(page(None, 3).await, (vec!["1".into(), "3".into(), "a".into()], true));
    assert_eq!(page(Some((mail.key, "a".to_owned())), 3).await, (vec!["b".into()], false));
    assert_eq!(page(Some((docs.key, "1".to_owned())), 2).await, (vec!["3".into(), "a".into()], true));
    assert!(!page(None, 4).await.1, "exactly all of them");
    let filter = FeedFilter { connection: "c-mail".to_owned(), ..FeedFilter::default() };
    let limit = ReadLimit { rows: 10, bytes: 1 };
    let (rows, more) = store.list_documents(filter, None, Texts::ChangedAfter(-1), limit).await.unwrap();
    assert_eq!((rows.len(), more, rows[0].text.as_deref()), (1, true, Some("text of a")));
}

pub async fn a_long_text_is_not_in_an_entry(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let text = |length: u64| "x".repeat(usize::try_from(length).unwrap());
    let long = |id: &str, length| {
        put_with(id, |put| {
            put.text_bytes = length;
            put.text = TextWrite::Set(Some(text(length)));
        })
    };
    let documents = vec![long("fits", MAX_INLINE_TEXT_BYTES), long("long", MAX_INLINE_TEXT_BYTES + 1)];
    write(&store, fence, documents).await;
    let rows = feed_after(&store, 0).await;
    let lengths: Vec<_> =
        rows.iter().map(|row| (row.text.as_ref().map(String::len), row.text_bytes)).collect();
    let most = usize::try_from(MAX_INLINE_TEXT_BYTES).unwrap();
    assert_eq!(lengths, [(Some(most), MAX_INLINE_TEXT_BYTES), (None, MAX_INLINE_TEXT_BYTES + 1)]);
    let whole = store.text(connection.key, "long").await.unwrap().unwrap().unwrap();
    assert_eq!(whole.len(), most + 1);
}

pub async fn i6_the_floor_follows_trimmed_tombstones(store: Shared) {
    let (connection, run, fence) = running(&store, "docs").await;
    write(&store, fence, puts(&["1", "2", "3"])).await;
    let keys = [key(&store, &connection, "1").await, key(&store, &connection, "2").await];
    store.bury(fence, vec![keys[0]], &run.id, Default::default(), at(10)).await.unwrap();
    store.bury(fence, vec![keys[1]], &run.id, Default::default(), at(20)).await.unwrap();
    assert_eq!(store.trim_tombstones(at(10), 10).await.unwrap(), 0);
    assert_eq!(store.feed_bounds().await.unwrap().floor, 0);
    assert_eq!(store.trim_tombstones(at(15), 10).await.unwrap(), 1);
    let bounds = store.feed_bounds().await.unwrap();
    assert_eq!((bounds.head, bounds.floor), (5, 4));
    assert_eq!(find(&store, &connection, "1").await, None);
    assert_eq!(offsets(&feed_after(&store, 0).await), [("3", 3), ("2", 5)]);
    assert_eq!(store.trim_tombstones(at(100), 10).await.unwrap(), 1);
    assert_eq!(store.trim_tombstones(at(100), 10).await.unwrap(), 0);
    let bounds = store.feed_bounds().await.unwrap();
    assert_eq!((bounds.head, bounds.floor), (5, 5));
    write(&store, fence, puts(&["1"])).await;
    assert_eq!(offsets(&feed_after(&store, 0).await), [("3", 3), ("1", 6)], "offsets are not used again");
}

pub async fn lag_counts_matching_entries(store: Shared) {
    let (connection, _, fence) = running(&store, "docs").await;
    let (_, _, other) = running(&store, "mail").await;
    write(&store, fence, puts(&["1", "2", "3"])).await;
    write(&store, other, puts(&["a"])).await;
    write(&store, fence, vec![DocumentWrite::Gone(key(&store, &connection, "1").await)]).await;
    let lag = async |connection: &str, offset| {
        let filter = FeedFilter { connection: connection.to_owned(), ..FeedFilter::default() };
        store.feed_lag(filter, offset).await.unwrap().entries
    };
    assert_eq!((lag("", 0).await, lag("", 3).await, lag("", 5).await), (4, 2, 0));
    assert_eq!((lag("c-docs", 0).await, lag("c-docs", 3).await, lag("c-mail", 4).await), (3, 1, 0));
}

pub async fn lag_in_time_is_that_of_the_oldest_entry_not_read(store: Shared) {
    let (_, run, fence) = running(&store, "docs").await;
    for (second, id) in [(10, "1"), (20, "2"), (30, "3")] {
        let commit = Commit { run: run.id.clone(), documents: puts(&[id]), ..Commit::default() };
        store.commit(fence, commit, at(second)).await.unwrap();
    }
    let since = async |connection: &str, offset| {
        let filter = FeedFilter { connection: connection.to_owned(), ..FeedFilter::default() };
        store.feed_lag(filter, offset).await.unwrap().since
    };
    assert_eq!((since("", 0).await, since("c-docs", 1).await), (Some(at(10)), Some(at(20))));
    assert_eq!((since("", 3).await, since("c-mail", 0).await), (None, None));
}

pub async fn a_commit_wakes_readers(store: Shared) {
    let (_, run, fence) = running(&store, "docs").await;
    let mut changes = store.feed_changes();
    assert_eq!(*changes.borrow_and_update(), 0);
    write(&store, fence, puts(&["1", "2"])).await;
    assert!(changes.has_changed().unwrap(), "it shows as soon as the commit is done");
    assert_eq!(*changes.borrow_and_update(), 2);
    store.commit(fence, Commit { run: run.id, ..Commit::default() }, at(1)).await.unwrap();
    assert!(!changes.has_changed().unwrap(), "nothing in it for readers");
}

pub async fn a_commit_whose_caller_left_still_wakes_readers(store: Shared) {
    let (_, run, fence) = running(&store, "docs").await;
    let mut changes = store.feed_changes();
    for number in 0..50 {
        let documents = puts(&[&number.to_string()]);
        let commit = Commit { run: run.id.clone(), documents, ..Commit::default() };
        // Dropped before it began, under way, or just as it is there.
        let given_up = store.commit(fence, commit, at(1));
        drop(tokio::time::timeout(Duration::from_micros(20 * number), given_up).await);
    }
    write(&store, fence, puts(&["last"])).await;
    // In one look: others may still be on their way.
    let page = store.read_feed(FeedFilter::default(), 0, Texts::Omit, ALL).await.unwrap();
    let head = page.bounds.head;
    assert_eq!(page.rows.len() as i64, head, "each is there as a whole or not at all");
    let told = changes.wait_for(|known| *known >= head);
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("nobody was told").unwrap();
}

pub async fn reads_that_are_given_up_cost_nothing(store: Shared) {
    let (_, _, fence) = running(&store, "docs").await;
    let documents = (0..500).map(|id| put_with(&id.to_string(), |_| {})).collect();
    write(&store, fence, documents).await;
    for _ in 0..10 {
        for _ in 0..10 {
            let mut given_up = store.read_feed(FeedFilter::default(), 0, Texts::ChangedAfter(0), ALL);
            let _ = futures::poll!(&mut given_up);
        }
        assert_eq!(store.feed_lag(FeedFilter::default(), 0).await.unwrap().entries, 500);
    }
}
