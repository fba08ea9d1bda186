//! A cancelled pull stops within a second, and leaves nothing behind.

use std::time::{Duration, Instant};

use superfasttt_launch::Usage;
use superfasttt_proto::connector::v1::{PullMode, PullRequest};

use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::pull;
use crate::wire::Wire;
use crate::workbench::Workbench;

const CANCEL: &str = "\"The server may cancel at any moment; the connector then stops its work within a second.\" (connector.proto, rpc Pull)";
const NOTHING_STAYS: &str = "\"when the server goes away, the author's code is cancelled within a second, and nothing of it stays.\" (connector-sdk/README.md, Pull)";
/// Pulls that are cancelled together.
const PULLS: usize = 20;
/// The contract's second, and what a busy machine adds.
const STOPPED_AFTER: Duration = Duration::from_millis(1300);
const WATCHED: Duration = Duration::from_millis(1000);
/// Ticks of 1/100 s: a fifth of a processor. Runtimes have something to do at all times.
const QUIET_TICKS: u64 = 20;

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let wire = bench.wire().await?;
    if bench.process().is_none() {
        return Ok(Outcome::not_tried(
            "what a running connector goes on with is not seen: name its folder instead",
        ));
    }
    let baseline = bench.baseline().await?;
    let request = bench.request_in_small_pages(PullMode::Full, baseline.model.ids().len());
    // Once for what a runtime keeps from its first pulls on: threads, connections to the source.
    cancel_many(&wire, &request).await;
    tokio::time::sleep(STOPPED_AFTER).await;
    let mut findings = try_once(bench, &wire, &request).await;
    if !findings.is_empty() {
        // Another process may have had the machine at the wrong moment.
        findings = try_once(bench, &wire, &request).await;
    }
    if !bench.is_alive() {
        findings.push(Finding::new("the process ended when pulls were cancelled", CANCEL, "read its log"));
    }
    let counted = if bench.proxy.is_some() { ", requests to the source counted" } else { "" };
    Ok(Outcome::of(findings, format!("{PULLS} pulls{counted}")))
}

async fn try_once(bench: &Workbench, wire: &Wire, request: &PullRequest) -> Vec<Finding> {
    let usage = || bench.process().map(|process| process.usage()).unwrap_or_default();
    let before = usage();
    cancel_many(wire, request).await;
    let cancelled = Instant::now();
    tokio::time::sleep(STOPPED_AFTER).await;
    let early = usage();
    let under_way = bench.proxy.as_ref().map_or(0, |proxy| proxy.under_way());
    tokio::time::sleep(WATCHED).await;
    let mut findings = left_behind(&before, &early, &usage());
    let requests = bench.proxy.as_ref().map(|proxy| proxy.requests()).unwrap_or_default();
    let after = requests.iter().filter(|at| **at > cancelled + STOPPED_AFTER).count();
    if after > 0 {
        let seen = format!(
            "{after} requests came to the source from 1.3 s to 2.3 s after {PULLS} pulls were cancelled"
        );
        let fix = "stop the author's code when the call is cancelled, also where it waits or retries";
        findings.push(Finding::new(seen, CANCEL, fix));
    } else if under_way > 0 {
        let seen = format!(
            "{under_way} requests to the source were under way 1.3 s after {PULLS} pulls were cancelled"
        );
        findings.push(Finding::new(seen, CANCEL, "end requests to the source when the call is cancelled"));
    }
    findings
}

/// Cancels pulls at once, some before and some after their first messages.
async fn cancel_many(wire: &Wire, request: &PullRequest) {
    let pulls = (0..PULLS).map(|number| pull(wire, request.clone(), Some(number % 3)));
    futures::future::join_all(pulls).await;
}

fn left_behind(before: &Usage, early: &Usage, late: &Usage) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ticks = late.cpu_ticks.saturating_sub(early.cpu_ticks);
    if ticks > QUIET_TICKS {
        let seen = format!(
            "from 1.3 s to 2.3 s after the pulls were cancelled it used {} ms of a processor",
            ticks * 10
        );
        findings.push(Finding::new(
            seen,
            CANCEL,
            "end loops and threads of a cancelled call; blocking code has to ask",
        ));
    }
    // Half of the pulls: a pool may have grown by a few.
    let most = (PULLS / 2) as u64;
    for (what, before, late) in
        [("open files", before.files, late.files), ("threads", before.threads, late.threads)]
    {
        if late > before + most {
            let seen = format!(
                "{PULLS} cancelled pulls left {} more {what}: {late}, and {before} before",
                late - before
            );
            findings.push(Finding::new(seen, NOTHING_STAYS, "close what a call opened when it is cancelled"));
        }
    }
    findings
}
