//! `info`: what a connector says of itself.

use serde_json::{Value, json};

use crate::connector::Connector;
use crate::manifest;
use crate::program::Failure;
use crate::program::output::Output;

pub(super) fn info<C: Connector>(connector: &C, output: &Output) -> Result<(), Failure> {
    let manifest =
        manifest::read(connector.manifest()).map_err(|error| Failure::Failed(error.to_string()))?;
    let written: Value = serde_json::from_str(connector.manifest()).unwrap_or_default();
    let sdk = concat!("rust/", env!("CARGO_PKG_VERSION"));
    let served = manifest.served();
    let text = [
        ("id", manifest.id.clone()),
        ("name", written["name"].as_str().unwrap_or_default().to_owned()),
        ("version", manifest.version.clone()),
        ("auth", if manifest.auth.kind.is_empty() { "none".to_owned() } else { manifest.auth.kind.clone() }),
        ("served", if served.is_empty() { "full".to_owned() } else { served.join(", ") }),
        ("raw schema", C::RAW_SCHEMA.to_owned()),
        ("sdk", sdk.to_owned()),
        ("problems", "none".to_owned()),
    ];
    let text: Vec<String> = text.iter().map(|(name, value)| format!("{name:<12}{value}")).collect();
    let found = json!({
        "manifest": written, "capabilities": served, "raw_schema": C::RAW_SCHEMA, "sdk": sdk, "problems": [],
    });
    Ok(output.say("connector", &found, &text.join("\n"))?)
}
