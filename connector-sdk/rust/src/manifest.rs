//! What the SDK reads from the manifest: who the connector is, what it can do, and what its requests have to keep to.

use superfasttt_proto::connector::v1::Capabilities;

/// Why a manifest cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The text is not JSON, or not an object with the fields needed here.
    #[error("the connector's author must mend manifest.json: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A word in `capabilities` that the contract does not know.
    #[error(
        "the connector's author must mend manifest.json: capabilities[{index}] is {name:?}; \
         the contract knows {}", KNOWN.join(", ")
    )]
    UnknownCapability {
        /// Where it stands in the list.
        index: usize,
        /// What it says.
        name: String,
    },
}

const KNOWN: [&str; 8] = [
    "incremental",
    "full_listing",
    "list",
    "targeted",
    "discover",
    "fetch_content",
    "handle_event",
    "execute",
];

/// The parts of `manifest.json` that the SDK acts by.
#[derive(Debug)]
pub(crate) struct Manifest {
    #[cfg(any(test, feature = "http"))]
    pub(crate) id: String,
    #[cfg(feature = "http")]
    pub(crate) version: String,
    pub(crate) capabilities: Capabilities,
    pub(crate) auth: Auth,
    /// The JSON Schema of the settings.
    pub(crate) settings: serde_json::Value,
    #[cfg(feature = "http")]
    pub(crate) allowed_hosts: Vec<String>,
    #[cfg(feature = "http")]
    pub(crate) rate_limits: Vec<RateLimit>,
}

#[derive(serde::Deserialize)]
struct Written {
    #[cfg_attr(not(any(test, feature = "http")), expect(dead_code, reason = "it has to be there"))]
    id: String,
    #[cfg(feature = "http")]
    #[serde(default)]
    version: String,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    sync: Sync,
    #[serde(default)]
    auth: Auth,
    #[serde(default)]
    settings: serde_json::Value,
    #[cfg(feature = "http")]
    #[serde(default)]
    allowed_hosts: Vec<String>,
    #[cfg(feature = "http")]
    #[serde(default)]
    rate_limits: Vec<RateLimit>,
}

#[derive(Default, serde::Deserialize)]
struct Sync {
    #[serde(default)]
    mode: String,
}

/// What the connector authenticates with.
#[derive(Debug, Default, serde::Deserialize)]
pub(crate) struct Auth {
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) fields: Vec<AuthField>,
}

/// A value that a person enters.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct AuthField {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) secret: bool,
}

/// At most so many requests in any stretch of this time.
#[cfg(feature = "http")]
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct RateLimit {
    requests: std::num::NonZeroU32,
    #[serde(deserialize_with = "duration")]
    pub(crate) per: std::time::Duration,
    #[serde(default)]
    reach: String,
}

#[cfg(feature = "http")]
impl RateLimit {
    pub(crate) fn requests(&self) -> usize {
        self.requests.get() as usize
    }

    /// Whether all connections of the process share it. A process is not told which organisation a connection is of, and by
    /// default it serves only one.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.reach.as_str(), "organization" | "connector")
    }
}

#[cfg(feature = "http")]
fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<std::time::Duration, D::Error> {
    let text: String = serde::Deserialize::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(serde::de::Error::custom)
}

/// Reads the text of `manifest.json`.
pub(crate) fn read(text: &str) -> Result<Manifest, ManifestError> {
    let written: Written = serde_json::from_str(text)?;
    // As the server reads it: an incremental sync mode is the capability.
    let incremental = written.sync.mode == "incremental";
    let mut capabilities = Capabilities { incremental, ..Capabilities::default() };
    for (index, name) in written.capabilities.into_iter().enumerate() {
        match flag(&mut capabilities, &name) {
            Some(flag) => *flag = true,
            None => return Err(ManifestError::UnknownCapability { index, name }),
        }
    }
    Ok(Manifest {
        #[cfg(any(test, feature = "http"))]
        id: written.id,
        #[cfg(feature = "http")]
        version: written.version,
        capabilities,
        auth: written.auth,
        settings: written.settings,
        #[cfg(feature = "http")]
        allowed_hosts: written.allowed_hosts,
        #[cfg(feature = "http")]
        rate_limits: written.rate_limits,
    })
}

impl Manifest {
    /// The names of what is served.
    pub(crate) fn served(&self) -> Vec<&'static str> {
        let mut capabilities = self.capabilities;
        KNOWN.into_iter().filter(|name| flag(&mut capabilities, name).is_some_and(|flag| *flag)).collect()
    }
}

fn flag<'a>(capabilities: &'a mut Capabilities, name: &str) -> Option<&'a mut bool> {
    Some(match name {
        "incremental" => &mut capabilities.incremental,
        "full_listing" => &mut capabilities.full_listing,
        "list" => &mut capabilities.list,
        "targeted" => &mut capabilities.targeted,
        "discover" => &mut capabilities.discover,
        "fetch_content" => &mut capabilities.fetch_content,
        "handle_event" => &mut capabilities.handle_event,
        "execute" => &mut capabilities.execute,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_capability_is_read() {
        let text = serde_json::json!({"id": "x", "capabilities": KNOWN}).to_string();
        let all = Capabilities {
            incremental: true,
            full_listing: true,
            list: true,
            targeted: true,
            discover: true,
            fetch_content: true,
            handle_event: true,
            execute: true,
        };
        let manifest = read(&text).unwrap();
        assert_eq!((manifest.id.as_str(), manifest.capabilities), ("x", all));
        assert_eq!(manifest.served(), KNOWN);
    }

    #[test]
    fn an_incremental_sync_mode_is_the_capability() {
        let manifest = read(r#"{"id": "x", "sync": {"mode": "incremental"}}"#).unwrap();
        assert_eq!(manifest.capabilities, Capabilities { incremental: true, ..Capabilities::default() });
    }

    #[test]
    fn an_unknown_capability_is_named_with_the_known_ones() {
        let error = read(r#"{"id": "x", "capabilities": ["list", "fetch"]}"#).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("capabilities[1] is \"fetch\"") && text.contains("fetch_content"), "{text}");
    }
}
