//! Documents as the engine keeps them, and the one transaction in which a page of a run becomes true.

pub(in crate::store) mod postgres;
mod postgres_write;
pub mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::item_errors::{ItemError, Shield};
use super::raw_items::RawWrite;
use super::runs::RunProgress;
use super::sync_states::ScopeState;
use super::wanted::Wanted;
use super::{ConnectionKey, Fence, Result};

/// A document's key in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey(pub i64);

/// What a document's text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentState {
    /// There is none, and none is expected.
    #[default]
    None,
    /// All of it.
    Whole,
    /// Its beginning: it was longer than the server keeps.
    Truncated,
    /// None can be had from these bytes: a verdict that stays until the version changes.
    Unreadable,
    /// What is there (perhaps nothing) is of an older version: fetching the newest failed for now.
    Stale,
}

/// A document as the engine compares it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredDocument {
    /// Its key.
    pub key: DocumentKey,
    /// The source's id.
    pub id: String,
    /// The owner: the scope that upserted it last.
    pub scope: String,
    /// It is a tombstone.
    pub gone: bool,
    /// The owner's listing in which it was last seen.
    pub generation: i64,
    /// The source's version; empty where it has none.
    pub version: String,
    /// The version whose content is held.
    pub content_version: Option<String>,
    /// What its text is.
    pub content_state: ContentState,
    /// The revision of the extractor that read its text; 0 where none did.
    pub extractor: u32,
    /// SHA-256 of its text.
    pub text_hash: Option<[u8; 32]>,
    /// How long its text is.
    pub text_bytes: u64,
    /// SHA-256 of what a consumer sees.
    pub envelope_hash: [u8; 32],
    /// Hash of the message that it was made of, where nothing else went into it.
    pub message_hash: Option<[u8; 32]>,
}

/// What happens to one document.
#[derive(Clone, Debug, PartialEq)]
pub enum DocumentWrite {
    /// It was seen, and nothing changed.
    Seen {
        /// Which.
        key: DocumentKey,
        /// In which listing.
        generation: i64,
        /// The hash of the message that says the same in other bytes; `None`: it stays.
        message_hash: Option<[u8; 32]>,
    },
    /// It is new, or something of it changed.
    Put(Box<DocumentPut>),
    /// It becomes a tombstone.
    Gone(DocumentKey),
}

/// A document's new state.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentPut {
    /// Its key; `None` for a new one.
    pub key: Option<DocumentKey>,
    /// It is new, or was a tombstone.
    pub arrives: bool,
    /// The source's id.
    pub id: String,
    /// The owner.
    pub scope: String,
    /// The owner's listing in which it is seen.
    pub generation: i64,
    /// The source's version.
    pub version: String,
    /// The version whose content is held.
    pub content_version: Option<String>,
    /// What its text is.
    pub content_state: ContentState,
    /// The revision of the extractor that read its text; 0 where none did.
    pub extractor: u32,
    /// Its text.
    pub text: TextWrite,
    /// SHA-256 of its text.
    pub text_hash: Option<[u8; 32]>,
    /// How long its text is.
    pub text_bytes: u64,
    /// SHA-256 of what a consumer sees.
    pub envelope_hash: [u8; 32],
    /// Hash of the message that it was made of, where nothing else went into it.
    pub message_hash: Option<[u8; 32]>,
    /// What holds it; empty for nothing.
    pub parent_id: String,
    /// Its second key; empty for none.
    pub locator: String,
    /// The encoded envelope without content.
    pub envelope: Vec<u8>,
    /// What consumers get to see of the change.
    pub entry: FeedEntryKind,
}

/// What happens to a text.
#[derive(Clone, Debug, PartialEq)]
pub enum TextWrite {
    /// It stays as it is.
    Keep,
    /// It is replaced, or removed.
    Set(Option<String>),
}

/// What consumers get to see of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedEntryKind {
    /// Nothing: what they would see is the same.
    None,
    /// The envelope; the text is the same.
    Envelope,
    /// The envelope and a new text.
    Content,
}

/// A folder of the source.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerPut {
    /// Its id, in the same space as the documents'.
    pub id: String,
    /// In which scope.
    pub scope: String,
    /// What holds it; empty for nothing.
    pub parent_id: String,
    /// Its name.
    pub name: String,
    /// Its second key; empty for none.
    pub locator: String,
    /// The listing in which it is seen.
    pub generation: i64,
}

/// Everything that becomes true at once.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The run that it belongs to.
    pub run: String,
    /// How far the run is, this included.
    pub progress: RunProgress,
    /// One write for each document, in the order in which consumers see them.
    pub documents: Vec<DocumentWrite>,
    /// Containers that are there.
    pub containers: Vec<ContainerPut>,
    /// Containers that are gone from their scope: scope and id.
    pub removed_containers: Vec<(String, String)>,
    /// Items that could not be read.
    pub item_errors: Vec<ItemError>,
    /// Items that were read: their errors are forgotten, by id, of whatever scope, and by the locator that they now have.
    pub cleared_items: Vec<String>,
    /// Items that are gone from a scope: their errors there are forgotten. Scope and id.
    pub gone_items: Vec<(String, String)>,
    /// Ids that have to be asked for.
    pub wanted: Vec<Wanted>,
    /// Ids that were asked for and answered, or given up: they are wanted no more, unless `wanted` names them.
    pub answered: Vec<String>,
    /// What takes no part in deletion by absence.
    pub shields: Vec<Shield>,
    /// Where scopes stand after it.
    pub states: Vec<ScopeState>,
    /// What happens to raw items, in order, after the documents are written.
    pub raw_items: Vec<RawWrite>,
    /// The last id that a re-normalization has done with this.
    pub renormalized_to: Option<String>,
}

impl Commit {
    /// Whether nothing of it is more than where scopes stand.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
            && self.containers.is_empty()
            && self.removed_containers.is_empty()
            && self.item_errors.is_empty()
            && self.cleared_items.is_empty()
            && self.gone_items.is_empty()
            && self.shields.is_empty()
            && self.wanted.is_empty()
            && self.answered.is_empty()
            && self.raw_items.is_empty()
    }
}

/// A document that a listing did not name.
#[derive(Clone, Debug, PartialEq)]
pub struct Absent {
    /// Its key.
    pub key: DocumentKey,
    /// The source's id.
    pub id: String,
    /// What holds it; empty for nothing.
    pub parent_id: String,
    /// Its second key; empty for none.
    pub locator: String,
    /// The listing in which it was last seen.
    pub generation: i64,
}

/// How many documents of a scope were last seen in one of its listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The scope.
    pub scope: String,
    /// The listing.
    pub generation: i64,
    /// How many.
    pub documents: u64,
}

/// A document or container right under another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its id.
    pub id: String,
    /// Something may be under it.
    pub has_children: bool,
}

/// A container that a listing did not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldContainer {
    /// Its id.
    pub id: String,
    /// What holds it; empty for nothing.
    pub parent_id: String,
    /// Its second key; empty for none.
    pub locator: String,
}

/// What the store does with documents, for the engine.
#[async_trait]
pub trait DocumentStore: Send + Sync {
    /// Those of these ids that are stored, tombstones too, in any order.
    async fn stored_documents(
        &self,
        connection: ConnectionKey,
        ids: Vec<String>,
    ) -> Result<Vec<StoredDocument>>;

    /// The encoded envelopes of documents, in any order.
    async fn stored_envelopes(&self, keys: Vec<DocumentKey>) -> Result<Vec<(DocumentKey, Vec<u8>)>>;

    /// The id of what has this locator in this scope: a document before a container, where a source gave both the same
    /// one, because only a document is something that people see.
    async fn id_of_locator(
        &self,
        connection: ConnectionKey,
        scope: &str,
        locator: &str,
    ) -> Result<Option<String>>;

    /// Documents and containers right under `id` in the scope, ordered by id, the first `limit`.
    async fn children(
        &self,
        connection: ConnectionKey,
        scope: &str,
        id: &str,
        limit: usize,
    ) -> Result<Vec<Child>>;

    /// Makes a commit true, all of it or nothing. Entries of the feed get their offsets in the order of `documents`.
    ///
    /// # Errors
    /// `Conflict("document")` where a key is of a tombstone that was forgotten since it was read.
    async fn commit(&self, fence: Fence, commit: Commit, now: DateTime<Utc>) -> Result<()>;

    /// How many documents the scopes of a connection own, by the listing in which they were last seen. Tombstones do
    /// not count.
    async fn generations(&self, connection: ConnectionKey) -> Result<Vec<Generation>>;

    /// Documents that the scope owns and that were last seen before listing `generation`, ordered by id, those after
    /// `after`.
    async fn absent(
        &self,
        connection: ConnectionKey,
        scope: &str,
        generation: i64,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Absent>>;

    /// What holds the container or document of this id; `None` where it is not known.
    async fn parent_of(&self, connection: ConnectionKey, id: &str) -> Result<Option<String>>;

    /// Makes documents tombstones, and counts them on the run.
    async fn bury(
        &self,
        fence: Fence,
        keys: Vec<DocumentKey>,
        run: &str,
        progress: RunProgress,
        now: DateTime<Utc>,
    ) -> Result<()>;

    /// Containers of the scope that were last seen before listing `generation`, ordered by id, those after `after`.
    async fn old_containers(
        &self,
        connection: ConnectionKey,
        scope: &str,
        generation: i64,
        after: &str,
        limit: usize,
    ) -> Result<Vec<OldContainer>>;

    /// Forgets containers of a scope, item errors by their keys, and with `raw_before` raw items of the scope that were
    /// last sent before that listing and of which there is no document.
    async fn forget(
        &self,
        fence: Fence,
        scope: &str,
        containers: Vec<String>,
        item_errors: Vec<i64>,
        raw_before: Option<i64>,
    ) -> Result<()>;
}
