//! Raw items: what a connector gave before Normalize, kept where a connection says so, so that its documents can be
//! made anew without the source. They are written with the page that they come in (`DocumentStore::commit`), and go
//! with their document.
//!
//! Each is of an epoch of its connection, which counts up when keeping is switched on or off. Those of an older one are
//! in none of the answers; [`RawItemStore::trim_raw_items`] removes them, a little at a time.

pub(in crate::store) mod postgres;
pub mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{ConnectionKey, Result};

/// What happens to raw items in a commit.
#[derive(Clone, Debug, PartialEq)]
pub enum RawWrite {
    /// It is kept, in the place of the one there was. Nothing happens where its epoch is over.
    Put(Box<RawPut>),
    /// Permissions came after it, from the scope that sent it.
    Permissions {
        /// The document's id.
        id: String,
        /// Who says so. Of another scope's item it says nothing.
        scope: String,
        /// All of them, encoded.
        permissions: Vec<u8>,
    },
    /// It was normalized again.
    Normalized {
        /// The document's id.
        id: String,
        /// The version of the connector that did.
        normalizer: String,
        /// That gave an error: what was made of it before stays.
        failed: bool,
    },
    /// It is kept no longer.
    Gone {
        /// The document's id.
        id: String,
        /// Only where this scope sent it. `None`: whoever did.
        scope: Option<String>,
    },
}

/// A raw item to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct RawPut {
    /// The document's id.
    pub id: String,
    /// Which scope sent it.
    pub scope: String,
    /// The scope's listing in which it was sent.
    pub generation: i64,
    /// The epoch in which it was asked for.
    pub epoch: i64,
    /// The source's version; empty where it has none.
    pub version: String,
    /// What the connector wants back in `FetchContent`; empty for nothing.
    pub content_ref: String,
    /// Which of the connector's schemas `data` follows.
    pub schema: String,
    /// The source's own bytes.
    pub data: Vec<u8>,
    /// The version of the connector that normalized it.
    pub normalizer: String,
    /// Normalize gave an error: no document is made of it.
    pub failed: bool,
}

/// A raw item as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct RawItem {
    /// As it was put. `normalizer` and `failed` are those of the last time that it was normalized.
    pub put: RawPut,
    /// A document was made of it: what is stored of the document is at least as new.
    pub made: bool,
    /// Permissions that came after it, encoded.
    pub permissions: Option<Vec<u8>>,
    /// When it was put.
    pub stored_at: DateTime<Utc>,
}

/// What the store does with raw items.
#[async_trait]
pub trait RawItemStore: Send + Sync {
    /// A connection's, ordered by id, those after `after`: up to `limit`, and no more once their data comes to
    /// `max_bytes`; one at least, where there is one.
    async fn raw_items(
        &self,
        connection: ConnectionKey,
        after: &str,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<RawItem>>;

    /// Those of these ids, ordered by id.
    async fn raw_items_of(&self, connection: ConnectionKey, ids: Vec<String>) -> Result<Vec<RawItem>>;

    /// How many a connection keeps.
    async fn count_raw_items(&self, connection: ConnectionKey) -> Result<u64>;

    /// The ids of up to `count` of a connection's, spread evenly over all of them in the order of their ids: the first,
    /// and each so-manieth after it.
    async fn sample_raw_items(&self, connection: ConnectionKey, count: usize) -> Result<Vec<String>>;

    /// The versions of the connector that normalized a connection's last, in order, up to `limit`.
    async fn normalizers(&self, connection: ConnectionKey, limit: usize) -> Result<Vec<String>>;

    /// Removes up to `limit` that are of an older epoch of any connection. Says how many; 0 when none is left.
    async fn trim_raw_items(&self, limit: usize) -> Result<u64>;
}
