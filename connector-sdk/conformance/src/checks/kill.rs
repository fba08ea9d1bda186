//! Killed at any message and resumed by a new process, nothing is lost or deleted.

use futures::StreamExt;
use superfasttt_proto::connector::v1::PullMode;

use crate::outcome::{Finding, Outcome, Verdict};
use crate::workbench::Workbench;

use super::cut::{Case, sample};

const KILLED: &str = "\"A connector keeps nothing between calls, serves many connections at the same time, and may be killed at any moment.\" (connector.proto, No memory)";
/// All of the first boundaries are tried, and some of the rest.
const FIRST: usize = 30;
const REST: usize = 10;
/// Processes at once: each start costs a while, and most of it is waiting.
const AT_ONCE: usize = 6;

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let documents = baseline.model.ids().len();
    let wire = bench.wire().await?;
    // Says early where there is nothing to kill.
    bench.start().await?.kill().await;
    let request = bench.request_in_small_pages(PullMode::Full, documents);
    let mut cases = vec![Case::new(&wire, request, PullMode::Full, baseline.model.aged()).await?];
    if bench.capabilities().incremental
        && let Ok(before) = bench.before_changes().await
    {
        let request = bench.request_in_small_pages(PullMode::Incremental, 1);
        let wire = bench.wire().await?;
        cases.push(Case::new(&wire, request, PullMode::Incremental, before.model.clone()).await?);
    }
    let mut kills = Vec::new();
    for case in &cases {
        kills.extend(boundaries(case.messages, bench).into_iter().map(|boundary| (case, boundary)));
    }
    let (tried, all) = (kills.len(), cases.iter().map(|case| case.messages + 1).sum::<usize>());
    let bench = &*bench;
    let kills = kills.into_iter().map(|(case, boundary)| kill_at(bench, case, boundary));
    let results: Vec<_> = futures::stream::iter(kills).buffer_unordered(AT_ONCE).collect().await;
    let mut findings = Vec::new();
    for result in results {
        findings.extend(result?);
    }
    Ok(Outcome::of(findings, format!("{tried} of {all} boundaries, seed {}", bench.seed)))
}

fn boundaries(messages: usize, bench: &Workbench) -> Vec<usize> {
    if bench.exhaustive {
        return (0..=messages).collect();
    }
    let mut chosen: Vec<usize> = (0..=messages.min(FIRST)).collect();
    chosen.extend(sample((FIRST + 1..=messages).collect(), REST, bench.seed));
    chosen
}

async fn kill_at(bench: &Workbench, case: &Case, boundary: usize) -> Result<Option<Finding>, Outcome> {
    let killed = bench.start().await?;
    let read = case.read(&killed.wire, boundary).await;
    killed.kill().await;
    let resumed = match read {
        Ok(read) => {
            let process = bench.start().await?;
            case.resume(&process.wire, boundary, "killed", &read).await
        }
        Err(finding) => Err(finding),
    };
    Ok(resumed.err().map(|finding| Finding {
        contract: KILLED,
        fix: "keep what a resumed pull needs in the cursor, and not in the process".to_owned(),
        ..finding
    }))
}
