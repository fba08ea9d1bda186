//! What the kit needs of a manifest. connectord's own reader knows the rest; the schema that both check against is the
//! published one.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use superfasttt_proto::connector::v1::Capabilities;

/// The published schema of manifests.
const SCHEMA: &str = include_str!("../../../server/schema/manifest.schema.json");

/// A connector's manifest.
#[derive(Clone, Debug, Deserialize)]
pub struct Manifest {
    /// The connector's name for machines.
    pub id: String,
    /// What a connection authenticates with.
    pub auth: Auth,
    sync: Sync,
    #[serde(default)]
    capabilities: Vec<String>,
    /// The JSON Schema of the settings.
    #[serde(default = "no_settings")]
    pub settings: Value,
    /// How often the source lets itself be asked.
    #[serde(default)]
    pub rate_limits: Vec<RateLimit>,
    /// The hosts that it talks to.
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
    /// How to start it.
    #[serde(default)]
    pub runtime: Runtime,
    /// The text as it was read.
    #[serde(skip)]
    pub text: String,
}

/// What a connection authenticates with.
#[derive(Clone, Debug, Deserialize)]
pub struct Auth {
    /// The kind of credential, as the manifest names it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The values that a person enters.
    #[serde(default)]
    pub fields: Vec<AuthField>,
}

/// A value that a person enters.
#[derive(Clone, Debug, Deserialize)]
pub struct AuthField {
    /// Its name.
    pub name: String,
    /// Whether it is secret.
    #[serde(default)]
    pub secret: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Sync {
    mode: String,
}

/// How often the source lets itself be asked.
#[derive(Clone, Debug, Deserialize)]
pub struct RateLimit {
    /// How many requests.
    pub requests: u64,
    per: String,
}

impl RateLimit {
    /// In which time.
    pub fn per(&self) -> Duration {
        // The schema has let it through, so this is a duration; a second is the shortest that anybody means.
        humantime::parse_duration(&self.per).unwrap_or(Duration::from_secs(1))
    }
}

/// How to start a connector.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Runtime {
    /// The program and its arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// Where it runs, if elsewhere.
    pub endpoint: Option<String>,
}

/// The schema of a connector that takes none.
fn no_settings() -> Value {
    serde_json::json!({"type": "object", "additionalProperties": false})
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// What is wrong with it, a line each.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| vec![format!("it is not JSON: {error}")])?;
        let schema: Value = serde_json::from_str(SCHEMA).map_err(|error| vec![error.to_string()])?;
        let validator = jsonschema::validator_for(&schema).map_err(|error| vec![error.to_string()])?;
        let problems: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut manifest: Manifest =
            serde_json::from_value(value).map_err(|error| vec![error.to_string()])?;
        text.clone_into(&mut manifest.text);
        Ok(manifest)
    }

    /// What is started in its folder: the program (an absolute path) and its arguments.
    ///
    /// # Errors
    ///
    /// Why there is nothing to start, and what to do.
    pub(crate) fn command(&self, folder: &Path) -> Result<Vec<String>, String> {
        if let Some(endpoint) = &self.runtime.endpoint {
            return Err(format!(
                "the manifest says that it runs elsewhere: name {endpoint} instead of the folder"
            ));
        }
        superfasttt_launch::command(folder, &self.runtime.command)
    }

    /// What it declares.
    pub fn capabilities(&self) -> Capabilities {
        let has = |name: &str| self.capabilities.iter().any(|declared| declared == name);
        Capabilities {
            incremental: has("incremental") || self.sync.mode == "incremental",
            full_listing: has("full_listing"),
            list: has("list"),
            targeted: has("targeted"),
            discover: has("discover"),
            fetch_content: has("fetch_content"),
            handle_event: has("handle_event"),
            execute: has("execute"),
        }
    }

    /// What is wrong with settings, by the schema of this manifest.
    ///
    /// # Errors
    ///
    /// The schema cannot be used.
    pub fn settings_problems(&self, settings: &Value) -> Result<Vec<String>, Vec<String>> {
        let validator =
            jsonschema::validator_for(&self.settings).map_err(|error| vec![format!("settings: {error}")])?;
        let told = |error: jsonschema::ValidationError<'_>| match error.instance_path().as_str() {
            "" => error.to_string(),
            path => format!("{path}: {error}"),
        };
        Ok(validator.iter_errors(settings).map(told).collect())
    }

    /// Whether a host with a port is let through `allowed_hosts`, so that the connector may be led to another port.
    pub fn lets_any_port(&self, host: &str) -> bool {
        self.allowed_hosts.is_empty() || self.allowed_hosts.iter().any(|allowed| allowed == host)
    }
}
