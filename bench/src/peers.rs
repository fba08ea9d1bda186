//! *peers*: documents from a connector of our Python and our Rust SDK into the feed, against the same records through
//! other kits for sources into their usual local targets, all durable. No side's start counts.

use crate::connectord::Programs;
use crate::language::Language;
use crate::languages::sync;
use crate::peer::Peer;
use crate::report::{Ratio, Repetition, Skipped, progress};
use crate::venv;

/// How many times as fast each SDK should be.
const TARGETS: [(Language, f64); 2] = [(Language::Python, 2.0), (Language::Rust, 6.0)];

/// Measures them so often, or says what is missing.
///
/// # Errors
/// Where a side fails.
pub async fn measure(
    programs: &Programs,
    documents: u64,
    repetitions: usize,
) -> anyhow::Result<Result<Vec<Ratio>, Skipped>> {
    // PyAirbyte asks for no newer one.
    if let Some(missing) = venv::missing(Some(12)) {
        return Ok(Err(Skipped::new("peers", missing)));
    }
    let peers = [Peer::airbyte(programs).await?, Peer::singer(programs).await?];
    let mut sides = Vec::new();
    for (language, target_ratio) in TARGETS {
        let command = language.build(programs).await?;
        let compared = peers.iter().map(|peer| {
            let name = format!("peers, {} SDK to {}", language.name(), peer.name());
            (name, target_ratio, Vec::new())
        });
        sides.push((command, compared.collect::<Vec<_>>()));
    }
    for _ in 0..repetitions {
        let mut peers_per_s = Vec::new();
        for peer in &peers {
            let folder = tempfile::Builder::new().prefix("bench-peer-").tempdir_in(&programs.folder)?;
            let took = peer.sync(folder.path(), documents).await?;
            peers_per_s.push(documents as f64 / took.as_secs_f64());
        }
        for (command, compared) in &mut sides {
            let folder = programs.new_folder_of(command)?;
            let synced = sync(programs, folder.path(), documents).await?;
            let per_s = documents as f64 / synced.duration.as_secs_f64();
            let cpu_s_each = synced.cpu.as_secs_f64() / documents as f64;
            for ((name, _, measured), peer_per_s) in compared.iter_mut().zip(&peers_per_s) {
                measured.push(Repetition::of_rates(per_s, *peer_per_s, cpu_s_each));
                progress(name, "documents", measured.last());
            }
        }
    }
    let ratios =
        sides.into_iter().flat_map(|(_, compared)| compared).map(|(name, target_ratio, measured)| {
            let bare = "the same records through that kit into its usual local target";
            Ratio::new(name, bare, "documents", target_ratio, measured)
        });
    Ok(Ok(ratios.collect()))
}
