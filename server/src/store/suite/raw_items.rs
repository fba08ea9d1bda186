//! Raw items are kept with their documents, go with them, and are of one epoch of their connection.

use superfasttt_proto::control::v1::run::{State, Trigger};

use super::support::*;
use crate::store::Fence;
use crate::store::connections::{Connection, ConnectionChange, NewConnection, Schedule};
use crate::store::documents::{Commit, DocumentWrite};
use crate::store::raw_items::{RawItem, RawPut, RawWrite};
use crate::store::runs::Work;
use crate::store::runs::{Queued, Run, RunCounts, RunFilter, RunProgress};

/// A connection that keeps raw items, with a run under way.
async fn keeping(store: &Shared, name: &str) -> (Connection, Run, Fence) {
    let new = NewConnection { keep_raw: true, ..new_connection(name) };
    let connection = store.create_connection(new, start()).await.unwrap();
    let (run, fence) = claimed(store, &connection, &format!("r-{name}")).await;
    (connection, run, fence)
}

fn raw(id: &str) -> RawPut {
    RawPut {
        id: id.to_owned(),
        scope: String::new(),
        generation: 1,
        epoch: 1,
        version: "v".to_owned(),
        content_ref: "ref".to_owned(),
        schema: "item/1".to_owned(),
        data: format!("raw {id}").into_bytes(),
        normalizer: "1.0.0".to_owned(),
        failed: false,
    }
}

fn raw_with(id: &str, change: impl FnOnce(&mut RawPut)) -> RawWrite {
    let mut put = raw(id);
    change(&mut put);
    RawWrite::Put(Box::new(put))
}

fn raws(ids: &[&str]) -> Vec<RawWrite> {
    ids.iter().map(|id| raw_with(id, |_| {})).collect()
}

async fn commit(store: &Shared, fence: Fence, documents: Vec<DocumentWrite>, raw_items: Vec<RawWrite>) {
    let commit = Commit { run: "r".to_owned(), documents, raw_items, ..Commit::default() };
    store.commit(fence, commit, at(5)).await.unwrap();
}

async fn all(store: &Shared, connection: &Connection) -> Vec<RawItem> {
    store.raw_items(connection.key, "", 1000, usize::MAX).await.unwrap()
}

async fn ids(store: &Shared, connection: &Connection) -> Vec<String> {
    all(store, connection).await.into_iter().map(|item| item.put.id).collect()
}

async fn keep(store: &Shared, connection: &Connection, keep_raw: bool) -> Connection {
    let change = ConnectionChange { keep_raw: Some(keep_raw), ..ConnectionChange::default() };
    store.update_connection(&connection.id, None, change, at(6)).await.unwrap()
}

pub async fn a_raw_item_is_read_back_as_it_was_put(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    assert_eq!((connection.keep_raw, connection.raw_epoch), (true, 1));
    commit(&store, fence, puts(&["1"]), vec![raw_with("1", |put| put.data = vec![0, 255])]).await;
    let expected = RawItem {
        put: RawPut { data: vec![0, 255], ..raw("1") },
        made: true,
        permissions: None,
        stored_at: at(5),
    };
    assert_eq!(all(&store, &connection).await, std::slice::from_ref(&expected));
    assert_eq!(store.raw_items_of(connection.key, vec!["1".into(), "2".into()]).await.unwrap(), [expected]);
    // The next one takes its place.
    commit(&store, fence, vec![], vec![raw_with("1", |put| put.version = "v2".to_owned())]).await;
    let newer = all(&store, &connection).await;
    assert_eq!((newer.len(), newer[0].put.version.as_str()), (1, "v2"));
    assert_eq!(store.count_raw_items(connection.key).await.unwrap(), 1);
    let (other, _, _) = keeping(&store, "mail").await;
    assert!(ids(&store, &other).await.is_empty(), "each connection has its own");
}

pub async fn raw_items_are_read_in_pages_bounded_by_bytes(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    let large = |id: &str| raw_with(id, |put| put.data = vec![1; 1000]);
    commit(&store, fence, vec![], vec![large("c"), large("a"), large("b"), large("d")]).await;
    let page = async |after: &str, limit, bytes| {
        let page = store.raw_items(connection.key, after, limit, bytes).await.unwrap();
        page.into_iter().map(|item| item.put.id).collect::<Vec<_>>()
    };
    assert_eq!(page("", 10, 1500).await, ["a", "b"], "no more once the bytes are reached");
    assert_eq!(page("b", 10, 1).await, ["c"], "one at least");
    assert_eq!(page("a", 2, usize::MAX).await, ["b", "c"]);
    assert!(page("d", 10, usize::MAX).await.is_empty());
}

pub async fn a_sample_is_spread_over_all(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    let names: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
    commit(&store, fence, vec![], raws(&names.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let sample = async |count| store.sample_raw_items(connection.key, count).await.unwrap();
    assert_eq!(sample(4).await, ["000", "025", "050", "075"]);
    assert_eq!(sample(100).await, names);
    assert_eq!(sample(1000).await, names, "no more than there are");
    let thirds = sample(30).await;
    assert!(thirds.len() <= 30 && thirds.len() >= 25, "{}", thirds.len());
}

pub async fn a_raw_item_goes_with_its_document(store: Shared) {
    let (connection, run, fence) = keeping(&store, "docs").await;
    commit(&store, fence, puts(&["1", "2", "3", "4"]), raws(&["1", "2", "3", "4"])).await;
    let one = key(&store, &connection, "1").await;
    commit(&store, fence, vec![DocumentWrite::Gone(one)], vec![]).await;
    assert_eq!(ids(&store, &connection).await, ["2", "3", "4"]);
    let two = key(&store, &connection, "2").await;
    store.bury(fence, vec![two], &run.id, RunProgress::default(), at(6)).await.unwrap();
    assert_eq!(ids(&store, &connection).await, ["3", "4"]);
    let gone = RawWrite::Gone { id: "3".to_owned(), scope: None };
    commit(&store, fence, vec![], vec![gone]).await;
    assert_eq!(ids(&store, &connection).await, ["4"], "its document was sent as an envelope, say");
    store.remove_scope(fence, "").await.unwrap();
    assert!(ids(&store, &connection).await.is_empty());
}

pub async fn a_deletion_by_another_scope_leaves_a_raw_item(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    // It moved to scope "b", where it could not be normalized: its document is still that of scope "".
    let moved = raw_with("1", |put| {
        put.scope = "b".to_owned();
        put.failed = true;
    });
    commit(&store, fence, puts(&["1"]), vec![moved]).await;
    let old = key(&store, &connection, "1").await;
    let gone = |scope: &str| RawWrite::Gone { id: "1".to_owned(), scope: Some(scope.to_owned()) };
    commit(&store, fence, vec![DocumentWrite::Gone(old)], vec![gone("")]).await;
    assert_eq!(ids(&store, &connection).await, ["1"]);
    commit(&store, fence, vec![], vec![gone("b")]).await;
    assert!(ids(&store, &connection).await.is_empty());
}

pub async fn what_a_listing_did_not_send_goes_where_there_is_no_document(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    let failed = |id: &str, generation| {
        raw_with(id, |put| {
            put.failed = true;
            put.generation = generation;
        })
    };
    let raw_items = vec![failed("with", 1), failed("without", 1), failed("named", 2)];
    commit(&store, fence, puts(&["with"]), raw_items).await;
    store.forget(fence, "", Vec::new(), Vec::new(), None).await.unwrap();
    assert_eq!(ids(&store, &connection).await.len(), 3, "the listing proves nothing");
    store.forget(fence, "", Vec::new(), Vec::new(), Some(2)).await.unwrap();
    assert_eq!(ids(&store, &connection).await, ["named", "with"]);
}

pub async fn permissions_that_come_later_stay_until_the_item_is_sent_again(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    let permissions = |scope: &str| RawWrite::Permissions {
        id: "1".to_owned(),
        scope: scope.to_owned(),
        permissions: scope.as_bytes().to_vec(),
    };
    let of_b = raw_with("1", |put| put.scope = "b".to_owned());
    commit(&store, fence, vec![], vec![permissions("b"), of_b.clone(), permissions("a")]).await;
    assert_eq!(all(&store, &connection).await[0].permissions, None, "before it, and of another scope");
    commit(&store, fence, vec![], vec![permissions("b")]).await;
    let normalized = RawWrite::Normalized { id: "1".into(), normalizer: "2".into(), failed: false };
    commit(&store, fence, vec![], vec![normalized]).await;
    assert_eq!(all(&store, &connection).await[0].permissions.as_deref(), Some(b"b".as_slice()));
    commit(&store, fence, vec![], vec![of_b]).await;
    assert_eq!(all(&store, &connection).await[0].permissions, None);
}

pub async fn a_failed_normalize_hides_no_document(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    commit(&store, fence, puts(&["1"]), vec![raw_with("1", |_| {}), raw_with("2", |put| put.failed = true)])
        .await;
    let states = async || {
        let items = all(&store, &connection).await.into_iter();
        items.map(|item| (item.put.id, item.made, item.put.failed)).collect::<Vec<_>>()
    };
    assert_eq!(states().await, [("1".to_owned(), true, false), ("2".to_owned(), false, true)]);
    let normalized =
        |id: &str, failed| RawWrite::Normalized { id: id.into(), normalizer: "2".into(), failed };
    commit(&store, fence, vec![], vec![normalized("1", true), normalized("2", true)]).await;
    assert_eq!(states().await, [("1".to_owned(), true, true), ("2".to_owned(), false, true)]);
    commit(&store, fence, vec![], vec![normalized("1", false), normalized("2", false)]).await;
    assert_eq!(states().await, [("1".to_owned(), true, false), ("2".to_owned(), true, false)]);
    // A newer item that cannot be normalized: what is stored was not made of it.
    commit(&store, fence, vec![], vec![raw_with("1", |put| put.failed = true)]).await;
    assert_eq!(states().await[0], ("1".to_owned(), false, true));
}

pub async fn switching_off_ends_an_epoch_and_its_items(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    let (other, _, others_fence) = keeping(&store, "mail").await;
    commit(&store, others_fence, vec![], raws(&["mail"])).await;
    commit(&store, fence, vec![], raws(&["1", "2", "3"])).await;
    assert_eq!(store.trim_raw_items(10).await.unwrap(), 0);
    let same = keep(&store, &connection, true).await;
    assert_eq!(same.raw_epoch, 1, "it was so before");
    let off = keep(&store, &connection, false).await;
    assert_eq!((off.keep_raw, off.raw_epoch), (false, 2));
    assert!(ids(&store, &connection).await.is_empty());
    let on = keep(&store, &connection, true).await;
    assert_eq!((on.keep_raw, on.raw_epoch), (true, 3));
    assert!(ids(&store, &connection).await.is_empty(), "what was kept before is not taken up again");
    assert_eq!(store.count_raw_items(connection.key).await.unwrap(), 0);
    assert!(store.normalizers(connection.key, 9).await.unwrap().is_empty());
    commit(&store, fence, vec![], vec![raw_with("2", |put| put.epoch = 3)]).await;
    let mut removed = Vec::new();
    loop {
        match store.trim_raw_items(1).await.unwrap() {
            0 => break,
            count => removed.push(count),
        }
    }
    assert_eq!(removed, [1, 1], "a little at a time");
    assert_eq!(
        (ids(&store, &connection).await, ids(&store, &other).await),
        (vec!["2".into()], vec!["mail".into()])
    );
}

pub async fn a_raw_item_of_an_ended_epoch_is_not_kept(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    keep(&store, &connection, false).await;
    // A run that began before goes on.
    commit(&store, fence, puts(&["1"]), raws(&["1"])).await;
    assert_eq!(store.trim_raw_items(10).await.unwrap(), 0);
    keep(&store, &connection, true).await;
    commit(&store, fence, vec![], raws(&["1"])).await;
    assert!(ids(&store, &connection).await.is_empty(), "nobody knows what it had missed");
    assert_eq!(listed(&store).await, ["1"], "its document is there");
}

pub async fn a_deleted_connection_keeps_no_raw_items(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    commit(&store, fence, puts(&["1", "2"]), raws(&["1", "2", "without"])).await;
    store.begin_deletion("c-docs", None, at(7)).await.unwrap();
    assert!(ids(&store, &connection).await.is_empty());
    let again = store.begin_deletion("c-docs", None, at(8)).await.unwrap();
    assert_eq!((again.keep_raw, again.raw_epoch), (false, 2));
    assert_eq!(store.trim_raw_items(2).await.unwrap(), 2);
    let fence = store.claim_connection(connection.key).await.unwrap();
    store.delete_documents_of(fence, "", 10, at(9)).await.unwrap();
    store.end_deletion(fence, at(9)).await.unwrap();
    assert_eq!(store.trim_raw_items(10).await.unwrap(), 0, "the rest went with the connection");
}

pub async fn versions_that_normalized_are_told(store: Shared) {
    let (connection, _, fence) = keeping(&store, "docs").await;
    let by = |id: &str, version: &str| raw_with(id, |put| put.normalizer = version.to_owned());
    let raw_items = vec![by("1", "1.2"), by("2", "1.10"), by("3", "1.2"), by("4", ""), by("5", "2")];
    commit(&store, fence, vec![], raw_items).await;
    let told = async |limit| store.normalizers(connection.key, limit).await.unwrap();
    assert_eq!(told(9).await, ["", "1.10", "1.2", "2"]);
    assert_eq!(told(2).await, ["", "1.10"]);
    let normalized = |id: &str| RawWrite::Normalized { id: id.into(), normalizer: "2".into(), failed: true };
    commit(&store, fence, vec![], ["1", "2", "3", "4"].map(normalized).into()).await;
    assert_eq!(told(9).await, ["2"]);
}

pub async fn a_re_normalization_is_a_run_of_its_own(store: Shared) {
    let (connection, sync, fence) = keeping(&store, "docs").await;
    let again =
        async |id: &str| store.queue_renormalization(id.to_owned(), connection.key, at(1)).await.unwrap();
    let Queued::Existing(busy) = again("r-1").await else { panic!("a sync is under way") };
    assert_eq!((busy.id.as_str(), busy.renormalizes), ("r-docs", false));
    store.end_run(fence, &sync.id, ended(State::Failed), at(1)).await.unwrap();
    let before = store.connection("c-docs").await.unwrap().unwrap();
    let Queued::New(run) = again("r-2").await else { panic!("nothing is under way") };
    assert_eq!((run.renormalizes, run.trigger, run.state), (true, Trigger::Manual, State::Queued));
    // A sync that is asked for changes nothing of it, and follows it.
    let asked =
        store.queue_run("r-3".to_owned(), connection.key, Trigger::Manual, Work::Full, at(1)).await.unwrap();
    assert_eq!(asked, Queued::Follows(run));
    let (run, fence) = store.claim_run(at(2)).await.unwrap().unwrap();
    assert_eq!((run.id.as_str(), run.renormalizes), ("r-2", true));
    let ended_run = store.end_run(fence, "r-2", ended(State::Succeeded), at(3)).await.unwrap();
    assert_eq!((ended_run.state, ended_run.ended_at), (State::Succeeded, Some(at(3))));
    let after = store.connection("c-docs").await.unwrap().unwrap();
    assert_eq!(after.last_run.as_deref(), Some("r-2"));
    assert_eq!(after.last_success_at, before.last_success_at, "the source was not asked");
    assert_eq!((after.failures, before.failures), (1, 1));
    let sync = store.active_run(connection.key).await.unwrap().expect("the sync that was asked for");
    assert_eq!((sync.id.as_str(), sync.renormalizes, sync.work), ("follows", false, Work::Full));
}

pub async fn a_schedule_is_followed_after_a_re_normalization(store: Shared) {
    let schedule = Schedule { frequency: every(60), ..Schedule::default() };
    let new = NewConnection { keep_raw: true, schedule, next: due(at(60)), ..new_connection("docs") };
    let connection = store.create_connection(new, start()).await.unwrap();
    store.queue_renormalization("r-1".to_owned(), connection.key, at(1)).await.unwrap();
    let (_, fence) = store.claim_run(at(2)).await.unwrap().unwrap();
    store.queue_due_runs(|| "due".to_owned(), 10, at(61)).await.unwrap();
    store.end_run(fence, "r-1", ended(State::Succeeded), at(62)).await.unwrap();
    let sync = store.active_run(connection.key).await.unwrap().expect("it brought nothing of what was due");
    assert!(!sync.renormalizes);
}

pub async fn a_re_normalization_goes_on_where_it_was(store: Shared) {
    let (connection, sync, fence) = keeping(&store, "docs").await;
    store.end_run(fence, &sync.id, ended(State::Succeeded), at(1)).await.unwrap();
    store.queue_renormalization("r-1".to_owned(), connection.key, at(1)).await.unwrap();
    let (run, fence) = store.claim_run(at(2)).await.unwrap().unwrap();
    assert_eq!(run.renormalized_to, "");
    let commit = Commit {
        run: "r-1".to_owned(),
        progress: RunProgress {
            counts: RunCounts { changes: 7, ..RunCounts::default() },
            ..RunProgress::default()
        },
        renormalized_to: Some("g".to_owned()),
        ..Commit::default()
    };
    store.commit(fence, commit, at(3)).await.unwrap();
    // What says nothing of it leaves it.
    store.commit(fence, Commit { run: "r-1".to_owned(), ..Commit::default() }, at(3)).await.unwrap();
    store.take_over(true, at(3)).await.unwrap();
    let (run, _) = store.claim_run(at(4)).await.unwrap().unwrap();
    assert_eq!((run.id.as_str(), run.renormalized_to.as_str()), ("r-1", "g"));
    store.queue_renormalization("r-2".to_owned(), connection.key, at(5)).await.unwrap();
    let of = RunFilter { connection: Some(connection.key), ..RunFilter::default() };
    let listed = store.runs(of, None, 10).await.unwrap().items;
    assert_eq!(listed.len(), 2);
}
