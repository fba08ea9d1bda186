//! The ways in which providers differ, one type each. What each value means for an author is told in
//! `server/schema/manifest.schema.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::paths::Paths;

/// Who agrees to a grant.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
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
    /// As a form, the standard way; of a GET that is its query, as in HTML.
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

/// How the application shows who it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// Client id and secret among the parameters.
    #[default]
    Post,
    /// Client id and secret in an Authorization header.
    Basic,
    /// An assertion that is signed with the application's key, among the parameters (RFC 7523).
    Assertion,
    /// The signed assertion is the bearer token of a request that holds no OAuth parameters, only `token_params`.
    Bearer,
}

/// Where in the token object its values are.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct TokenFields {
    /// The access token.
    pub access_token: Paths,
    /// The refresh token.
    pub refresh_token: Paths,
    /// Seconds until the access token ends, a number or a text.
    pub expires_in: Paths,
    /// The time when the access token ends: RFC 3339, or seconds since 1970.
    pub expires_at: Paths,
    /// Seconds until the refresh token ends.
    pub refresh_expires_in: Paths,
    /// How the access token is presented.
    pub token_type: Paths,
    /// The scopes that were granted. Here all paths that lead somewhere count, not only the first.
    pub scope: Paths,
    /// The code of an error, from the top of the reply.
    pub error: Paths,
    /// What the provider says of it, from the top of the reply.
    pub error_description: Paths,
}

impl Default for TokenFields {
    fn default() -> Self {
        Self {
            access_token: Paths::new(&["access_token"]),
            refresh_token: Paths::new(&["refresh_token"]),
            expires_in: Paths::new(&["expires_in"]),
            expires_at: Paths::default(),
            refresh_expires_in: Paths::new(&["refresh_token_expires_in"]),
            token_type: Paths::new(&["token_type"]),
            scope: Paths::new(&["scope"]),
            error: Paths::new(&["error"]),
            error_description: Paths::new(&["error_description", "message"]),
        }
    }
}

/// What an error code means.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum CodeMeaning {
    /// The grant is over: a person must reconnect.
    Refused,
    /// The application is not set up as the provider wants it: an administrator must act.
    Misconfigured,
    /// Try again later.
    TryAgain,
}

/// How a grant is withdrawn. The default is RFC 7009.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct RevocationRules {
    /// The HTTP method.
    pub method: RevocationMethod,
    /// How parameters travel.
    pub request: TokenRequest,
    /// How the request shows whose it is.
    pub auth: RevocationAuth,
    /// Which token is named.
    pub token: RevocationToken,
    /// The parameter that names the token; empty: none does.
    pub token_param: String,
    /// Further parameters.
    pub params: BTreeMap<String, String>,
}

impl Default for RevocationRules {
    fn default() -> Self {
        Self {
            method: RevocationMethod::default(),
            request: TokenRequest::default(),
            auth: RevocationAuth::default(),
            token: RevocationToken::default(),
            token_param: "token".to_owned(),
            params: BTreeMap::new(),
        }
    }
}

/// The HTTP method at `revocation_url`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RevocationMethod {
    /// POST.
    #[default]
    Post,
    /// DELETE.
    Delete,
    /// GET.
    Get,
}

/// How a revocation shows whose it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RevocationAuth {
    /// As `client_auth` says for the token URL.
    #[default]
    Client,
    /// Client id and secret in an Authorization header, whatever `client_auth` says.
    Basic,
    /// The access token is the bearer token.
    Bearer,
    /// The token is enough.
    None,
}

/// Which token a revocation names.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RevocationToken {
    /// The refresh token, or the access token where there is no other.
    #[default]
    Any,
    /// Only a refresh token is taken.
    RefreshToken,
    /// Only an access token is taken.
    AccessToken,
}
