//! What connectord remembers. One folder per entity: `mod.rs` has the types and the trait, `sqlite.rs` the
//! statements for SQLite. [`Store`] is all of the traits together; [`SqliteStore`] is the embedded default.
//!
//! Three rules hold in every statement: `now` is a parameter and never the database's clock; a write that belongs
//! to a run carries the run's [`Fence`] and is refused with [`StoreError::Fenced`] once another claim was made;
//! what must not be seen apart is one method and one transaction.

pub mod api_tokens;
pub mod audit;
mod columns;
pub mod connections;
pub mod credentials;
pub mod defaults;
pub mod documents;
pub mod feed;
pub mod item_errors;
#[cfg(test)]
pub(crate) mod memory;
pub mod oauth_apps;
pub mod oauth_sessions;
pub mod overview;
pub mod postgres;
pub mod raw_items;
pub mod runs;
pub mod secrets;
mod sqlite;
mod sqlite_checkpoints;
mod sqlite_readers;
mod sqlite_writer;
#[cfg(test)]
pub(crate) mod suite;
pub mod sync_states;
#[cfg(test)]
pub(crate) mod testing;
mod trouble;
pub mod wanted;

pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;

use async_trait::async_trait;
use superfasttt_proto::control::v1::run::State;

/// Everything that the service keeps.
pub trait Store:
    api_tokens::ApiTokenStore
    + audit::AuditStore
    + connections::ConnectionStore
    + credentials::CredentialStore
    + defaults::DefaultStore
    + documents::DocumentStore
    + feed::FeedStore
    + item_errors::ItemErrorStore
    + oauth_apps::OAuthAppStore
    + oauth_sessions::OAuthSessionStore
    + overview::OverviewStore
    + raw_items::RawItemStore
    + runs::RunStore
    + secrets::SecretStore
    + sync_states::SyncStateStore
    + wanted::WantedStore
    + Maintenance
{
}

/// The store's own upkeep.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// What the store is: "sqlite".
    fn kind(&self) -> &'static str;

    /// Other replicas may work on it at the same time.
    fn is_shared(&self) -> bool;

    /// What was to be written last could not be: the disk is full, or the database is away.
    fn is_in_trouble(&self) -> bool {
        false
    }

    /// Writes everything out and closes. Calls after it fail.
    async fn close(&self);
}

/// Why the store could not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The connection was claimed again since: the caller's run is no longer its run, and nothing was written.
    #[error("another run has claimed this connection")]
    Fenced,
    /// A row with the same unique value exists; the field is named.
    #[error("{0} is taken")]
    Taken(&'static str),
    /// The row that a write was for is not there (any more).
    #[error("{0} does not exist")]
    Missing(&'static str),
    /// The row is not as the caller thought: it was changed in between.
    #[error("{0} was changed in between")]
    Conflict(&'static str),
    /// A stored value cannot be read: the database was changed by something else, or is damaged.
    #[error("stored {what} cannot be read: {detail}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The database is newer than this program.
    #[error(
        "the database was written by a newer version ({found}; this one knows {known}): use that version or newer"
    )]
    TooNew {
        /// The schema's number in the file.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A run may not go from the one state to the other.
    #[error("a run cannot become {} when it is {}", to.as_str_name(), from.as_str_name())]
    Illegal {
        /// Where it stands.
        from: State,
        /// Where it was to go.
        to: State,
    },
    /// The database cannot be reached, is too busy, or its disk is full: the same may go through later. Whether a write that ended so is
    /// there is not known; it may be repeated.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database itself failed: the file is locked, the medium is bad.
    #[error("the database failed: {0}")]
    Database(String),
}

impl StoreError {
    /// There is no room for what was to be written, on this disk.
    fn full(disk: &str, detail: &str) -> Self {
        StoreError::Unavailable(format!(
            "{detail}: make room on the disk of {disk}, then everything goes on by itself"
        ))
    }
}

/// What the store says.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The right to write for a connection: its row, and the number of the claim. A higher number ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The connection's key in the store.
    pub connection: ConnectionKey,
    /// Which claim.
    pub number: i64,
}

/// A connection's key in the store. The world knows a connection by its id; rows refer to it by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey(pub i64);

/// A page of a listing, and where the next one begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<T, K = String> {
    /// The rows.
    pub items: Vec<T>,
    /// The key after which the next page begins. `None`: this was the last.
    pub next: Option<K>,
}

impl<T, K> Listed<T, K> {
    /// Makes a page of at most `limit` out of up to `limit + 1` rows that were read.
    fn cut(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> K) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }

    /// The same page of other things.
    fn map<U>(self, map: impl FnMut(T) -> U) -> Listed<U, K> {
        Listed { items: self.items.into_iter().map(map).collect(), next: self.next }
    }
}
