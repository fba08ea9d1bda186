//! A connector's manifest as types. What each field means for an author is told in the published schema,
//! `server/schema/manifest.schema.json`; a [`Manifest`] exists only for a text that the schema accepts.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::auth::Auth;
use super::frequency::Frequency;
use super::problem::Problem;
use super::settings::SettingsSchema;
use super::{check, schema};

/// A manifest over this size is refused; it also has to fit into the answer of `Describe`.
pub const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;

/// Who a connector is, and all that the server knows of it.
#[derive(Debug)]
pub struct Manifest {
    /// The connector's name for machines.
    pub id: String,
    /// The connector's own version.
    pub version: String,
    /// The name that people see.
    pub name: String,
    /// What it brings.
    pub description: String,
    /// The group in which a console lists it.
    pub category: String,
    /// The path of an image in the connector's folder.
    pub icon: Option<String>,
    /// Where a person reads how to set it up.
    pub documentation_url: Option<String>,
    /// What a connection authenticates with.
    pub auth: Auth,
    /// How connections sync by default.
    pub sync: SyncDefaults,
    /// Permissions of the platform that a person needs.
    pub permissions: Vec<String>,
    /// The schema of a connection's settings.
    pub settings: SettingsSchema,
    /// What it can do beyond the required rpcs.
    pub capabilities: Capabilities,
    /// How often the source lets itself be asked.
    pub rate_limits: Vec<RateLimit>,
    /// What it can be made to do in the source.
    pub actions: Vec<Action>,
    /// Which webhooks it understands.
    pub events: Vec<Event>,
    /// The hosts that it talks to.
    pub allowed_hosts: Vec<String>,
    /// How to start it; `None`: `connector` or `connector.py` in its folder.
    pub runtime: Option<Runtime>,
    /// The text as it was read.
    pub raw: String,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// Every problem that there is, each with its path and the mend.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            vec![Problem::new("", format!("it is not JSON: {error}"), "mend the syntax at that line")]
        })?;
        let problems = schema::check(&value);
        if !problems.is_empty() {
            return Err(problems);
        }
        // The schema is meant to accept nothing that the types refuse; a gap between the two is still an answer.
        let parts: Parts = serde_json::from_value(value).map_err(|error| {
            vec![Problem::new("", error.to_string(), "compare it with the manifest schema")]
        })?;
        let problems = check::check(&parts);
        if !problems.is_empty() {
            return Err(problems);
        }
        let settings =
            SettingsSchema::new(parts.settings).map_err(|problem| vec![problem.under("settings")])?;
        let mut capabilities = Capabilities::from_names(&parts.capabilities);
        capabilities.incremental |= parts.sync.mode == SyncMode::Incremental;
        Ok(Self {
            name: parts.name.unwrap_or_else(|| parts.id.clone()),
            id: parts.id,
            version: parts.version,
            description: parts.description,
            category: parts.category,
            icon: parts.icon,
            documentation_url: parts.documentation_url,
            auth: parts.auth,
            sync: parts.sync,
            permissions: parts.permissions,
            settings,
            capabilities,
            rate_limits: parts.rate_limits,
            actions: parts.actions,
            events: parts.events,
            allowed_hosts: parts.allowed_hosts,
            runtime: parts.runtime,
            raw: text.to_owned(),
        })
    }
}

/// The manifest as serde reads it.
#[derive(Debug, Deserialize)]
pub(super) struct Parts {
    pub(super) id: String,
    #[serde(default = "default_version")]
    version: String,
    name: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default = "default_category")]
    category: String,
    icon: Option<String>,
    documentation_url: Option<String>,
    pub(super) auth: Auth,
    sync: SyncDefaults,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default = "SettingsSchema::nothing")]
    pub(super) settings: Value,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    rate_limits: Vec<RateLimit>,
    #[serde(default)]
    pub(super) actions: Vec<Action>,
    #[serde(default)]
    pub(super) events: Vec<Event>,
    #[serde(default)]
    allowed_hosts: Vec<String>,
    pub(super) runtime: Option<Runtime>,
}

/// How connections sync unless a person says otherwise.
#[derive(Clone, Debug, Deserialize)]
pub struct SyncDefaults {
    /// What a run does.
    pub mode: SyncMode,
    /// How often a run is due.
    #[serde(default = "default_frequency")]
    pub frequency: Frequency,
    /// How often an incremental connection is listed in full all the same; `None`: only when needed.
    pub full_frequency: Option<Frequency>,
    /// The time zone in which cron expressions are read.
    #[serde(default)]
    pub time_zone: chrono_tz::Tz,
}

/// What a run does.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// Goes on from the cursor.
    Incremental,
    /// Lists everything each time.
    Full,
}

impl SyncMode {
    /// The word in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            SyncMode::Incremental => "incremental",
            SyncMode::Full => "full",
        }
    }
}

/// What a connector can do beyond the required rpcs. The same as the contract's message of this name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Pull serves INCREMENTAL.
    pub incremental: bool,
    /// A FULL pull lists everything, so absence means deletion.
    pub full_listing: bool,
    /// Pull serves LIST.
    pub list: bool,
    /// Pull serves TARGETED.
    pub targeted: bool,
    /// Discover is served.
    pub discover: bool,
    /// FetchContent is served.
    pub fetch_content: bool,
    /// HandleEvent is served.
    pub handle_event: bool,
    /// Execute is served.
    pub execute: bool,
}

impl Capabilities {
    fn from_names(names: &[String]) -> Self {
        let has = |name: &str| names.iter().any(|declared| declared == name);
        Self {
            incremental: has("incremental"),
            full_listing: has("full_listing"),
            list: has("list"),
            targeted: has("targeted"),
            discover: has("discover"),
            fetch_content: has("fetch_content"),
            handle_event: has("handle_event"),
            execute: has("execute"),
        }
    }

    /// The words in the manifest, in the schema's order.
    pub fn names(&self) -> Vec<&'static str> {
        [
            ("incremental", self.incremental),
            ("full_listing", self.full_listing),
            ("list", self.list),
            ("targeted", self.targeted),
            ("discover", self.discover),
            ("fetch_content", self.fetch_content),
            ("handle_event", self.handle_event),
            ("execute", self.execute),
        ]
        .into_iter()
        .filter_map(|(name, has)| has.then_some(name))
        .collect()
    }
}

/// How often the source lets itself be asked.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct RateLimit {
    /// How many requests.
    pub requests: u64,
    /// In which time.
    #[serde(deserialize_with = "duration")]
    pub per: Duration,
    /// Who shares it.
    #[serde(default)]
    pub reach: RateLimitReach,
}

/// Who shares a rate limit.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitReach {
    /// One connection.
    #[default]
    Connection,
    /// All connections of an organisation.
    Organization,
    /// All connections of the connector.
    Connector,
}

/// Something that the connector can be made to do in the source.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Action {
    /// The name for machines.
    pub name: String,
    /// The name that people see; `None`: the name.
    pub title: Option<String>,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of its input.
    #[serde(default = "any_object")]
    pub input: Value,
    /// The JSON Schema of its output.
    #[serde(default = "any_object")]
    pub output: Value,
    /// OAuth scopes beyond those of `auth`.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether doing it twice is the same as once.
    #[serde(default)]
    pub idempotent: bool,
}

/// A webhook that the connector understands.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Event {
    /// The event's name in the source.
    pub name: String,
    /// When the source sends it.
    #[serde(default)]
    pub description: String,
}

/// How to start a connector, or where it runs.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Runtime {
    /// The program and its arguments; empty where there is an endpoint.
    #[serde(default)]
    pub command: Vec<String>,
    /// The address of a connector that runs elsewhere.
    pub endpoint: Option<String>,
    /// For an https endpoint: whom to trust and who we are.
    pub tls: Option<Tls>,
    /// For an endpoint: the file of the token that it is shown on every call. Relative to the connector's folder.
    pub token_file: Option<PathBuf>,
}

/// Whom to trust and who we are. Paths are relative to the connector's folder.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Tls {
    /// PEM of the authorities that sign the connector's certificate.
    pub ca_file: PathBuf,
    /// PEM of our client certificate chain.
    pub certificate_file: Option<PathBuf>,
    /// PEM of its private key.
    pub private_key_file: Option<PathBuf>,
    /// The name in the connector's certificate; `None`: the endpoint's host.
    pub server_name: Option<String>,
}

fn default_version() -> String {
    "0.0.0".to_owned()
}

fn default_category() -> String {
    "other".to_owned()
}

fn default_frequency() -> Frequency {
    Frequency::Every(Duration::from_secs(3600))
}

fn any_object() -> Value {
    serde_json::json!({"type": "object"})
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
