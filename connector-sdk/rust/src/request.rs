//! What the author's methods are asked, in the author's types.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use superfasttt_proto::connector::v1::{self, PullMode, Reason};
use superfasttt_proto::error::ConnectorError;

use crate::credential::Credential;
#[cfg(feature = "http")]
use crate::http::HttpClient;

/// What a pull is asked to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Changes since each scope's cursor.
    Incremental,
    /// A listing of everything: begun where there is no cursor, else resumed from it.
    Full,
    /// A listing of ids and versions. The sink makes `present` of each document by itself.
    List,
    /// Exactly [`Pull::ids`]; each is answered with a document, a deletion or an item error.
    Targeted,
}

impl Mode {
    pub(crate) fn from_proto(mode: PullMode) -> Option<Self> {
        match mode {
            PullMode::Unspecified => None,
            PullMode::Incremental => Some(Self::Incremental),
            PullMode::Full => Some(Self::Full),
            PullMode::List => Some(Self::List),
            PullMode::Targeted => Some(Self::Targeted),
        }
    }

    /// Whether this is a listing, at whose end absence means deletion.
    pub fn is_listing(self) -> bool {
        matches!(self, Self::Full | Self::List)
    }
}

/// Asks for changes.
#[derive(Debug)]
pub struct Pull<S> {
    /// The connection's settings.
    pub settings: Arc<S>,
    /// What to authenticate with; `None` where the manifest says `auth: none`.
    pub credential: Option<Credential>,
    /// Asks the source with that credential, within the manifest's limits.
    #[cfg(feature = "http")]
    pub http: HttpClient,
    /// What is asked.
    pub mode: Mode,
    /// Only these scopes. Empty: all of them, and new ones.
    pub scopes: Vec<String>,
    /// Not these, which other requests name. Only where `scopes` is empty.
    pub except_scopes: Vec<String>,
    /// Where each scope stands.
    pub states: Vec<v1::ScopeState>,
    /// Scopes without a state of which the server holds something. [`Self::known_scopes`] has all.
    pub stateless_scopes: Vec<String>,
    /// The ids that [`Mode::Targeted`] asks for; else empty.
    pub ids: Vec<String>,
    /// How long the credential lasts. A connector may end the pull at a checkpoint before that.
    pub credential_lifetime: Option<Duration>,
}

impl<S> Pull<S> {
    /// The cursor of the last checkpoint that was committed for `scope`. `None`: begin it.
    pub fn cursor(&self, scope: &str) -> Option<&[u8]> {
        self.states.iter().find(|state| state.scope == scope).map(|state| state.cursor.as_slice())
    }

    /// The cursor as the value that was written with `serde_json`.
    ///
    /// # Errors
    ///
    /// CURSOR_INVALID when it does not parse: the server then lists the scope in full.
    pub fn cursor_json<T: DeserializeOwned>(&self, scope: &str) -> Result<Option<T>, ConnectorError> {
        let Some(cursor) = self.cursor(scope) else { return Ok(None) };
        serde_json::from_slice(cursor).map(Some).map_err(|_| {
            let message = "the cursor is not one that this version of the connector wrote";
            ConnectorError::new(Reason::CursorInvalid, message).with_metadata("scope", scope)
        })
    }

    /// The scopes of which the server holds something, as far as the request is about them. Where one is gone, closed to the
    /// account or no longer chosen in the settings, its sink says so: `scope_removed`.
    pub fn known_scopes(&self) -> impl Iterator<Item = &str> {
        let states = self.states.iter().map(|state| state.scope.as_str());
        let named = self.scopes.iter().chain(&self.stateless_scopes).map(String::as_str);
        states.chain(named.filter(|scope| self.cursor(scope).is_none()))
    }

    /// Whether the request is about `scope`.
    pub fn wants_scope(&self, scope: &str) -> bool {
        (self.scopes.is_empty() || self.scopes.iter().any(|wanted| wanted == scope))
            && !self.except_scopes.iter().any(|other| other == scope)
    }
}

/// Asks whether a connection works.
#[derive(Debug)]
pub struct TestConnection<S> {
    /// The connection's settings.
    pub settings: Arc<S>,
    /// What to authenticate with.
    pub credential: Option<Credential>,
    /// Asks the source with that credential, within the manifest's limits.
    #[cfg(feature = "http")]
    pub http: HttpClient,
}

/// Asks for the resources under a parent.
#[derive(Debug)]
pub struct Discover {
    /// The settings so far. They may be incomplete, so they come as JSON.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What to authenticate with.
    pub credential: Option<Credential>,
    /// Asks the source with that credential, within the manifest's limits.
    #[cfg(feature = "http")]
    pub http: HttpClient,
    /// Which of the settings' pickers asks. Empty: the only one.
    pub picker: String,
    /// The resource to look under. Empty: the top.
    pub parent_id: String,
    /// Words that a person typed to search. Empty: everything.
    pub query: String,
    /// How many at most, 1 to 1,000.
    pub page_size: usize,
    /// `next_page_token` of the answer before. Empty: the first page.
    pub page_token: String,
}

/// Asks for a document's bytes.
#[derive(Debug)]
pub struct FetchContent<S> {
    /// The connection's settings.
    pub settings: Arc<S>,
    /// What to authenticate with.
    pub credential: Option<Credential>,
    /// Asks the source with that credential, within the manifest's limits.
    #[cfg(feature = "http")]
    pub http: HttpClient,
    /// The document.
    pub id: String,
    /// The item's `content_ref`.
    pub content_ref: String,
    /// The version that the envelope had; the one served may be newer.
    pub version: String,
    /// How many bytes the server will take. `None`: no limit is said. The writer enforces it.
    pub max_bytes: Option<u64>,
}

/// A webhook to verify and understand.
#[derive(Debug)]
pub struct Event<S> {
    /// The settings of the connection whose URL was called. `None` for an app's URL.
    pub settings: Option<Arc<S>>,
    /// What to authenticate with. `None` for an app's URL.
    pub credential: Option<Credential>,
    /// Asks the source with that credential, within the manifest's limits.
    #[cfg(feature = "http")]
    pub http: HttpClient,
    /// The HTTP method, upper-case.
    pub method: String,
    /// The path and query as they came.
    pub path: String,
    /// The headers as they came, names lower-case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Bytes,
    /// What the source signs with.
    pub signing_secret: SigningSecret,
}

/// The secret that a webhook is signed with. Printing it shows nothing.
#[derive(Clone, Default)]
pub struct SigningSecret(pub(crate) String);

impl SigningSecret {
    /// The secret itself. Empty: none was set.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningSecret(REDACTED)")
    }
}

/// Asks for an action.
#[derive(Debug)]
pub struct Action<S> {
    /// The connection's settings.
    pub settings: Arc<S>,
    /// What to authenticate with.
    pub credential: Option<Credential>,
    /// Asks the source with that credential, within the manifest's limits.
    #[cfg(feature = "http")]
    pub http: HttpClient,
    /// The action's id in the manifest.
    pub action: String,
    /// Valid against the action's input schema.
    pub input: serde_json::Map<String, serde_json::Value>,
    /// The same key means the same deed, done once. Empty: each call is its own.
    pub idempotency_key: String,
}
