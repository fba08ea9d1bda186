//! `info`: what a connector says of itself, and what is wrong with it.

use serde_json::{Value, json};

use crate::connector::Connector;
use crate::manifest;
use crate::program::Failure;
use crate::program::output::Output;

/// What a manifest has at its top, the first three always.
const PARTS: [&str; 18] = [
    "id",
    "auth",
    "sync",
    "$schema",
    "version",
    "name",
    "description",
    "category",
    "icon",
    "documentation_url",
    "permissions",
    "settings",
    "capabilities",
    "rate_limits",
    "actions",
    "events",
    "allowed_hosts",
    "runtime",
];
const REQUIRED: usize = 3;

pub(super) fn info<C: Connector>(connector: &C, output: &Output) -> Result<(), Failure> {
    let written: Value = serde_json::from_str(connector.manifest()).unwrap_or_default();
    let manifest = manifest::read(connector.manifest());
    let served = manifest.as_ref().map(manifest::Manifest::served).unwrap_or_default();
    let mut problems = problems_of(&written);
    problems.extend(manifest.err().map(|error| error.to_string()));
    let said = |name: &str| written[name].as_str().unwrap_or_default().to_owned();
    let sdk = concat!("rust/", env!("CARGO_PKG_VERSION"));
    let lines = [
        ("id", said("id")),
        ("name", said("name")),
        ("version", said("version")),
        ("auth", written["auth"]["type"].as_str().unwrap_or("none").to_owned()),
        ("served", if served.is_empty() { "full pulls alone".to_owned() } else { served.join(", ") }),
        ("raw schema", C::RAW_SCHEMA.to_owned()),
        ("sdk", sdk.to_owned()),
        ("problems", if problems.is_empty() { "none".to_owned() } else { problems.join("\n            ") }),
    ];
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name:<12}{value}")).collect();
    let found = json!({
        "manifest": written, "capabilities": served, "raw_schema": C::RAW_SCHEMA, "sdk": sdk, "problems": problems,
    });
    output.say("connector", &found, &lines.join("\n"))?;
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Failed("the connector's author has to mend it".to_owned()))
    }
}

/// What the server would refuse at first sight. It checks the rest when it reads the manifest.
fn problems_of(manifest: &Value) -> Vec<String> {
    let Some(parts) = manifest.as_object() else { return Vec::new() };
    let missing = PARTS[..REQUIRED].iter().filter(|part| !parts.contains_key(**part));
    let unknown = parts.keys().filter(|part| !PARTS.contains(&part.as_str()));
    let missing = missing.map(|part| format!("manifest.json has no `{part}`"));
    missing.chain(unknown.map(|part| format!("manifest.json has `{part}`, which no manifest has"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_the_server_would_refuse_is_told() {
        assert_eq!(
            problems_of(&json!({"id": "x", "auth": {}, "sync": {}, "name": "X"})),
            Vec::<String>::new()
        );
        assert_eq!(
            problems_of(&json!({"id": "x", "auth": {}, "sycn": {}})),
            ["manifest.json has no `sync`", "manifest.json has `sycn`, which no manifest has"]
        );
    }
}
