//! Where each scope of a connection stands: its cursor of changes, and the listing that is under way.

pub(in crate::store) mod postgres;
pub mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{ConnectionKey, Fence, Result};

/// How far a listing of a scope is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// None is under way.
    #[default]
    None,
    /// It was begun.
    UnderWay,
    /// Everything was named; what was not has still to be swept.
    Complete,
}

/// What a listing is made of. One is never gone on with as the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListingMode {
    /// FULL: whole documents. Its cursor becomes the cursor of changes.
    #[default]
    Full,
    /// LIST: ids and versions. Its cursor is its own.
    List,
}

/// Where one scope stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScopeState {
    /// The scope; "" where the source has only one.
    pub scope: String,
    /// The cursor of changes. `None`: none yet.
    pub cursor: Option<Vec<u8>>,
    /// How far the listing is.
    pub listing: Listing,
    /// What the listing is made of.
    pub listing_mode: ListingMode,
    /// The cursor of the listing: that of one of ids stays until it is swept, that of another only while it is under way.
    pub listing_cursor: Option<Vec<u8>>,
    /// Something was skipped that nobody could name, so absence proves nothing in this listing.
    pub listing_unreliable: bool,
    /// A person changed settings, and this listing shows what they now choose.
    pub listing_for_settings: bool,
    /// When the listing began.
    pub listing_started_at: Option<DateTime<Utc>>,
    /// When a listing last went through.
    pub listing_completed_at: Option<DateTime<Utc>>,
    /// Which listing it is or was. A document carries the number of the one that it was last seen in.
    pub generation: i64,
    /// When a checkpoint was last committed.
    pub checkpoint_at: Option<DateTime<Utc>>,
    /// Deletions that wait for a person.
    pub held: Option<Held>,
    /// A person let documents go that were last seen before this listing.
    pub approved_generation: Option<i64>,
}

/// A sweep that waits for a person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// It would delete documents that were last seen before this listing.
    pub generation: i64,
    /// How many.
    pub absent: u64,
    /// Of how many in the scope.
    pub total: u64,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// What the store does with them.
#[async_trait]
pub trait SyncStateStore: Send + Sync {
    /// All of a connection, ordered by scope.
    async fn sync_states(&self, connection: ConnectionKey) -> Result<Vec<ScopeState>>;

    /// Writes states as they are given (but for approvals, which only [`Self::approve_held`] gives) and, with
    /// `settings`, what they were made with. Shields of a scope whose listing begins (it is under way and has no
    /// cursor) are dropped.
    async fn save_sync_states(
        &self,
        fence: Fence,
        states: Vec<ScopeState>,
        settings: Option<Vec<u8>>,
    ) -> Result<()>;

    /// Approves the held sweeps of these scopes (all, where empty) and returns the states as they were.
    async fn approve_held(&self, connection: ConnectionKey, scopes: Vec<String>) -> Result<Vec<ScopeState>>;

    /// Puts a cursor in the place of the one that a scope has. Ends every claim, as a reset does.
    ///
    /// # Errors
    /// `Missing("scope")`; `Conflict("sync state")` where it is not in the state `expected`.
    async fn set_cursor(
        &self,
        connection: ConnectionKey,
        scope: &str,
        cursor: Vec<u8>,
        expected: Option<ScopeState>,
    ) -> Result<ScopeState>;

    /// Forgets the cursors and listings of these scopes (all, where empty). Ends every claim; a run that was under way
    /// is queued again.
    async fn reset_sync_states(&self, connection: ConnectionKey, scopes: Vec<String>) -> Result<()>;

    /// Removes a scope whose documents are gone.
    async fn remove_scope(&self, fence: Fence, scope: &str) -> Result<()>;
}
