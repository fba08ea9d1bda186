//! What a connector gets of a credential: the access token or what a person entered, when it ends, and the values that its
//! manifest declares. Never a refresh token or a client secret.

use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;
use secrecy::{ExposeSecret, SecretSlice};
use superfasttt_proto::connector::v1::{self, OAuthToken, credential::Kind};
use superfasttt_proto::error::ConnectorError;

use super::entered::resolved;
use super::trouble::{internal, settings_invalid, unusable};
use super::{Credentials, Wanted, field};
use crate::access::Purpose;
use crate::catalog::AuthKind;
use crate::redact::{self, Kept};
use crate::store::connections::Connection;
use crate::store::credentials::{Credential, State};
use crate::store::secrets::Secrets;
use crate::vault::Place;

/// A token that ends sooner than this is refreshed before it is given out: a call may take a while to begin. Of one that
/// lives shorter than twice this, half its life is enough: no refresh would bring more.
const LEFT_AT_LEAST: TimeDelta = TimeDelta::seconds(60);

/// What a connector authenticates with. `Debug` shows no secret.
#[derive(Clone)]
pub struct Usable {
    /// As the connector gets it.
    pub credential: v1::Credential,
    /// When it ends. `None`: nobody said.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was got: another one has another time.
    pub got_at: Option<DateTime<Utc>>,
    /// While it is held, nothing that is written tells it.
    pub kept: Kept,
}

impl std::fmt::Debug for Usable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Usable");
        shown.field("expires_at", &self.expires_at).field("got_at", &self.got_at).finish_non_exhaustive()
    }
}

/// What is stored.
pub(super) enum AtHand {
    /// It can be used.
    Good(Usable),
    /// This version has to be refreshed; another one is looked at first.
    Stale(i64),
}

/// When the access token of a credential was got.
pub(super) fn got_at(credential: &Credential) -> Option<DateTime<Utc>> {
    credential.status.refreshed_at.max(credential.status.connected_at)
}

impl Credentials {
    /// What is stored, where it can be used as it is and is not what was refused.
    pub(super) async fn at_hand(&self, wanted: Wanted<'_>) -> Result<AtHand, ConnectorError> {
        let Wanted { connection, manifest, refused, .. } = wanted;
        let (credential, secrets) = self.connected(wanted).await?;
        let was_refused = refused.is_some_and(|refused| refused.got_at == got_at(&credential));
        let ends_soon = credential.expires_at.is_some_and(|at| {
            let half_life = got_at(&credential).map_or(LEFT_AT_LEAST, |got_at| (at - got_at) / 2);
            at - self.clock.now() <= LEFT_AT_LEAST.min(half_life)
        });
        if was_refused || (credential.kind == AuthKind::OAuth2 && ends_soon) {
            if self.renews(&credential, &secrets, manifest) {
                return Ok(AtHand::Stale(credential.version));
            }
            let ended = was_refused || credential.expires_at.is_some_and(|at| at <= self.clock.now());
            if ended {
                return Err(self.ended(connection, &credential).await);
            }
        }
        self.give(wanted, &credential, &secrets).await.map(AtHand::Good)
    }

    /// What is stored, where it was not refused and has not ended yet, however soon it does.
    pub(super) async fn still_good(&self, wanted: Wanted<'_>) -> Result<Option<Usable>, ConnectorError> {
        let (credential, secrets) = self.connected(wanted).await?;
        let was_refused = wanted.refused.is_some_and(|refused| refused.got_at == got_at(&credential));
        if was_refused || credential.expires_at.is_some_and(|at| at <= self.clock.now()) {
            return Ok(None);
        }
        self.give(wanted, &credential, &secrets).await.map(Some)
    }

    async fn connected(&self, wanted: Wanted<'_>) -> Result<(Credential, Secrets), ConnectorError> {
        let (credential, secrets) = self.stored(wanted.connection, wanted.manifest).await?;
        let is_test = wanted.used_for.purpose == Purpose::Test;
        match credential.status.state {
            State::Connected => Ok((credential, secrets)),
            State::Pending if is_test && !secrets.is_empty() => Ok((credential, secrets)),
            // What was entered may be good again, or refer to something that is another by now.
            State::NeedsReconnect if is_test && credential.kind != AuthKind::OAuth2 => {
                Ok((credential, secrets))
            }
            _ => Err(unusable(&credential)),
        }
    }

    async fn give(
        &self,
        wanted: Wanted<'_>,
        credential: &Credential,
        secrets: &Secrets,
    ) -> Result<Usable, ConnectorError> {
        let given = self.open(wanted.connection, credential, secrets).await?;
        let kept = redact::keep(&wanted.manifest.auth.secrets_of(&given));
        Ok(Usable { credential: given, expires_at: credential.expires_at, got_at: got_at(credential), kept })
    }

    /// Opens what a connector may see.
    async fn open(
        &self,
        connection: &Connection,
        credential: &Credential,
        secrets: &Secrets,
    ) -> Result<v1::Credential, ConnectorError> {
        if credential.kind != AuthKind::OAuth2 {
            let entered = self.secret(connection, secrets, field::ENTERED).await?;
            let entered = v1::Credential::decode(entered.expose_secret())
                .map_err(|_| internal("what was entered cannot be read any more: enter it again"))?;
            // Whoever looks after the server mends this, and nobody has to enter anything again.
            return resolved(entered, &self.references).map_err(|error| settings_invalid(error.to_string()));
        }
        let access = self.secret(connection, secrets, field::ACCESS).await?;
        let access = String::from_utf8(access.expose_secret().to_vec())
            .map_err(|_| internal("the stored access token is no text: connect again"))?;
        let text =
            |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let extras = credential.status.extras.iter().map(|(name, value)| (name.clone(), text(value)));
        Ok(v1::Credential {
            kind: Some(Kind::Oauth2(OAuthToken {
                access_token: access,
                token_type: credential.status.token_type.clone(),
                scopes: credential.status.granted_scopes.clone(),
            })),
            expires_at: credential.expires_at.map(|at| prost_types::Timestamp {
                seconds: at.timestamp(),
                nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or_default(),
            }),
            extras: extras.collect(),
        })
    }

    /// Opens one secret of a connection.
    pub(super) async fn secret(
        &self,
        connection: &Connection,
        secrets: &Secrets,
        field: &str,
    ) -> Result<SecretSlice<u8>, ConnectorError> {
        let sealed = secrets
            .get(field)
            .ok_or_else(|| internal("a part of the credential is not there: connect again"))?;
        let place = Place::of_connection(&connection.organization, &connection.id, field);
        self.vault.open(&place, sealed).await.map_err(|error| internal(&error.to_string()))
    }
}
