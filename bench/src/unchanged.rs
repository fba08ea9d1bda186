//! *unchanged*: a full pull of documents that are all known and the same, each compared with its permissions and each
//! with a durable seen-mark, against a bare tonic stream of the same messages.

use std::time::Instant;

use superfasttt_proto::connector::v1::PullRequest;

use crate::bare_stream::{BareServer, read_pull};
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
    let (connection, _) = connectord.first_sync(&Settings::new(documents)).await?;
    let mut measured = Vec::new();
    for repetition in 0..repetitions {
        nix::unistd::sync();
        let synced = connectord.sync(&connection).await?;
        let unchanged = synced.unchanged;
        anyhow::ensure!(unchanged == documents, "{unchanged} of {documents} documents were seen unchanged");

        let socket = folder.path().join(format!("bare-{repetition}.socket"));
        let arguments = ["bare-pull", &socket.to_string_lossy(), &documents.to_string()];
        let bare = BareServer::start(&programs.source, &arguments).await?;
        let channel = bare.connect().await?;
        let begun = Instant::now();
        let received = read_pull(channel, PullRequest::default(), |_| Ok(())).await?;
        let took = begun.elapsed();
        anyhow::ensure!(received == documents, "the bare stream brought {received} of {documents} documents");
        measured.push(Repetition::new(documents, synced.duration, took, synced.cpu));
        progress("unchanged", "documents", measured.last());
    }
    connectord.stop().await?;
    Ok(Ratio::new(
        "unchanged",
        "tonic stream of the same messages over a Unix socket",
        "documents",
        0.4,
        measured,
    ))
}
