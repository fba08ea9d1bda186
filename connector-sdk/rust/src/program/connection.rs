//! Which connection a command is about: settings, credential, and where its traffic goes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use prost_types::Struct;
use serde_json::{Map, Value};
use superfasttt_proto::connector::v1::{Credential, FieldsCredential, OAuthToken, credential::Kind};

use crate::manifest::{Auth, Manifest};
use crate::program::Failure;
use crate::traffic::Traffic;
use crate::values::json_to_struct;

#[derive(Args)]
pub(super) struct ConnectionOptions {
    /// The connection's settings, a JSON file; without it, what the manifest has as defaults
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// One setting; what is no text in the manifest is written as JSON
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The credential, in a variable of the environment: a token or key, user:password, or JSON with the fields of several
    #[arg(long, value_name = "NAME", conflicts_with = "credential")]
    credential_env: Option<String>,
    /// The same in a file
    #[arg(long, value_name = "FILE")]
    credential: Option<PathBuf>,
    #[cfg(feature = "http")]
    #[command(flatten)]
    traffic: TrafficOptions,
}

#[cfg(feature = "http")]
#[derive(Args)]
struct TrafficOptions {
    /// Write the HTTP traffic to it, without secrets (HAR 1.2)
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Answer from it, without network
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

impl ConnectionOptions {
    #[cfg(feature = "http")]
    pub(super) fn traffic(&self) -> Traffic {
        match (&self.traffic.replay, &self.traffic.record) {
            (Some(path), _) => Traffic::Replay(path.clone()),
            (None, Some(path)) => Traffic::Record(path.clone()),
            (None, None) => Traffic::from_env(),
        }
    }

    #[cfg(not(feature = "http"))]
    pub(super) fn traffic(&self) -> Traffic {
        Traffic::Network
    }

    /// The schema's defaults, then the file, then what was set.
    pub(super) fn settings(&self, manifest: &Manifest) -> Result<Struct, Failure> {
        let properties =
            manifest.settings.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let default =
            |(name, schema): (&String, &Value)| Some((name.clone(), schema.get("default")?.clone()));
        let mut settings: Map<String, Value> = properties.iter().filter_map(default).collect();
        if let Some(path) = &self.settings {
            let given: Map<String, Value> = serde_json::from_str(&read(path)?)
                .map_err(|error| Failure::Usage(format!("{} is no JSON object: {error}", path.display())))?;
            settings.extend(given);
        }
        for setting in &self.set {
            let Some((name, value)) = setting.split_once('=') else {
                return Err(Failure::Usage(format!("--set takes NAME=VALUE, not {setting:?}")));
            };
            let kind = properties.get(name).and_then(|schema| schema.get("type")).and_then(Value::as_str);
            let value = match (kind, serde_json::from_str(value)) {
                (None | Some("string"), _) => Value::from(value),
                (Some(_), Ok(value)) => value,
                (Some(kind), Err(_)) => {
                    return Err(Failure::Usage(format!(
                        "--set {name}: the manifest says {kind}, and {value:?} is none"
                    )));
                }
            };
            settings.insert(name.to_owned(), value);
        }
        Ok(json_to_struct(settings))
    }

    pub(super) fn credential(&self, manifest: &Manifest) -> Result<Option<Credential>, Failure> {
        let text = match (&self.credential_env, &self.credential) {
            (Some(name), _) => std::env::var(name)
                .map_err(|_| Failure::Usage(format!("there is no variable {name} in the environment")))?,
            (None, Some(path)) => read(path)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(credential_of(&manifest.auth, text.trim_end_matches(['\r', '\n']))))
    }
}

/// What a text that a person kept stands for, as the manifest's `auth` says.
fn credential_of(auth: &Auth, text: &str) -> Credential {
    let given: Option<BTreeMap<String, Value>> = serde_json::from_str(text).ok();
    let mut fields: BTreeMap<String, String> = match given {
        Some(given) => given.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        None if auth.kind == "basic" => {
            let (username, password) = text.split_once(':').unwrap_or((text, ""));
            [("username", username), ("password", password)]
                .map(|(name, value)| (name.into(), value.into()))
                .into()
        }
        None => [(secret_name(auth).to_owned(), text.to_owned())].into(),
    };
    if auth.kind == "oauth2" {
        let mut field = |name| fields.remove(name).unwrap_or_default();
        let (access_token, token_type) = (field("access_token"), field("token_type"));
        let token = OAuthToken { access_token, token_type, ..OAuthToken::default() };
        return Credential { kind: Some(Kind::Oauth2(token)), extras: fields, ..Credential::default() };
    }
    // `Credential` reads fields by the names that they have where the manifest declares none.
    let kind = Some(Kind::Fields(FieldsCredential { values: fields.into_iter().collect() }));
    Credential { kind, ..Credential::default() }
}

/// The field that a text alone is meant for.
fn secret_name(auth: &Auth) -> &str {
    let mut fields = auth.fields.iter();
    match (fields.find(|field| field.secret), auth.kind.as_str()) {
        (Some(field), _) => &field.name,
        (None, "oauth2") => "access_token",
        (None, "bearer_token") => "token",
        (None, _) => "key",
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))
}
