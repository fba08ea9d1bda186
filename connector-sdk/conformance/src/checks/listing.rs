//! `listing_complete` is said only where it is true.

use std::collections::BTreeSet;

use superfasttt_proto::connector::v1::{PullMode, PullRequest, change, pull_response};

use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::{Pulled, pull};
use crate::workbench::Workbench;

const LEGAL: &str = "\"Legal only in FULL and LIST, and only with capability `full_listing`; else PROTOCOL_VIOLATION.\" (connector.proto, Checkpoint)";
const UNNAMED: &str = "\"Naming neither makes the listing incomplete: nothing is deleted by absence in this scope.\" (connector.proto, ItemError)";
const STOPPED: &str =
    "\"One scope stops, the others go on. Its listing is not complete.\" (connector.proto, ScopeError)";
const AFTER: &str = "\"Everything in this scope has been named since the listing began: what was not is gone.\" (connector.proto, Checkpoint)";
const NEVER: &str = "\"A FULL pull lists everything, so `listing_complete` may be sent and absence means deletion.\" (connector.proto, Capabilities)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let declared = bench.capabilities();
    let mut findings = Vec::new();
    let mut complete: BTreeSet<&str> = BTreeSet::new();
    let (mut unnamed, mut stopped) = (BTreeSet::new(), BTreeSet::new());
    for message in baseline.messages() {
        match &message.kind {
            Some(pull_response::Kind::Page(page)) => {
                let scope = page.scope.as_str();
                if complete.contains(scope) && !page.changes.is_empty() {
                    let seen = format!("after listing_complete more came in the scope {scope:?}");
                    findings.push(Finding::new(seen, AFTER, "say it with the last page, or after it"));
                }
                let nameless = |kind: &change::Kind| matches!(kind, change::Kind::ItemError(error) if error.target.is_none());
                if page.changes.iter().filter_map(|change| change.kind.as_ref()).any(nameless) {
                    unnamed.insert(scope);
                }
                if page.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.listing_complete) {
                    complete.insert(scope);
                }
            }
            Some(pull_response::Kind::ScopeError(error)) => {
                stopped.insert(error.scope.as_str());
            }
            _ => {}
        }
    }
    for scope in complete.intersection(&unnamed) {
        let seen =
            format!("listing_complete in the scope {scope:?}, in which an item failed that was not named");
        findings.push(Finding::new(
            seen,
            UNNAMED,
            "send a checkpoint without listing_complete then, or name the item",
        ));
    }
    for scope in complete.intersection(&stopped) {
        let seen = format!("listing_complete in the scope {scope:?}, which an error stopped");
        findings.push(Finding::new(seen, STOPPED, "send no listing_complete for it"));
    }
    if !complete.is_empty() && !declared.full_listing {
        findings.push(Finding::new(
            "listing_complete, and full_listing is not declared",
            LEGAL,
            "declare it if it is true",
        ));
    }
    if complete.is_empty() && declared.full_listing && unnamed.is_empty() && stopped.is_empty() {
        let seen = "full_listing is declared, and the listing ended without listing_complete";
        findings.push(Finding::new(seen, NEVER, "say it at the end of a listing that named everything"));
    }
    findings.extend(elsewhere(bench, &baseline.model.states(PullMode::Incremental)).await?);
    let detail = if declared.full_listing {
        format!("{} scopes complete", complete.len())
    } else {
        "never said".to_owned()
    };
    Ok(Outcome::of(findings, detail))
}

/// In the modes that list nothing it is never said.
async fn elsewhere(
    bench: &mut Workbench,
    states: &[superfasttt_proto::connector::v1::ScopeState],
) -> Result<Vec<Finding>, Outcome> {
    let declared = bench.capabilities();
    let wire = bench.wire().await?;
    let mut findings = Vec::new();
    if declared.incremental && !states.is_empty() {
        let request = PullRequest { states: states.to_vec(), ..bench.request(PullMode::Incremental) };
        findings.extend(said_in("INCREMENTAL", &pull(&wire, request, None).await));
    }
    if declared.targeted {
        let request = PullRequest { ids: vec!["x".to_owned()], ..bench.request(PullMode::Targeted) };
        findings.extend(said_in("TARGETED", &pull(&wire, request, None).await));
    }
    Ok(findings)
}

fn said_in(mode: &str, pulled: &Pulled) -> Option<Finding> {
    let mut checkpoints = pulled.pages().filter_map(|page| page.checkpoint.as_ref());
    checkpoints.any(|checkpoint| checkpoint.listing_complete).then(|| {
        Finding::new(format!("listing_complete in a pull in {mode}"), LEGAL, "say it in FULL and LIST only")
    })
}
