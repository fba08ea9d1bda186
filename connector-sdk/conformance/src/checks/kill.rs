//! Killed at any message and resumed by a new process, nothing is lost or deleted.

use superfasttt_proto::connector::v1::PullMode;

use crate::outcome::{Finding, Outcome, Verdict};
use crate::workbench::Workbench;

use super::cut::{Case, sample};

const KILLED: &str = "\"A connector keeps nothing between calls, serves many connections at the same time, and may be killed at any moment.\" (connector.proto, No memory)";
/// All of the first boundaries are tried, and some of the rest.
const FIRST: usize = 30;
const REST: usize = 10;
const FIX: &str = "keep what a resumed pull needs in the cursor, and not in the process";
/// Processes at once.
const LANES: usize = 4;

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    // Says early where there is nothing to kill.
    bench.start().await?.kill().await;
    // Changes the source where that has not been done yet, so before anything is looked at.
    let before = bench.before_changes().await.ok().filter(|_| bench.capabilities().incremental);
    let baseline = bench.baseline().await?;
    let wire = bench.wire().await?;
    let request = bench.request_in_small_pages(PullMode::Full, baseline.model.ids().len());
    let mut cases = vec![Case::new(&wire, request, PullMode::Full, baseline.model.aged()).await?];
    if let Some(before) = before {
        let request = bench.request_in_small_pages(PullMode::Incremental, 1);
        cases.push(Case::new(&wire, request, PullMode::Incremental, before.model.clone()).await?);
    }
    let mut kills = Vec::new();
    for case in &cases {
        kills.extend(boundaries(case.messages, bench).into_iter().map(|boundary| (case, boundary)));
    }
    let (tried, all) = (kills.len(), cases.iter().map(|case| case.messages + 1).sum::<usize>());
    let bench = &*bench;
    let lanes = (0..LANES).map(|lane| kill_each(bench, kills.iter().copied().skip(lane).step_by(LANES)));
    let results = futures::future::join_all(lanes).await;
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

/// One process after another: each resumes what was cut when the one before it was killed, and is killed in its turn.
async fn kill_each(
    bench: &Workbench,
    kills: impl Iterator<Item = (&Case, usize)>,
) -> Result<Vec<Finding>, Outcome> {
    let mut findings = Vec::new();
    let mut process = None;
    for (case, boundary) in kills {
        let killed = match process.take() {
            Some(process) => process,
            None => bench.start().await?,
        };
        let read = case.read(&killed.wire, boundary).await;
        killed.kill().await;
        let next = bench.start().await?;
        let resumed = match read {
            Ok(read) => case.resume(&next.wire, boundary, "killed", &read).await,
            Err(finding) => Err(finding),
        };
        findings.extend(resumed.err().map(|finding| Finding {
            contract: KILLED,
            fix: FIX.to_owned(),
            ..finding
        }));
        process = Some(next);
    }
    Ok(findings)
}
