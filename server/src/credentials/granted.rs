//! What a provider gave, as it is stored: after a person agreed, and after each refresh.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use superfasttt_oauth::Tokens;
use superfasttt_proto::error::ConnectorError;

use super::refresh::refresh_at;
use super::trouble::internal;
use super::{Credentials, field};
use crate::catalog::Manifest;
use crate::store::connections::Connection;
use crate::store::credentials::Status;
use crate::store::secrets::Secrets;
use crate::vault::Place;

/// What a provider gave.
pub(super) struct Granted {
    /// What it says of it.
    pub(super) status: Status,
    /// When the access token ends.
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// When it is to be refreshed.
    pub(super) refresh_at: Option<DateTime<Utc>>,
    /// Its tokens, sealed.
    pub(super) secrets: Secrets,
}

impl Credentials {
    /// Seals the tokens of a reply to a call that `began` then. `status`: how it stands, to which is added what the reply says.
    pub(super) fn granted(
        &self,
        connection: &Connection,
        manifest: &Manifest,
        tokens: Tokens,
        status: Status,
        began: DateTime<Utc>,
    ) -> Result<Granted, ConnectorError> {
        let mut secrets = Secrets::new();
        let mut seal = |name: &str, secret: &SecretString| {
            let place = Place::of_connection(&connection.organization, &connection.id, name);
            let sealed = self.vault.seal(&place, secret.expose_secret().as_bytes());
            sealed.map(|sealed| drop(secrets.insert(name.to_owned(), sealed)))
        };
        seal(field::ACCESS, &tokens.access).map_err(|error| internal(&error.to_string()))?;
        if let Some(refresh) = &tokens.refresh {
            seal(field::REFRESH, refresh).map_err(|error| internal(&error.to_string()))?;
        }
        let mut status = Status { token_type: tokens.token_type, ..status };
        if let Some(granted) = tokens.granted {
            (status.granted_scopes, status.missing_scopes) = (granted, tokens.missing);
        }
        for (name, value) in tokens.extras {
            status.extras.insert(name, value.into());
        }
        let expires_at = tokens.expires_in.and_then(|life| Some(began + TimeDelta::from_std(life).ok()?));
        let refresh_at = refresh_at(began, expires_at, manifest.auth.oauth.refresh_idle);
        Ok(Granted { status, expires_at, refresh_at, secrets })
    }
}
