//! A connection gets its credential: what a person entered, or the grant of an application that acts by itself.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use prost::Message;
use secrecy::SecretString;
use superfasttt_oauth::Tokens;
use superfasttt_proto::connector::v1;
use superfasttt_proto::control::v1::run::Trigger;
use superfasttt_proto::error::ConnectorError;

use super::trouble::{away, internal};
use super::{Credentials, field};
use crate::catalog::Manifest;
use crate::schedule::times::Due;
use crate::store::connections::{Connection, ConnectionChange};
use crate::store::credentials::{Credential, CredentialPut, State, Status, Trouble};
use crate::store::secrets::{Secrets, SecretsWrite};
use crate::vault::Place;

impl Credentials {
    /// Stores what a person entered, which [`super::entered::check`] found good. Where the connection was another account's
    /// so far, it is not used before [`Self::tested`] has said whose it is.
    ///
    /// # Errors
    /// `INTERNAL` where the vault or the store is at fault.
    pub async fn enter(
        &self,
        connection: &Connection,
        manifest: &Manifest,
        entered: v1::Credential,
    ) -> Result<(), ConnectorError> {
        let place = Place::of_connection(&connection.organization, &connection.id, field::ENTERED);
        let bytes = zeroize::Zeroizing::new(entered.encode_to_vec());
        let sealed = self.vault.seal(&place, &bytes).map_err(|error| internal(&error.to_string()))?;
        let secrets = Secrets::from([(field::ENTERED.to_owned(), sealed)]);
        let expires_at = entered.expires_at.as_ref().and_then(crate::api::time);
        self.change(connection, |found| {
            Ok(Some(CredentialPut {
                kind: manifest.auth.kind,
                status: self.connected_now(found),
                expires_at,
                refresh_at: None,
                secrets: SecretsWrite::Replace(secrets.clone()),
                refreshed: false,
            }))
        })
        .await
    }

    /// Takes over a grant that another system has held so far. It has to be one of the OAuth app that the organisation uses,
    /// or it cannot be refreshed.
    ///
    /// # Errors
    /// `INTERNAL` where the vault or the store is at fault.
    pub async fn take_over(
        &self,
        connection: &Connection,
        manifest: &Manifest,
        token: v1::OAuthToken,
        refresh: Option<SecretString>,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<(), ConnectorError> {
        let now = self.clock.now();
        let asked = manifest.auth.oauth.scopes_for(&[], &[]);
        let granted = (!token.scopes.is_empty()).then_some(token.scopes);
        let missing =
            granted.iter().flat_map(|granted| asked.iter().filter(|asked| !granted.contains(asked)));
        let tokens = Tokens {
            access: SecretString::from(token.access_token),
            refresh,
            expires_in: expires_at.map(|at| (at - now).to_std().unwrap_or_default()),
            refresh_expires_in: None,
            token_type: token.token_type,
            missing: missing.cloned().collect(),
            granted,
            extras: BTreeMap::new(),
        };
        let granted = self.granted(connection, manifest, tokens, Status::default(), now)?;
        self.change(connection, |found| {
            let connected = self.connected_now(found);
            Ok(Some(CredentialPut {
                kind: manifest.auth.kind,
                status: Status {
                    token_type: granted.status.token_type.clone(),
                    granted_scopes: granted.status.granted_scopes.clone(),
                    missing_scopes: granted.status.missing_scopes.clone(),
                    ..connected
                },
                expires_at: granted.expires_at,
                refresh_at: granted.refresh_at,
                secrets: SecretsWrite::Replace(granted.secrets.clone()),
                refreshed: false,
            }))
        })
        .await
    }

    /// Gets a token for an application that acts by itself.
    ///
    /// # Errors
    /// As [`Self::usable`].
    pub async fn connect_app(
        self: &std::sync::Arc<Self>,
        connection: &Connection,
        manifest: &std::sync::Arc<Manifest>,
    ) -> Result<(), ConnectorError> {
        self.change(connection, |found| {
            Ok(Some(CredentialPut {
                kind: manifest.auth.kind,
                status: self.connected_now(found),
                // There is none yet: whoever uses it gets one.
                expires_at: Some(self.clock.now()),
                refresh_at: None,
                secrets: SecretsWrite::Replace(Secrets::new()),
                refreshed: false,
            }))
        })
        .await?;
        self.refresh_now(connection).await
    }

    /// How it stands with a credential that a person has just connected or entered.
    pub(super) fn connected_now(&self, before: Option<&Credential>) -> Status {
        let now = self.clock.now();
        let account = before.and_then(|before| before.status.account.clone());
        let unknown = account.is_some().then(|| Trouble {
            reason: String::new(),
            message: "it is not known yet whether it is the same account as before: test the connection"
                .to_owned(),
            since: now,
        });
        Status {
            state: if unknown.is_some() { State::Pending } else { State::Connected },
            since: now,
            connected_at: Some(now),
            trouble: unknown,
            account,
            ..Status::default()
        }
    }

    /// Has a connection synced, where its credential can be used.
    ///
    /// # Errors
    /// `INTERNAL` where the store is at fault.
    pub async fn sync_when_connected(&self, connection: &Connection) -> Result<(), ConnectorError> {
        let found = self.store.credential(connection.key).await.map_err(|error| away(&error))?;
        let is_connected = found.is_some_and(|(found, _)| found.status.state == State::Connected);
        if is_connected { self.sync_again(connection, false).await } else { Ok(()) }
    }

    /// Has a connection synced that can be again. `full`: what was synced so far was another account's.
    pub(super) async fn sync_again(&self, connection: &Connection, full: bool) -> Result<(), ConnectorError> {
        let now = self.clock.now();
        let due = Due { at: now, cause: Trigger::Settings, full };
        let change = ConnectionChange { next: Some(Some(due)), ..ConnectionChange::default() };
        let changed = self.store.update_connection(&connection.id, None, change, now).await;
        changed.map(drop).map_err(|error| away(&error))
    }
}
