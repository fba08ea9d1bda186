//! What the SDK reads from the manifest: the id, and what the connector says it can do.

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

#[derive(serde::Deserialize)]
struct Manifest {
    id: String,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    sync: Sync,
}

#[derive(Default, serde::Deserialize)]
struct Sync {
    #[serde(default)]
    mode: String,
}

/// The id and the capabilities of a manifest.
pub(crate) fn read(text: &str) -> Result<(String, Capabilities), ManifestError> {
    let manifest: Manifest = serde_json::from_str(text)?;
    // As the server reads it: an incremental sync mode is the capability.
    let incremental = manifest.sync.mode == "incremental";
    let mut capabilities = Capabilities { incremental, ..Capabilities::default() };
    for (index, name) in manifest.capabilities.into_iter().enumerate() {
        let flag = match name.as_str() {
            "incremental" => &mut capabilities.incremental,
            "full_listing" => &mut capabilities.full_listing,
            "list" => &mut capabilities.list,
            "targeted" => &mut capabilities.targeted,
            "discover" => &mut capabilities.discover,
            "fetch_content" => &mut capabilities.fetch_content,
            "handle_event" => &mut capabilities.handle_event,
            "execute" => &mut capabilities.execute,
            _ => return Err(ManifestError::UnknownCapability { index, name }),
        };
        *flag = true;
    }
    Ok((manifest.id, capabilities))
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
        assert_eq!(read(&text).unwrap(), ("x".to_owned(), all));
    }

    #[test]
    fn an_incremental_sync_mode_is_the_capability() {
        let (_, capabilities) = read(r#"{"id": "x", "sync": {"mode": "incremental"}}"#).unwrap();
        assert_eq!(capabilities, Capabilities { incremental: true, ..Capabilities::default() });
    }

    #[test]
    fn an_unknown_capability_is_named_with_the_known_ones() {
        let error = read(r#"{"id": "x", "capabilities": ["list", "fetch"]}"#).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("capabilities[1] is \"fetch\"") && text.contains("fetch_content"), "{text}");
    }
}
