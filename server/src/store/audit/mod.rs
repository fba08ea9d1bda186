//! The audit log: who did what to what, when and from where, and how it ended. It is only ever added to; what is old is
//! removed. Nothing in it is a secret: [`Detail`] is closed and has no place for one.

pub(in crate::store) mod postgres;
pub mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Listed, Result};

/// Who did something, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The API token's id; empty: none was shown, or it was not one of them.
    pub token: String,
    /// For people: the token's name, or what stood in its place.
    pub name: String,
    /// The address that it came from; empty: from connectord itself.
    pub address: String,
}

/// What there is to say beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(default)]
pub struct Detail {
    /// Why it was refused, as in docs/errors.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What a credential was used for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// The run that it was for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// The name that people give what was acted on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The fields that were changed, without their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// The permissions that were given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

/// Something that was done, or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// By whom.
    pub actor: Actor,
    /// Whose thing it was done to; empty: the installation's.
    pub organization: String,
    /// An rpc, such as `SyncService.StartSync`, or one of the actions of [`crate::access`].
    pub action: String,
    /// To what, such as `connection/ID`; empty: to nothing that exists.
    pub target: String,
    /// `OK`, or the name of a gRPC code.
    pub outcome: String,
    /// What there is to say beside it.
    pub detail: Detail,
    /// When it was done, the first time.
    pub first_at: DateTime<Utc>,
    /// The last time.
    pub last_at: DateTime<Utc>,
    /// How often.
    pub count: u64,
}

/// Which events. Empty texts: all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of this organisation.
    pub organization: String,
    /// By this actor: a token's id, or a name.
    pub actor: String,
    /// To this.
    pub target: String,
    /// Done at or after.
    pub since: Option<DateTime<Utc>>,
    /// Done before.
    pub until: Option<DateTime<Utc>>,
    /// The oldest first. Else the newest.
    pub oldest_first: bool,
}

/// What the store does with the audit log.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Adds events, in their order.
    async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<()>;

    /// Lists events, those that come behind `after` in the order asked for.
    async fn audit_events(
        &self,
        filter: AuditFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Listed<AuditEvent, i64>>;

    /// Removes up to `limit` events that were last done before `before`. Says how many.
    async fn trim_audit(&self, before: DateTime<Utc>, limit: usize) -> Result<u64>;
}
