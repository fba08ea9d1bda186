//! An incremental pull brings nothing where nothing changed.

use superfasttt_proto::connector::v1::{PullMode, PullRequest};

use crate::outcome::{Outcome, Verdict};
use crate::pull::{id_of, pull};
use crate::workbench::Workbench;

const SINCE: &str = "\"Changes since each scope's cursor.\" (connector.proto, PullMode)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    if !bench.capabilities().incremental {
        return Ok(Outcome::not_applicable("it does not declare `incremental`"));
    }
    let baseline = bench.baseline().await?;
    let wire = bench.wire().await?;
    let mut states = baseline.model.states(PullMode::Incremental);
    // From the listing's cursor, and from the one that this pull gives.
    for from in ["a listing", "a pull of changes"] {
        let request = PullRequest { states: states.clone(), ..bench.request(PullMode::Incremental) };
        let pulled = pull(&wire, request, None).await;
        if let Some(failure) = pulled.failure() {
            return Ok(Outcome::failed(
                format!("from the cursor of {from} it ended with {failure}"),
                SINCE,
                "take the cursor that you wrote",
            ));
        }
        if let Some(first) = pulled.news().next() {
            let seen = format!(
                "after {from}, and with nothing changed, came {} changes, such as {:?}",
                pulled.news().count(),
                id_of(first).unwrap_or_default()
            );
            return Ok(Outcome::failed(
                seen,
                SINCE,
                "take the source's position before the listing begins, and send only what lies behind it",
            ));
        }
        for checkpoint in pulled.pages().filter(|page| page.checkpoint.is_some()) {
            if let (Some(state), Some(given)) =
                (states.iter_mut().find(|state| state.scope == checkpoint.scope), &checkpoint.checkpoint)
            {
                state.cursor.clone_from(&given.cursor);
            }
        }
    }
    Ok(Outcome::passed("after a listing, and after a pull of changes"))
}
