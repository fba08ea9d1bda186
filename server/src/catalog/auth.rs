//! The `auth` part of a manifest: what a connection authenticates with. What each field means is told in the
//! published schema, `server/schema/manifest.schema.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a connection authenticates with.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Auth {
    /// The kind of credential.
    #[serde(rename = "type")]
    pub kind: AuthKind,
    /// OAuth scopes to ask for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Values that a person enters; empty where the kind says enough.
    #[serde(default)]
    pub fields: Vec<AuthField>,
    /// Where a person agrees; a template over settings.
    pub authorization_url: Option<String>,
    /// Where codes and refresh tokens are exchanged; a template over settings.
    pub token_url: Option<String>,
    /// Where a grant is withdrawn; a template over settings. `None`: the provider has none.
    pub revocation_url: Option<String>,
    /// Who agrees.
    #[serde(default)]
    pub flow: OAuthFlow,
    /// Whether the code is bound to this server with a proof key.
    #[serde(default = "yes")]
    pub pkce: bool,
    /// How parameters travel to `token_url`.
    #[serde(default)]
    pub request: TokenRequest,
    /// The HTTP method at `token_url`.
    #[serde(default)]
    pub method: TokenMethod,
    /// How client id and secret travel.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// Further parameters of `authorization_url`.
    #[serde(default)]
    pub authorize_params: BTreeMap<String, String>,
    /// Further parameters at `token_url`.
    #[serde(default)]
    pub token_params: BTreeMap<String, String>,
    /// What stands between scopes.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// Where in the token reply the token object is, dotted; empty: at its top.
    #[serde(default)]
    pub token_path: String,
    /// Values of the token reply to keep for the connector, dotted.
    #[serde(default)]
    pub extras: Vec<String>,
}

/// The kind of credential.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// A grant of the provider.
    #[serde(rename = "oauth2")]
    OAuth2,
    /// One key that a person enters.
    ApiKey,
    /// One token that a person enters.
    BearerToken,
    /// User name and password.
    Basic,
    /// A certificate with its key.
    ClientCertificate,
    /// Nothing.
    None,
}

impl AuthKind {
    /// The word in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            AuthKind::OAuth2 => "oauth2",
            AuthKind::ApiKey => "api_key",
            AuthKind::BearerToken => "bearer_token",
            AuthKind::Basic => "basic",
            AuthKind::ClientCertificate => "client_certificate",
            AuthKind::None => "none",
        }
    }
}

/// A value that a person enters.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct AuthField {
    /// The name under which the connector gets it.
    pub name: String,
    /// The name that people see; `None`: the name.
    pub label: Option<String>,
    /// Where a person finds it.
    #[serde(default)]
    pub description: String,
    /// Whether it must never be shown again.
    #[serde(default = "yes")]
    pub secret: bool,
    /// Whether it must be given.
    #[serde(default = "yes")]
    pub required: bool,
}

/// Who agrees to a grant.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum OAuthFlow {
    /// A person.
    #[default]
    AuthorizationCode,
    /// The application acts by itself.
    ClientCredentials,
}

/// How parameters travel to `token_url`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum TokenRequest {
    /// As a form, the standard way.
    #[default]
    Form,
    /// As a JSON body.
    Json,
    /// In the query.
    Query,
}

/// The HTTP method at `token_url`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum TokenMethod {
    /// POST.
    #[default]
    Post,
    /// GET.
    Get,
}

/// How client id and secret travel.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// Among the parameters.
    #[default]
    Post,
    /// In an Authorization header.
    Basic,
}

fn yes() -> bool {
    true
}

fn space() -> String {
    " ".to_owned()
}
