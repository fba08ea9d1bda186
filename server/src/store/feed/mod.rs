//! The feed as the store gives it: documents in the order of their newest offset, and the consumers that read it.

mod histories;
pub(in crate::store) mod postgres;
pub mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

pub use histories::{Histories, History};
pub(in crate::store) use histories::{MAX_HISTORIES, new_number};

use super::documents::ContentState;
use super::{ConnectionKey, Result};

/// A text longer than this is never inside an entry.
pub const MAX_INLINE_TEXT_BYTES: u64 = 1024 * 1024;

/// What there is between the oldest tombstone that is kept and the newest change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedBounds {
    /// Which offsets belong to which history: an offset of another one means nothing here.
    pub histories: Histories,
    /// The newest offset that was given.
    pub head: i64,
    /// Tombstones up to this offset are forgotten.
    pub floor: i64,
}

/// One document at its newest change.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedRow {
    /// Whose.
    pub organization: String,
    /// The server's id of the connection.
    pub connection: String,
    /// The connection's key.
    pub connection_key: ConnectionKey,
    /// Where it stands in the feed.
    pub offset: i64,
    /// The offset at which its text last changed.
    pub content_offset: i64,
    /// The source's id.
    pub id: String,
    /// It is a tombstone.
    pub gone: bool,
    /// What its text is.
    pub content_state: ContentState,
    /// How long its text is.
    pub text_bytes: u64,
    /// The encoded envelope without content; empty for a tombstone.
    pub envelope: Vec<u8>,
    /// Its text, where it was asked for, is there, and is not too long.
    pub text: Option<String>,
    /// When the change was committed.
    pub committed_at: DateTime<Utc>,
}

/// Which documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedFilter {
    /// Only of this connection, by the server's id; empty for all.
    pub connection: String,
    /// Only of this organisation; empty for all.
    pub organization: String,
}

/// Which texts to read with the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// None.
    Omit,
    /// Those that changed after this offset.
    ChangedAfter(i64),
}

/// How much to read at once: it stops after the row that reaches either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Rows.
    pub rows: usize,
    /// Bytes of envelopes and texts.
    pub bytes: usize,
}

/// A part of the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedPage {
    /// In order of their offsets.
    pub rows: Vec<FeedRow>,
    /// Everything up to here was looked at, whether it matched the filter or not.
    pub read_to: i64,
    /// Nothing lies after `read_to` as yet.
    pub caught_up: bool,
    /// The feed's bounds as they were in the same snapshot.
    pub bounds: FeedBounds,
}

/// A named reader.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Which documents it reads; fixed.
    pub filter: FeedFilter,
    /// What it committed last; empty for the beginning.
    pub position: String,
    /// When.
    pub committed_at: Option<DateTime<Utc>>,
}

/// How far behind a reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedLag {
    /// How many entries it has not read.
    pub entries: u64,
    /// When the first of them was committed. `None`: there is none.
    pub since: Option<DateTime<Utc>>,
}

/// What the store does with the feed.
#[async_trait]
pub trait FeedStore: Send + Sync {
    /// The newest offset, each time that it moves. Commits of this process show at once.
    fn feed_changes(&self) -> watch::Receiver<i64>;

    /// The bounds now.
    async fn feed_bounds(&self) -> Result<FeedBounds>;

    /// Reads on from after `offset`.
    async fn read_feed(
        &self,
        filter: FeedFilter,
        offset: i64,
        texts: Texts,
        limit: ReadLimit,
    ) -> Result<FeedPage>;

    /// Documents that are not gone, ordered by connection and id, from after `after`.
    async fn list_documents(
        &self,
        filter: FeedFilter,
        after: Option<(ConnectionKey, String)>,
        texts: Texts,
        limit: ReadLimit,
    ) -> Result<(Vec<FeedRow>, bool)>;

    /// One document that is not gone.
    async fn document(&self, connection: ConnectionKey, id: &str) -> Result<Option<FeedRow>>;

    /// The whole text of a document that is not gone: `Some(None)` where it has none.
    async fn text(&self, connection: ConnectionKey, id: &str) -> Result<Option<Option<String>>>;

    /// Gets a consumer, made with this filter where it is new.
    async fn consumer(&self, name: &str, filter: FeedFilter, now: DateTime<Utc>) -> Result<Consumer>;

    /// Moves a consumer.
    ///
    /// # Errors
    /// `Missing("consumer")`.
    async fn commit_position(&self, name: &str, position: String, now: DateTime<Utc>) -> Result<Consumer>;

    /// Lists consumers by name, those after `after`.
    async fn consumers(&self, after: &str, limit: usize) -> Result<super::Listed<Consumer>>;

    /// Forgets a consumer. Says whether there was one.
    async fn delete_consumer(&self, name: &str) -> Result<bool>;

    /// What lies after `offset`.
    async fn feed_lag(&self, filter: FeedFilter, offset: i64) -> Result<FeedLag>;

    /// Forgets tombstones committed before `before`, up to `limit`, and connections of which nothing else was left.
    async fn trim_tombstones(&self, before: DateTime<Utc>, limit: usize) -> Result<u64>;
}
