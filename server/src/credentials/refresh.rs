//! A grant gets a new access token.
//!
//! Many may want it at once: a run, a test, a fetch, in several replicas. In one process they wait for each other
//! ([`super::flights`]); of several replicas one takes a lease, and the others wait for another version of the row. Whoever
//! refreshes stores what came, before anybody uses it: a provider that rotates refresh tokens takes a second use of the
//! old one for a theft and ends the grant. So a refresh, once begun, goes on when nobody waits for it any more.
//!
//! A process that dies between the provider's reply and the write loses a rotated token. The next refresh then uses the
//! old one, and the provider says whether it still counts: either the grant works, or a person is asked to connect again.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use superfasttt_oauth::{Ambiguous, Failure, Tokens};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::{ConnectorError, reason_info};
use tokio::time::Instant;

use super::trouble::{away, internal, of_failure};
use super::{Credentials, as_it_is, field};
use crate::access::{CredentialUse, Purpose};
use crate::catalog::{AuthKind, Manifest};
use crate::chance::{between, new_id};
use crate::redact;
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::credentials::{Credential, CredentialPut, RefreshClaim, State, Status, Trouble};
use crate::store::secrets::{Secrets, SecretsWrite};
use crate::telemetry::metrics::CREDENTIAL_REFRESHES;

/// How long a refresh has before another replica may try: longer than a call can take, with its write.
const LEASE: Duration = Duration::from_secs(90);
/// How often those who wait look.
const LOOK: Duration = Duration::from_millis(100);
/// How long a token that came is held on to while the store cannot take it.
const WRITE_PATIENCE: Duration = Duration::from_secs(600);
/// The pause before the store is asked again.
const WRITE_PAUSE: Duration = Duration::from_millis(500);
/// The first and the longest pause after a refresh that did not go through.
const PAUSE_FIRST: Duration = Duration::from_secs(30);
const PAUSE_LONGEST: Duration = Duration::from_secs(3600);
/// How long what could not be tried is left alone, at least.
const TIME_OFF: TimeDelta = TimeDelta::minutes(5);
/// The earliest that a token is refreshed before its end, and the share of its life.
const AHEAD_AT_MOST: TimeDelta = TimeDelta::minutes(10);
const AHEAD_SHARE: i32 = 5;

impl Credentials {
    /// Whether there is something to get a new access token with, without a person.
    pub fn renews(&self, credential: &Credential, secrets: &Secrets, manifest: &Manifest) -> bool {
        credential.kind == AuthKind::OAuth2 && (is_of_app(manifest) || secrets.contains_key(field::REFRESH))
    }

    /// Refreshes this version of the credential, or waits until somebody else has. The caller then looks at what is stored.
    pub(super) async fn refresh(
        self: &Arc<Self>,
        connection: &Connection,
        manifest: &Arc<Manifest>,
        version: i64,
    ) -> Result<(), ConnectorError> {
        let (credential, secrets) = self.stored(connection, manifest).await?;
        if credential.version != version {
            return Ok(());
        }
        if let Some(error) = self.waits(&credential) {
            return Err(error);
        }
        let holder = new_id();
        let claim = self
            .store
            .claim_refresh(connection.key, credential.version, &holder, LEASE, self.clock.now())
            .await
            .map_err(|error| away(&error))?;
        match claim {
            RefreshClaim::Changed => Ok(()),
            RefreshClaim::Held(left) => self.wait_for_another(connection, credential.version, left).await,
            RefreshClaim::Granted => {
                let work = Refresh {
                    credentials: self.clone(),
                    connection: connection.clone(),
                    manifest: manifest.clone(),
                    credential,
                    secrets,
                };
                // By itself: whoever asked may be cancelled, and the provider's reply must not be lost with it.
                let done = self.calls.spawn(work.run()).await;
                done.map_err(|error| internal(&format!("a refresh panicked: {error}")))?
            }
        }
    }

    /// Why it is not tried yet: the last refresh did not go through, and its pause is not over.
    fn waits(&self, credential: &Credential) -> Option<ConnectorError> {
        let (trouble, at) = (credential.status.trouble.as_ref()?, credential.refresh_at?);
        let left = (at - self.clock.now()).to_std().ok().filter(|_| credential.status.failures > 0)?;
        let reason =
            Reason::from_str_name(&format!("REASON_{}", trouble.reason)).unwrap_or(Reason::SourceUnavailable);
        Some(ConnectorError::new(reason, trouble.message.clone()).with_retry_after(left))
    }

    async fn wait_for_another(
        &self,
        connection: &Connection,
        version: i64,
        left: Duration,
    ) -> Result<(), ConnectorError> {
        let until = Instant::now() + left;
        while Instant::now() < until {
            tokio::time::sleep(LOOK.mul_f64(between(0.5..=1.0))).await;
            let now = self.store.credential(connection.key).await.map_err(|error| away(&error))?;
            if now.is_none_or(|(credential, _)| credential.version != version) {
                break;
            }
        }
        Ok(())
    }

    /// It ended or was refused, and cannot be refreshed: a person is told.
    pub(super) async fn ended(&self, connection: &Connection, credential: &Credential) -> ConnectorError {
        let message = match credential.kind {
            AuthKind::OAuth2 => {
                "the access ended, and the provider gave nothing to renew it with: a person has to connect the account again"
            }
            _ => "what was entered has ended or is refused by the source: a person has to enter a new one",
        };
        let put = CredentialPut {
            status: over(&credential.status, message, self.clock.now()),
            refresh_at: None,
            ..as_it_is(credential)
        };
        match self.store.put_credential(connection.key, Some(credential.version), put, self.clock.now()).await
        {
            // Another one wrote at the same time: the next look shows what.
            Ok(_) | Err(StoreError::Conflict(_)) => {}
            Err(error) => return away(&error),
        }
        ConnectorError::new(Reason::CredentialRevoked, message)
    }
}

/// One refresh, once its lease is held.
struct Refresh {
    credentials: Arc<Credentials>,
    connection: Connection,
    manifest: Arc<Manifest>,
    credential: Credential,
    secrets: Secrets,
}

impl Refresh {
    async fn run(self) -> Result<(), ConnectorError> {
        let began = self.credentials.clock.now();
        let called = self.call(began).await;
        CREDENTIAL_REFRESHES.add([&self.connection.connector, outcome(&called)], 1);
        let tokens = match called {
            Ok(tokens) => tokens,
            Err(Stop::Failure(failure)) => {
                let error = of_failure(&failure);
                self.write(self.failed(&failure, &error)).await?;
                return Err(error);
            }
            Err(Stop::Here(error)) => {
                self.write(self.not_asked(&error)).await?;
                return Err(error);
            }
        };
        let _kept = redact::keep(&(tokens.access.clone(), tokens.refresh.clone()));
        let put = self.succeeded(tokens, began)?;
        self.write(put).await
    }

    async fn call(&self, now: DateTime<Utc>) -> Result<Tokens, Stop> {
        let connection = &self.connection;
        let used = CredentialUse { connection, purpose: Purpose::Refresh, run: "", found: true };
        self.credentials.audit.credential_used(used);
        let status = &self.credential.status;
        let (client, _) = self
            .credentials
            .client(&self.connection, &self.manifest, &status.oauth_app)
            .await
            .map_err(Stop::Here)?;
        if is_of_app(&self.manifest) {
            let asked = self.manifest.auth.oauth.scopes_for(&[], &[]);
            return Ok(client.client_credentials(&asked, now).await?);
        }
        let token = self
            .credentials
            .secret(&self.connection, &self.secrets, field::REFRESH)
            .await
            .map_err(Stop::Here)?;
        let token = String::from_utf8(token.expose_secret().to_vec())
            .map_err(|_| Stop::Here(internal("the stored refresh token is no text: connect again")))?;
        let token = SecretString::from(token);
        let _kept = redact::keep(&token);
        // What was not granted is not asked for again: some providers refuse that.
        Ok(client.refresh(&token, &status.granted_scopes, now).await?)
    }

    fn succeeded(&self, tokens: Tokens, began: DateTime<Utc>) -> Result<CredentialPut, ConnectorError> {
        let before = self.credential.status.clone();
        // Of an account that waits to be confirmed it is not known yet whether it may be used.
        let waits = before.state == State::Pending;
        let before = Status {
            state: if waits { State::Pending } else { State::Connected },
            trouble: before.trouble.clone().filter(|_| waits),
            failures: 0,
            refreshed_at: Some(began),
            ..before
        };
        let granted = self.credentials.granted(&self.connection, &self.manifest, tokens, before, began)?;
        Ok(CredentialPut {
            kind: self.credential.kind,
            status: granted.status,
            expires_at: granted.expires_at,
            refresh_at: granted.refresh_at,
            secrets: SecretsWrite::Update(granted.secrets),
            refreshed: true,
        })
    }

    fn failed(&self, failure: &Failure, error: &ConnectorError) -> CredentialPut {
        let now = self.credentials.clock.now();
        let before = &self.credential.status;
        let put = CredentialPut { refreshed: true, refresh_at: None, ..as_it_is(&self.credential) };
        let Failure::Refused(refused) = failure else {
            let wait = match failure {
                Failure::Ambiguous(Ambiguous { retry_after, .. }) => retry_after.unwrap_or_default(),
                _ => Duration::ZERO,
            };
            let pause = pause(before.failures).max(wait).min(PAUSE_LONGEST.max(wait));
            let trouble = Trouble {
                reason: reason_info(error.reason).name.to_owned(),
                message: error.message.clone(),
                since: before.trouble.as_ref().map_or(now, |trouble| trouble.since),
            };
            let failures = before.failures.saturating_add(1);
            return CredentialPut {
                status: Status { trouble: Some(trouble), failures, ..before.clone() },
                refresh_at: TimeDelta::from_std(pause).ok().map(|pause| now + pause),
                ..put
            };
        };
        CredentialPut { status: over(before, &refused.to_string(), now), refresh_at: None, ..put }
    }

    /// Nothing was sent: whoever needs it may try at once. By itself it is tried again later, so that it stands in nobody's
    /// way.
    fn not_asked(&self, error: &ConnectorError) -> CredentialPut {
        let now = self.credentials.clock.now();
        let before = &self.credential.status;
        let trouble = Trouble {
            reason: reason_info(error.reason).name.to_owned(),
            message: error.message.clone(),
            since: before.trouble.as_ref().map_or(now, |trouble| trouble.since),
        };
        CredentialPut {
            status: Status { trouble: Some(trouble), ..before.clone() },
            refresh_at: Some(later(now)),
            refreshed: true,
            ..as_it_is(&self.credential)
        }
    }

    /// Writes what came of it. A new token is not given up while the store is away.
    async fn write(&self, put: CredentialPut) -> Result<(), ConnectorError> {
        let store = &self.credentials.store;
        let until = Instant::now() + WRITE_PATIENCE;
        loop {
            let expected = Some(self.credential.version);
            let now = self.credentials.clock.now();
            match store.put_credential(self.connection.key, expected, put.clone(), now).await {
                Ok(_) => return Ok(()),
                // A person connected again meanwhile, or ended it; or our own write is there and its reply was lost.
                Err(StoreError::Conflict(_) | StoreError::Missing(_)) => return Ok(()),
                Err(error @ (StoreError::Unavailable(_) | StoreError::Database(_)))
                    if Instant::now() < until =>
                {
                    tracing::error!(connection = %self.connection.id, %error, "a refreshed credential could not be stored; trying again");
                    tokio::time::sleep(WRITE_PAUSE).await;
                }
                Err(error) => return Err(away(&error)),
            }
        }
    }
}

/// Why there are no tokens.
enum Stop {
    /// The provider gave none.
    Failure(Failure),
    /// It was not asked.
    Here(ConnectorError),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failure(failure)
    }
}

/// What came of a call, as it is counted.
fn outcome(called: &Result<Tokens, Stop>) -> &'static str {
    match called {
        Ok(_) => "ok",
        Err(Stop::Failure(Failure::Refused(_))) => "refused",
        Err(Stop::Failure(Failure::Misconfigured(_))) => "misconfigured",
        Err(Stop::Failure(Failure::Ambiguous(_))) => "unclear",
        Err(Stop::Here(_)) => "not_asked",
    }
}

/// Whether the application acts by itself, without a person's grant.
fn is_of_app(manifest: &Manifest) -> bool {
    manifest.auth.oauth.flow == superfasttt_oauth::Flow::ClientCredentials
}

/// A grant that is over, and who has to act.
pub(super) fn over(before: &Status, message: &str, now: DateTime<Utc>) -> Status {
    let trouble = Trouble {
        reason: reason_info(Reason::CredentialRevoked).name.to_owned(),
        message: message.to_owned(),
        since: now,
    };
    Status { state: State::NeedsReconnect, since: now, trouble: Some(trouble), ..before.clone() }
}

/// When a token is to be refreshed by itself: before its end, each connection a little apart, or before its refresh token
/// dies for not being used.
pub(super) fn refresh_at(
    now: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    idle: Option<Duration>,
) -> Option<DateTime<Utc>> {
    let before_end = expires_at.map(|end| {
        let ahead = ((end - now) / AHEAD_SHARE).clamp(TimeDelta::zero(), AHEAD_AT_MOST);
        // Between the whole of it and its half: many that were connected together spread.
        end - ahead + spread(ahead / 2)
    });
    let before_death =
        idle.and_then(|idle| TimeDelta::from_std(idle / 2).ok()).map(|half| now + half - spread(half / 4));
    before_end.into_iter().chain(before_death).min()
}

/// When what could not be tried is looked at again.
pub(super) fn later(now: DateTime<Utc>) -> DateTime<Utc> {
    now + TIME_OFF + spread(TIME_OFF)
}

/// A random part of this.
fn spread(most: TimeDelta) -> TimeDelta {
    TimeDelta::from_std(most.to_std().unwrap_or_default().mul_f64(between(0.0..=1.0))).unwrap_or_default()
}

/// The pause after so many refreshes in a row that did not go through.
fn pause(failures: u32) -> Duration {
    let longest = PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(failures.min(10))).min(PAUSE_LONGEST);
    longest.mul_f64(between(0.5..=1.0))
}
