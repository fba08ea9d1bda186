//! OAuth apps: what an installation, or an organisation of its own, is known to a provider by. Of the two the
//! organisation's own comes first. The client secret, and what else a provider gave out with it, is in `secrets`.

pub(in crate::store) mod postgres;
pub mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::secrets::{Secrets, SecretsWrite};
use super::{Listed, Result};

/// An OAuth app as it is stored, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthApp {
    /// What the world calls it.
    pub id: String,
    /// Whose it is; empty: of all organisations that have none of their own.
    pub organization: String,
    /// The connector that it is for.
    pub connector: String,
    /// What the provider calls it.
    pub client_id: String,
    /// Counts updates by people.
    pub revision: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When a person last changed it.
    pub updated_at: DateTime<Utc>,
}

/// An OAuth app to be made.
#[derive(Clone, Debug)]
pub struct NewOAuthApp {
    /// The server's id.
    pub id: String,
    /// Whose it is; empty: of all organisations that have none of their own.
    pub organization: String,
    /// The connector that it is for.
    pub connector: String,
    /// What the provider calls it.
    pub client_id: String,
    /// Its secrets, sealed for [`crate::vault::Place::of_oauth_app`].
    pub secrets: Secrets,
}

/// What a person changes.
#[derive(Clone, Debug)]
pub struct OAuthAppChange {
    /// What the provider calls it. `None`: as before.
    pub client_id: Option<String>,
    /// Its secrets.
    pub secrets: SecretsWrite,
}

/// What the store does with OAuth apps.
#[async_trait]
pub trait OAuthAppStore: Send + Sync {
    /// Makes one.
    ///
    /// # Errors
    /// `Taken("oauth_app")` where the organisation has one for this connector.
    async fn create_oauth_app(&self, new: NewOAuthApp, now: DateTime<Utc>) -> Result<OAuthApp>;

    /// Changes one, where its revision is still `revision` (`None`: whatever it is).
    ///
    /// # Errors
    /// `Missing("oauth_app")`, `Conflict("oauth_app")`.
    async fn update_oauth_app(
        &self,
        id: &str,
        revision: Option<i64>,
        change: OAuthAppChange,
        now: DateTime<Utc>,
    ) -> Result<OAuthApp>;

    /// Gets one and its secrets, as they are at one moment.
    async fn oauth_app(&self, id: &str) -> Result<Option<(OAuthApp, Secrets)>>;

    /// Gets the one that an organisation uses with a connector: its own, else that of the installation.
    async fn oauth_app_for(&self, organization: &str, connector: &str)
    -> Result<Option<(OAuthApp, Secrets)>>;

    /// Lists those of one owner (empty: of the installation) or of all, oldest first, those with an id after `after`.
    async fn oauth_apps(
        &self,
        organization: Option<String>,
        after: &str,
        limit: usize,
    ) -> Result<Listed<OAuthApp>>;

    /// Removes one and its secrets; says whether it was there.
    async fn remove_oauth_app(&self, id: &str) -> Result<bool>;
}
