//! *ingest*: documents from the connector's process into the feed, against a bare bulk upsert of the same rows.

use crate::bare_store::Rows;
use crate::connectord::{Connectord, Programs};
use crate::report::{Ratio, Repetition, progress};
use crate::source::Settings;

/// Measures it so often.
///
/// # Errors
/// Where a side fails.
pub async fn measure(programs: &Programs, documents: u64, repetitions: usize) -> anyhow::Result<Ratio> {
    let mut measured = Vec::new();
    for _ in 0..repetitions {
        let folder = programs.folder(1)?;
        nix::unistd::sync();
        let connectord = Connectord::start(programs, folder.path()).await?;
        let (_, synced) = connectord.first_sync(&Settings::new(documents)).await?;
        connectord.stop().await?;
        let bare_path = folder.path().join("bare.db");
        let stored_path = folder.path().join("data/connectord.db");
        let (rows, bare) = tokio::task::spawn_blocking(move || {
            let rows = Rows::read(&stored_path)?;
            nix::unistd::sync();
            let took = rows.write(&bare_path)?;
            anyhow::Ok((rows.len(), took))
        })
        .await??;
        anyhow::ensure!(rows as u64 == documents, "{documents} documents are {rows} rows");
        measured.push(Repetition::new(documents, synced.duration, bare, synced.cpu));
        progress("ingest", measured.last());
    }
    Ok(Ratio::new(
        "ingest",
        "bulk upsert of the same rows by a plain SQLite client",
        0.6,
        documents,
        measured,
    ))
}
