//! Decides what changes of a pull mean for what is stored: pure, so that every rule of it can be tested without a
//! store or a connector. Changes are applied in stream order to a picture of the stored documents; at the end each
//! document that differs gives one write.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use superfasttt_proto::connector::v1::{DocumentEnvelope, Permissions, Reason};
use superfasttt_proto::error::ConnectorError;

use super::change::{Document, Text, item_error};
use super::envelope::{self, Hash};
use crate::store::documents::{
    ContentState, DocumentKey, DocumentPut, DocumentWrite, FeedEntryKind, StoredDocument, TextWrite,
};
use crate::store::item_errors::{ItemError, Target};

/// What a plan came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// One write for each document that was named, in the order of its last change.
    pub writes: Vec<DocumentWrite>,
    /// Documents that were new.
    pub created: u64,
    /// Documents that changed in what a consumer sees.
    pub updated: u64,
    /// Documents that were seen and had not changed.
    pub unchanged: u64,
    /// Documents that are gone.
    pub deleted: u64,
    /// Documents whose text was found to be beyond reading.
    pub without_text: u64,
    /// Documents whose text could not be read: a verdict, or a failure for now.
    pub content_errors: Vec<ItemError>,
    /// Of these, failures for now.
    pub failed_contents: u64,
    /// Ids that were read without fault, or are gone.
    pub cleared: Vec<String>,
    /// What only `present` named and what is not stored at that version: scope and id.
    pub wanted: Vec<(String, String)>,
}

/// A picture of documents, to which changes are applied.
#[derive(Debug)]
pub struct Plan {
    rows: HashMap<String, Row>,
    touches: usize,
    content_errors: Vec<ItemError>,
    failed_contents: u64,
    without_text: u64,
    wanted: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Row {
    stored: Option<StoredDocument>,
    stored_envelope: Option<Vec<u8>>,
    /// What the document is after the changes so far; `None`: it is not there.
    now: Option<Now>,
    /// When it was last touched, counted over the plan; 0 for never.
    touched: usize,
    /// It was read without fault.
    read: bool,
}

#[derive(Debug)]
struct Now {
    scope: Arc<str>,
    generation: i64,
    version: String,
    content_version: Option<String>,
    content_state: ContentState,
    text: TextWrite,
    text_hash: Option<Hash>,
    text_bytes: u64,
    hash: Hash,
    /// `None`: as stored.
    envelope: Option<Envelope>,
}

#[derive(Debug)]
struct Envelope {
    message: DocumentEnvelope,
    encoded: Vec<u8>,
}

impl Plan {
    /// A picture of what is stored.
    pub fn new(stored: Vec<StoredDocument>) -> Self {
        let rows = stored.into_iter().map(|document| {
            let now = (!document.gone).then(|| Now {
                scope: document.scope.as_str().into(),
                generation: document.generation,
                version: document.version.clone(),
                content_version: document.content_version.clone(),
                content_state: document.content_state,
                text: TextWrite::Keep,
                text_hash: document.text_hash,
                text_bytes: document.text_bytes,
                hash: document.envelope_hash,
                envelope: None,
            });
            (document.id.clone(), Row { stored: Some(document), now, ..Row::default() })
        });
        Self {
            rows: rows.collect(),
            touches: 0,
            content_errors: Vec::new(),
            failed_contents: 0,
            without_text: 0,
            wanted: Vec::new(),
        }
    }

    /// The key of a stored document whose envelope is needed to change its permissions.
    pub fn key(&self, id: &str) -> Option<DocumentKey> {
        self.rows.get(id).and_then(|row| row.stored.as_ref()).map(|stored| stored.key)
    }

    /// Gives a stored envelope to the picture.
    pub fn know_envelope(&mut self, id: &str, encoded: Vec<u8>) {
        if let Some(row) = self.rows.get_mut(id) {
            row.stored_envelope = Some(encoded);
        }
    }

    /// A whole document: the scope owns it from here on.
    pub fn document(&mut self, scope: &Arc<str>, generation: i64, document: Document) {
        let Document { envelope, encoded, text, hash } = document;
        let row = touch(&mut self.rows, &mut self.touches, &envelope.id);
        let before = row.now.take();
        let held = before
            .as_ref()
            .map_or((None, 0, None), |now| (now.text_hash, now.text_bytes, now.content_version.clone()));
        let (held_hash, held_bytes, held_version) = held;
        // A text that was set earlier in this plan and is kept now still has to be written.
        let kept_text = before.map_or(TextWrite::Set(None), |now| now.text);
        row.read = true;
        let mut fail = |error: ConnectorError| {
            row.read = false;
            self.content_errors.push(item_error(scope, Target::Id(envelope.id.clone()), false, error));
        };
        let version = envelope.version.clone();
        let (text, text_hash, text_bytes, content_version, content_state) = match text {
            Text::None => {
                let text = if held_hash.is_none() { kept_text } else { TextWrite::Set(None) };
                (text, None, 0, None, ContentState::None)
            }
            Text::Known { text, hash, truncated, version } => {
                let bytes = text.len() as u64;
                let state = if truncated { ContentState::Truncated } else { ContentState::Whole };
                let text = if held_hash == Some(hash) { kept_text } else { TextWrite::Set(Some(text)) };
                (text, Some(hash), bytes, Some(version).filter(|version| !version.is_empty()), state)
            }
            Text::Held if held_version.as_deref() == Some(version.as_str()) => {
                let state = row.stored.as_ref().map_or(ContentState::None, |stored| stored.content_state);
                (kept_text, held_hash, held_bytes, held_version, state)
            }
            Text::Unreadable(error) => {
                self.without_text += 1;
                if let Some(error) = error {
                    fail(error);
                }
                let text = if held_hash.is_none() { kept_text } else { TextWrite::Set(None) };
                let version = Some(version.clone()).filter(|version| !version.is_empty());
                (text, None, 0, version, ContentState::Unreadable)
            }
            Text::Failed(error) => {
                self.failed_contents += 1;
                fail(error);
                (kept_text, held_hash, held_bytes, held_version, ContentState::Stale)
            }
            // What was taken for held changed in between: the next sight fetches it.
            Text::Held | Text::Unread => {
                (kept_text, held_hash, held_bytes, held_version, ContentState::Stale)
            }
        };
        let hash = hash.unwrap_or_else(|| envelope::envelope_hash(&envelope, text_hash.as_ref()));
        row.now = Some(Now {
            scope: scope.clone(),
            generation,
            version,
            content_version,
            content_state,
            text,
            text_hash,
            text_bytes,
            hash,
            envelope: Some(Envelope { message: envelope, encoded }),
        });
    }

    /// A document exists at a version.
    pub fn present(&mut self, scope: &Arc<str>, generation: i64, id: &str, version: &str) {
        let known = self.rows.get_mut(id).and_then(|row| row.now.as_mut()).filter(|now| now.scope == *scope);
        match known {
            Some(now) => {
                now.generation = generation;
                if now.version != version || version.is_empty() {
                    self.wanted.push((scope.to_string(), id.to_owned()));
                }
                touch(&mut self.rows, &mut self.touches, id);
            }
            None => self.wanted.push((scope.to_string(), id.to_owned())),
        }
    }

    /// A document's permissions, and nothing else.
    pub fn permissions(&mut self, scope: &Arc<str>, generation: i64, id: &str, permissions: Permissions) {
        let Some(row) = self.rows.get_mut(id) else { return };
        let Some(now) = row.now.as_mut().filter(|now| now.scope == *scope) else { return };
        if now.envelope.is_none() {
            let stored =
                row.stored_envelope.as_deref().and_then(|bytes| DocumentEnvelope::decode(bytes).ok());
            now.envelope = stored.map(|message| Envelope { message, encoded: Vec::new() });
        }
        let Some(envelope) = now.envelope.as_mut() else { return };
        envelope.message.permissions = Some(permissions);
        envelope.encoded = envelope.message.encode_to_vec();
        now.hash = envelope::envelope_hash(&envelope.message, now.text_hash.as_ref());
        now.generation = generation;
        touch(&mut self.rows, &mut self.touches, id);
    }

    /// A document is gone from a scope. Says nothing where another scope owns it.
    pub fn deletion(&mut self, scope: &str, id: &str) {
        let owned =
            self.rows.get(id).and_then(|row| row.now.as_ref()).is_some_and(|now| *now.scope == *scope);
        if owned {
            let row = touch(&mut self.rows, &mut self.touches, id);
            row.now = None;
            row.read = true;
        }
    }

    /// What it came to.
    pub fn finish(self) -> Outcome {
        let mut outcome = Outcome {
            content_errors: self.content_errors,
            failed_contents: self.failed_contents,
            without_text: self.without_text,
            wanted: self.wanted,
            ..Outcome::default()
        };
        let mut rows: Vec<_> = self.rows.into_iter().filter(|(_, row)| row.touched > 0).collect();
        rows.sort_unstable_by_key(|(_, row)| row.touched);
        for (id, row) in rows {
            let stored = row.stored.filter(|stored| !stored.gone || row.now.is_some());
            let Some(now) = row.now else {
                if let Some(stored) = stored {
                    outcome.deleted += 1;
                    outcome.writes.push(DocumentWrite::Gone(stored.key));
                    outcome.cleared.push(id);
                }
                continue;
            };
            if row.read {
                outcome.cleared.push(id.clone());
            }
            let write = write(&mut outcome, id, stored, now);
            outcome.writes.push(write);
        }
        outcome
    }
}

fn write(outcome: &mut Outcome, id: String, stored: Option<StoredDocument>, now: Now) -> DocumentWrite {
    let live = stored.as_ref().filter(|stored| !stored.gone);
    let entry = match live {
        None => FeedEntryKind::Content,
        Some(stored) if stored.envelope_hash == now.hash => FeedEntryKind::None,
        Some(stored) if stored.text_hash == now.text_hash => FeedEntryKind::Envelope,
        Some(_) => FeedEntryKind::Content,
    };
    match (live, entry) {
        (None, _) => outcome.created += 1,
        (Some(_), FeedEntryKind::None) => outcome.unchanged += 1,
        (Some(_), _) => outcome.updated += 1,
    }
    let same = live.filter(|stored| {
        entry == FeedEntryKind::None
            && stored.version == now.version
            && stored.content_version == now.content_version
            && stored.content_state == now.content_state
            && *stored.scope == *now.scope
    });
    let (Some(envelope), None) = (now.envelope, same) else {
        // Only a stored document can be without an envelope of its own, or the same as what is stored.
        return match stored {
            Some(stored) => DocumentWrite::Seen { key: stored.key, generation: now.generation },
            None => unreachable!("a document that is not stored comes with its envelope"),
        };
    };
    let text = match (live, now.text) {
        // A text that ends as it was stored is not written again.
        (Some(stored), _) if stored.text_hash == now.text_hash => TextWrite::Keep,
        (_, text) => text,
    };
    DocumentWrite::Put(Box::new(DocumentPut {
        key: stored.as_ref().map(|stored| stored.key),
        arrives: live.is_none(),
        id,
        scope: now.scope.to_string(),
        generation: now.generation,
        version: now.version,
        content_version: now.content_version,
        content_state: now.content_state,
        text,
        text_hash: now.text_hash,
        text_bytes: now.text_bytes,
        envelope_hash: now.hash,
        parent_id: envelope.message.parent_id,
        locator: envelope.message.locator,
        envelope: envelope.encoded,
        entry,
    }))
}

fn touch<'a>(rows: &'a mut HashMap<String, Row>, touches: &mut usize, id: &str) -> &'a mut Row {
    *touches += 1;
    // Looked up twice rather than with `entry`, which would clone the id of every known document.
    if !rows.contains_key(id) {
        rows.insert(id.to_owned(), Row::default());
    }
    let row = rows.get_mut(id).expect("it was just put there");
    row.touched = *touches;
    row
}

/// The error of an item that `present` named and that nobody can ask for.
pub fn cannot_ask(scope: &str, id: String) -> ItemError {
    let error = ConnectorError::new(
        Reason::ProtocolViolation,
        "the connector said that it exists at a version that is not stored, and cannot be asked for it: \
         a connector that sends `present` must declare `targeted`",
    );
    item_error(scope, Target::Id(id), false, error)
}
