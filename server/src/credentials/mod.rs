//! What connections authenticate with: kept sealed, kept fresh, and given to a connector only as what it may see.
//!
//! `authorize` connects an account, `granted` is what a provider gave as it is stored, `usable` says what a connector gets, `client` how an OAuth provider is met for a connection, `refresh` how a grant gets
//! a new access token without two of them being asked for at once, `flights` who does so in this process, `keep_fresh`
//! refreshes ahead of time. How a credential is stored is in [`crate::store::credentials`], how a provider is talked to in
//! the crate `superfasttt-oauth`.

pub mod authorize;
mod client;
mod flights;
mod granted;
mod keep_fresh;
mod refresh;
#[cfg(test)]
mod tests;
mod trouble;
mod usable;

use usable::AtHand;
pub use usable::Usable;

use std::sync::Arc;

use superfasttt_oauth::Http;
use superfasttt_proto::error::ConnectorError;

use crate::catalog::{AuthKind, Manifest};
use crate::clock::SharedClock;
use crate::config::OAuthConfig;
use crate::store::Store;
use crate::store::connections::Connection;
use crate::vault::Vault;
use flights::Flights;

/// The names of the secrets of a credential.
pub(crate) mod field {
    /// An OAuth access token.
    pub(crate) const ACCESS: &str = "access_token";
    /// An OAuth refresh token.
    pub(crate) const REFRESH: &str = "refresh_token";
    /// What a person entered: an encoded `superfasttt.connector.v1.Credential`.
    pub(crate) const ENTERED: &str = "credential";
    /// The secret of an OAuth app.
    pub(crate) const CLIENT_SECRET: &str = "client_secret";
}

/// The credentials of all connections. One per process.
pub struct Credentials {
    store: Arc<dyn Store>,
    vault: Vault,
    http: Http,
    clock: SharedClock,
    config: OAuthConfig,
    flights: Flights,
}

impl Credentials {
    /// The credentials in this store, sealed with this vault.
    pub fn new(
        store: Arc<dyn Store>,
        vault: Vault,
        http: Http,
        clock: SharedClock,
        config: OAuthConfig,
    ) -> Arc<Self> {
        Arc::new(Self { store, vault, http, clock, config, flights: Flights::default() })
    }

    /// What a connector authenticates with for this connection, good for a while from now. `None`: its manifest asks for
    /// nothing.
    ///
    /// # Errors
    /// `CREDENTIAL_REVOKED` where a person has to connect; `SOURCE_UNAVAILABLE` where the provider does not answer;
    /// `SETTINGS_INVALID` where the settings make no provider; `INTERNAL` where the vault or the store is at fault.
    pub async fn usable(
        self: &Arc<Self>,
        connection: &Connection,
        manifest: &Arc<Manifest>,
    ) -> Result<Option<Usable>, ConnectorError> {
        self.get(connection, manifest, None).await
    }

    /// As [`Self::usable`], after the source refused `refused`: never that one again. A grant is refreshed once for it, by
    /// whoever comes first.
    ///
    /// # Errors
    /// As [`Self::usable`]; `CREDENTIAL_REVOKED` where there is nothing newer and nothing to get something newer with.
    pub async fn instead_of(
        self: &Arc<Self>,
        connection: &Connection,
        manifest: &Arc<Manifest>,
        refused: &Usable,
    ) -> Result<Option<Usable>, ConnectorError> {
        self.get(connection, manifest, Some(refused)).await
    }

    async fn get(
        self: &Arc<Self>,
        connection: &Connection,
        manifest: &Arc<Manifest>,
        refused: Option<&Usable>,
    ) -> Result<Option<Usable>, ConnectorError> {
        if manifest.auth.kind == AuthKind::None {
            return Ok(None);
        }
        // Most calls find a fresh one, and need not wait for each other.
        if let AtHand::Good(usable) = self.at_hand(connection, manifest, refused).await? {
            return Ok(Some(usable));
        }
        let flight = self.flights.of(connection.key);
        let _alone = flight.lock().await;
        loop {
            let version = match self.at_hand(connection, manifest, refused).await? {
                AtHand::Good(usable) => return Ok(Some(usable)),
                AtHand::Stale(version) => version,
            };
            if let Err(error) = self.refresh(connection, manifest, version).await {
                // It may be good for a moment yet; the next use tries again.
                return match self.still_good(connection, manifest, refused).await? {
                    Some(usable) => Ok(Some(usable)),
                    None => Err(error),
                };
            }
        }
    }
}
