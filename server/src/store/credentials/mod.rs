//! Credentials: what each connection authenticates with. A row says how it stands; the secrets are in `secrets`, as those
//! of the connection, and are written with the row.
//!
//! `version` counts writes. Whoever writes names the version that it read, and writes nothing where it is another by now:
//! so of two refreshes one counts. A lease keeps others from refreshing at the same time, which would make a provider that
//! rotates tokens take the credential for stolen; the lease saves work, safety rests on the version.

pub(in crate::store) mod postgres;
pub mod sqlite;
mod status;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::secrets::{Secrets, SecretsWrite};
use super::{ConnectionKey, Result, StoreError};
use crate::catalog::AuthKind;
pub use status::{Account, State, Status, Trouble};

/// A credential as it is stored, without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    /// Whose it is.
    pub connection: ConnectionKey,
    /// Counts writes.
    pub version: i64,
    /// What it is.
    pub kind: AuthKind,
    /// How it stands.
    pub status: Status,
    /// When what a connector gets of it ends. `None`: it does not, or nobody said.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it is to be refreshed. `None`: not by itself.
    pub refresh_at: Option<DateTime<Utc>>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

/// What is to be stored of a credential: all of it, but for secrets that stay.
#[derive(Clone, Debug, PartialEq)]
pub struct CredentialPut {
    /// What it is.
    pub kind: AuthKind,
    /// How it stands.
    pub status: Status,
    /// When what a connector gets of it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it is to be refreshed.
    pub refresh_at: Option<DateTime<Utc>>,
    /// Its secrets, sealed for [`crate::vault::Place::of_connection`].
    pub secrets: SecretsWrite,
    /// This is what a refresh brought, or how it failed. Any other write that leaves secrets as they are has to wait while
    /// somebody refreshes: it would make the version of the refresh an old one, and the new token would be lost.
    pub refreshed: bool,
}

impl CredentialPut {
    /// Whether it may be written while somebody refreshes. Who replaces the secrets needs none that a refresh brings.
    pub(in crate::store) fn may_overtake_a_refresh(&self) -> bool {
        self.refreshed || matches!(self.secrets, SecretsWrite::Replace(_))
    }
}

/// What came of the wish to refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshClaim {
    /// Nobody else refreshes it until the lease ends.
    Granted,
    /// Somebody else does, for so long at most. Wait for another version.
    Held(Duration),
    /// It is of another version by now, or gone: read it again.
    Changed,
}

/// A credential whose refresh is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueRefresh {
    /// Whose it is.
    pub connection: ConnectionKey,
    /// Its version.
    pub version: i64,
    /// Since when it is due.
    pub refresh_at: DateTime<Utc>,
}

/// What the store does with credentials.
#[async_trait]
pub trait CredentialStore: Send + Sync {
    /// Gets the credential of a connection and its secrets, as they are at one moment.
    async fn credential(&self, connection: ConnectionKey) -> Result<Option<(Credential, Secrets)>>;

    /// Gets those of several connections, without their secrets.
    async fn credentials(&self, connections: Vec<ConnectionKey>) -> Result<Vec<Credential>>;

    /// Writes the credential of a connection, where it is still of the version `expected` (`None`: there is none yet), and
    /// ends the lease of whoever refreshes it. Returns the new version.
    ///
    /// # Errors
    /// `Conflict("credential")` where it is of another version, or somebody refreshes it and the write has to wait for
    /// that; `Missing("connection")`.
    async fn put_credential(
        &self,
        connection: ConnectionKey,
        expected: Option<i64>,
        put: CredentialPut,
        now: DateTime<Utc>,
    ) -> Result<i64>;

    /// Removes the credential and its secrets, where it is still of this version.
    ///
    /// # Errors
    /// `Conflict("credential")`.
    async fn remove_credential(
        &self,
        connection: ConnectionKey,
        expected: i64,
        now: DateTime<Utc>,
    ) -> Result<()>;

    /// Takes the lease to refresh a credential of this version. `holder` is another for each attempt; the same one again
    /// makes its lease longer.
    async fn claim_refresh(
        &self,
        connection: ConnectionKey,
        version: i64,
        holder: &str,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<RefreshClaim>;

    /// How many connections have an account that was connected through this OAuth app and works, or waits to be confirmed.
    async fn count_grants(&self, oauth_app: &str) -> Result<u64>;

    /// Credentials that are to be refreshed by now and that nobody refreshes, the longest due first. Those of connections
    /// that are being deleted are not among them.
    async fn due_refreshes(&self, limit: usize, now: DateTime<Utc>) -> Result<Vec<DueRefresh>>;
}

/// What the stored status of an account says that was connected through this OAuth app. It is looked for as text: JSON
/// may hold `\u0000`, which PostgreSQL does not read. Within a string quotes are escaped, so it is found nowhere else.
fn granted_to(oauth_app: &str) -> String {
    format!("\"oauth_app\":{}", Value::from(oauth_app))
}

/// What the status says of one that is in use, in either way.
const IN_USE: [&str; 2] = [r#""state":"connected""#, r#""state":"pending""#];

/// A stored kind.
fn kind(word: &str) -> Result<AuthKind> {
    serde_json::from_value(Value::String(word.to_owned()))
        .map_err(|error| StoreError::Corrupt { what: "kind of a credential", detail: error.to_string() })
}
