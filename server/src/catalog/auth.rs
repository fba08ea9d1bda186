//! The `auth` part of a manifest: what a connection authenticates with. What each field means is told in the
//! published schema, `server/schema/manifest.schema.json`.

use serde::Deserialize;
use superfasttt_oauth::Declaration;
use superfasttt_proto::connector::v1::{Credential, credential::Kind};

/// What a connection authenticates with.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Auth {
    /// The kind of credential.
    #[serde(rename = "type")]
    pub kind: AuthKind,
    /// Values that a person enters; empty where the kind says enough.
    #[serde(default)]
    pub fields: Vec<AuthField>,
    /// For `oauth2`: the provider's endpoints and ways.
    #[serde(flatten)]
    pub oauth: Declaration,
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
    pub help: String,
    /// An example, shown while nothing is entered.
    #[serde(default)]
    pub placeholder: String,
    /// The regular expression that a value has to match; `None`: any value.
    pub pattern: Option<String>,
    /// Whether it must never be shown again.
    #[serde(default = "yes")]
    pub secret: bool,
    /// Whether it must be given.
    #[serde(default = "yes")]
    pub required: bool,
}

impl Auth {
    /// The secret values of a credential: of several fields, those of the fields that are secret.
    pub fn secrets_of<'a>(&self, credential: &'a Credential) -> Vec<&'a str> {
        let Some(Kind::Fields(fields)) = &credential.kind else { return credential.secrets() };
        let is_secret = |name: &str| self.fields.iter().any(|field| field.secret && field.name == name);
        let secret = fields.values.iter().filter(|(name, _)| is_secret(name));
        secret.map(|(_, value)| value.as_str()).collect()
    }
}

impl AuthField {
    /// Whether a value has the form that the manifest asks for.
    pub fn matches(&self, value: &str) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        let schema = serde_json::json!({"type": "string", "pattern": pattern});
        // A manifest whose patterns are none is refused when it is loaded.
        super::schema::compile(&schema).is_ok_and(|pattern| pattern.is_valid(&value.into()))
    }
}

fn yes() -> bool {
    true
}
