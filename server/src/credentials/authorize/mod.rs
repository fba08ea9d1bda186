//! A person connects an account.
//!
//! [`Authorizations::begin`] makes a session: the hash of its `state` finds it, its proof key and the value that binds it to
//! one browser are sealed. The person opens the start page (`depart`), which gives the browser that value as a cookie and sends
//! it to the provider; the provider sends it back, and [`Authorizations::answer`] (in `answer`) takes the session, which no second
//! answer gets, and has the code exchanged. So a link that somebody else began, or an answer that belongs to another
//! browser, connects nothing. A client that receives the provider's answer itself shows nothing but the `state`, over the
//! control API. [`Authorizations::look`] says what came of it, whichever replica it came to.

mod answer;
mod depart;
mod look;
mod refusal;

pub use answer::{Answer, Answered, Shown, TryIt};
pub use depart::Departure;
pub use look::Look;
pub use refusal::Refusal;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use superfasttt_oauth::Flow;
use superfasttt_proto::error::ConnectorError;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Credentials;
use super::trouble::{internal, of_failure};
use crate::catalog::{AuthKind, Manifest};
use crate::config::PublicUrl;
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::oauth_sessions::{Details, NewOAuthSession, OAuthSession};
use crate::store::secrets::Secrets;
use crate::vault::{Place, VaultError};

/// How long a person has to agree.
const LASTS: TimeDelta = TimeDelta::minutes(10);
/// The secrets of a session.
mod secret {
    /// The proof key.
    pub(super) const VERIFIER: &str = "code_verifier";
    /// What the browser that began shows at the end.
    pub(super) const BROWSER: &str = "browser";
    /// Where the provider is.
    pub(super) const URL: &str = "authorization_url";
}

/// The authorizations of all connections.
pub struct Authorizations {
    credentials: Arc<Credentials>,
    public_url: PublicUrl,
    /// Who waits is told to ask again.
    stopping: CancellationToken,
}

/// What a person asks for.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Where the person ends. `None`: on a page of ours.
    pub return_url: Option<String>,
    /// Where the client receives the provider's answer. `None`: we do.
    pub redirect_uri: Option<String>,
    /// Scopes beside those of the manifest.
    pub extra_scopes: Vec<String>,
    /// Capabilities whose scopes are asked for as well.
    pub capabilities: Vec<String>,
}

/// An authorization that was begun.
pub struct Begun {
    /// Where the person has to go.
    pub url: SecretString,
    /// For a client that receives the answer itself.
    pub state: Option<SecretString>,
    /// What it is looked at by.
    pub id: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Why no authorization begins.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The manifest asks for something else than a grant.
    #[error(
        "the connector {connector:?} asks for {kind}, not for an account that is connected: enter it \
         (`connectorctl credentials set`)"
    )]
    NoGrant {
        /// Which.
        connector: String,
        /// What it asks for.
        kind: &'static str,
    },
    /// The application acts by itself.
    #[error(
        "the application of the connector {0:?} acts by itself, so nobody has to agree: have its access fetched \
         (`connectorctl credentials set`)"
    )]
    ByItself(String),
    /// It is going.
    #[error("the connection is being deleted")]
    Deleting,
    /// A field of what was asked for is wrong.
    #[error("{0}: {1}")]
    Field(&'static str, String),
    /// There is no app, the settings make no address, or something of ours is at fault.
    #[error("{0}")]
    Connector(#[from] ConnectorError),
    /// The vault cannot seal.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl Authorizations {
    /// Those of this installation. Once `stopping`, nobody waits for an end any more.
    pub fn new(
        credentials: Arc<Credentials>,
        public_url: PublicUrl,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self { credentials, public_url, stopping })
    }

    /// How browsers reach us.
    pub fn public_url(&self) -> &PublicUrl {
        &self.public_url
    }

    /// Begins one.
    ///
    /// # Errors
    /// See [`BeginError`].
    pub async fn begin(
        &self,
        connection: &Connection,
        manifest: &Manifest,
        ask: Ask,
    ) -> Result<Begun, BeginError> {
        if connection.deleting_at.is_some() {
            return Err(BeginError::Deleting);
        }
        if manifest.auth.kind != AuthKind::OAuth2 {
            let kind = manifest.auth.kind.as_str();
            return Err(BeginError::NoGrant { connector: manifest.id.clone(), kind });
        }
        if manifest.auth.oauth.flow != Flow::AuthorizationCode {
            return Err(BeginError::ByItself(manifest.id.clone()));
        }
        let scopes = scopes(manifest, &ask)?;
        let config = &self.credentials.config;
        for (field, url) in [("return_url", &ask.return_url), ("redirect_uri", &ask.redirect_uri)] {
            if let Some(Err(fault)) = url.as_ref().map(|url| config.return_url(url)) {
                return Err(BeginError::Field(field, fault.to_owned()));
            }
        }
        let (client, app) = self.credentials.client(connection, manifest, "").await?;
        let redirect_uri = ask.redirect_uri.clone().unwrap_or_else(|| self.public_url.redirect_uri());
        let begun = client
            .authorize(&redirect_uri, &scopes)
            .map_err(|failure| BeginError::Connector(of_failure(&failure)))?;

        let id = session_id(&begun.state);
        let mut sealing = Sealing { authorizations: self, connection, id: &id, secrets: Secrets::new() };
        let mut started_by = String::new();
        if let Some(verifier) = &begun.verifier {
            sealing.add(secret::VERIFIER, verifier.expose_secret())?;
        }
        if ask.redirect_uri.is_none() {
            let browser = random();
            started_by = hash(browser.expose_secret());
            sealing.add(secret::BROWSER, browser.expose_secret())?;
            sealing.add(secret::URL, begun.url.as_str())?;
        }
        let secrets = sealing.secrets;
        let created_at = self.credentials.clock.now();
        let expires_at = created_at + LASTS;
        let details = Details {
            oauth_app: app.id,
            redirect_uri,
            return_url: ask.return_url,
            scopes,
            started_by,
            ending: None,
        };
        let session =
            OAuthSession { id: id.clone(), connection: connection.key, details, created_at, expires_at };
        self.credentials.store.create_oauth_session(NewOAuthSession { session, secrets }).await.map_err(
            |error| match error {
                StoreError::Missing("connection") => BeginError::Deleting,
                error => BeginError::Store(error),
            },
        )?;
        let (url, state) = match ask.redirect_uri {
            Some(_) => (String::from(begun.url), Some(begun.state)),
            None => (self.public_url.start(begun.state.expose_secret()), None),
        };
        Ok(Begun { url: SecretString::from(url), state, id, expires_at })
    }

    /// The name of the cookie of a session: each has its own, so that two tabs do not disturb each other. The prefix has
    /// browsers take it from this very host alone: else a site beside it (`evil.example.com`) could plant the cookie of an
    /// authorization that somebody else began, and have a person's account connected to it.
    fn cookie(&self, id: &str) -> String {
        let prefix = if self.public_url.is_https() { "__Host-" } else { "" };
        format!("{prefix}connect-{}", &id[..16.min(id.len())])
    }

    async fn connection_of(&self, session: &OAuthSession) -> Result<Connection, Refusal> {
        let found =
            self.credentials.store.connection_by_key(session.connection).await.map_err(Refusal::Away)?;
        found.filter(|connection| connection.deleting_at.is_none()).ok_or(Refusal::Gone)
    }

    async fn open(
        &self,
        connection: &Connection,
        id: &str,
        secrets: &Secrets,
        field: &str,
    ) -> Result<Option<SecretString>, Refusal> {
        let Some(sealed) = secrets.get(field) else { return Ok(None) };
        let place = Place::of_oauth_session(&connection.organization, id, field);
        let opened = self.credentials.vault.open(&place, sealed).await;
        let opened = opened.map_err(|error| Refusal::Here(internal(&error.to_string())))?;
        let text = Zeroizing::new(opened.expose_secret().to_vec());
        let text = std::str::from_utf8(&text).map_err(|_| Refusal::Unknown)?;
        Ok(Some(SecretString::from(text)))
    }
}

/// Seals the secrets of a session.
struct Sealing<'a> {
    authorizations: &'a Authorizations,
    connection: &'a Connection,
    id: &'a str,
    secrets: Secrets,
}

impl Sealing<'_> {
    fn add(&mut self, field: &str, text: &str) -> Result<(), VaultError> {
        let place = Place::of_oauth_session(&self.connection.organization, self.id, field);
        let sealed = self.authorizations.credentials.vault.seal(&place, text.as_bytes())?;
        self.secrets.insert(field.to_owned(), sealed);
        Ok(())
    }
}

/// What is asked for.
fn scopes(manifest: &Manifest, ask: &Ask) -> Result<Vec<String>, BeginError> {
    let names = manifest.capabilities.names();
    for capability in &ask.capabilities {
        let known = names.contains(&capability.as_str())
            || manifest.auth.oauth.capability_scopes.contains_key(capability);
        if !known {
            let fault =
                format!("{capability:?} is no capability of the connector; there are: {}", names.join(", "));
            return Err(BeginError::Field("capabilities", fault));
        }
    }
    // What RFC 6749 lets a scope be made of.
    let is_scope = |scope: &str| {
        !scope.is_empty()
            && scope.len() <= 300
            && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    };
    if ask.extra_scopes.len() > 100 || !ask.extra_scopes.iter().all(|scope| is_scope(scope)) {
        let fault = "must be at most 100 scopes, each of visible characters without quotes and backslashes";
        return Err(BeginError::Field("extra_scopes", fault.to_owned()));
    }
    let capabilities: Vec<&str> = ask.capabilities.iter().map(String::as_str).collect();
    Ok(manifest.auth.oauth.scopes_for(&capabilities, &ask.extra_scopes))
}

/// What a session is found by.
fn session_id(state: &SecretString) -> String {
    hash(state.expose_secret())
}

fn hash(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 256 random bits.
fn random() -> SecretString {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new()
        .fill(bytes.as_mut_slice())
        .expect("the operating system gives random bytes, or nothing here is safe");
    SecretString::from(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}
