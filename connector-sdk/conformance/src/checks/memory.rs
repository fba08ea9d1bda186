//! Memory stays flat over many pulls.

use std::time::{Duration, Instant};

use superfasttt_proto::connector::v1::PullMode;

use crate::outcome::{Outcome, Verdict};
use crate::pull::pull;
use crate::workbench::Workbench;

const FLAT: &str = "\"A connector keeps nothing between calls\" (connector.proto, No memory)";
const MIB: u64 = 1024 * 1024;
/// What runtimes take from their first calls on.
const WARM_UP: usize = 5;
/// Rounds of pulls, and pulls in each.
const ROUNDS: usize = 6;
const AT_ONCE: usize = 5;
/// A round that grows less than this is flat. Collectors of garbage let it grow, and take it back.
const NOISE: u64 = MIB;
/// Growth in all that is a leak, if no round was flat.
const LEAK: u64 = 12 * MIB;
const AT_MOST: Duration = Duration::from_secs(25);

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    // A process of its own: what other checks left behind in it is not at issue.
    let process = bench.start().await?;
    let request = bench.request(PullMode::Full);
    let wire = &process.wire;
    let round = async |pulls: usize| {
        futures::future::join_all((0..pulls).map(|_| pull(wire, request.clone(), None))).await;
    };
    round(WARM_UP).await;
    let began = Instant::now();
    let mut sizes = vec![process.usage().resident_bytes];
    // Ends as soon as it is seen to be flat: two rounds in a row.
    while sizes.len() <= ROUNDS * 2 && began.elapsed() < AT_MOST {
        round(AT_ONCE).await;
        sizes.push(process.usage().resident_bytes);
        let flat = |pair: &[u64]| pair[1] <= pair[0] + NOISE;
        let last_are_flat = sizes.len() > ROUNDS && sizes[sizes.len() - 3..].windows(2).all(flat);
        if last_are_flat {
            break;
        }
    }
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    let pulls = (sizes.len() - 1) * AT_ONCE;
    let rounds_that_grew = sizes.windows(2).filter(|pair| pair[1] > pair[0] + NOISE).count();
    let grew = last.saturating_sub(first);
    process.kill().await;
    if grew > LEAK && rounds_that_grew * 4 >= (sizes.len() - 1) * 3 {
        let seen = format!(
            "over {pulls} pulls it grew from {} to {} MiB, in {rounds_that_grew} of {} rounds",
            first / MIB,
            last / MIB,
            sizes.len() - 1
        );
        return Ok(Outcome::failed(
            seen,
            FLAT,
            "look for what a pull puts into a list or cache that outlives it",
        ));
    }
    Ok(Outcome::passed(format!("{} MiB, and {} MiB after {pulls} pulls", first / MIB, last / MIB)))
}
