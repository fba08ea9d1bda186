//! Items that could not be read, and the shields that they put over what a listing did not name.

pub(in crate::store) mod postgres;
pub mod sqlite;

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use superfasttt_proto::connector::v1::Reason;

use super::{ConnectionKey, Listed, Result};

/// What an item error is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The item of this id.
    Id(String),
    /// The item of this locator.
    Locator(String),
    /// Something that nobody could name.
    Unnamed,
}

/// An item that could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemError {
    /// In which scope.
    pub scope: String,
    /// What.
    pub target: Target,
    /// What is under it too.
    pub with_descendants: bool,
    /// Why.
    pub reason: Reason,
    /// The connector's own code; empty for none.
    pub code: String,
    /// What happened.
    pub message: String,
    /// More facts.
    pub metadata: BTreeMap<String, String>,
}

/// An item error as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredItemError {
    /// Counts up: newer errors have higher ones.
    pub key: i64,
    /// What happened to what.
    pub error: ItemError,
    /// When it was first met.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last met.
    pub last_seen_at: DateTime<Utc>,
    /// How many runs met it.
    pub attempts: u32,
    /// The run that last met it.
    pub run: String,
}

/// Which of a connection's item errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemErrorFilter {
    /// Only of this scope.
    pub scope: Option<String>,
    /// Only for this reason.
    pub reason: Option<Reason>,
}

/// What takes no part in deletion by absence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shield {
    /// In which scope.
    pub scope: String,
    /// What.
    pub target: Target,
    /// What is under it too.
    pub with_descendants: bool,
}

/// What the store does with them. They are written with the page that they come in (`DocumentStore::commit`).
#[async_trait]
pub trait ItemErrorStore: Send + Sync {
    /// Lists a connection's, newest first, those with a key under `before`.
    async fn item_errors(
        &self,
        connection: ConnectionKey,
        filter: ItemErrorFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Listed<StoredItemError, i64>>;

    /// Errors of a scope that were last met before `before`, as key and target, ordered by key, those after `after`. One
    /// about the content of a document is not met again as long as the content is not fetched again: it is not old
    /// while it is so.
    async fn old_item_errors(
        &self,
        connection: ConnectionKey,
        scope: &str,
        before: DateTime<Utc>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Target)>>;

    /// How many stand.
    async fn count_item_errors(&self, connection: ConnectionKey) -> Result<u64>;

    /// The shields of a scope's listing.
    async fn shields(&self, connection: ConnectionKey, scope: &str) -> Result<Vec<Shield>>;
}
