//! Deletions of the source arrive: by the change feed, or by a complete listing.

use crate::model::some;
use crate::outcome::{Outcome, Verdict};
use crate::workbench::Workbench;

use super::changes::after_changes;

const GONE: &str = "\"A document or container is gone from this scope.\" (connector.proto, Deletion) and \"what was not [named] is gone\" (connector.proto, Checkpoint)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let declared = bench.capabilities();
    if !declared.incremental && !declared.full_listing {
        return Ok(Outcome::not_applicable(
            "without `incremental` and `full_listing` nothing is ever deleted",
        ));
    }
    let before = bench.before_changes().await?;
    let (held, fresh) = (after_changes(bench, &before.model).await?, bench.baseline().await?);
    let deleted = before.model.compare(&fresh.model).surplus;
    if deleted.is_empty() {
        return Ok(Outcome::not_tried(
            "the `changes` of conformance.json delete no document: let them delete one",
        ));
    }
    let left = held.compare(&fresh.model).surplus;
    if left.is_empty() {
        return Ok(Outcome::passed(format!("{} deleted", deleted.len())));
    }
    let seen = format!("gone in the source, and still held after the next sync: {}", some(&left));
    Ok(Outcome::failed(
        seen,
        GONE,
        "send a deletion for what the source reports as gone; a source that reports none is listed in full each time",
    ))
}
