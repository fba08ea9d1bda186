//! The same state twice brings the same: a listing from nothing, and one from each of its cursors.

use superfasttt_proto::connector::v1::PullMode;

use crate::model::Model;
use crate::outcome::{Finding, Outcome, Verdict};
use crate::sync::catch_up;
use crate::workbench::Workbench;

const AGAIN: &str = "\"What was sent after the last checkpoint is sent again, which is harmless: the same document with the same content changes nothing.\" (connector.proto, The life of a pull)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let documents = baseline.model.ids().len();
    let request = bench.request_in_small_pages(PullMode::Full, documents);
    let wire = bench.wire().await?;
    let mut findings = Vec::new();
    let mut models = [Model::default()];
    let pulls = catch_up(&wire, &request, PullMode::Full, &mut models).await.map_err(|reason| {
        Outcome::failed(
            format!("the same pull again came to no end: {reason}"),
            AGAIN,
            "see the check `full`",
        )
    })?;
    if let Some(told) = models[0].compare(&baseline.model).told() {
        findings.push(Finding::new(
            format!("of two listings the second brought other documents; {told}"),
            AGAIN,
            FIX,
        ));
    }
    // From a state in the middle, twice.
    let mut state = Model::default();
    let messages = pulls.iter().flat_map(|pulled| &pulled.messages);
    for message in messages {
        state.commit(PullMode::Full, message);
        if !state.states(PullMode::Full).is_empty() {
            break;
        }
    }
    let resumed = !state.states(PullMode::Full).is_empty();
    if resumed {
        let (mut first, mut second) = ([state.clone()], [state]);
        for model in [&mut first, &mut second] {
            catch_up(&wire, &request, PullMode::Full, model).await.map_err(|reason| {
                Outcome::failed(
                    format!("a listing resumed from its own cursor came to no end: {reason}"),
                    AGAIN,
                    FIX,
                )
            })?;
        }
        if let Some(told) = first[0].compare(&second[0]).told() {
            findings.push(Finding::new(
                format!("the same cursor brought other documents the second time; {told}"),
                AGAIN,
                FIX,
            ));
        }
    }
    let detail = if resumed { "from nothing, and from a cursor" } else { "from nothing" };
    Ok(Outcome::of(findings, detail))
}

const FIX: &str =
    "keep nothing between calls; leave out of documents what changes by itself, such as the time of reading";
