//! What the manifest does not declare answers UNIMPLEMENTED.

use futures::TryFutureExt;
use prost_types::Struct;
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{
    DiscoverRequest, ExecuteRequest, FetchContentRequest, HandleEventRequest, PullMode, PullRequest,
};
use tonic::{Code, Status};

use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::{End, pull, told};
use crate::wire::Wire;
use crate::workbench::Workbench;

const UNDECLARED: &str = "\"Only Describe, TestConnection, Pull and Normalize are required; the others answer UNIMPLEMENTED unless the manifest declares them.\" (connector.proto, No memory)";
const MODES: &str = "\"Changes since each scope's cursor. Needs capability `incremental`.\", \"Needs capability `list`.\", \"Needs capability `targeted`.\" (connector.proto, PullMode)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let wire = bench.wire().await?;
    let declared = bench.capabilities();
    let mut findings = Vec::new();
    let rpcs = [
        ("discover", declared.discover),
        ("fetch_content", declared.fetch_content),
        ("handle_event", declared.handle_event),
        ("execute", declared.execute),
    ];
    let mut tried = 0;
    for (name, _) in rpcs.into_iter().filter(|(_, declared)| !declared) {
        tried += 1;
        if let Some(seen) = not_refused(call(bench, &wire, name).await) {
            let fix =
                format!("declare `{name}` in the manifest's capabilities, or leave the rpc to its default");
            findings.push(Finding::new(format!("{name}, which is not declared, {seen}"), UNDECLARED, fix));
        }
    }
    let modes = [
        (PullMode::Incremental, "incremental", declared.incremental),
        (PullMode::List, "list", declared.list),
        (PullMode::Targeted, "targeted", declared.targeted),
    ];
    for (mode, name, _) in modes.into_iter().filter(|(_, _, declared)| !declared) {
        tried += 1;
        let ids = if mode == PullMode::Targeted { vec!["x".to_owned()] } else { Vec::new() };
        let pulled = pull(&wire, PullRequest { ids, ..bench.request(mode) }, None).await;
        let outcome = match pulled.end {
            End::Error(status) => Err(status),
            _ => Ok(()),
        };
        if let Some(seen) = not_refused(outcome) {
            let fix = format!("declare `{name}`, or answer UNIMPLEMENTED to pulls in that mode");
            findings.push(Finding::new(
                format!("a pull in {}, which is not declared, {seen}", mode.as_str_name()),
                MODES,
                fix,
            ));
        }
    }
    if tried == 0 {
        return Ok(Outcome::not_applicable("it declares everything"));
    }
    Ok(Outcome::of(findings, format!("{tried} of them")))
}

fn not_refused(outcome: Result<(), Status>) -> Option<String> {
    match outcome {
        Err(status) if status.code() == Code::Unimplemented => None,
        Err(status) => Some(format!("answers {}", told(&status))),
        Ok(()) => Some("is served".to_owned()),
    }
}

async fn call(bench: &Workbench, wire: &Wire, name: &str) -> Result<(), Status> {
    let settings = Some(bench.settings_struct());
    let credential = bench.credential.clone();
    let contract_revision = CONTRACT_REVISION;
    let mut client = wire.client();
    match name {
        "discover" => {
            let request = DiscoverRequest { settings, credential, contract_revision, ..Default::default() };
            client.discover(request).map_ok(drop).await
        }
        "fetch_content" => {
            let request = FetchContentRequest {
                settings,
                credential,
                contract_revision,
                id: "x".to_owned(),
                content_ref: "x".to_owned(),
                ..Default::default()
            };
            client.fetch_content(request).await?.into_inner().message().map_ok(drop).await
        }
        "handle_event" => {
            let method = "POST".to_owned();
            let request =
                HandleEventRequest { settings, credential, contract_revision, method, ..Default::default() };
            client.handle_event(request).map_ok(drop).await
        }
        _ => {
            let request = ExecuteRequest {
                settings,
                credential,
                contract_revision,
                action: "x".to_owned(),
                input: Some(Struct::default()),
                ..Default::default()
            };
            client.execute(request).map_ok(drop).await
        }
    }
}
