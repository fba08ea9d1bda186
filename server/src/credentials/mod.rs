//! What connections authenticate with: kept sealed, kept fresh, and given to a connector only as what it may see.
//!
//! `entered` is what a person enters, with the values that `reference` finds elsewhere; `set` and `account` bring a
//! connection to its credential, `revoke` takes it away. `authorize` has a person connect an account, `granted` is what a
//! provider gave as it is stored. `usable` says what a connector gets, `client` how an OAuth provider is met for a connection
//! (`app_secret` as whom), `refresh` how a grant gets a new access token without two of them being asked for at once,
//! `flights` who does so in this process, `keep_fresh` refreshes ahead of time. How a credential is stored is in
//! [`crate::store::credentials`], how a provider is talked to in the crate `superfasttt-oauth`.

mod account;
mod app_secret;
pub mod authorize;
mod client;
pub mod entered;
mod flights;
mod granted;
mod keep_fresh;
mod reference;
mod refresh;
mod revoke;
mod set;
mod settings;
#[cfg(test)]
mod tests;
mod trouble;
mod usable;

pub use app_secret::AppSecretError;
pub use settings::{UNOPENED, field_of, sealed_places};
pub(crate) use trouble::of_failure;
use usable::AtHand;
pub use usable::Usable;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use superfasttt_oauth::Http;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::access::{Audit, CredentialUse, Purpose};
use crate::catalog::{AuthKind, Catalog, Manifest};
use crate::clock::SharedClock;
use crate::config::{CredentialsConfig, OAuthConfig};
use crate::store::connections::Connection;
use crate::store::credentials::{Credential, CredentialPut};
use crate::store::secrets::{Secrets, SecretsWrite};
use crate::store::{Store, StoreError};
use crate::sync::port::CredentialSource;
use crate::vault::{KeyRing, Vault, VaultError};
use flights::Flights;
use trouble::{away, ended_at_once, missing};

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

/// One use asks for no more refreshes than this: where another replica's came first, and was refused since, a second one.
/// A provider whose tokens have ended when they come would be asked for ever.
const REFRESHES_AT_MOST: usize = 3;

/// How long a change waits for whoever refreshes the same credential, and how often it looks.
const CHANGE_PATIENCE: Duration = Duration::from_secs(30);
const CHANGE_PAUSE: Duration = Duration::from_millis(100);

/// What credentials are made of.
pub struct Parts {
    /// Where they are kept.
    pub store: Arc<dyn Store>,
    /// What seals them.
    pub vault: Vault,
    /// How providers are reached.
    pub http: Http,
    /// What time it is.
    pub clock: SharedClock,
    /// What connectors ask for.
    pub catalog: Arc<Catalog>,
    /// Which providers may be reached.
    pub oauth: OAuthConfig,
    /// What entered values may refer to.
    pub references: CredentialsConfig,
    /// Where uses are taken down.
    pub audit: Audit,
}

/// The credentials of all connections. One per process.
pub struct Credentials {
    store: Arc<dyn Store>,
    vault: Vault,
    http: Http,
    clock: SharedClock,
    catalog: Arc<Catalog>,
    config: OAuthConfig,
    references: CredentialsConfig,
    audit: Audit,
    flights: Flights,
    /// What a provider is being asked, which may bring what it gives only once.
    calls: TaskTracker,
    settings_key: OnceCell<KeyRing>,
}

/// A wish for a credential.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Whose.
    pub connection: &'a Connection,
    /// Its connector's.
    pub manifest: &'a Arc<Manifest>,
    /// What the source refused: never that one again. A grant is refreshed once for it, by whoever comes first.
    pub refused: Option<&'a Usable>,
    /// What for. For a test, which finds out whose account it opens, also while that is not known.
    pub used_for: UsedFor<'a>,
}

/// What a credential is used for, as the audit log tells it.
#[derive(Clone, Copy, Debug)]
pub struct UsedFor<'a> {
    /// What for.
    pub purpose: Purpose,
    /// The run that it is for; empty: none.
    pub run: &'a str,
}

impl Credentials {
    /// Puts them together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { store, vault, http, clock, catalog, oauth: config, references, audit } = parts;
        let (flights, calls) = (Flights::default(), TaskTracker::new());
        let settings_key = OnceCell::new();
        Arc::new(Self {
            store,
            vault,
            http,
            clock,
            catalog,
            config,
            references,
            audit,
            flights,
            calls,
            settings_key,
        })
    }

    /// Waits until what providers are being asked is answered and stored, for so long at most: a process that ends before
    /// loses tokens that are given once.
    pub async fn finish(&self, patience: Duration) {
        self.calls.close();
        if tokio::time::timeout(patience, self.calls.wait()).await.is_err() {
            let calls = self.calls.len();
            tracing::warn!(
                calls,
                "providers did not answer in time, or the store did not take what they gave"
            );
        }
    }

    /// Whether there are keys to seal with.
    ///
    /// # Errors
    /// `NoKeys`, which says what to set.
    pub fn can_seal(&self) -> Result<(), VaultError> {
        self.vault.ring().map(drop)
    }

    /// What values that people enter may refer to.
    pub fn references(&self) -> &CredentialsConfig {
        &self.references
    }

    /// What a connector authenticates with, good for a while from now. `None`: its manifest asks for nothing.
    ///
    /// # Errors
    /// `CREDENTIAL_REVOKED` where a person has to connect; `SOURCE_UNAVAILABLE` where the provider does not answer;
    /// `SETTINGS_INVALID` where the settings make no provider; `INTERNAL` where the vault or the store is at fault.
    pub async fn usable(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Option<Usable>, ConnectorError> {
        if wanted.manifest.auth.kind == AuthKind::None {
            return Ok(None);
        }
        let usable = self.fresh(wanted).await;
        let UsedFor { purpose, run } = wanted.used_for;
        let found = usable.is_ok();
        self.audit.credential_used(CredentialUse { connection: wanted.connection, purpose, run, found });
        usable.map(Some)
    }

    /// What is stored, refreshed where that has to be.
    async fn fresh(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Usable, ConnectorError> {
        let Wanted { connection, manifest, .. } = wanted;
        // Most calls find a fresh one, and need not wait for each other.
        if let AtHand::Good(usable) = self.at_hand(wanted).await? {
            return Ok(usable);
        }
        let flight = self.flights.of(connection.key);
        let _alone = flight.lock().await;
        let mut failure = None;
        for _ in 0..REFRESHES_AT_MOST {
            let version = match self.at_hand(wanted).await? {
                AtHand::Good(usable) => return Ok(usable),
                AtHand::Stale(version) => version,
            };
            if let Err(error) = self.refresh(connection, manifest, version).await {
                failure = Some(error);
                break;
            }
        }
        // It may be good for a moment yet; the next use tries again.
        match self.still_good(wanted).await? {
            Some(usable) => Ok(usable),
            None => Err(failure.unwrap_or_else(ended_at_once)),
        }
    }

    /// A new access token now, whatever there is.
    ///
    /// # Errors
    /// As [`Self::usable`]; `UNIMPLEMENTED` where there is nothing to refresh it with.
    pub async fn refresh_now(self: &Arc<Self>, connection: &Connection) -> Result<(), ConnectorError> {
        let manifest = self.manifest(connection)?;
        let flight = self.flights.of(connection.key);
        let _alone = flight.lock().await;
        let (credential, secrets) = self.stored(connection, &manifest).await?;
        if !self.renews(&credential, &secrets, &manifest) {
            let message =
                "there is nothing to refresh it with: the provider gave no refresh token, or it is no grant";
            return Err(ConnectorError::new(Reason::Unimplemented, message));
        }
        self.refresh(connection, &manifest, credential.version).await
    }

    /// What is stored for the kind that the connector asks for.
    async fn stored(
        &self,
        connection: &Connection,
        manifest: &Manifest,
    ) -> Result<(Credential, Secrets), ConnectorError> {
        let stored = self.store.credential(connection.key).await.map_err(|error| away(&error))?;
        let of_this_kind = |(credential, _): &(Credential, Secrets)| credential.kind == manifest.auth.kind;
        stored.filter(of_this_kind).ok_or_else(|| missing(manifest.auth.kind))
    }

    /// The manifest of a connection's connector.
    fn manifest(&self, connection: &Connection) -> Result<Arc<Manifest>, ConnectorError> {
        let entry = self.catalog.get(&connection.connector);
        entry.and_then(|entry| entry.manifest.clone()).ok_or_else(|| {
            let message =
                format!("there is no connector {:?} in the catalogue any more", connection.connector);
            ConnectorError::new(Reason::NotFound, message)
        })
    }

    /// Changes what is stored of a credential, as `change` makes it of what is there; `None`: it stays. Waits for whoever
    /// refreshes it, and for whoever else changes it.
    async fn change(
        &self,
        connection: &Connection,
        mut change: impl FnMut(Option<&Credential>) -> Result<Option<CredentialPut>, ConnectorError>,
    ) -> Result<(), ConnectorError> {
        let until = Instant::now() + CHANGE_PATIENCE;
        loop {
            let found = self.store.credential(connection.key).await.map_err(|error| away(&error))?;
            let found = found.map(|(credential, _)| credential);
            let Some(put) = change(found.as_ref())? else { return Ok(()) };
            let expected = found.map(|credential| credential.version);
            match self.store.put_credential(connection.key, expected, put, self.clock.now()).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict(_)) if Instant::now() < until => {
                    tokio::time::sleep(CHANGE_PAUSE).await;
                }
                Err(error) => return Err(away(&error)),
            }
        }
    }
}

/// The credential as it is stored, to be written again with what changes.
fn as_it_is(credential: &Credential) -> CredentialPut {
    CredentialPut {
        kind: credential.kind,
        status: credential.status.clone(),
        expires_at: credential.expires_at,
        refresh_at: credential.refresh_at,
        secrets: SecretsWrite::keep(),
        refreshed: false,
    }
}

#[async_trait]
impl CredentialSource for Credentials {
    async fn settings(&self, connection: &Connection) -> Result<Map<String, Value>, ConnectorError> {
        self.open_settings(connection).await
    }

    async fn credential(
        self: Arc<Self>,
        connection: &Connection,
        refused: Option<&Usable>,
        used_for: UsedFor<'_>,
    ) -> Result<Option<Usable>, ConnectorError> {
        let manifest = self.manifest(connection)?;
        self.usable(Wanted { connection, manifest: &manifest, refused, used_for }).await
    }

    async fn refused(&self, connection: &Connection, held: &Usable, error: &ConnectorError) {
        self.refused_by_source(connection, held, error).await;
    }

    async fn withdraw(self: Arc<Self>, connection: &Connection) {
        self.withdraw_for_good(connection).await;
    }
}
