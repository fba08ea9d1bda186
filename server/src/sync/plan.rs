//! Decides what changes of a pull mean for what is stored: pure, so that every rule of it can be tested without a
//! store or a connector. Changes are applied in stream order to a picture of the stored documents; at the end each
//! document that differs gives one write.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use prost::Message;
use superfasttt_extract::EXTRACTOR_REVISION;
use superfasttt_proto::connector::v1::{DocumentEnvelope, Permissions, Reason};
use superfasttt_proto::error::ConnectorError;

use super::change::{Document, Text, item_error};
use super::envelope::{self, Hash};
use super::unopened::Unopened;
use crate::store::documents::{
    ContentState, DocumentKey, DocumentPut, DocumentWrite, FeedEntryKind, StoredDocument, TextWrite,
};
use crate::store::item_errors::{ItemError, Target};
use crate::store::wanted::{Wanted, Why};

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
    /// Items that could not be read, or whose text could not, and that nothing later made good.
    pub errors: Vec<ItemError>,
    /// Documents whose text could not be read for now.
    pub failed_contents: u64,
    /// Ids that were read without fault.
    pub cleared: Vec<String>,
    /// Items that are gone from a scope: scope and id. In another scope one may be that cannot be read.
    pub gone: Vec<(String, String)>,
    /// What only `present` named and what is not stored at that version.
    pub wanted: Vec<Wanted>,
}

/// A picture of documents, to which changes are applied.
#[derive(Debug)]
pub struct Plan {
    /// Boxed: a row is large, and is moved several times.
    rows: HashMap<String, Box<Row>>,
    touches: usize,
    /// With the touch at which each was met.
    errors: Vec<(usize, ItemError)>,
    failed_contents: u64,
    without_text: u64,
    /// With the touch at which each was wanted.
    wanted: Vec<(usize, Wanted)>,
    /// Items that went, by scope and id, with the last touch at which each did.
    gone: BTreeMap<(String, String), usize>,
}

#[derive(Debug, Default)]
struct Row {
    stored: Option<StoredDocument>,
    stored_envelope: Option<Vec<u8>>,
    /// What the document is after the changes so far; `None`: it is not there.
    now: Option<Now>,
    /// When it was last touched, counted over the plan; 0 for never.
    touched: usize,
    /// The last touch at which it was read without fault; 0 for never.
    read: usize,
}

#[derive(Debug)]
struct Now {
    scope: Arc<str>,
    generation: i64,
    version: String,
    content: Content,
    hash: Hash,
    message_hash: Option<Hash>,
    /// `None`: as stored.
    envelope: Option<Envelope>,
}

/// What a document's text is.
#[derive(Debug)]
struct Content {
    version: Option<String>,
    state: ContentState,
    extractor: u32,
    write: TextWrite,
    hash: Option<Hash>,
    bytes: u64,
}

impl Default for Content {
    /// That of a document which is not stored.
    fn default() -> Self {
        let write = TextWrite::Set(None);
        Self { version: None, state: ContentState::None, extractor: 0, write, hash: None, bytes: 0 }
    }
}

impl Content {
    /// `content`, with `text` to be written unless it is what is there.
    fn replaced_by(self, text: Option<String>, content: Content) -> Content {
        // A text that was set earlier in this plan, and stays, still has to be written.
        let write = if self.hash == content.hash { self.write } else { TextWrite::Set(text) };
        Content { write, ..content }
    }
}

/// Which extractor read a text: none where the connector gave it.
fn extractor_of(envelope: &DocumentEnvelope) -> u32 {
    if envelope.content_ref.is_empty() { 0 } else { EXTRACTOR_REVISION }
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
                content: Content {
                    version: document.content_version.clone(),
                    state: document.content_state,
                    extractor: document.extractor,
                    write: TextWrite::Keep,
                    hash: document.text_hash,
                    bytes: document.text_bytes,
                },
                hash: document.envelope_hash,
                message_hash: document.message_hash,
                envelope: None,
            });
            (document.id.clone(), Box::new(Row { stored: Some(document), now, ..Row::default() }))
        });
        Self {
            rows: rows.collect(),
            touches: 0,
            errors: Vec::new(),
            failed_contents: 0,
            without_text: 0,
            wanted: Vec::new(),
            gone: BTreeMap::new(),
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
        let Document { envelope, encoded, text, hash, message_hash, raw: _ } = document;
        let row = touch(&mut self.rows, &mut self.touches, &envelope.id);
        let held = row.now.take().map(|now| now.content).unwrap_or_default();
        let mut read = true;
        let mut fail = |error: ConnectorError| {
            read = false;
            let error = item_error(scope, Target::Id(envelope.id.clone()), false, error);
            self.errors.push((row.touched, error));
        };
        let content = match text {
            Text::None => held.replaced_by(None, Content::default()),
            Text::Known { text, hash, truncated, version } => {
                let content = Content {
                    version: Some(version).filter(|version| !version.is_empty()),
                    state: if truncated { ContentState::Truncated } else { ContentState::Whole },
                    extractor: extractor_of(&envelope),
                    hash: Some(hash),
                    bytes: text.len() as u64,
                    ..Content::default()
                };
                held.replaced_by(Some(text), content)
            }
            Text::Held if held.version.as_ref() == Some(&envelope.version) => {
                // Why it gives no text is still so.
                read = held.state != ContentState::Unreadable;
                held
            }
            Text::Kept => {
                read = !matches!(held.state, ContentState::Unreadable | ContentState::Stale);
                held
            }
            Text::Unreadable(error) => {
                self.without_text += 1;
                if let Some(error) = error {
                    fail(error);
                }
                let content = Content {
                    version: Some(envelope.version.clone()).filter(|version| !version.is_empty()),
                    state: ContentState::Unreadable,
                    extractor: extractor_of(&envelope),
                    ..Content::default()
                };
                held.replaced_by(None, content)
            }
            Text::Failed(error) => {
                self.failed_contents += 1;
                fail(error);
                Content { state: ContentState::Stale, ..held }
            }
            // What was taken for held changed in between: the next sight fetches it.
            Text::Held | Text::Unread => Content { state: ContentState::Stale, ..held },
        };
        if read {
            row.read = row.touched;
        }
        let hash = hash.unwrap_or_else(|| envelope::envelope_hash(&envelope, content.hash.as_ref()));
        row.now = Some(Now {
            scope: scope.clone(),
            generation,
            version: envelope.version.clone(),
            content,
            hash,
            message_hash,
            envelope: Some(Envelope { message: envelope, encoded }),
        });
    }

    /// A whole document, as it came. Says whether it is the same, byte for byte, as what the document was made of: then
    /// it is seen. Else nothing happens, and it has to be opened.
    pub fn unopened(&mut self, scope: &Arc<str>, generation: i64, document: &Unopened) -> bool {
        let Some(row) = self.rows.get_mut(&document.id) else { return false };
        let Some(now) = row.now.as_mut() else { return false };
        if now.message_hash != Some(document.hash) || now.scope != *scope {
            return false;
        }
        now.generation = generation;
        self.touches += 1;
        row.touched = self.touches;
        row.read = row.touched;
        true
    }

    /// A document exists at a version. It is wanted where that is not the one that is stored, or where its text could
    /// not be read for now: this is its next sight.
    pub fn present(&mut self, scope: &Arc<str>, generation: i64, id: &str, version: &str) {
        let known = self.rows.get_mut(id).and_then(|row| row.now.as_mut()).filter(|now| now.scope == *scope);
        let wanted = match known {
            Some(now) => {
                now.generation = generation;
                let stale = now.content.state == ContentState::Stale;
                let wanted = now.version != version || version.is_empty() || stale;
                touch(&mut self.rows, &mut self.touches, id);
                wanted
            }
            None => true,
        };
        if wanted {
            let (id, scope, version) = (id.to_owned(), scope.to_string(), version.to_owned());
            let wanted = Wanted { id, scope, version, why: Why::Present, attempts: 0 };
            self.wanted.push((self.touches, wanted));
        }
    }

    /// An item could not be read.
    pub fn item_error(&mut self, error: ItemError) {
        self.touches += 1;
        self.errors.push((self.touches, error));
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
        now.hash = envelope::envelope_hash(&envelope.message, now.content.hash.as_ref());
        now.message_hash = None;
        now.generation = generation;
        touch(&mut self.rows, &mut self.touches, id);
    }

    /// An item is gone from a scope. Says nothing of a document that another scope owns.
    pub fn deletion(&mut self, scope: &str, id: &str) {
        let owner = self.rows.get(id).and_then(|row| row.now.as_ref()).map(|now| &*now.scope);
        if owner.is_none_or(|owner| owner == scope) {
            touch(&mut self.rows, &mut self.touches, id).now = None;
        } else {
            self.touches += 1;
        }
        self.gone.insert((scope.to_owned(), id.to_owned()), self.touches);
    }

    /// What it came to.
    pub fn finish(self) -> Outcome {
        let Self { rows, errors, failed_contents, without_text, wanted, gone, .. } = self;
        let mut outcome = Outcome { failed_contents, without_text, ..Outcome::default() };
        let read = |id: &str| rows.get(id).map_or(0, |row| row.read);
        // Gone from one scope, it may be in another one and not be readable there.
        let settled = |scope: &str, id: &str| {
            let gone = if gone.is_empty() { None } else { gone.get(&(scope.to_owned(), id.to_owned())) };
            read(id).max(gone.copied().unwrap_or(0))
        };
        let located = if errors.is_empty() { HashMap::new() } else { located(&rows) };
        let stands = |(touch, error): &(usize, ItemError)| match &error.target {
            Target::Id(id) => *touch > settled(&error.scope, id),
            Target::Locator(locator) => {
                *touch > located.get(&(error.scope.as_str(), locator.as_str())).copied().unwrap_or(0)
            }
            Target::Unnamed => true,
        };
        outcome.errors = errors.into_iter().filter(stands).map(|(_, error)| error).collect();
        let wanted =
            wanted.into_iter().filter(|(touch, wanted)| *touch >= settled(&wanted.scope, &wanted.id));
        outcome.wanted = wanted.map(|(_, wanted)| wanted).collect();
        outcome.gone = gone.into_keys().collect();
        let mut rows: Vec<_> = rows.into_iter().filter(|(_, row)| row.touched > 0).collect();
        rows.sort_unstable_by_key(|(_, row)| row.touched);
        for (id, row) in rows {
            if row.read > 0 {
                outcome.cleared.push(id.clone());
            }
            match (row.stored, row.now) {
                (stored, Some(now)) => {
                    let write = write(&mut outcome, id, stored, now);
                    outcome.writes.push(write);
                }
                (Some(stored), None) if !stored.gone => {
                    outcome.deleted += 1;
                    outcome.writes.push(DocumentWrite::Gone(stored.key));
                }
                // It was not there before, and is not there now.
                (_, None) => {}
            }
        }
        outcome
    }
}

/// When each locator was last read without fault, by scope and locator. Of a document that was left unopened the store
/// knows the locator, and clears what stood before.
fn located(rows: &HashMap<String, Box<Row>>) -> HashMap<(&str, &str), usize> {
    let mut located = HashMap::new();
    for row in rows.values().filter(|row| row.read > 0) {
        let Some(now) = &row.now else { continue };
        let Some(envelope) = &now.envelope else { continue };
        if !envelope.message.locator.is_empty() {
            located.insert((&*now.scope, envelope.message.locator.as_str()), row.read);
        }
    }
    located
}

fn write(outcome: &mut Outcome, id: String, stored: Option<StoredDocument>, now: Now) -> DocumentWrite {
    let live = stored.as_ref().filter(|stored| !stored.gone);
    let entry = match live {
        None => FeedEntryKind::Content,
        Some(stored) if stored.envelope_hash == now.hash => FeedEntryKind::None,
        Some(stored) if stored.text_hash == now.content.hash => FeedEntryKind::Envelope,
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
            && stored.content_version == now.content.version
            && stored.content_state == now.content.state
            && stored.extractor == now.content.extractor
            && *stored.scope == *now.scope
    });
    let (Some(envelope), None) = (now.envelope, same) else {
        // Only a stored document can be without an envelope of its own, or the same as what is stored.
        return match stored {
            Some(stored) => DocumentWrite::Seen {
                key: stored.key,
                generation: now.generation,
                message_hash: now.message_hash.filter(|hash| stored.message_hash != Some(*hash)),
            },
            None => unreachable!("a document that is not stored comes with its envelope"),
        };
    };
    let text = match (live, now.content.write) {
        // A text that ends as it was stored is not written again.
        (Some(stored), _) if stored.text_hash == now.content.hash => TextWrite::Keep,
        (_, text) => text,
    };
    DocumentWrite::Put(Box::new(DocumentPut {
        key: stored.as_ref().map(|stored| stored.key),
        arrives: live.is_none(),
        id,
        scope: now.scope.to_string(),
        generation: now.generation,
        version: now.version,
        content_version: now.content.version,
        content_state: now.content.state,
        extractor: now.content.extractor,
        text,
        text_hash: now.content.hash,
        text_bytes: now.content.bytes,
        envelope_hash: now.hash,
        message_hash: now.message_hash,
        parent_id: envelope.message.parent_id,
        locator: envelope.message.locator,
        envelope: envelope.encoded,
        entry,
    }))
}

fn touch<'a>(rows: &'a mut HashMap<String, Box<Row>>, touches: &mut usize, id: &str) -> &'a mut Row {
    *touches += 1;
    // Looked up twice rather than with `entry`, which would clone the id of every known document.
    if !rows.contains_key(id) {
        rows.insert(id.to_owned(), Box::default());
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

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
