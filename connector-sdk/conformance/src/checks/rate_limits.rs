//! The manifest's rate limits are kept, counted on the way to the source.

use std::time::{Duration, Instant};

use superfasttt_proto::connector::v1::PullMode;

use crate::manifest::RateLimit;
use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::pull;
use crate::workbench::Workbench;

const KEPT: &str = "\"Rate limits of the manifest are kept per connection … in this process.\" (connector-sdk/README.md, The HTTP client)";
/// Pulls go on until so much is asked that the limit would be broken, or for so long.
const AT_MOST: Duration = Duration::from_secs(8);

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    if bench.manifest.rate_limits.is_empty() {
        return Ok(Outcome::not_applicable("the manifest has no rate_limits"));
    }
    if bench.proxy.is_none() {
        return Ok(Outcome::not_tried(
            "no setting is an http:// address with a port on this machine that `allowed_hosts` lets through any port, so \
             requests are not seen",
        ));
    }
    let wire = bench.wire().await?;
    let limits = bench.manifest.rate_limits.clone();
    let most = limits.iter().map(|limit| limit.requests).max().unwrap_or(0);
    // A limiter starts anew with the process at the latest, and what came before is of other checks.
    let longest = limits.iter().map(RateLimit::per).filter(|per| *per < AT_MOST).max().unwrap_or_default();
    tokio::time::sleep(longest).await;
    let request = bench.request(PullMode::Full);
    let began = Instant::now();
    let mine = |bench: &Workbench| -> Vec<Instant> {
        let all = bench.proxy.as_ref().map(|proxy| proxy.requests()).unwrap_or_default();
        all.into_iter().filter(|at| *at >= began).collect()
    };
    while began.elapsed() < AT_MOST && (mine(bench).len() as u64) <= most * 2 {
        let left = AT_MOST.saturating_sub(began.elapsed());
        // One connection, several calls: the limit is the connection's.
        let pulls = (0..4).map(|_| pull(&wire, request.clone(), None));
        let _ = tokio::time::timeout(left, futures::future::join_all(pulls)).await;
    }
    let requests = mine(bench);
    let mut findings = Vec::new();
    let mut busiest_of_all = 0;
    for limit in &limits {
        // On their way requests come closer together than they left: a tenth of the time, and of the number, is
        // left for that.
        let busiest = busiest(&requests, limit.per() * 9 / 10);
        busiest_of_all = busiest_of_all.max(busiest);
        let allowed = limit.requests + limit.requests / 10 + 1;
        if busiest > allowed {
            let per = humantime::format_duration(limit.per());
            let seen =
                format!("{busiest} requests came within {per}, and the manifest says {}", limit.requests);
            findings.push(Finding::new(
                seen,
                KEPT,
                "use the SDK's HTTP client for every request, or count them",
            ));
        }
    }
    Ok(Outcome::of(findings, format!("{} requests, at most {busiest_of_all} in a window", requests.len())))
}

/// The most requests in any window of this length.
fn busiest(requests: &[Instant], window: Duration) -> u64 {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in requests.iter().enumerate() {
        while at.duration_since(requests[first]) >= window {
            first += 1;
        }
        most = most.max(last - first + 1);
    }
    most as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_window_slides() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let requests = [at(0), at(900), at(950), at(1000), at(1899), at(3000)];
        assert_eq!(busiest(&requests, Duration::from_secs(1)), 4);
        assert_eq!(busiest(&[], Duration::from_secs(1)), 0);
    }
}
