//! The provider's answer: whose it is, and what comes of it.
//!
//! A session is taken before the provider is asked: whatever happens then, no second answer is worked on. From there on it
//! goes on by itself, whether the browser waits or not. What came is written before it is used. A process that dies in
//! between leaves the connection as it was, and the session as one that never ended: the person connects again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::SecretString;
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use url::Url;

use super::super::granted::Granted;
use super::super::trouble::internal;
use super::refusal::{Refusal, refused};
use super::{Authorizations, hash, secret, session_id};
use crate::catalog::AuthKind;
use crate::redact;
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::credentials::{CredentialPut, State, Status};
use crate::store::oauth_sessions::{Ending, OAuthSession, Taking};
use crate::store::secrets::{Secrets, SecretsWrite};
use crate::telemetry::metrics::AUTHORIZATIONS;

/// How long what came is held on to while the store cannot take it: a person waits for the page.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);
const WRITE_PAUSE: Duration = Duration::from_millis(200);
/// A `state` of ours is shorter.
const MAX_STATE_BYTES: usize = 256;

/// What the provider sent.
#[derive(Debug)]
pub struct Answer {
    /// Which authorization it answers.
    pub state: SecretString,
    /// The person agreed.
    pub code: Option<SecretString>,
    /// The person, or the provider, did not.
    pub error: Option<String>,
    /// What the provider says of that.
    pub error_description: Option<String>,
    /// Who the provider says that it is.
    pub iss: Option<String>,
}

/// What comes with it, to show that it comes back to where it began.
#[derive(Debug)]
pub enum Shown {
    /// The cookies of a browser.
    Browser(HashMap<String, String>),
    /// The caller was told the `state`, and nobody else was.
    State,
}

/// Tries a connection, and takes note of whose account its credential opens.
pub type TryIt = Arc<dyn Fn(Connection) -> BoxFuture<'static, ()> + Send + Sync>;

/// What came of it.
#[derive(Debug)]
pub struct Answered {
    /// Of which connection. `None`: it answers none of ours.
    pub connection: Option<Connection>,
    /// Where the person goes. `None`: to a page of ours.
    pub return_url: Option<Url>,
    /// The cookie that is not needed any more.
    pub cookie: Option<String>,
    /// How the credential now stands; or why nothing came of it.
    pub result: Result<Status, Refusal>,
}

impl Authorizations {
    /// Takes the answer of a provider. `try_it` tries a connection whose account is connected since a moment, and takes note of
    /// whose it is.
    pub async fn answer(self: &Arc<Self>, answer: Answer, shown: &Shown, try_it: TryIt) -> Answered {
        match self.take(&answer, shown).await {
            Ok((session, secrets)) => {
                let work = Work { authorizations: self.clone(), session, secrets, answer };
                // By itself: a browser that goes away must not lose what the provider gives.
                match self.credentials.calls.spawn(work.run(try_it)).await {
                    Ok(answered) => answered,
                    Err(error) => nothing(Refusal::Here(internal(&format!("it panicked: {error}")))),
                }
            }
            Err(refusal) => nothing(refusal),
        }
    }

    /// Finds out whether this is the first answer to one of ours, from where that began.
    async fn take(&self, answer: &Answer, shown: &Shown) -> Result<(OAuthSession, Secrets), Refusal> {
        use secrecy::ExposeSecret;
        let length = answer.state.expose_secret().len();
        if length == 0 || length > MAX_STATE_BYTES || (answer.code.is_none() && answer.error.is_none()) {
            return Err(Refusal::Malformed);
        }
        let id = session_id(&answer.state);
        let store = &self.credentials.store;
        let standing = store.oauth_session(&id).await.map_err(Refusal::Away)?.ok_or(Refusal::Unknown)?;
        let (session, now) = (standing.session, self.credentials.clock.now());
        if standing.taken {
            return Err(Refusal::Used);
        }
        if session.expires_at <= now {
            return Err(Refusal::Expired);
        }
        match shown {
            Shown::State if session.details.started_by.is_empty() => {}
            Shown::State => return Err(Refusal::OfBrowser),
            Shown::Browser(_) if session.details.started_by.is_empty() => return Err(Refusal::Unknown),
            Shown::Browser(cookies) => {
                let shown = cookies.get(&self.cookie(&id)).map(|value| hash(value)).unwrap_or_default();
                if !bool::from(shown.as_bytes().ct_eq(session.details.started_by.as_bytes())) {
                    return Err(Refusal::OtherBrowser);
                }
            }
        }
        match store.take_oauth_session(&id, now).await.map_err(Refusal::Away)? {
            Taking::Taken(session, secrets) => Ok((*session, secrets)),
            Taking::Used => Err(Refusal::Used),
            Taking::Expired => Err(Refusal::Expired),
            Taking::Unknown => Err(Refusal::Unknown),
        }
    }
}

/// An answer that is worked on.
struct Work {
    authorizations: Arc<Authorizations>,
    session: OAuthSession,
    secrets: Secrets,
    answer: Answer,
}

impl Work {
    async fn run(self, try_it: TryIt) -> Answered {
        let authorizations = &self.authorizations;
        let connection = authorizations.connection_of(&self.session).await;
        let (connection, result) = match connection {
            Ok(connection) => {
                let result = match self.connect(&connection).await {
                    Ok(()) => {
                        try_it(connection.clone()).await;
                        self.standing(&connection).await
                    }
                    Err(refusal) => Err(refusal),
                };
                (Some(connection), result)
            }
            Err(refusal) => (None, Err(refusal)),
        };
        if let Some(connection) = &connection {
            AUTHORIZATIONS.add([&connection.connector, outcome(&result)], 1);
        }
        let id = connection.as_ref().map_or("", |connection| connection.id.as_str());
        let ending = match &result {
            Ok(status) if status.state == State::Connected => {
                tracing::info!(connection = id, "an account was connected");
                Ending { succeeded: true, message: String::new() }
            }
            Ok(status) => {
                let message = status.trouble.as_ref().map_or("", |trouble| trouble.message.as_str());
                Ending { succeeded: false, message: message.to_owned() }
            }
            Err(refusal) => {
                tracing::info!(connection = id, reason = %refusal, "an account was not connected");
                Ending { succeeded: false, message: refusal.to_string() }
            }
        };
        self.finish(ending).await;
        // It was allowed when it began; what is allowed now counts.
        let return_url = self.session.details.return_url.as_ref();
        let return_url = return_url.and_then(|url| authorizations.credentials.config.return_url(url).ok());
        let cookie = Some(authorizations.cookie(&self.session.id));
        Answered { connection, return_url, cookie, result }
    }

    /// Exchanges the code, and stores what came.
    async fn connect(&self, connection: &Connection) -> Result<(), Refusal> {
        let (authorizations, details) = (&self.authorizations, &self.session.details);
        let credentials = &authorizations.credentials;
        let manifest = credentials.manifest(connection).map_err(Refusal::Here)?;
        // Before anything that it says is believed, also that the person did not agree.
        let provider = credentials.provider(connection, &manifest).map_err(Refusal::Here)?;
        if !provider.may_answer(self.answer.iss.as_deref()) {
            return Err(Refusal::OtherProvider);
        }
        let code = match (&self.answer.error, &self.answer.code) {
            (Some(error), _) => return Err(refused(error, self.answer.error_description.as_deref())),
            (None, Some(code)) => code,
            (None, None) => return Err(Refusal::Malformed),
        };
        let _answer = redact::keep(&(self.answer.state.clone(), self.answer.code.clone()));
        let (client, app) =
            credentials.client(connection, &manifest, &details.oauth_app).await.map_err(Refusal::Here)?;
        let verifier =
            authorizations.open(connection, &self.session.id, &self.secrets, secret::VERIFIER).await?;
        let began = credentials.clock.now();
        let tokens = client
            .exchange(code, verifier.as_ref(), &details.redirect_uri, &details.scopes, began)
            .await
            .map_err(Refusal::Exchange)?;
        let _tokens = redact::keep(&(tokens.access.clone(), tokens.refresh.clone()));
        // What is not said of scopes means those that were asked for.
        let status =
            Status { oauth_app: app.id, granted_scopes: details.scopes.clone(), ..Status::default() };
        let granted =
            credentials.granted(connection, &manifest, tokens, status, began).map_err(Refusal::Here)?;
        self.write(connection, granted).await
    }

    /// Writes the grant over whatever is there: the newest word of a person counts. Where that was another account's, it is
    /// not used before it is known whose this one is.
    async fn write(&self, connection: &Connection, granted: Granted) -> Result<(), Refusal> {
        let Granted { status, expires_at, refresh_at, secrets } = granted;
        let credentials = &self.authorizations.credentials;
        let until = Instant::now() + WRITE_PATIENCE;
        loop {
            let written = async {
                let before = credentials.store.credential(connection.key).await?;
                let before = before.map(|(credential, _)| credential);
                let put = CredentialPut {
                    kind: AuthKind::OAuth2,
                    status: connected(credentials.connected_now(before.as_ref()), &status),
                    expires_at,
                    refresh_at,
                    secrets: SecretsWrite::Replace(secrets.clone()),
                    refreshed: false,
                };
                let version = before.map(|before| before.version);
                credentials.store.put_credential(connection.key, version, put, credentials.clock.now()).await
            };
            match written.await {
                Ok(_) => return Ok(()),
                Err(StoreError::Missing(_)) => return Err(Refusal::Gone),
                Err(
                    error @ (StoreError::Conflict(_) | StoreError::Unavailable(_) | StoreError::Database(_)),
                ) if Instant::now() < until => {
                    tracing::warn!(connection = %connection.id, %error, "a grant could not be stored; trying again");
                    tokio::time::sleep(WRITE_PAUSE).await;
                }
                Err(error) => return Err(Refusal::Away(error)),
            }
        }
    }

    /// How it stands after it was tried.
    async fn standing(&self, connection: &Connection) -> Result<Status, Refusal> {
        let stored = self.authorizations.credentials.store.credential(connection.key).await;
        Ok(stored.map_err(Refusal::Away)?.ok_or(Refusal::Gone)?.0.status)
    }

    /// Notes the end for who waits for it. The first word stands, so a lost reply does no harm.
    async fn finish(&self, ending: Ending) {
        let store = &self.authorizations.credentials.store;
        let until = Instant::now() + WRITE_PATIENCE;
        loop {
            match store.finish_oauth_session(&self.session.id, ending.clone()).await {
                Err(StoreError::Unavailable(_)) if Instant::now() < until => {
                    tokio::time::sleep(WRITE_PAUSE).await;
                }
                Err(error) if !matches!(error, StoreError::Missing(_)) => {
                    return tracing::warn!(%error, "the end of an authorization could not be noted");
                }
                Ok(()) | Err(_) => return,
            }
        }
    }
}

/// How it ended, as it is counted.
fn outcome(result: &Result<Status, Refusal>) -> &'static str {
    match result {
        Ok(status) if status.state == State::Connected => "connected",
        Ok(_) => "other_account",
        Err(Refusal::Denied(_)) => "denied",
        Err(Refusal::Provider { .. } | Refusal::OtherProvider) => "provider_error",
        Err(Refusal::Exchange(_)) => "no_access",
        Err(_) => "failed",
    }
}

/// How a credential stands that is connected now, with what the provider said of it.
fn connected(now: Status, said: &Status) -> Status {
    Status {
        oauth_app: said.oauth_app.clone(),
        token_type: said.token_type.clone(),
        granted_scopes: said.granted_scopes.clone(),
        missing_scopes: said.missing_scopes.clone(),
        extras: said.extras.clone(),
        ..now
    }
}

fn nothing(refusal: Refusal) -> Answered {
    Answered { connection: None, return_url: None, cookie: None, result: Err(refusal) }
}
