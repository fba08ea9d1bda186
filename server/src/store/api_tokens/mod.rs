//! API tokens: who may call the control API. What is stored of a token is its SHA-256. A slow hash, as for passwords, would
//! gain nothing: a token is 256 random bits, which nobody guesses however fast a guess is; and this one can be looked up.

pub(in crate::store) mod postgres;
pub mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Listed, Result};
use crate::access::Permission;

/// The SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// An API token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// The server's id.
    pub id: String,
    /// For people; unique among those that are not revoked.
    pub name: String,
    /// The only organisation that it sees; empty: all.
    pub organization: String,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends. `None`: not by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last shown, to a minute or so.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When a person ended it.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// An API token to be made.
#[derive(Clone, Debug)]
pub struct NewApiToken {
    /// The server's id.
    pub id: String,
    /// For people.
    pub name: String,
    /// Its hash.
    pub hash: TokenHash,
    /// The only organisation that it sees; empty: all.
    pub organization: String,
    /// What it may do. What is for the whole installation only where the organisation is empty.
    pub permissions: Vec<Permission>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What the store does with API tokens.
#[async_trait]
pub trait ApiTokenStore: Send + Sync {
    /// Makes one.
    ///
    /// # Errors
    /// `Taken("api_token")` where one that is not revoked has the name.
    async fn create_api_token(&self, new: NewApiToken, now: DateTime<Utc>) -> Result<ApiToken>;

    /// Gets the one of this hash, whatever became of it.
    async fn api_token_by_hash(&self, hash: TokenHash) -> Result<Option<ApiToken>>;

    /// Lists those of one organisation (empty: of the installation) or all, oldest first, those with an id after `after`.
    async fn api_tokens(
        &self,
        organization: Option<String>,
        after: &str,
        limit: usize,
    ) -> Result<Listed<ApiToken>>;

    /// Ends one. Again is harmless: it keeps the first time.
    ///
    /// # Errors
    /// `Missing("api_token")`.
    async fn revoke_api_token(&self, id: &str, now: DateTime<Utc>) -> Result<ApiToken>;

    /// Says when tokens were last shown. An older time than is there changes nothing.
    async fn note_api_tokens(&self, used: Vec<(String, DateTime<Utc>)>) -> Result<()>;
}
