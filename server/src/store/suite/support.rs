//! What tests of the store, and of what stands on it, are made of: a connection, a claimed run, documents to put.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;
use superfasttt_proto::connector::v1::{DocumentEnvelope, Reason};
use superfasttt_proto::control::v1::run::{State, Trigger};

use crate::catalog::Frequency;
use crate::clock::{Clock, MockClock};
use crate::schedule::times::Due;
use crate::store::connections::{Connection, NewConnection, Schedule};
use crate::store::documents::{
    Commit, ContentState, DocumentKey, DocumentPut, DocumentWrite, FeedEntryKind, StoredDocument, TextWrite,
};
use crate::store::feed::{FeedFilter, FeedRow, ReadLimit, Texts};
pub use crate::store::item_errors::ItemErrorFilter;
use crate::store::item_errors::{ItemError, Target};
use crate::store::runs::{Claiming, LogLine, LogPart, Queued, Run, RunEnd, RunOutcome, Work};
use crate::store::wanted::{Wanted, Why};
use crate::store::{ConnectionKey, Fence, Result, Store, StoreError};
use crate::sync::envelope::text_hash;

/// The store as tests hold it.
pub type Shared = Arc<dyn Store>;

/// A limit that nothing reaches.
pub const ALL: ReadLimit = ReadLimit { rows: 100_000, bytes: 1 << 30 };

/// When tests begin.
pub fn start() -> DateTime<Utc> {
    MockClock::default().now()
}

/// So many seconds after [`start`].
pub fn at(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

/// What makes the connection `name`, with the id `c-name`. It is never due.
pub fn new_connection(name: &str) -> NewConnection {
    NewConnection {
        id: format!("c-{name}"),
        organization: "acme".to_owned(),
        connector: "demo".to_owned(),
        name: name.to_owned(),
        settings: serde_json::Map::new(),
        schedule: Schedule::default(),
        disabled: false,
        keep_raw: false,
        next: None,
        request: None,
    }
}

/// Makes the connection `name`.
pub async fn connect(store: &Shared, name: &str) -> Connection {
    store.create_connection(new_connection(name), start()).await.unwrap()
}

/// Queues a run of this id and claims the oldest queued run, which must be it.
pub async fn claimed(store: &Shared, connection: &Connection, id: &str) -> (Run, Fence) {
    let queued = store
        .queue_run(id.to_owned(), connection.key, Trigger::Manual, Work::Changes, start())
        .await
        .unwrap();
    assert!(matches!(queued, Queued::New(_)), "a run is active: {queued:?}");
    let (run, fence) = store.claim_run(start()).await.unwrap().unwrap();
    assert_eq!(run.id, id);
    (run, fence)
}

/// A connection with a run under way.
pub async fn running(store: &Shared, name: &str) -> (Connection, Run, Fence) {
    let connection = connect(store, name).await;
    let (run, fence) = claimed(store, &connection, &format!("r-{name}")).await;
    (connection, run, fence)
}

/// An end without anything to say.
pub fn ended(state: State) -> RunEnd {
    RunEnd {
        state,
        resume_at: None,
        error: None,
        retry_at: None,
        held_sweeps: Vec::new(),
        listed_all: false,
        next_id: "follows".to_owned(),
    }
}

/// Due at this time, as a connection that was just made is.
pub fn due(at: DateTime<Utc>) -> Option<Due> {
    Some(Due { at, cause: Trigger::Settings, full: false })
}

/// Every so many seconds.
pub fn every(seconds: u64) -> Option<Frequency> {
    Some(Frequency::Every(Duration::from_secs(seconds)))
}

/// A lease that no test outlives unless it wants to.
pub const LEASE: Duration = Duration::from_secs(30);

/// One at a time, as most tests want it.
impl dyn Store {
    /// Claims one run.
    pub async fn claim_run(&self, now: DateTime<Utc>) -> Result<Option<(Run, Fence)>> {
        let claiming = Claiming { holder: "test".to_owned(), lease: LEASE, places: 1, ..Claiming::default() };
        let claim = self.claim_runs(claiming, now).await?.claims.pop();
        Ok(claim.map(|claim| (claim.run, claim.fence)))
    }

    /// Ends one run.
    pub async fn end_run(&self, fence: Fence, run: &str, end: RunEnd, now: DateTime<Utc>) -> Result<Run> {
        let outcome = RunOutcome {
            fence,
            run: run.to_owned(),
            end,
            progress: None,
            states: Vec::new(),
            log: LogPart::default(),
        };
        self.end_runs(vec![outcome], now).await?.pop().expect("one answer for each outcome")?;
        Ok(self.run(run).await?.expect("it was just written"))
    }

    /// Claims a connection for its deletion, begun with it.
    pub async fn claim_connection(&self, key: ConnectionKey) -> Result<Fence> {
        let connection = self.connection_by_key(key).await?.ok_or(StoreError::Missing("connection"))?;
        self.begin_deletion(&connection.id, None, start()).await?;
        let claimed = self.claim_deletion("test", LEASE, start()).await?;
        Ok(claimed.expect("its deletion waits").1)
    }
}

/// Lines for a log that takes `max`.
pub fn log_part(lines: Vec<LogLine>, max: u64) -> LogPart {
    LogPart { lines, dropped: 0, max }
}

/// A new document `id` with the text `text of <id>`, owned by scope "" and seen in listing 1.
pub fn put(id: &str) -> DocumentPut {
    let text = format!("text of {id}");
    let envelope = DocumentEnvelope { id: id.to_owned(), title: id.to_owned(), ..Default::default() };
    DocumentPut {
        key: None,
        arrives: true,
        id: id.to_owned(),
        scope: String::new(),
        generation: 1,
        version: "1".to_owned(),
        content_version: Some("1".to_owned()),
        content_state: ContentState::Whole,
        extractor: 0,
        text_hash: Some(text_hash(&text)),
        text_bytes: text.len() as u64,
        text: TextWrite::Set(Some(text)),
        envelope_hash: text_hash(id),
        message_hash: None,
        parent_id: String::new(),
        locator: String::new(),
        envelope: envelope.encode_to_vec(),
        entry: FeedEntryKind::Content,
    }
}

/// As [`put`], changed.
pub fn put_with(id: &str, change: impl FnOnce(&mut DocumentPut)) -> DocumentWrite {
    let mut put = put(id);
    change(&mut put);
    DocumentWrite::Put(Box::new(put))
}

/// A new text of a stored document.
pub fn new_text(stored: &StoredDocument, text: &str) -> DocumentWrite {
    put_with(&stored.id, |put| {
        put.key = Some(stored.key);
        put.arrives = stored.gone;
        put.text_hash = Some(text_hash(text));
        put.text_bytes = text.len() as u64;
        put.text = TextWrite::Set(Some(text.to_owned()));
        put.envelope_hash = text_hash(text);
    })
}

/// A new envelope of a stored document; its text stays.
pub fn new_envelope(stored: &StoredDocument, title: &str) -> DocumentWrite {
    put_with(&stored.id, |put| {
        let envelope =
            DocumentEnvelope { id: stored.id.clone(), title: title.to_owned(), ..Default::default() };
        put.key = Some(stored.key);
        put.arrives = false;
        put.text = TextWrite::Keep;
        put.text_hash = stored.text_hash;
        put.text_bytes = stored.text_bytes;
        put.envelope_hash = text_hash(title);
        put.envelope = envelope.encode_to_vec();
        put.entry = FeedEntryKind::Envelope;
    })
}

/// New documents of these ids.
pub fn puts(ids: &[&str]) -> Vec<DocumentWrite> {
    ids.iter().map(|id| put_with(id, |_| {})).collect()
}

/// Commits these writes.
pub async fn write(store: &Shared, fence: Fence, documents: Vec<DocumentWrite>) {
    let commit = Commit { run: "r".to_owned(), documents, ..Commit::default() };
    store.commit(fence, commit, start()).await.unwrap();
}

/// A stored document, tombstones too.
pub async fn stored(store: &Shared, connection: &Connection, id: &str) -> StoredDocument {
    find(store, connection, id).await.unwrap_or_else(|| panic!("{id} is not stored"))
}

/// A stored document, if there is one, tombstones too.
pub async fn find(store: &Shared, connection: &Connection, id: &str) -> Option<StoredDocument> {
    store.stored_documents(connection.key, vec![id.to_owned()]).await.unwrap().pop()
}

/// The key of a stored document.
pub async fn key(store: &Shared, connection: &Connection, id: &str) -> DocumentKey {
    stored(store, connection, id).await.key
}

/// Everything in the feed after `offset`, with the texts that changed since.
pub async fn feed_after(store: &Shared, offset: i64) -> Vec<FeedRow> {
    store.read_feed(FeedFilter::default(), offset, Texts::ChangedAfter(offset), ALL).await.unwrap().rows
}

/// The ids of the documents of all connections, in the order in which they are listed.
pub async fn listed(store: &Shared) -> Vec<String> {
    let (rows, more) = store.list_documents(FeedFilter::default(), None, Texts::Omit, ALL).await.unwrap();
    assert!(!more);
    rows.into_iter().map(|row| row.id).collect()
}

/// An id of scope "" that was said to be present at this version.
pub fn wanted(id: &str, version: &str) -> Wanted {
    let (id, version) = (id.to_owned(), version.to_owned());
    Wanted { id, scope: String::new(), version, why: Why::Present, attempts: 0 }
}

/// An error of this item in scope "".
pub fn item_error(target: Target) -> ItemError {
    ItemError {
        scope: String::new(),
        target,
        with_descendants: false,
        reason: Reason::AccessDenied,
        code: "demo.denied".to_owned(),
        message: "no right to read it".to_owned(),
        metadata: [("mode".to_owned(), "000".to_owned())].into(),
    }
}
