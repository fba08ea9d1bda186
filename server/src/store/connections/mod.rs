//! Connections: the configured uses of connectors by organisations.

pub(in crate::store) mod postgres;
pub mod schedule;
pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use superfasttt_proto::control::v1::run::Trigger;

use crate::schedule::times::Due;

use super::{ConnectionKey, Fence, Listed, Result};
pub use schedule::{Overlap, Schedule};

/// A connection as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// The key that rows refer to it by.
    pub key: ConnectionKey,
    /// What the world calls it.
    pub id: String,
    /// Whose it is.
    pub organization: String,
    /// The connector's id.
    pub connector: String,
    /// Unique within the organisation.
    pub name: String,
    /// As a person set them.
    pub settings: Map<String, Value>,
    /// When it syncs.
    pub schedule: Schedule,
    /// Runs and events are stopped.
    pub disabled: bool,
    /// The schedule is stopped.
    pub paused: bool,
    /// A person asked for its deletion at this time.
    pub deleting_at: Option<DateTime<Utc>>,
    /// Counts updates by people.
    pub revision: i64,
    /// Counts claims.
    pub fence: i64,
    /// The hash of the settings that its state was made with. `None`: no pull was begun yet.
    pub synced_settings: Option<Vec<u8>>,
    /// When its next run is due.
    pub next_run_at: Option<DateTime<Utc>>,
    /// Why it is due then.
    pub next_cause: Trigger,
    /// When everything was last listed.
    pub last_full_at: Option<DateTime<Utc>>,
    /// The newest run.
    pub last_run: Option<String>,
    /// When a run last went through.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Failed runs in a row.
    pub failures: i64,
    /// Raw items are kept.
    pub keep_raw: bool,
    /// Counts how often that was switched, either way.
    pub raw_epoch: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When a person last changed it.
    pub updated_at: DateTime<Utc>,
}

/// A connection to be made.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// The server's id.
    pub id: String,
    /// Whose it is.
    pub organization: String,
    /// The connector's id.
    pub connector: String,
    /// Unique within the organisation.
    pub name: String,
    /// Valid settings.
    pub settings: Map<String, Value>,
    /// When it syncs.
    pub schedule: Schedule,
    /// Make it disabled.
    pub disabled: bool,
    /// Keep raw items: its first epoch.
    pub keep_raw: bool,
    /// When its first run is due, and why. `None`: not by itself.
    pub next: Option<Due>,
    /// The request that makes it, and a hash of what it asks for. The same request makes it once in an organisation.
    pub request: Option<(String, Vec<u8>)>,
}

/// What a person changes. `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct ConnectionChange {
    /// A new name.
    pub name: Option<String>,
    /// New settings, all of them.
    pub settings: Option<Map<String, Value>>,
    /// A new schedule.
    pub schedule: Option<Schedule>,
    /// Disable or enable.
    pub disabled: Option<bool>,
    /// Pause or resume.
    pub paused: Option<bool>,
    /// Keep raw items, or no longer: where that is a change, a new epoch.
    pub keep_raw: Option<bool>,
    /// When the next run is due from now on, and why. `Some(None)`: not by itself.
    pub next: Option<Option<Due>>,
}

/// How many things a connection holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTotals {
    /// Documents that are not gone.
    pub documents: u64,
    /// Item errors that stand.
    pub item_errors: u64,
    /// Scopes whose deletions wait for a person.
    pub held_sweeps: u64,
    /// It is the default of its category.
    pub is_default: bool,
}

/// Which connections.
#[derive(Clone, Debug, Default)]
pub struct ConnectionFilter {
    /// Only of this organisation; empty for all.
    pub organization: String,
    /// Only of this connector; empty for all.
    pub connector: String,
}

/// What the store does with connections. Deleted ones are in none of the answers.
#[async_trait]
pub trait ConnectionStore: Send + Sync {
    /// Makes one. The same request within a day gives the connection that it made.
    ///
    /// # Errors
    /// `Taken("name")`, or `Taken("request_id")` where the request asked for something else before.
    async fn create_connection(&self, new: NewConnection, now: DateTime<Utc>) -> Result<Connection>;

    /// Gets one by the server's id.
    async fn connection(&self, id: &str) -> Result<Option<Connection>>;

    /// Gets one by its key, deleted or not.
    async fn connection_by_key(&self, key: ConnectionKey) -> Result<Option<Connection>>;

    /// Whether there is or was one of this id in this organisation (empty: in any), of which tombstones may be left; true
    /// for the empty id, which names all.
    async fn was_connection(&self, organization: &str, id: &str) -> Result<bool>;

    /// Gets one by its name.
    async fn connection_by_name(&self, organization: &str, name: &str) -> Result<Option<Connection>>;

    /// Lists them, oldest first, those with an id after `after`.
    async fn connections(
        &self,
        filter: ConnectionFilter,
        after: &str,
        limit: usize,
    ) -> Result<Listed<Connection>>;

    /// Changes one, where its revision is still `revision` (`None`: whatever it is).
    ///
    /// # Errors
    /// `Missing`, `Taken("name")`, `Conflict("connection")`.
    async fn update_connection(
        &self,
        id: &str,
        revision: Option<i64>,
        change: ConnectionChange,
        now: DateTime<Utc>,
    ) -> Result<Connection>;

    /// Marks one as being deleted, so that nothing new begins for it, cancels its run, also one under way, and keeps raw
    /// items no longer. Again is harmless.
    async fn begin_deletion(&self, id: &str, revision: Option<i64>, now: DateTime<Utc>)
    -> Result<Connection>;

    /// Claims a connection whose deletion has begun and not ended, and which nobody deletes.
    async fn claim_deletion(
        &self,
        holder: &str,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<(Connection, Fence)>>;

    /// Gives a claim back, so that another replica may take it at once. Harmless where it is lost.
    async fn release_claim(&self, fence: Fence) -> Result<()>;

    /// Makes up to `limit` of its documents tombstones, in the order of their ids, those after `after`. Says how many
    /// were made and the id of the last; `None` when none is left.
    async fn delete_documents_of(
        &self,
        fence: Fence,
        after: &str,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Option<(u64, String)>>;

    /// Removes everything but the tombstones and frees the name.
    async fn end_deletion(&self, fence: Fence, now: DateTime<Utc>) -> Result<()>;

    /// How many things it holds.
    async fn connection_totals(&self, key: ConnectionKey) -> Result<ConnectionTotals>;
}
