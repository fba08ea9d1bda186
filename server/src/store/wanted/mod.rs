//! Ids that the source has to be asked for by name: what only `present` named, and what a person wants tried again. They
//! are written with the page that named them and go with the page that answers them, so that no crash loses one
//! although a cursor has passed it.

pub(in crate::store) mod postgres;
pub mod sqlite;

use async_trait::async_trait;

use super::{ConnectionKey, Fence, Result};

/// Why an id is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was said to be present at a version that is not stored.
    Present,
    /// A person wants it tried again.
    Retry,
}

/// An id that is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The source's id: each is there once.
    pub id: String,
    /// The scope that named it last.
    pub scope: String,
    /// The version that it is said to have; empty where none was said.
    pub version: String,
    /// Why.
    pub why: Why,
    /// How often it was asked for since, without an answer that was committed.
    pub attempts: u32,
}

/// What came of the wish to try item errors again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Errors whose items are asked for now.
    pub items: u64,
    /// Errors that spare what is under their item: only a listing reads that again.
    pub subtrees: u64,
    /// Errors that know a locator alone: nobody can be asked for a locator.
    pub locators: u64,
    /// Errors that name nothing.
    pub unnamed: u64,
}

/// What is left of earlier runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Item errors stand.
    pub item_errors: bool,
    /// Ids wait to be asked for.
    pub wanted: bool,
}

/// What the store does with them. The pages of a run write and remove them (`DocumentStore::commit`).
#[async_trait]
pub trait WantedStore: Send + Sync {
    /// Those with an id after `after`, ordered by id.
    async fn wanted(&self, connection: ConnectionKey, after: &str, limit: usize) -> Result<Vec<Wanted>>;

    /// Counts one more attempt for each of these, before they are asked for: a crash of whoever asks counts too.
    async fn count_attempts(&self, fence: Fence, ids: Vec<String>) -> Result<()>;

    /// Wants the items of these errors (all of the connection, where empty) that can be asked for by id. What was
    /// wanted before begins to count anew.
    async fn retry_item_errors(&self, connection: ConnectionKey, errors: Vec<i64>) -> Result<Retried>;

    /// Whether there are item errors and wanted ids.
    async fn leftovers(&self, connection: ConnectionKey) -> Result<Leftovers>;
}
