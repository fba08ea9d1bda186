//! Documents in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Data, MemoryStore};
use crate::store::documents::{
    Absent, Child, Commit, ContainerPut, ContentState, DocumentKey, DocumentPut, DocumentStore,
    DocumentWrite, FeedEntryKind, Generation, OldContainer, StoredDocument, TextWrite,
};
use crate::store::runs::RunProgress;
use crate::store::{ConnectionKey, Fence, Result, StoreError};

/// A document with all that is kept of it.
#[derive(Clone, Debug)]
pub(crate) struct DocumentRow {
    pub(crate) connection: ConnectionKey,
    pub(crate) document: StoredDocument,
    pub(crate) parent_id: String,
    pub(crate) locator: String,
    pub(crate) offset: i64,
    pub(crate) content_offset: i64,
    pub(crate) committed_at: DateTime<Utc>,
    /// Its envelope and its text; a tombstone has neither.
    pub(crate) body: Option<(Vec<u8>, Option<String>)>,
}

#[async_trait]
impl DocumentStore for MemoryStore {
    async fn stored_documents(
        &self,
        connection: ConnectionKey,
        ids: Vec<String>,
    ) -> Result<Vec<StoredDocument>> {
        self.read(|data| {
            let found = ids.into_iter().filter_map(|id| data.document(connection, &id));
            found.map(|row| row.document.clone()).collect()
        })
        .await
    }

    async fn stored_envelopes(&self, keys: Vec<DocumentKey>) -> Result<Vec<(DocumentKey, Vec<u8>)>> {
        self.read(|data| {
            let found = keys.into_iter().filter_map(|key| {
                let (envelope, _) = data.documents.get(&key)?.body.as_ref()?;
                Some((key, envelope.clone()))
            });
            found.collect()
        })
        .await
    }

    async fn id_of_locator(
        &self,
        connection: ConnectionKey,
        scope: &str,
        locator: &str,
    ) -> Result<Option<String>> {
        self.read(|data| {
            if locator.is_empty() {
                return None;
            }
            let documents = data.live(connection).filter(|row| row.document.scope == scope);
            let document = documents.filter(|row| row.locator == locator).map(|row| &row.document.id).next();
            let mut containers = data
                .containers
                .iter()
                .filter(|((key, _), put)| *key == connection && put.scope == scope && put.locator == locator);
            document.or_else(|| containers.next().map(|((_, id), _)| id)).cloned()
        })
        .await
    }

    async fn children(
        &self,
        connection: ConnectionKey,
        scope: &str,
        id: &str,
        limit: usize,
    ) -> Result<Vec<Child>> {
        self.read(|data| {
            if id.is_empty() {
                return Vec::new();
            }
            let containers = data.containers.iter().filter(|((key, _), put)| {
                *key == connection && put.scope == scope && !put.parent_id.is_empty()
            });
            let containers = containers.map(|((_, id), put)| (put.parent_id.as_str(), id.as_str()));
            let documents = data.documents_of(connection).filter(|row| row.document.scope == scope);
            let documents = documents.map(|row| (row.parent_id.as_str(), row.document.id.as_str()));
            let held: Vec<(&str, &str)> = containers.chain(documents).collect();
            let children = held.iter().filter(|(parent, _)| *parent == id).map(|(_, child)| *child);
            let children: BTreeSet<&str> = children.collect();
            let children = children.into_iter().take(limit).map(|child| Child {
                id: child.to_owned(),
                has_children: held.iter().any(|(parent, _)| *parent == child),
            });
            children.collect()
        })
        .await
    }

    async fn commit(&self, fence: Fence, commit: Commit, now: DateTime<Utc>) -> Result<()> {
        self.write_fenced(fence, |data| {
            data.buried = false;
            let connection = fence.connection;
            data.check_documents(connection, &commit.documents)?;
            data.write_documents(connection, commit.documents, now);
            data.write_raw_items(connection, commit.raw_items, now);
            for (scope, id) in commit.removed_containers {
                if data.containers.get(&(connection, id.clone())).is_some_and(|put| put.scope == scope) {
                    data.containers.remove(&(connection, id));
                }
            }
            for container in commit.containers {
                data.containers.insert((connection, container.id.clone()), container);
            }
            for item in commit.cleared_items {
                data.clear_item(connection, &item);
            }
            for (scope, item) in commit.gone_items {
                data.clear_item_in(connection, &scope, item);
            }
            for item in commit.answered {
                data.wanted.remove(&(connection, item));
            }
            for wanted in commit.wanted {
                data.want(connection, wanted);
            }
            for error in commit.item_errors {
                data.record_error(connection, &commit.run, error, now);
            }
            for shield in commit.shields {
                data.put_shield(connection, shield);
            }
            for state in commit.states {
                data.save_state(connection, state);
            }
            data.save_progress(&commit.run, commit.progress);
            if let (Some(id), Some(row)) = (commit.renormalized_to, data.runs.get_mut(&commit.run)) {
                row.run.renormalized_to = id;
            }
            Ok(())
        })
        .await
    }

    async fn generations(&self, connection: ConnectionKey) -> Result<Vec<Generation>> {
        self.read(|data| {
            let mut counts: BTreeMap<(&str, i64), u64> = BTreeMap::new();
            for document in data.live(connection).map(|row| &row.document) {
                *counts.entry((&document.scope, document.generation)).or_default() += 1;
            }
            let generations = counts.into_iter().map(|((scope, generation), documents)| Generation {
                scope: scope.to_owned(),
                generation,
                documents,
            });
            generations.collect()
        })
        .await
    }

    async fn absent(
        &self,
        connection: ConnectionKey,
        scope: &str,
        generation: i64,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Absent>> {
        self.read(|data| {
            let absent = data.live(connection).filter(|row| {
                let document = &row.document;
                document.scope == scope && document.generation < generation && document.id.as_str() > after
            });
            let absent = absent.take(limit).map(|row| Absent {
                key: row.document.key,
                id: row.document.id.clone(),
                parent_id: row.parent_id.clone(),
                locator: row.locator.clone(),
                generation: row.document.generation,
            });
            absent.collect()
        })
        .await
    }

    async fn parent_of(&self, connection: ConnectionKey, id: &str) -> Result<Option<String>> {
        self.read(|data| {
            let container = data.containers.get(&(connection, id.to_owned())).map(|put| &put.parent_id);
            container.or_else(|| data.document(connection, id).map(|row| &row.parent_id)).cloned()
        })
        .await
    }

    async fn bury(
        &self,
        fence: Fence,
        keys: Vec<DocumentKey>,
        run: &str,
        progress: RunProgress,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.write_fenced(fence, |data| {
            data.buried = true;
            let writes = keys.into_iter().map(DocumentWrite::Gone).collect();
            data.write_documents(fence.connection, writes, now);
            data.save_progress(run, progress);
            Ok(())
        })
        .await
    }

    async fn old_containers(
        &self,
        connection: ConnectionKey,
        scope: &str,
        generation: i64,
        after: &str,
        limit: usize,
    ) -> Result<Vec<OldContainer>> {
        self.read(|data| {
            let old = data.containers.iter().filter(|((key, id), put)| {
                *key == connection && put.scope == scope && put.generation < generation && id.as_str() > after
            });
            let old = old.take(limit).map(|((_, id), put)| OldContainer {
                id: id.clone(),
                parent_id: put.parent_id.clone(),
                locator: put.locator.clone(),
            });
            old.collect()
        })
        .await
    }

    async fn forget(
        &self,
        fence: Fence,
        scope: &str,
        containers: Vec<String>,
        item_errors: Vec<i64>,
        raw_before: Option<i64>,
    ) -> Result<()> {
        self.write_fenced(fence, |data| {
            let connection = fence.connection;
            data.containers.retain(|(key, id), put| {
                *key != connection || put.scope != scope || !containers.contains(id)
            });
            data.item_errors
                .retain(|(key, ..), error| *key != connection || !item_errors.contains(&error.key));
            if let Some(generation) = raw_before {
                data.remove_older_raw_items(connection, scope, generation);
            }
            Ok(())
        })
        .await
    }
}

impl Data {
    pub(crate) fn document(&self, connection: ConnectionKey, id: &str) -> Option<&DocumentRow> {
        let key = self.document_keys.get(&(connection, id.to_owned()))?;
        self.documents.get(key)
    }

    pub(crate) fn container(&self, connection: ConnectionKey, id: &str) -> Option<&ContainerPut> {
        self.containers.get(&(connection, id.to_owned()))
    }

    /// A connection's documents, tombstones too, in the order of their ids.
    pub(crate) fn documents_of(&self, connection: ConnectionKey) -> impl Iterator<Item = &DocumentRow> {
        let ids = self.document_keys.range((connection, String::new())..);
        let keys = ids.take_while(move |((key, _), _)| *key == connection).map(|(_, key)| key);
        keys.filter_map(|key| self.documents.get(key))
    }

    /// Those that are not gone.
    pub(crate) fn live(&self, connection: ConnectionKey) -> impl Iterator<Item = &DocumentRow> {
        self.documents_of(connection).filter(|row| !row.document.gone)
    }

    /// Refuses writes that the store could not make: a new document that is there, and a known one that is not.
    fn check_documents(&self, connection: ConnectionKey, writes: &[DocumentWrite]) -> Result<()> {
        let mut new = BTreeSet::new();
        for write in writes {
            let DocumentWrite::Put(put) = write else { continue };
            match put.key {
                None if self.document(connection, &put.id).is_some() || !new.insert(&put.id) => {
                    return Err(StoreError::Taken("document"));
                }
                Some(key) if !self.documents.contains_key(&key) => {
                    return Err(StoreError::Conflict("document"));
                }
                None | Some(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn write_documents(
        &mut self,
        connection: ConnectionKey,
        writes: Vec<DocumentWrite>,
        now: DateTime<Utc>,
    ) {
        for write in writes {
            match write {
                DocumentWrite::Seen { key, generation, message_hash } => {
                    if let Some(row) = self.documents.get_mut(&key) {
                        row.document.generation = generation;
                        row.document.message_hash = message_hash.or(row.document.message_hash);
                    }
                }
                DocumentWrite::Put(put) => self.put(connection, *put, now),
                DocumentWrite::Gone(key) => self.bury_one(connection, key, now),
            }
        }
    }

    fn put(&mut self, connection: ConnectionKey, put: DocumentPut, now: DateTime<Utc>) {
        if put.entry != FeedEntryKind::None {
            self.bounds.head += 1;
        }
        let head = self.bounds.head;
        let key = put.key.unwrap_or_else(|| DocumentKey(self.next_key()));
        let before = self.documents.remove(&key);
        // By what there was, and not by what the write says: it may be the same once more.
        if before.as_ref().is_none_or(|row| row.document.gone) {
            self.count_documents(connection, 1);
        }
        let (mut offset, mut content_offset, mut committed_at) = before
            .as_ref()
            .map_or((head, head, now), |row| (row.offset, row.content_offset, row.committed_at));
        if put.entry != FeedEntryKind::None {
            self.feed.remove(&offset);
            (offset, committed_at) = (head, now);
        }
        if put.entry == FeedEntryKind::Content {
            content_offset = head;
        }
        let text = match put.text {
            TextWrite::Set(text) => text,
            TextWrite::Keep => before.and_then(|row| row.body).and_then(|(_, text)| text),
        };
        let document = StoredDocument {
            key,
            id: put.id.clone(),
            scope: put.scope,
            gone: false,
            generation: put.generation,
            version: put.version,
            content_version: put.content_version,
            content_state: put.content_state,
            extractor: put.extractor,
            text_hash: put.text_hash,
            text_bytes: put.text_bytes,
            envelope_hash: put.envelope_hash,
            message_hash: put.message_hash,
        };
        let (parent_id, locator) = (put.parent_id, put.locator);
        let body = Some((put.envelope, text));
        self.feed.insert(offset, key);
        self.document_keys.insert((connection, put.id), key);
        let row = DocumentRow {
            connection,
            document,
            parent_id,
            locator,
            offset,
            content_offset,
            committed_at,
            body,
        };
        self.documents.insert(key, row);
    }

    fn bury_one(&mut self, connection: ConnectionKey, key: DocumentKey, now: DateTime<Utc>) {
        let Some(row) = self.documents.get_mut(&key).filter(|row| !row.document.gone) else { return };
        let raw = (connection, row.document.id.clone());
        if self.raw_items.get(&raw).is_some_and(|item| item.put.scope == row.document.scope) {
            self.raw_items.remove(&raw);
        }
        self.bounds.head += 1;
        self.feed.remove(&row.offset);
        self.feed.insert(self.bounds.head, key);
        (row.offset, row.content_offset, row.committed_at) = (self.bounds.head, self.bounds.head, now);
        (row.parent_id, row.locator, row.body) = (String::new(), String::new(), None);
        let document = &mut row.document;
        document.gone = true;
        (document.content_version, document.content_state) = (None, ContentState::None);
        (document.text_hash, document.text_bytes, document.message_hash) = (None, 0, None);
        self.count_documents(connection, -1);
    }
}
