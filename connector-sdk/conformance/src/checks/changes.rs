//! Changes of the source arrive, also when the stream is cut: what is held after them is what a fresh listing brings.

use superfasttt_proto::connector::v1::PullMode;

use crate::model::{Difference, Model};
use crate::outcome::{Outcome, Verdict};
use crate::sync::catch_up;
use crate::workbench::Workbench;

use super::cut;

const ARRIVE: &str = "\"Changes since each scope's cursor.\" and \"everything sent so far for this scope is covered by this cursor\" (connector.proto)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let before = bench.before_changes().await?;
    let (held, fresh) = (after_changes(bench, &before.model).await?, bench.baseline().await?);
    let changed = before.model.compare(&fresh.model);
    if changed.missing.is_empty() && changed.differing.is_empty() {
        return Ok(Outcome::not_tried(
            "the `changes` of conformance.json made and changed no document: let them do both, and delete one",
        ));
    }
    // What should be gone is the next check's.
    let difference = Difference { surplus: Vec::new(), ..held.compare(&fresh.model) };
    if let Some(told) = difference.told() {
        let seen = format!("after the changes of the source, beside a fresh listing: {told}");
        return Ok(Outcome::failed(seen, ARRIVE, "send every document that changed, as it is now"));
    }
    let mut detail = format!("{} new, {} changed", changed.missing.len(), changed.differing.len());
    if bench.capabilities().incremental {
        let (findings, tried) = cut::changes(bench, &before.model).await?;
        detail.push_str(&format!(", cut at {tried} boundaries"));
        return Ok(Outcome::of(findings, detail));
    }
    Ok(Outcome::passed(detail))
}

/// What is held after the source was changed and synced as connectord would.
pub(super) async fn after_changes(bench: &mut Workbench, before: &Model) -> Result<Model, Outcome> {
    let mode = if bench.capabilities().incremental { PullMode::Incremental } else { PullMode::Full };
    let wire = bench.wire().await?;
    let mut models = [before.clone()];
    let request = bench.request(mode);
    catch_up(&wire, &request, mode, &mut models).await.map_err(|reason| {
        let seen = format!(
            "after the changes of the source a pull in {} came to no end: {reason}",
            mode.as_str_name()
        );
        Outcome::failed(seen, ARRIVE, "take the cursor that you wrote")
    })?;
    let [held] = models;
    Ok(held)
}
