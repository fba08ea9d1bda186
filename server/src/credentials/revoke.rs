//! A credential is taken away: the provider is asked to end the grant, and what is stored of it goes.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use superfasttt_oauth::{Failure, Grant, Revocation};
use superfasttt_proto::error::ConnectorError;

use super::trouble::{internal, of_failure};
use super::{Credentials, as_it_is, field};
use crate::access::{CredentialUse, Purpose};
use crate::catalog::{AuthKind, Manifest};
use crate::store::connections::Connection;
use crate::store::credentials::{Credential, CredentialPut, State, Status};
use crate::store::secrets::{Secrets, SecretsWrite};

/// How long a deletion waits for a provider.
const WITHDRAWAL_AT_MOST: Duration = Duration::from_secs(60);

impl Credentials {
    /// Ends a credential. What is stored goes, whatever the provider says; what it says is returned where the grant may be
    /// alive there.
    ///
    /// # Errors
    /// `CREDENTIAL_REVOKED` where there is none; `INTERNAL` where the vault or the store is at fault.
    pub async fn revoke(self: &Arc<Self>, connection: &Connection) -> Result<Option<String>, ConnectorError> {
        let manifest = self.manifest(connection)?;
        let told = self.withdraw(connection, &manifest).await?;
        self.change(connection, |found| {
            Ok(found.map(|found| CredentialPut {
                status: Status {
                    state: State::Revoked,
                    since: self.clock.now(),
                    trouble: None,
                    failures: 0,
                    other_account: None,
                    // Whoever connects again is told where it is another account.
                    account: found.status.account.clone(),
                    connected_at: found.status.connected_at,
                    ..Status::default()
                },
                expires_at: None,
                refresh_at: None,
                secrets: SecretsWrite::Replace(Secrets::new()),
                ..as_it_is(found)
            }))
        })
        .await?;
        Ok(told)
    }

    /// Asks the provider to end the grant of a connection that goes away, with all that is stored of it.
    pub(super) async fn withdraw_for_good(self: &Arc<Self>, connection: &Connection) {
        let Ok(manifest) = self.manifest(connection) else { return };
        let withdrawn = tokio::time::timeout(WITHDRAWAL_AT_MOST, self.withdraw(connection, &manifest)).await;
        let told = match withdrawn {
            // Nothing was connected.
            Ok(Ok(None) | Err(_)) => return,
            Ok(Ok(Some(told))) => told,
            Err(_) => may_be_alive("it did not answer in time"),
        };
        tracing::warn!(connection = %connection.id, "a connection is deleted: {told}");
    }

    /// Asks the provider to end the grant. Says why that may not have come about.
    async fn withdraw(
        self: &Arc<Self>,
        connection: &Connection,
        manifest: &Arc<Manifest>,
    ) -> Result<Option<String>, ConnectorError> {
        let (mut credential, mut secrets) = self.stored(connection, manifest).await?;
        if credential.kind != AuthKind::OAuth2 || secrets.is_empty() {
            return Ok(None);
        }
        let used = CredentialUse { connection, purpose: Purpose::Revoke, run: "", found: true };
        self.audit.credential_used(used);
        let mut refreshed = false;
        loop {
            return match self.withdraw_once(connection, manifest, &credential, &secrets).await {
                Ok(Revocation::Revoked | Revocation::AlreadyGone) => Ok(None),
                Ok(Revocation::RefreshFirst) if !refreshed => {
                    refreshed = true;
                    if let Err(error) = self.refresh_now(connection).await {
                        return Ok(Some(may_be_alive(&error.message)));
                    }
                    (credential, secrets) = self.stored(connection, manifest).await?;
                    continue;
                }
                Ok(Revocation::RefreshFirst) => Ok(Some(may_be_alive("it takes no living access token"))),
                Ok(Revocation::NotOffered) => Ok(Some(
                    "the provider offers no withdrawal: end the access in the account's settings there"
                        .to_owned(),
                )),
                Err(Withdrawal::Here(error)) => Ok(Some(may_be_alive(&error.message))),
                Err(Withdrawal::Provider(failure)) => Ok(Some(may_be_alive(&of_failure(&failure).message))),
            };
        }
    }

    async fn withdraw_once(
        &self,
        connection: &Connection,
        manifest: &Arc<Manifest>,
        credential: &Credential,
        secrets: &Secrets,
    ) -> Result<Revocation, Withdrawal> {
        let access = self.token(connection, secrets, field::ACCESS).await?;
        let refresh = self.token(connection, secrets, field::REFRESH).await?;
        let (client, _) = self.client(connection, manifest, &credential.status.oauth_app).await?;
        let grant = Grant { access: access.as_ref(), refresh: refresh.as_ref() };
        Ok(client.revoke(grant, self.clock.now()).await?)
    }

    async fn token(
        &self,
        connection: &Connection,
        secrets: &Secrets,
        field: &str,
    ) -> Result<Option<SecretString>, ConnectorError> {
        if !secrets.contains_key(field) {
            return Ok(None);
        }
        let opened = self.secret(connection, secrets, field).await?;
        let text = String::from_utf8(opened.expose_secret().to_vec());
        text.map(|text| Some(SecretString::from(text))).map_err(|_| internal("a stored token is no text"))
    }
}

/// Why a grant may be alive.
enum Withdrawal {
    /// The provider was not asked.
    Here(ConnectorError),
    /// It did not do it.
    Provider(Failure),
}

impl From<ConnectorError> for Withdrawal {
    fn from(error: ConnectorError) -> Self {
        Self::Here(error)
    }
}

impl From<Failure> for Withdrawal {
    fn from(failure: Failure) -> Self {
        Self::Provider(failure)
    }
}

fn may_be_alive(why: &str) -> String {
    format!("the grant may be alive at the provider ({why}): end the access in the account's settings there")
}
