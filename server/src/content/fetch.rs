//! Fetches one document's bytes into a temporary file and has its text extracted.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use prost_types::Struct;
use superfasttt_extract::{ExtractError, Hints, Pool};
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{
    Credential, DocumentEnvelope, FetchContentRequest, Reason, fetch_content_response::Kind,
};
use superfasttt_proto::error::ConnectorError;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::ContentConfig;
use crate::store::runs::RunCounts;
use crate::sync::change::{Text, violation};
use crate::sync::envelope::text_hash;
use crate::sync::port::Session;
use crate::telemetry::metrics::CONTENT_DURATION;

/// How much was fetched for a run.
#[derive(Debug, Default)]
pub struct ContentTotals {
    /// Times that content was fetched.
    pub fetched: AtomicU64,
    /// Bytes of content.
    pub bytes: AtomicU64,
    /// Bytes of text.
    pub text_bytes: AtomicU64,
}

impl ContentTotals {
    /// Goes on from what an earlier attempt of the run did.
    pub fn restore(&self, counts: &RunCounts) {
        self.fetched.store(counts.contents_fetched, Ordering::Relaxed);
        self.bytes.store(counts.content_bytes, Ordering::Relaxed);
        self.text_bytes.store(counts.text_bytes, Ordering::Relaxed);
    }
}

/// What a run's documents are fetched with.
#[derive(Clone)]
pub struct Source {
    /// The connector.
    pub session: Arc<dyn Session>,
    /// The connection's settings.
    pub settings: Struct,
    /// What to authenticate with.
    pub credential: Option<Credential>,
    /// What the run has fetched so far.
    pub totals: Arc<ContentTotals>,
    /// Whose fetch a crash has cut off in this run.
    pub suspects: Arc<Suspects>,
    /// There was no room for bytes on their way to extraction, in the words of the system.
    pub no_room: Arc<OnceLock<String>>,
}

/// Documents that were being fetched when the connector crashed, by id. One of them may be why it did.
#[derive(Debug, Default)]
pub struct Suspects(Mutex<HashMap<String, u32>>);

impl Suspects {
    /// Takes note of a document; says how often that happened to it.
    fn note(&self, id: &str) -> u32 {
        let mut crashes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = crashes.entry(id.to_owned()).or_default();
        *count += 1;
        *count
    }
}

/// A document that was being fetched at so many crashes is taken for their cause, and passed over in this run.
const MAX_CRASHES: u32 = 2;

/// Fetches and extracts, for every run of this process together.
#[derive(Debug)]
pub struct Fetcher {
    pool: Pool,
    places: Arc<Semaphore>,
    folder: PathBuf,
    timeout: Duration,
    max_bytes: u64,
}

impl Fetcher {
    /// Extracts with `pool`; keeps bytes in `folder` for as long as that takes.
    pub fn new(pool: Pool, config: &ContentConfig, folder: PathBuf) -> Self {
        Self {
            pool,
            places: Arc::new(Semaphore::new(config.concurrent_fetches)),
            folder,
            timeout: config.fetch_timeout,
            max_bytes: config.max_bytes.as_u64(),
        }
    }

    /// Waits for one of the places for fetching. They are given in the order in which they are asked for, so whoever
    /// asks in stream order can wait for results in stream order.
    pub async fn place(&self) -> OwnedSemaphorePermit {
        self.places.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Stops the extraction workers.
    pub async fn shutdown(&self) {
        self.pool.shutdown().await;
    }

    /// Fetches a document's bytes and reads their text. What is wrong with this document is part of the answer.
    ///
    /// # Errors
    /// What is wrong with the connector or the connection: the pull is cut, and goes on before this document.
    #[tracing::instrument(name = "sync.document.fetch", level = "debug", skip_all, fields(document = envelope.id))]
    pub async fn text(&self, source: &Source, envelope: &DocumentEnvelope) -> Result<Text, ConnectorError> {
        source.totals.fetched.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let fetched = tokio::time::timeout(self.timeout, self.bytes(source, envelope)).await;
        let fetched = fetched.unwrap_or_else(|_| {
            let waited = humantime::format_duration(self.timeout);
            Err(ConnectorError::new(
                Reason::SourceUnavailable,
                format!("the content did not arrive within {waited}"),
            ))
        });
        CONTENT_DURATION.record(["fetch", outcome(fetched.is_ok())], began.elapsed());
        Ok(match fetched {
            Ok(fetched) => self.extract(source, envelope, fetched).await,
            Err(error) if reaches_beyond(error.reason) || source.no_room.get().is_some() => {
                let crashed = error.reason == Reason::ConnectorCrashed;
                if !crashed || source.suspects.note(&envelope.id) < MAX_CRASHES {
                    return Err(error);
                }
                Text::Failed(error)
            }
            Err(error) if matches!(error.reason, Reason::ContentTooLarge | Reason::ContentUnreadable) => {
                Text::Unreadable(Some(error))
            }
            Err(error) => Text::Failed(error),
        })
    }

    async fn extract(&self, source: &Source, envelope: &DocumentEnvelope, fetched: Fetched) -> Text {
        let media_type = Some(fetched.media_type).filter(|media_type| !media_type.is_empty());
        let hints = Hints { media_type, file_name: Some(file_name(envelope)) };
        let began = Instant::now();
        let extracted = self.pool.extract(fetched.file.path(), hints).await;
        CONTENT_DURATION.record(["extract", outcome(extracted.is_ok())], began.elapsed());
        match extracted {
            Ok(extracted) => {
                source.totals.text_bytes.fetch_add(extracted.text.len() as u64, Ordering::Relaxed);
                Text::Known {
                    hash: text_hash(&extracted.text),
                    text: extracted.text,
                    truncated: extracted.truncated,
                    version: fetched.version,
                }
            }
            // A picture has no text; that is no fault that a person should hear of.
            Err(ExtractError::Unsupported { .. }) => Text::Unreadable(None),
            Err(error) => {
                let permanent = error.is_permanent();
                let reason = match &error {
                    ExtractError::TooLarge { .. } => Reason::ContentTooLarge,
                    ExtractError::Unavailable { .. } => Reason::Internal,
                    _ => Reason::ContentUnreadable,
                };
                let told = ConnectorError::new(reason, error.to_string())
                    .with_code(format!("text.{}", error.code()));
                if permanent { Text::Unreadable(Some(told)) } else { Text::Failed(told) }
            }
        }
    }

    async fn bytes(&self, source: &Source, envelope: &DocumentEnvelope) -> Result<Fetched, ConnectorError> {
        let request = FetchContentRequest {
            settings: Some(source.settings.clone()),
            credential: source.credential.clone(),
            contract_revision: CONTRACT_REVISION,
            id: envelope.id.clone(),
            content_ref: envelope.content_ref.clone(),
            version: envelope.version.clone(),
            max_bytes: self.max_bytes,
        };
        let cannot_keep = |error: std::io::Error| cannot_keep(source, &error);
        let mut messages = source.session.fetch_content(request).await?;
        let Some(Kind::Header(header)) = messages.next().await.transpose()?.and_then(|message| message.kind)
        else {
            return Err(violation("content without a header"));
        };
        if header.length_bytes.is_some_and(|length| length > self.max_bytes) {
            return Err(self.too_large());
        }
        let file = NamedTempFile::new_in(&self.folder).map_err(cannot_keep)?;
        let mut writer = tokio::fs::File::from_std(file.reopen().map_err(cannot_keep)?);
        let mut length = 0;
        while let Some(message) = messages.next().await.transpose()? {
            let Some(Kind::Chunk(chunk)) = message.kind else {
                return Err(violation("something else than a chunk in the middle of content"));
            };
            length += chunk.len() as u64;
            if length > self.max_bytes {
                return Err(self.too_large());
            }
            writer.write_all(&chunk).await.map_err(cannot_keep)?;
        }
        writer.flush().await.map_err(cannot_keep)?;
        if header.length_bytes.is_some_and(|promised| promised != length) {
            return Err(ConnectorError::new(Reason::SourceUnavailable, "the content was cut off on its way"));
        }
        source.totals.bytes.fetch_add(length, Ordering::Relaxed);
        let version = if header.version.is_empty() { envelope.version.clone() } else { header.version };
        let media_type =
            if header.media_type.is_empty() { envelope.media_type.clone() } else { header.media_type };
        Ok(Fetched { file, version, media_type })
    }

    fn too_large(&self) -> ConnectorError {
        let message = format!(
            "the content is over the limit of {} bytes: an administrator may raise content.max_bytes",
            self.max_bytes
        );
        ConnectorError::new(Reason::ContentTooLarge, message)
    }
}

/// Whether a failed fetch says something of more than one document.
fn reaches_beyond(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ConnectorCrashed
            | Reason::CredentialExpired
            | Reason::CredentialRevoked
            | Reason::RateLimited
            | Reason::QuotaExhausted
    )
}

fn outcome(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "failed" }
}

/// A document's bytes.
struct Fetched {
    file: NamedTempFile,
    version: String,
    media_type: String,
}

/// The name that says most about what the bytes are.
fn file_name(envelope: &DocumentEnvelope) -> String {
    let name = if envelope.locator.is_empty() { &envelope.title } else { &envelope.locator };
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// A full disk is no fault of the document, and every other one would meet it too: the pull is cut.
fn cannot_keep(source: &Source, error: &std::io::Error) -> ConnectorError {
    let mut message = format!("the content could not be kept for extraction: {error}");
    if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
        message += ": make room on the disk of connectord's data folder";
        if source.no_room.set(message.clone()).is_ok() {
            tracing::error!(%error, "no room for content in the data folder; runs wait, and go on by themselves");
        }
    }
    ConnectorError::new(Reason::Internal, message)
}
