//! What a manifest's `auth` says of an OAuth provider. The standard behaviour is the default of every field; what
//! each means for an author is told in `server/schema/manifest.schema.json`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::ways::{ClientAuth, CodeMeaning, Flow, RevocationRules, TokenFields, TokenMethod, TokenRequest};

/// A provider's endpoints and ways.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Declaration {
    /// Where a person agrees; a template over settings.
    pub authorization_url: Option<String>,
    /// Where codes and refresh tokens are exchanged; a template over settings.
    pub token_url: Option<String>,
    /// Where a grant is withdrawn; a template over settings. `None`: the provider has none.
    pub revocation_url: Option<String>,
    /// Who the provider says that it is in its answers (`iss`, RFC 9207); a template over settings. `None`: it does not.
    pub issuer: Option<String>,
    /// Who agrees.
    pub flow: Flow,
    /// Whether the code is bound to this server with a proof key.
    pub pkce: bool,
    /// How parameters travel to `token_url`.
    pub request: TokenRequest,
    /// The HTTP method at `token_url`.
    pub method: TokenMethod,
    /// How the application shows who it is.
    pub client_auth: ClientAuth,
    /// Further parameters of `authorization_url`.
    pub authorize_params: BTreeMap<String, String>,
    /// Further parameters at `token_url`.
    pub token_params: BTreeMap<String, String>,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Scopes that only a capability needs, by its name.
    pub capability_scopes: BTreeMap<String, Vec<String>>,
    /// Scopes that a person may leave out.
    pub optional_scopes: Vec<String>,
    /// The parameter of `optional_scopes`; `None`: they go with the others.
    pub optional_scope_param: Option<String>,
    /// Lists of scopes in parameters of their own, such as `user_scope`.
    pub further_scopes: BTreeMap<String, Vec<String>>,
    /// The parameter of `scopes` at `authorization_url`.
    pub scope_param: String,
    /// What stands between scopes.
    pub scope_separator: String,
    /// Scopes that the reply does not name though they were granted.
    pub unlisted_scopes: Vec<String>,
    /// Other names under which the reply grants a scope.
    pub scope_aliases: BTreeMap<String, Vec<String>>,
    /// Where in the token reply the token object is, dotted; empty: at its top.
    pub token_path: String,
    /// The same for the reply to a refresh; `None`: at `token_path`.
    pub refreshed_token_path: Option<String>,
    /// Where in the token object its values are.
    pub token_fields: TokenFields,
    /// Values of the token reply to keep for the connector, dotted, from its top.
    pub extras: Vec<String>,
    /// What error codes mean that are not the standard's.
    pub error_codes: BTreeMap<String, CodeMeaning>,
    /// How a grant is withdrawn at `revocation_url`.
    pub revocation: RevocationRules,
    /// After how long without use a refresh token dies; `None`: it does not.
    #[serde(deserialize_with = "duration")]
    pub refresh_idle: Option<Duration>,
    /// After how long a grant ends whatever is done; `None`: it does not.
    #[serde(deserialize_with = "duration")]
    pub refresh_lifetime: Option<Duration>,
}

impl Default for Declaration {
    fn default() -> Self {
        Self {
            authorization_url: None,
            token_url: None,
            revocation_url: None,
            issuer: None,
            flow: Flow::default(),
            pkce: true,
            request: TokenRequest::default(),
            method: TokenMethod::default(),
            client_auth: ClientAuth::default(),
            authorize_params: BTreeMap::new(),
            token_params: BTreeMap::new(),
            scopes: Vec::new(),
            capability_scopes: BTreeMap::new(),
            optional_scopes: Vec::new(),
            optional_scope_param: None,
            further_scopes: BTreeMap::new(),
            scope_param: "scope".to_owned(),
            scope_separator: " ".to_owned(),
            unlisted_scopes: Vec::new(),
            scope_aliases: BTreeMap::new(),
            token_path: String::new(),
            refreshed_token_path: None,
            token_fields: TokenFields::default(),
            extras: Vec::new(),
            error_codes: BTreeMap::new(),
            revocation: RevocationRules::default(),
            refresh_idle: None,
            refresh_lifetime: None,
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    humantime::parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}
