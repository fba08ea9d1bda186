//! *languages*: documents from a connector in each language into the feed, against the slower of a bare gRPC stream in
//! that language and a bare upsert of the same rows.
//!
//! No side's start counts: each process has served a few documents before it is measured.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use superfasttt_connector::testing;
use superfasttt_proto::connector::v1::DocumentEnvelope;

use crate::bare_store;
use crate::bare_stream::{BareServer, read_pull};
use crate::calls::Synced;
use crate::connectord::{Connectord, Programs};
use crate::language::Language;
use crate::report::{Ratio, Repetition, Skipped, note, progress};
use crate::source::{Settings, Source};

/// Documents that each process has served before it is measured: compilers at run time have done most of their work,
/// which in Java takes so many.
const WARM_UP: u64 = 50_000;

/// Measures each language so often; says which ones could not be.
///
/// # Errors
/// Where a side fails, or makes other documents than the others.
pub async fn measure(
    programs: &Programs,
    documents: u64,
    repetitions: usize,
) -> anyhow::Result<(Vec<Ratio>, Vec<Skipped>)> {
    let (mut ratios, mut skipped) = (Vec::new(), Vec::new());
    for language in Language::ALL {
        let name = format!("languages, {}", language.name());
        if let Some(missing) = language.missing() {
            skipped.push(Skipped::new(name, missing));
            continue;
        }
        let command = language.build(programs).await?;
        let mut measured = Vec::new();
        for _ in 0..repetitions {
            measured.push(repetition(programs, &name, &command, documents).await?);
            progress(&name, "documents", measured.last());
        }
        let bare = "the slower of a bare gRPC stream in that language and a bulk upsert of the same rows";
        ratios.push(Ratio::new(name, bare, "documents", 0.6, measured));
    }
    Ok((ratios, skipped))
}

async fn repetition(
    programs: &Programs,
    name: &str,
    command: &[String],
    documents: u64,
) -> anyhow::Result<Repetition> {
    let folder = programs.new_folder_of(command)?;
    let synced = sync(programs, folder.path(), documents).await?;
    let (took, cpu) = bare_stream(folder.path(), command, documents).await?;
    let stream_per_s = documents as f64 / took.as_secs_f64();
    let store_per_s = bare_store(folder.path()).await?;
    let us_each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / documents as f64;
    note(&format!(
        "{name}: bare stream {stream_per_s:.0}/s, bare upsert {store_per_s:.0}/s; the connector used {:.1} us of processor \
         for each, the bare stream {:.1} us",
        us_each(synced.connectors_cpu),
        us_each(cpu)
    ));
    let per_s = documents as f64 / synced.duration.as_secs_f64();
    let cpu_s_each = synced.cpu.as_secs_f64() / documents as f64;
    Ok(Repetition::of_rates(per_s, stream_per_s.min(store_per_s), cpu_s_each))
}

/// A whole sync through connectord, of the connector in this folder.
///
/// # Errors
/// Where it does not succeed.
pub async fn sync(programs: &Programs, folder: &Path, documents: u64) -> anyhow::Result<Synced> {
    nix::unistd::sync();
    let connectord = Connectord::start(programs, folder).await?;
    connectord.first_sync_of("warm-up", &Settings::new(WARM_UP)).await?;
    let (_, synced) = connectord.first_sync(&Settings::new(documents)).await?;
    connectord.stop().await?;
    Ok(synced)
}

/// How long the bare side in that language takes, and how much of the processor.
async fn bare_stream(
    folder: &Path,
    command: &[String],
    documents: u64,
) -> anyhow::Result<(Duration, Duration)> {
    let (program, arguments) = command.split_first().context("a command names a program")?;
    let socket = folder.join("bare.socket").to_string_lossy().into_owned();
    let mut arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["bare", &socket]);
    let bare = BareServer::start(Path::new(program), &arguments).await?;
    let mut alike = Alike::new(WARM_UP);
    pull(&bare, WARM_UP, |document| alike.check(document)).await?;
    let before = bare.cpu_time()?;
    let took = pull(&bare, documents, |_| Ok(())).await?;
    Ok((took, bare.cpu_time()?.saturating_sub(before)))
}

async fn pull(
    bare: &BareServer,
    documents: u64,
    look: impl FnMut(&DocumentEnvelope) -> anyhow::Result<()>,
) -> anyhow::Result<Duration> {
    let request = testing::full_pull(serde_json::to_value(Settings::new(documents))?);
    let channel = bare.connect().await?;
    let begun = Instant::now();
    let received = read_pull(channel, request, look).await?;
    let took = begun.elapsed();
    ensure!(received == documents, "the bare stream brought {received} of {documents} documents");
    Ok(took)
}

/// Rows a second of a plain client; before that, a look at whether the connector's rows are those that they should be.
async fn bare_store(folder: &Path) -> anyhow::Result<f64> {
    let (stored, bare) = (folder.join("data/connectord.db"), folder.join("bare.db"));
    tokio::task::spawn_blocking(move || {
        let mut alike = Alike::new(WARM_UP);
        for mut document in bare_store::documents(&stored, WARM_UP)? {
            // connectord fills it in.
            document.source.clear();
            alike.check(&document)?;
        }
        let rows = bare_store::Rows::read(&stored)?;
        nix::unistd::sync();
        let took = rows.write(&bare)?;
        Ok(rows.len() as f64 / took.as_secs_f64())
    })
    .await?
}

/// Tells whether documents are those that every language makes.
struct Alike(HashMap<String, DocumentEnvelope>);

impl Alike {
    fn new(documents: u64) -> Self {
        let (source, settings) = (Source::new(), Settings::new(documents));
        let documents = (1..=documents).map(|number| source.document(number, &settings));
        Self(documents.map(|document| (document.id.clone(), document)).collect())
    }

    fn check(&mut self, document: &DocumentEnvelope) -> anyhow::Result<()> {
        let expected = self.0.remove(&document.id);
        ensure!(
            expected.as_ref() == Some(document),
            "the document is {document:?}, and every language should make {expected:?}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_not_alike_or_comes_twice_is_found() {
        let source = Source::new();
        let document = |number| source.document(number, &Settings::new(10));
        let mut alike = Alike::new(3);
        alike.check(&document(1)).unwrap();
        assert!(alike.check(&document(1)).is_err());
        let other = DocumentEnvelope { version: "2".to_owned(), ..document(2) };
        assert!(alike.check(&other).is_err());
        assert!(alike.check(&document(4)).is_err());
        alike.check(&document(3)).unwrap();
    }

    /// What the rows of a sync are compared with has to be what the connector itself says.
    #[tokio::test]
    async fn the_whole_document_is_the_one_that_a_pull_brings() {
        let mut client = testing::connect(Source::new()).await;
        let request = testing::full_pull(serde_json::to_value(Settings::new(3)).unwrap());
        let pulled = testing::collect_pull(&mut client, request).await;
        let mut alike = Alike::new(3);
        for document in pulled.documents() {
            alike.check(document).unwrap();
        }
        assert!(alike.0.is_empty());
    }
}
