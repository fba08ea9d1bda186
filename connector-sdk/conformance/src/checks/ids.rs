//! Ids are unique in a listing and the same in the next.

use std::collections::BTreeSet;

use superfasttt_proto::connector::v1::{PullMode, change};

use crate::model::{Model, some};
use crate::outcome::{Finding, Outcome, Verdict};
use crate::sync::catch_up;
use crate::workbench::Workbench;

const UNIQUE: &str =
    "\"The source's own stable identifier, unique within a connection.\" (document.proto, DocumentEnvelope)";
const STABLE: &str =
    "\"The same item has the same id at every sight of it.\" (document.proto, DocumentEnvelope)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let mut findings = Vec::new();
    let (mut met, mut again) = (BTreeSet::new(), BTreeSet::new());
    for (_, change) in baseline.pulls.iter().flat_map(|pulled| pulled.changes()) {
        let id = match &change.kind {
            Some(change::Kind::Document(document)) => &document.id,
            Some(change::Kind::Present(present)) => &present.id,
            Some(change::Kind::Container(container)) => &container.id,
            _ => continue,
        };
        if !met.insert(id.clone()) {
            again.insert(id.clone());
        }
    }
    if !again.is_empty() {
        let again: Vec<String> = again.into_iter().collect();
        let seen = format!("in one listing came more than once: {}", some(&again));
        findings.push(Finding::new(
            seen,
            UNIQUE,
            "see whether two items share an id, or a page is read twice",
        ));
    }
    let mut models = [Model::default()];
    let wire = bench.wire().await?;
    catch_up(&wire, &bench.request(PullMode::Full), PullMode::Full, &mut models).await.map_err(|reason| {
        Outcome::failed(
            format!("the second listing came to no end: {reason}"),
            STABLE,
            "see the check `full`",
        )
    })?;
    let (first, second) = (baseline.model.ids(), models[0].ids());
    let difference: Vec<String> = first.symmetric_difference(&second).map(|id| (*id).to_owned()).collect();
    if !difference.is_empty() {
        let seen = format!("only in one of two listings: {}", some(&difference));
        findings.push(Finding::new(
            seen,
            STABLE,
            "make ids of what the source calls the item, and of nothing else",
        ));
    }
    Ok(Outcome::of(findings, format!("{} ids", first.len())))
}
