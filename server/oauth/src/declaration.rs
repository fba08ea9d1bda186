//! What a manifest's `auth` says of an OAuth provider. The standard behaviour is the default of every field; what
//! each means for an author is told in `server/schema/manifest.schema.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::paths::Paths;
use crate::template::Template;

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
    pub request: RevocationRequest,
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
            request: RevocationRequest::default(),
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

/// How parameters travel to `revocation_url`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RevocationRequest {
    /// As a form, the standard way.
    #[default]
    Form,
    /// As a JSON body.
    Json,
    /// In the query.
    Query,
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

/// What is wrong with a declaration beyond the schema of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclarationProblem {
    /// The field, below `auth`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// The mend.
    pub fix: &'static str,
}

/// Parameters that are this crate's to set.
const OURS: [&str; 14] = [
    "response_type",
    "client_id",
    "client_secret",
    "redirect_uri",
    "state",
    "scope",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "refresh_token",
    "client_assertion",
    "client_assertion_type",
];

/// Names of values that are no extras: connectors get extras in the clear, and never these.
const SECRETS: [&str; 6] =
    ["access_token", "refresh_token", "id_token", "client_secret", "code_verifier", "client_assertion"];

impl Declaration {
    /// Whether this parameter is set by us, so that neither a template nor further parameters may hold it.
    pub(crate) fn is_ours(&self, parameter: &str) -> bool {
        OURS.contains(&parameter)
            || parameter == self.scope_param
            || self.optional_scope_param.as_deref() == Some(parameter)
            || self.further_scopes.contains_key(parameter)
    }

    /// What is wrong with it; empty: nothing.
    pub fn problems(&self) -> Vec<DeclarationProblem> {
        let mut problems = Vec::new();
        let mut problem = |field: &str, message: String, fix: &'static str| {
            problems.push(DeclarationProblem { field: field.to_owned(), message, fix });
        };
        let urls = [
            ("authorization_url", &self.authorization_url),
            ("token_url", &self.token_url),
            ("revocation_url", &self.revocation_url),
        ];
        for (field, text) in urls {
            let Some(text) = text else { continue };
            match text.parse::<Template>() {
                Err(error) => problem(
                    field,
                    error.to_string(),
                    "write a whole address, for example \"https://{domain}.example.org/oauth2/token\"",
                ),
                Ok(template) => {
                    for name in template.query_names().iter().filter(|name| self.is_ours(name)) {
                        let message = format!("its query holds {name:?}, which the server sets itself");
                        problem(field, message, "leave it out of the address");
                    }
                }
            }
        }
        let further = [
            ("authorize_params", &self.authorize_params),
            ("token_params", &self.token_params),
            ("revocation.params", &self.revocation.params),
        ];
        for (field, params) in further {
            for name in params.keys().filter(|name| self.is_ours(name)) {
                let message = format!("{name:?} is set by the server itself");
                problem(field, message, "leave it out; scopes belong into `scopes`");
            }
        }
        if self.method == TokenMethod::Get && self.request != TokenRequest::Query {
            let message = "a GET request carries its parameters in the query".to_owned();
            problem("request", message, "write \"query\", or leave \"method\" out");
        }
        if self.client_auth == ClientAuth::Bearer && self.flow == Flow::AuthorizationCode {
            let message = "\"bearer\" is for applications that act by themselves".to_owned();
            problem(
                "client_auth",
                message,
                "write \"flow\": \"client_credentials\", or another `client_auth`",
            );
        }
        for extra in &self.extras {
            let last = extra.rsplit('.').next().unwrap_or(extra);
            if SECRETS.contains(&last) {
                let message = format!("{extra:?} is a secret, and a connector gets extras in the clear");
                problem(
                    "extras",
                    message,
                    "leave it out; the access token is given to the connector as such",
                );
            }
        }
        problems
    }

    /// The names of the settings that its addresses need.
    pub fn settings(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for text in [&self.authorization_url, &self.token_url].into_iter().flatten() {
            if let Ok(template) = text.parse::<Template>() {
                names.extend(template.settings().map(str::to_owned));
            }
        }
        if let Some(Ok(template)) = self.revocation_url.as_ref().map(|text| text.parse::<Template>()) {
            let filled_by_us = |name: &&str| matches!(*name, "token" | "client_id");
            names.extend(template.settings().filter(|name| !filled_by_us(name)).map(str::to_owned));
        }
        names
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    humantime::parse_duration(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(String, String)> {
        let declaration: Declaration = serde_json::from_str(text).unwrap();
        declaration.problems().into_iter().map(|problem| (problem.field, problem.message)).collect()
    }

    #[test]
    fn what_the_server_sets_itself_cannot_be_declared() {
        for text in [
            r#"{"authorize_params": {"redirect_uri": "https://evil.example"}}"#,
            r#"{"token_params": {"grant_type": "password"}}"#,
            r#"{"authorization_url": "https://a.example.org/authorize?state=1"}"#,
            r#"{"scope_param": "user_scope", "authorize_params": {"user_scope": "x"}}"#,
            r#"{"further_scopes": {"user_scope": ["a"]}, "authorize_params": {"user_scope": "x"}}"#,
        ] {
            assert_eq!(problems(text).len(), 1, "{text}");
        }
        assert_eq!(problems(r#"{"authorize_params": {"prompt": "consent"}}"#), []);
    }

    #[test]
    fn a_secret_is_no_extra() {
        assert_eq!(problems(r#"{"extras": ["authed_user.refresh_token"]}"#).len(), 1);
        assert_eq!(problems(r#"{"extras": ["instance_url", "team.id"]}"#), []);
    }

    #[test]
    fn combinations_that_cannot_work_are_told() {
        assert_eq!(problems(r#"{"method": "get"}"#).len(), 1);
        assert_eq!(problems(r#"{"client_auth": "bearer"}"#).len(), 1);
        assert_eq!(problems(r#"{"token_url": "https://x.example.org/{"}"#).len(), 1);
    }

    #[test]
    fn the_settings_of_its_addresses_are_named() {
        let declaration: Declaration = serde_json::from_str(
            r#"{"token_url": "https://{domain}.example.org/t", "authorization_url": "https://example.org/{tenant}/a",
                "revocation_url": "https://{domain}.example.org/r/{token}/{client_id}"}"#,
        )
        .unwrap();
        assert_eq!(declaration.settings().into_iter().collect::<Vec<_>>(), ["domain", "tenant"]);
    }
}
