//! *feed*: `WatchDocuments` from its beginning to a client, against a bare tonic stream of the same messages.

use std::time::Instant;

use crate::bare_stream::BareServer;
use crate::calls::read_feed;
use crate::connectord::{Connectord, Programs};
use crate::report::{Ratio, Repetition, progress};
use crate::source::Settings;

/// Measures it so often.
///
/// # Errors
/// Where a side fails.
pub async fn measure(programs: &Programs, documents: u64, repetitions: usize) -> anyhow::Result<Ratio> {
    let folder = programs.new_folder(1)?;
    let connectord = Connectord::start(programs, folder.path()).await?;
    connectord.first_sync(&Settings::new(documents)).await?;
    let mut measured = Vec::new();
    for _ in 0..repetitions {
        let bare = BareServer::start(&programs.source, &["bare-feed", &connectord.url()]).await?;
        let channel = bare.connect().await?;
        let begun = Instant::now();
        let received = read_feed(channel).await?;
        let bare_took = begun.elapsed();
        drop(bare);
        anyhow::ensure!(received == documents, "the bare stream brought {received} of {documents} documents");

        let cpu_before = connectord.cpu_time()?;
        let begun = Instant::now();
        let received = connectord.read_feed().await?;
        let took = begun.elapsed();
        let cpu = connectord.cpu_time()?.saturating_sub(cpu_before);
        anyhow::ensure!(received == documents, "the feed brought {received} of {documents} documents");
        measured.push(Repetition::new(documents, took, bare_took, cpu));
        progress("feed", "documents", measured.last());
    }
    connectord.stop().await?;
    Ok(Ratio::new("feed", "tonic stream of the same messages over TCP", "documents", 0.6, measured))
}
