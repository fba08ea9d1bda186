//! *memory*: the most memory that connectord ever held, for a source against one of a tenth of its size. Each is
//! synced, synced again unchanged, and read from the feed, by a connectord of its own.

use serde::Serialize;

use crate::connectord::{Connectord, Programs};
use crate::report::note;
use crate::source::Settings;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// Documents of the large source.
    pub documents: u64,
    /// Peak resident memory for it.
    pub peak_bytes: u64,
    /// Documents of the small source.
    pub small_documents: u64,
    /// Peak resident memory for it.
    pub small_peak_bytes: u64,
    /// The first peak in terms of the second.
    pub ratio: f64,
    /// What the ratio may be.
    pub target_ratio: f64,
    /// What the peak may be.
    pub target_bytes: u64,
    /// Both are met.
    pub reached: bool,
}

/// Measures it.
///
/// # Errors
/// Where connectord fails.
pub async fn measure(programs: &Programs, documents: u64) -> anyhow::Result<Memory> {
    let small_documents = (documents / 10).max(1);
    let small_peak_bytes = peak(programs, small_documents).await?;
    let peak_bytes = peak(programs, documents).await?;
    let ratio = peak_bytes as f64 / small_peak_bytes as f64;
    let (target_ratio, target_bytes) = (1.2, 200_000_000);
    let reached = ratio <= target_ratio && peak_bytes < target_bytes;
    Ok(Memory {
        documents,
        peak_bytes,
        small_documents,
        small_peak_bytes,
        ratio,
        target_ratio,
        target_bytes,
        reached,
    })
}

async fn peak(programs: &Programs, documents: u64) -> anyhow::Result<u64> {
    let folder = programs.new_folder(1)?;
    let connectord = Connectord::start(programs, folder.path()).await?;
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let (connection, _) = connectord.first_sync(&Settings::new(documents)).await?;
    let after_ingest = connectord.peak_memory_bytes()?;
    connectord.sync(&connection).await?;
    let after_unchanged = connectord.peak_memory_bytes()?;
    connectord.read_feed().await?;
    let peak = connectord.peak_memory_bytes()?;
    note(&format!(
        "memory: {documents} documents: peak {} MiB after the first sync, {} MiB after the second, {} MiB after the feed",
        mib(after_ingest),
        mib(after_unchanged),
        mib(peak)
    ));
    connectord.stop().await?;
    Ok(peak)
}
