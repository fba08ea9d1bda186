//! Describe equals the manifest.

use serde_json::Value;
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{Capabilities, DescribeRequest};

use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::told;
use crate::workbench::Workbench;

const MANIFEST: &str = "\"Required. The text of the connector's manifest.json, at most 1 MiB.\" (connector.proto, DescribeResponse)";
const CAPABILITIES: &str =
    "\"What it can do. It equals what the manifest declares.\" (connector.proto, DescribeResponse)";
const REVISIONS: &str = "\"Required, at least one. The revisions of this contract that it speaks, such as [1].\" (connector.proto, DescribeResponse)";
const ASKS_NOTHING: &str = "\"Needs neither settings nor a credential.\" (connector.proto, rpc Describe)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let wire = bench.wire().await?;
    let request = DescribeRequest { contract_revision: CONTRACT_REVISION };
    let answer = match wire.client().describe(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            return Ok(Outcome::failed(told(&status), ASKS_NOTHING, "answer it with the manifest"));
        }
    };
    let mut findings = Vec::new();
    let described: Option<Value> = serde_json::from_str(&answer.manifest_json).ok();
    let on_disk: Option<Value> = serde_json::from_str(&bench.manifest.text).ok();
    if described != on_disk {
        let seen = match &described {
            None => "its manifest_json is not JSON".to_owned(),
            Some(described) => format!(
                "its manifest_json is another than manifest.json: {}",
                difference(described, on_disk.as_ref())
            ),
        };
        findings.push(Finding::new(seen, MANIFEST, "answer with the file's own text, read or built in"));
    }
    let (said, declared) = (answer.capabilities.unwrap_or_default(), bench.capabilities());
    for (name, said, declared) in each(&said, &declared) {
        if said != declared {
            let seen = format!("Describe says {name}: {said}, the manifest {declared}");
            findings.push(Finding::new(seen, CAPABILITIES, format!("make both say the same of `{name}`")));
        }
    }
    if !answer.contract_revisions.contains(&CONTRACT_REVISION) {
        let seen = format!("it speaks the revisions {:?}", answer.contract_revisions);
        findings.push(Finding::new(seen, REVISIONS, format!("name revision {CONTRACT_REVISION}")));
    }
    let sdk = if answer.sdk.is_empty() { "no SDK" } else { &answer.sdk };
    Ok(Outcome::of(findings, format!("{} {sdk}", bench.manifest.id)))
}

/// The first top field that differs.
fn difference(one: &Value, other: Option<&Value>) -> String {
    let empty = serde_json::Map::new();
    let one = one.as_object().unwrap_or(&empty);
    let other = other.and_then(Value::as_object).unwrap_or(&empty);
    let differs = |name: &&String| one.get(*name) != other.get(*name);
    one.keys().chain(other.keys()).find(differs).map_or_else(String::new, |name| format!("`{name}` differs"))
}

fn each<'a>(one: &Capabilities, other: &Capabilities) -> [(&'a str, bool, bool); 8] {
    [
        ("incremental", one.incremental, other.incremental),
        ("full_listing", one.full_listing, other.full_listing),
        ("list", one.list, other.list),
        ("targeted", one.targeted, other.targeted),
        ("discover", one.discover, other.discover),
        ("fetch_content", one.fetch_content, other.fetch_content),
        ("handle_event", one.handle_event, other.handle_event),
        ("execute", one.execute, other.execute),
    ]
}
