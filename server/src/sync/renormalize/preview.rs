//! What a re-normalization would change, told and not done.

use std::collections::BTreeSet;
use std::sync::Arc;

use prost::Message;
use prost_types::Struct;
use superfasttt_proto::connector::v1::DocumentEnvelope;
use superfasttt_proto::error::ConnectorError;

use super::renew::{Batch, Renewed, renew};
use super::{BATCH_BYTES, BATCH_ITEMS, InFlight};
use crate::store::connections::Connection;
use crate::store::{Result as StoreResult, Store, StoreError};
use crate::sync::change::{Document, Text, cut};
use crate::sync::envelope::{Hash, envelope_hash};
use crate::sync::normalize::Normalizer;
use crate::sync::port::Session;

/// Items of a sample in one batch: each may be as large as a whole batch of others.
const SAMPLED_ITEMS: usize = 4;
/// Fields of one document that are named.
const MAX_FIELDS: usize = 50;

/// What would become of one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its id.
    pub id: String,
    /// In which scope.
    pub scope: String,
    /// What would become of it.
    pub kind: DifferenceKind,
    /// The fields that differ.
    pub fields: Vec<String>,
    /// Why it could not be normalized.
    pub error: Option<ConnectorError>,
}

/// What would become of one document. Each is explained in sync.proto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is explained in sync.proto")]
pub enum DifferenceKind {
    Unchanged,
    Changed,
    BecomesError,
    NewlyReadable,
    StillError,
}

/// How many took which end so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is explained in sync.proto")]
pub struct Totals {
    pub kept: u64,
    pub examined: u64,
    pub unchanged: u64,
    pub changed: u64,
    pub become_error: u64,
    pub newly_readable: u64,
    pub still_error: u64,
}

/// Which raw items are looked at.
#[derive(Clone, Debug)]
enum Which {
    /// All, those after this id.
    All(String),
    /// These, in the order of their ids.
    Sample(Vec<String>),
}

/// A preview under way.
pub struct Preview {
    store: Arc<dyn Store>,
    connection: Connection,
    normalizer: Normalizer,
    session: Arc<dyn Session>,
    in_flight: InFlight,
    which: Which,
    totals: Totals,
}

/// Why a preview ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The connector failed.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
}

impl Preview {
    /// Gets ready. `sample`: how many items; `None` for all.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn new(
        store: Arc<dyn Store>,
        connection: Connection,
        normalizer: Normalizer,
        session: Arc<dyn Session>,
        in_flight: InFlight,
        sample: Option<usize>,
    ) -> StoreResult<Self> {
        let totals = Totals { kept: store.count_raw_items(connection.key).await?, ..Totals::default() };
        let which = match sample {
            Some(count) => Which::Sample(store.sample_raw_items(connection.key, count).await?),
            None => Which::All(String::new()),
        };
        Ok(Self { store, connection, normalizer, session, in_flight, which, totals })
    }

    /// What was found so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The next differences; `None` at the end.
    ///
    /// # Errors
    /// Where the store cannot be read, or the connector fails.
    pub async fn next(&mut self) -> Result<Option<Vec<Difference>>, PreviewError> {
        let _bytes = self.in_flight.batch().await;
        let key = self.connection.key;
        let raws = match &mut self.which {
            Which::All(after) => self.store.raw_items(key, after, BATCH_ITEMS, BATCH_BYTES).await?,
            Which::Sample(ids) if ids.is_empty() => Vec::new(),
            Which::Sample(ids) => {
                let next = ids.iter().take(SAMPLED_ITEMS).cloned().collect();
                self.store.raw_items_of(key, next).await?
            }
        };
        let Some(last) = raws.last().map(|raw| raw.put.id.clone()) else {
            return match &mut self.which {
                // They went in between.
                Which::Sample(ids) if !ids.is_empty() => {
                    ids.drain(..SAMPLED_ITEMS.min(ids.len()));
                    Ok(Some(Vec::new()))
                }
                Which::All(_) | Which::Sample(_) => Ok(None),
            };
        };
        let asked = raws.len();
        let ids = raws.iter().map(|raw| raw.put.id.clone()).collect();
        let stored = self.store.stored_documents(key, ids).await?;
        let Batch { renewed, failed } = renew(&self.normalizer, &*self.session, raws, stored).await?;
        if let Some((raw, error)) = failed {
            let message = format!("{} (while normalizing {:?})", error.message, raw.put.id);
            return Err(ConnectorError { message, ..error }.into());
        }
        let whole = renewed.len() == asked;
        let done = renewed.last().map_or(last.clone(), |item| item.raw.put.id.clone());
        let keys = renewed.iter().filter_map(|item| item.stored.as_ref()).map(|stored| stored.key).collect();
        let envelopes = self.store.stored_envelopes(keys).await?;
        let envelopes: std::collections::HashMap<_, _> = envelopes.into_iter().collect();
        let mut differences = Vec::with_capacity(renewed.len());
        for item in renewed {
            let envelope = item.stored.as_ref().and_then(|stored| envelopes.get(&stored.key));
            let envelope = envelope.and_then(|bytes| DocumentEnvelope::decode(bytes.as_slice()).ok());
            differences.push(self.difference(item, envelope));
        }
        match &mut self.which {
            Which::All(after) => *after = done,
            // Those that are not there any more are passed over with the others.
            Which::Sample(ids) if whole => drop(ids.drain(..SAMPLED_ITEMS.min(ids.len()))),
            Which::Sample(ids) => ids.retain(|id| *id > done),
        }
        Ok(Some(differences))
    }

    fn difference(&mut self, item: Renewed, before: Option<DocumentEnvelope>) -> Difference {
        let Renewed { raw, stored, outcome } = item;
        let mut fields = Vec::new();
        let (kind, error) = match outcome {
            Err(error) if raw.put.failed => (DifferenceKind::StillError, Some(error)),
            Err(error) => (DifferenceKind::BecomesError, Some(error)),
            Ok(document) => {
                let held = stored.as_ref().and_then(|stored| stored.text_hash);
                let text = text_after(&document, held);
                let hash = envelope_hash(&document.envelope, text.as_ref());
                let same = stored.as_ref().is_some_and(|stored| stored.envelope_hash == hash);
                if let (Some(before), false) = (before, same) {
                    fields = differing(&before, &document.envelope, held != text);
                }
                let kind = match same {
                    _ if !raw.made => DifferenceKind::NewlyReadable,
                    true => DifferenceKind::Unchanged,
                    false => DifferenceKind::Changed,
                };
                (kind, None)
            }
        };
        let totals = &mut self.totals;
        totals.examined += 1;
        *match kind {
            DifferenceKind::Unchanged => &mut totals.unchanged,
            DifferenceKind::Changed => &mut totals.changed,
            DifferenceKind::BecomesError => &mut totals.become_error,
            DifferenceKind::NewlyReadable => &mut totals.newly_readable,
            DifferenceKind::StillError => &mut totals.still_error,
        } += 1;
        Difference { id: raw.put.id, scope: raw.put.scope, kind, fields, error }
    }
}

impl std::fmt::Debug for Preview {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Preview").field("totals", &self.totals).finish_non_exhaustive()
    }
}

/// The hash of the text that a document would have, where `held` is that of the present one.
fn text_after(document: &Document, held: Option<Hash>) -> Option<Hash> {
    match &document.text {
        Text::Known { hash, .. } => Some(*hash),
        Text::None => None,
        _ => held,
    }
}

/// The names of the fields that differ in what a consumer sees.
fn differing(before: &DocumentEnvelope, after: &DocumentEnvelope, text: bool) -> Vec<String> {
    let permissions = |envelope: &DocumentEnvelope| {
        envelope.permissions.clone().map(|permissions| {
            let set = |principals: Vec<String>| principals.into_iter().collect::<BTreeSet<_>>();
            (permissions.visibility, set(permissions.allow), set(permissions.deny))
        })
    };
    let differs = [
        ("title", before.title != after.title),
        ("content", text),
        ("source", before.source != after.source),
        ("url", before.url != after.url),
        ("permissions", permissions(before) != permissions(after)),
        ("media_type", before.media_type != after.media_type),
        ("created_at", before.created_at != after.created_at),
        ("updated_at", before.updated_at != after.updated_at),
        ("parent_id", before.parent_id != after.parent_id),
        ("locator", before.locator != after.locator),
    ];
    let named = differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned());
    let mut fields: Vec<String> = named.collect();
    let empty = Struct::default();
    let (before, after) = (before.metadata.as_ref(), after.metadata.as_ref());
    if before.is_some() != after.is_some() {
        fields.push("metadata".to_owned());
    }
    let (before, after) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
    let keys: BTreeSet<&String> = before.fields.keys().chain(after.fields.keys()).collect();
    let keys = keys.into_iter().filter(|key| before.fields.get(*key) != after.fields.get(*key));
    fields.extend(keys.map(|key| cut(format!("metadata.{key}"), 256)));
    fields.truncate(MAX_FIELDS);
    fields
}
