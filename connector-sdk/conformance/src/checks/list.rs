//! LIST names what a listing names, at the same versions.

use std::collections::{BTreeMap, BTreeSet};

use superfasttt_proto::connector::v1::{PullMode, change, item_error};

use crate::model::some;
use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::pull;
use crate::workbench::Workbench;

const LIST: &str = "\"A listing of ids and versions only (`present`); never moves a cursor. Needs capability `list`.\" (connector.proto, PullMode)";
const VERSION: &str = "\"Optional. Equal to the stored one: seen. An unknown id, or another version: asked for by TARGETED.\" (connector.proto, Present)";
const OMITTED: &str = "\"Everything in this scope has been named since the listing began: what was not is gone.\" (connector.proto, Checkpoint)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    if !bench.capabilities().list {
        return Ok(Outcome::not_applicable("it does not declare `list`"));
    }
    let baseline = bench.baseline().await?;
    let wire = bench.wire().await?;
    let pulled = pull(&wire, bench.request(PullMode::List), None).await;
    if let Some(failure) = pulled.failure() {
        return Ok(Outcome::failed(
            format!("a LIST from nothing ended with {failure}"),
            LIST,
            "serve LIST, or do not declare it",
        ));
    }
    let (mut named, mut shielded) = (BTreeMap::new(), BTreeSet::new());
    for (_, change) in pulled.changes() {
        match &change.kind {
            Some(change::Kind::Present(present)) => {
                named.insert(present.id.as_str(), present.version.as_str());
            }
            Some(change::Kind::Document(document)) => {
                named.insert(document.id.as_str(), document.version.as_str());
            }
            Some(change::Kind::ItemError(error)) => match &error.target {
                Some(item_error::Target::Id(id)) => {
                    shielded.insert(id.as_str());
                }
                _ => {
                    shielded.insert("");
                }
            },
            _ => {}
        }
    }
    let mut findings = Vec::new();
    let ids = baseline.model.ids();
    let absent: Vec<String> = ids
        .iter()
        .filter(|id| !named.contains_key(**id) && !shielded.contains(**id))
        .map(|id| (*id).to_owned())
        .collect();
    // An error that names no id may stand for any of them.
    if !absent.is_empty() && !shielded.contains("") {
        findings.push(Finding::new(
            format!("LIST left out {}", some(&absent)),
            OMITTED,
            "name everything that a FULL names",
        ));
    }
    let unknown: Vec<String> = named
        .keys()
        .filter(|id| !ids.contains(**id) && !failed_in(&baseline, id))
        .map(|id| (*id).to_owned())
        .collect();
    if !unknown.is_empty() {
        let seen = format!("LIST named what a FULL does not bring: {}", some(&unknown));
        findings.push(Finding::new(seen, LIST, "name documents only, by their ids"));
    }
    for document in baseline.model.documents() {
        if let Some(version) = named.get(document.id.as_str()).filter(|version| **version != document.version)
        {
            let seen = format!(
                "LIST says {:?} is at {version:?}, and its document says {:?}",
                document.id, document.version
            );
            findings.push(Finding::new(seen, VERSION, "make both versions of the same field of the source"));
        }
    }
    Ok(Outcome::of(findings, format!("{} ids", named.len())))
}

/// Whether the listing could not read this item: it exists all the same.
fn failed_in(baseline: &crate::workbench::Baseline, id: &str) -> bool {
    baseline.pulls.iter().flat_map(|pulled| pulled.changes()).any(|(_, change)| {
        matches!(&change.kind, Some(change::Kind::ItemError(error))
            if matches!(&error.target, Some(item_error::Target::Id(failed)) if failed == id))
    })
}
