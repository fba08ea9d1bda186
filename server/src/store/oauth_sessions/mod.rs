//! Authorizations under way: from a person's start to the provider's answer. A session is found by the hash of its `state`,
//! so that who reads the database cannot answer for the provider; it is taken once, and ends by itself.

pub(in crate::store) mod postgres;
pub mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::secrets::Secrets;
use super::{ConnectionKey, Result};

/// An authorization under way, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthSession {
    /// SHA-256 of its `state`, in hex.
    pub id: String,
    /// What is to be connected.
    pub connection: ConnectionKey,
    /// What was asked for, and how.
    pub details: Details,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// What was asked for, and how: one JSON column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// The OAuth app.
    pub oauth_app: String,
    /// Where the provider answers to; the exchange of the code has to name it again.
    pub redirect_uri: String,
    /// Where the person ends. `None`: on the page of the callback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
    /// What was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// A hash of what the browser that began shows at the end; empty: a client receives the answer itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub started_by: String,
    /// What came of it. `None`: nothing yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

/// What came of an authorization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The account is connected.
    pub succeeded: bool,
    /// Why not, in words without secrets. Empty: it succeeded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// An authorization to begin.
#[derive(Clone, Debug)]
pub struct NewOAuthSession {
    /// It, as it is to be stored.
    pub session: OAuthSession,
    /// Its secrets, sealed for [`crate::vault::Place::of_oauth_session`].
    pub secrets: Secrets,
}

/// What an answer finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taking {
    /// It is the answer to this one, which no other answer gets.
    Taken(Box<OAuthSession>, Secrets),
    /// There was an answer already.
    Used,
    /// It came too late.
    Expired,
    /// There is none of this `state`, or it ended long ago.
    Unknown,
}

/// An authorization as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// It, and what came of it.
    pub session: OAuthSession,
    /// There was an answer.
    pub taken: bool,
    /// Its secrets, until it is taken.
    pub secrets: Secrets,
}

/// What the store does with authorizations under way.
#[async_trait]
pub trait OAuthSessionStore: Send + Sync {
    /// Begins one.
    ///
    /// # Errors
    /// `Missing("connection")` where that is being deleted; `Taken("oauth_session")`.
    async fn create_oauth_session(&self, new: NewOAuthSession) -> Result<()>;

    /// Takes one: its secrets are gone then.
    async fn take_oauth_session(&self, id: &str, now: DateTime<Utc>) -> Result<Taking>;

    /// Looks at one, whether it is taken or too old or not.
    async fn oauth_session(&self, id: &str) -> Result<Option<Standing>>;

    /// Notes what came of one. The first word stands.
    ///
    /// # Errors
    /// `Missing("oauth_session")`.
    async fn finish_oauth_session(&self, id: &str, ending: Ending) -> Result<()>;

    /// Forgets up to `limit` that ended before; says how many.
    async fn trim_oauth_sessions(&self, before: DateTime<Utc>, limit: usize) -> Result<u64>;
}
