//! Asks the connector what a batch of kept raw items comes to now.

use std::collections::HashMap;

use prost::Message;
use superfasttt_proto::connector::v1::{self, Permissions, Reason};
use superfasttt_proto::error::ConnectorError;

use super::BATCH_ENVELOPES;
use crate::store::documents::StoredDocument;
use crate::store::raw_items::RawItem;
use crate::sync::change::{Document, Text};
use crate::sync::normalize::Normalizer;
use crate::sync::port::Session;

/// What one raw item comes to.
#[derive(Debug)]
pub struct Renewed {
    /// As it is kept.
    pub raw: RawItem,
    /// What is stored of the document; not a tombstone.
    pub stored: Option<StoredDocument>,
    /// The document that it makes, or why it makes none.
    pub outcome: Result<Box<Document>, ConnectorError>,
}

/// What a batch comes to.
#[derive(Debug, Default)]
pub struct Batch {
    /// Its first items. Where `failed` is none, and some are left, their envelopes are so large that the others wait for
    /// the next batch.
    pub renewed: Vec<Renewed>,
    /// Why there is no answer about the item after them.
    pub failed: Option<(RawItem, ConnectorError)>,
}

/// Asks about raw items, of whose documents `stored` is what is stored.
///
/// # Errors
/// The connector answered about more than it was asked.
pub async fn renew(
    normalizer: &Normalizer,
    session: &dyn Session,
    raws: Vec<RawItem>,
    stored: Vec<StoredDocument>,
) -> Result<Batch, ConnectorError> {
    let stored = stored.into_iter().filter(|document| !document.gone);
    let mut stored: HashMap<String, StoredDocument> =
        stored.map(|document| (document.id.clone(), document)).collect();
    let items: Vec<v1::RawItem> = raws.iter().map(message).collect();
    let mut batch = Batch::default();
    let mut answers = match normalizer.begin(session, items.clone()).await {
        Ok(answers) => answers,
        Err(error) => {
            batch.failed = raws.into_iter().next().map(|first| (first, error));
            return Ok(batch);
        }
    };
    let mut bytes = 0;
    for (raw, item) in raws.into_iter().zip(&items) {
        if bytes >= BATCH_ENVELOPES {
            return Ok(batch);
        }
        let answer = match answers.next(item).await {
            Ok(answer) => answer,
            Err(error) => {
                batch.failed = Some((raw, error));
                return Ok(batch);
            }
        };
        let stored = stored.remove(&raw.put.id);
        let outcome = answer.and_then(|mut envelope| {
            if let Some(newer) = permissions(&raw)? {
                envelope.permissions = Some(newer);
            }
            let mut document = Document::new(envelope, None);
            document.text = text(document.text, &raw, stored.as_ref());
            document.seal();
            bytes += document.encoded.len() * 2 + document.text.bytes();
            Ok(Box::new(document))
        });
        batch.renewed.push(Renewed { raw, stored, outcome });
    }
    answers.end().await?;
    Ok(batch)
}

fn message(raw: &RawItem) -> v1::RawItem {
    v1::RawItem {
        id: raw.put.id.clone(),
        version: raw.put.version.clone(),
        content_ref: raw.put.content_ref.clone(),
        schema: raw.put.schema.clone(),
        data: raw.put.data.clone().into(),
    }
}

/// Permissions that are newer than the raw item. They were accepted when they came.
fn permissions(raw: &RawItem) -> Result<Option<Permissions>, ConnectorError> {
    let decoded = raw.permissions.as_deref().map(Permissions::decode).transpose();
    decoded.map_err(|error| {
        ConnectorError::new(Reason::Internal, format!("the kept permissions cannot be read: {error}"))
    })
}

/// A text behind a `content_ref` stays as it is, where what is stored was made of this very item. Else only the source
/// has it, and the source is not asked.
fn text(given: Text, raw: &RawItem, stored: Option<&StoredDocument>) -> Text {
    match given {
        Text::Unread if raw.made && stored.is_some() => Text::Kept,
        Text::Unread => Text::Failed(ConnectorError::new(
            Reason::SourceUnavailable,
            "its content was never fetched, and a re-normalization does not ask the source: retry the item, or sync \
             the connection in full",
        )),
        given => given,
    }
}
