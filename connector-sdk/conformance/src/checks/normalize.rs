//! Normalize is pure, and gives what Pull gives: the same item twice, in another process, and beside the envelope that
//! was made in the process.

use std::collections::BTreeMap;

use prost_types::Struct;
use serde_json::Value;
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{
    NormalizeRequest, NormalizeResponse, NormalizeStart, PullMode, PullRequest, RawItem, change, item_error,
    normalize_request, normalize_response,
};

use crate::model::differing_fields;
use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::{pull, told};
use crate::wire::Wire;
use crate::workbench::{Workbench, to_struct};

const PURE: &str = "\"Turns raw items into envelopes: pure, without credential, network or clock, the same answer for the same item each time.\" (connector.proto, rpc Normalize)";
const ORDER: &str = "\"Both sides read and write at once; answers come in the order of the items.\" (connector.proto, rpc Normalize)";
const SAME: &str = "\"What became of one raw item. Its id is that of the raw item.\" and \"Its `version` and `content_ref` are those of the raw item.\" (connector.proto, NormalizeResponse)";
const LIMIT: &str =
    "\"Required, at most 1 MiB. The source's own bytes, JSON by convention.\" (connector.proto, RawItem)";
const MOST_ITEMS: usize = 2000;
const FIX: &str = "make the envelope of the item alone; what it needs beside belongs into the raw item";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let wire = bench.wire().await?;
    let request = PullRequest { want_raw: true, ..bench.request(PullMode::Full) };
    let pulled = pull(&wire, request, None).await;
    if let Some(failure) = pulled.failure() {
        return Ok(Outcome::failed(
            format!("a pull that wants raw items ended with {failure}"),
            PURE,
            "send raw items, or documents all the same",
        ));
    }
    let raw: Vec<RawItem> = pulled
        .changes()
        .filter_map(|(_, change)| match &change.kind {
            Some(change::Kind::Raw(raw)) => Some(raw.clone()),
            _ => None,
        })
        .take(MOST_ITEMS)
        .collect();
    if raw.is_empty() {
        return Ok(Outcome::not_applicable("it sends documents also where raw items are wanted"));
    }
    let mut findings = Vec::new();
    for item in raw.iter().filter(|item| item.data.len() > 1024 * 1024 || item.schema.is_empty()) {
        let seen = format!(
            "the raw item {:?} has {} bytes and the schema {:?}",
            item.id,
            item.data.len(),
            item.schema
        );
        findings.push(Finding::new(seen, LIMIT, "keep below 1 MiB, and name the schema"));
    }
    let settings = without_secrets(bench);
    let first = answers(&wire, &settings, &raw).await.map_err(failed)?;
    let second = answers(&wire, &settings, &raw).await.map_err(failed)?;
    let mut pairs = vec![("the second time", second)];
    if let Ok(other) = bench.start().await {
        pairs.push(("in another process", answers(&other.wire, &settings, &raw).await.map_err(failed)?));
    }
    findings.extend(of_order(&raw, &first));
    for (when, others) in &pairs {
        for ((item, one), other) in raw.iter().zip(&first).zip(others) {
            if one != other {
                let seen = format!("{:?} is normalized otherwise {when}{}", item.id, in_what(one, other));
                findings.push(Finding::new(seen, PURE, FIX));
            }
        }
    }
    // The source has not changed, so the envelope of the plain pull is of the same item.
    let documents: BTreeMap<&str, _> =
        baseline.model.documents().map(|document| (document.id.as_str(), document)).collect();
    for answer in first.iter().filter_map(|answer| answer.kind.as_ref()) {
        let normalize_response::Kind::Document(document) = answer else { continue };
        match documents.get(document.id.as_str()) {
            Some(pulled) if *pulled != document => {
                let seen = format!(
                    "Pull and Normalize give other documents for {:?}: {}",
                    document.id,
                    differing_fields(pulled, document)
                );
                findings.push(Finding::new(seen, PURE, FIX));
            }
            _ => {}
        }
    }
    Ok(Outcome::of(findings, format!("{} raw items", raw.len())))
}

fn failed(reason: String) -> Outcome {
    Outcome::failed(
        reason,
        ORDER,
        "answer each item with an envelope or an item error, and end when the requests end",
    )
}

/// One answer for each item, of its id.
fn of_order(raw: &[RawItem], answers: &[NormalizeResponse]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (item, answer) in raw.iter().zip(answers) {
        let seen = match &answer.kind {
            Some(normalize_response::Kind::Document(document)) => {
                let same = document.id == item.id
                    && document.version == item.version
                    && document.content_ref == item.content_ref;
                (!same).then(|| {
                    format!(
                        "{:?} was answered by {:?}, or with another version or content_ref",
                        item.id, document.id
                    )
                })
            }
            Some(normalize_response::Kind::ItemError(error)) => {
                let named = matches!(&error.target, Some(item_error::Target::Id(id)) if *id == item.id);
                (!named).then(|| format!("{:?} was answered by an item error that does not name it", item.id))
            }
            None => Some(format!("{:?} was answered by nothing", item.id)),
        };
        findings.extend(
            seen.map(|seen| {
                Finding::new(seen, SAME, "answer in the order of the items, each under its own id")
            }),
        );
    }
    findings
}

async fn answers(wire: &Wire, settings: &Struct, raw: &[RawItem]) -> Result<Vec<NormalizeResponse>, String> {
    let start = NormalizeStart { settings: Some(settings.clone()), contract_revision: CONTRACT_REVISION };
    let mut requests = vec![NormalizeRequest { kind: Some(normalize_request::Kind::Start(start)) }];
    requests.extend(
        raw.iter().map(|item| NormalizeRequest { kind: Some(normalize_request::Kind::Raw(item.clone())) }),
    );
    let call = async {
        let mut stream = wire.client().normalize(tokio_stream::iter(requests)).await?.into_inner();
        let mut answers = Vec::new();
        while let Some(answer) = stream.message().await? {
            answers.push(answer);
        }
        Ok::<_, tonic::Status>(answers)
    };
    let limit = std::time::Duration::from_secs(60);
    let answers = tokio::time::timeout(limit, call)
        .await
        .map_err(|_| "Normalize did not end within 60 s".to_owned())?;
    let answers = answers.map_err(|status| format!("Normalize ended with {}", told(&status)))?;
    if answers.len() == raw.len() {
        Ok(answers)
    } else {
        Err(format!("{} items were answered by {} messages", raw.len(), answers.len()))
    }
}

fn in_what(one: &NormalizeResponse, other: &NormalizeResponse) -> String {
    match (&one.kind, &other.kind) {
        (Some(normalize_response::Kind::Document(one)), Some(normalize_response::Kind::Document(other))) => {
            format!(": {}", differing_fields(one, other))
        }
        _ => String::new(),
    }
}

/// The settings as Normalize gets them: without those that the schema marks `x-secret`.
fn without_secrets(bench: &Workbench) -> Struct {
    let secret = |name: &str| {
        bench.manifest.settings["properties"][name].get("x-secret").and_then(Value::as_bool) == Some(true)
    };
    let mut settings = bench.settings_struct();
    settings.fields.retain(|name, _| !secret(name));
    if settings.fields.is_empty() { to_struct(&Value::Object(serde_json::Map::new())) } else { settings }
}
