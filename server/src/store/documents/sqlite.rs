//! Documents in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{CachedStatement, OptionalExtension, Row, Transaction, named_params, params};

use super::{
    Absent, Child, Commit, ContentState, DocumentKey, DocumentPut, DocumentStore, DocumentWrite,
    FeedEntryKind, Generation, OldContainer, StoredDocument, TextWrite,
};
use crate::store::columns::{hash, micros};
use crate::store::runs::RunProgress;
use crate::store::{
    ConnectionKey, Fence, Result, SqliteStore, StoreError, feed, item_errors, raw_items, runs, sync_states,
    wanted,
};

/// Documents and containers right under `:id`: `:connection`, `:scope`, `:id` and `:limit` are its parameters.
const CHILDREN: &str = "SELECT id, \
     EXISTS (SELECT 1 FROM containers c WHERE c.connection = :connection AND c.parent_id = under.id \
       AND c.parent_id <> '' AND c.scope = :scope) \
     OR EXISTS (SELECT 1 FROM documents d WHERE d.connection = :connection AND d.parent_id = under.id \
       AND d.parent_id <> '' AND d.scope = :scope) \
     FROM (SELECT id FROM containers \
       WHERE connection = :connection AND parent_id = :id AND parent_id <> '' AND scope = :scope \
     UNION SELECT id FROM documents \
       WHERE connection = :connection AND parent_id = :id AND parent_id <> '' AND scope = :scope) under \
     ORDER BY id LIMIT :limit";

const INSERT: &str = "INSERT INTO documents (connection, id, scope, gone, generation, version, content_version, content_state, text_hash, \
     text_bytes, envelope_hash, parent_id, locator, feed_offset, content_offset, committed_at, extractor, message_hash) \
     VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14, ?15, ?16)";
const INSERT_BODY: &str = "INSERT INTO document_bodies (pk, envelope, text) VALUES (?1, ?2, ?3)";

#[async_trait]
impl DocumentStore for SqliteStore {
    async fn stored_documents(
        &self,
        connection: ConnectionKey,
        ids: Vec<String>,
    ) -> Result<Vec<StoredDocument>> {
        self.read(move |tx| {
            let mut select = tx.prepare_cached(
                "SELECT pk, id, scope, gone, generation, version, content_version, content_state, text_hash, \
                 text_bytes, envelope_hash, extractor, message_hash FROM documents WHERE connection = ?1 AND id = ?2",
            )?;
            let mut found = Vec::with_capacity(ids.len());
            for id in &ids {
                if let Some(document) = select.query_row(params![connection.0, id], read).optional()? {
                    found.push(document);
                }
            }
            Ok(found)
        })
        .await
    }

    async fn stored_envelopes(&self, keys: Vec<DocumentKey>) -> Result<Vec<(DocumentKey, Vec<u8>)>> {
        self.read(move |tx| {
            let mut select = tx.prepare_cached("SELECT envelope FROM document_bodies WHERE pk = ?1")?;
            let mut found = Vec::with_capacity(keys.len());
            for key in keys {
                if let Some(envelope) = select.query_row([key.0], |row| row.get(0)).optional()? {
                    found.push((key, envelope));
                }
            }
            Ok(found)
        })
        .await
    }

    async fn id_of_locator(
        &self,
        connection: ConnectionKey,
        scope: &str,
        locator: &str,
    ) -> Result<Option<String>> {
        let (scope, locator) = (scope.to_owned(), locator.to_owned());
        self.read(move |tx| {
            let sql = "SELECT id, 1 AS kind FROM documents \
                 WHERE connection = ?1 AND scope = ?2 AND locator = ?3 AND locator <> '' AND gone = 0 \
                 UNION ALL SELECT id, 2 FROM containers \
                 WHERE connection = ?1 AND scope = ?2 AND locator = ?3 AND locator <> '' ORDER BY kind, id LIMIT 1";
            Ok(tx
                .prepare_cached(sql)?
                .query_row(params![connection.0, scope, locator], |row| row.get(0))
                .optional()?)
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
        let (scope, id) = (scope.to_owned(), id.to_owned());
        self.read(move |tx| {
            let values = named_params! {
                ":connection": connection.0, ":scope": scope, ":id": id, ":limit": limit as i64,
            };
            let children = tx
                .prepare_cached(CHILDREN)?
                .query_map(values, |row| Ok(Child { id: row.get(0)?, has_children: row.get(1)? }))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(children)
        })
        .await
    }

    async fn commit(&self, fence: Fence, commit: Commit, now: DateTime<Utc>) -> Result<()> {
        self.write_feed(fence, move |tx| {
            let head = write_documents(tx, fence.connection, &commit.documents, now)?;
            write_containers(tx, fence.connection, &commit)?;
            for item in &commit.cleared_items {
                item_errors::sqlite::clear(tx, fence.connection, item)?;
            }
            for (scope, item) in &commit.gone_items {
                item_errors::sqlite::clear_in(tx, fence.connection, scope, item)?;
            }
            for item in &commit.answered {
                wanted::sqlite::answered(tx, fence.connection, item)?;
            }
            for item in &commit.wanted {
                wanted::sqlite::want(tx, fence.connection, item)?;
            }
            for error in &commit.item_errors {
                item_errors::sqlite::record(tx, fence.connection, &commit.run, error, now)?;
            }
            for shield in &commit.shields {
                item_errors::sqlite::shield(tx, fence.connection, shield)?;
            }
            for state in &commit.states {
                sync_states::sqlite::save(tx, fence.connection, state)?;
            }
            raw_items::sqlite::write(tx, fence.connection, &commit.raw_items, now)?;
            runs::sqlite::save_progress(tx, &commit.run, &commit.progress)?;
            if let Some(id) = &commit.renormalized_to {
                runs::sqlite::save_renormalized_to(tx, &commit.run, id)?;
            }
            Ok(((), head))
        })
        .await
    }

    async fn generations(&self, connection: ConnectionKey) -> Result<Vec<Generation>> {
        self.read(move |tx| {
            let generations = tx
                .prepare_cached(
                    "SELECT scope, generation, count(*) FROM documents WHERE connection = ?1 AND gone = 0 \
                     GROUP BY scope, generation ORDER BY scope, generation",
                )?
                .query_map([connection.0], |row| {
                    Ok(Generation { scope: row.get(0)?, generation: row.get(1)?, documents: row.get(2)? })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(generations)
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
        let (scope, after) = (scope.to_owned(), after.to_owned());
        self.read(move |tx| {
            let absent = tx
                .prepare_cached(
                    "SELECT pk, id, parent_id, locator, generation FROM documents WHERE connection = ?1 AND id > ?2 \
                     AND scope = ?3 AND gone = 0 AND generation < ?4 ORDER BY id LIMIT ?5",
                )?
                .query_map(params![connection.0, after, scope, generation, limit as i64], |row| {
                    Ok(Absent {
                        key: DocumentKey(row.get(0)?),
                        id: row.get(1)?,
                        parent_id: row.get(2)?,
                        locator: row.get(3)?,
                        generation: row.get(4)?,
                    })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(absent)
        })
        .await
    }

    async fn parent_of(&self, connection: ConnectionKey, id: &str) -> Result<Option<String>> {
        let id = id.to_owned();
        self.read(move |tx| {
            let sql = "SELECT parent_id FROM containers WHERE connection = ?1 AND id = ?2 \
                 UNION ALL SELECT parent_id FROM documents WHERE connection = ?1 AND id = ?2 LIMIT 1";
            Ok(tx.prepare_cached(sql)?.query_row(params![connection.0, id], |row| row.get(0)).optional()?)
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
        let run = run.to_owned();
        self.write_feed(fence, move |tx| {
            let keys: Vec<i64> = keys.iter().map(|key| key.0).collect();
            let head = bury(tx, fence.connection, &keys, now)?;
            runs::sqlite::save_progress(tx, &run, &progress)?;
            Ok(((), head))
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
        let (scope, after) = (scope.to_owned(), after.to_owned());
        self.read(move |tx| {
            let old = tx
                .prepare_cached(
                    "SELECT id, parent_id, locator FROM containers WHERE connection = ?1 AND id > ?2 \
                     AND scope = ?3 AND generation < ?4 ORDER BY id LIMIT ?5",
                )?
                .query_map(params![connection.0, after, scope, generation, limit as i64], |row| {
                    Ok(OldContainer { id: row.get(0)?, parent_id: row.get(1)?, locator: row.get(2)? })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(old)
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
        let scope = scope.to_owned();
        self.write_fenced(fence, move |tx| {
            let key = fence.connection;
            let sql = "DELETE FROM containers WHERE connection = ?1 AND scope = ?2 AND id = ?3";
            let mut remove = tx.prepare_cached(sql)?;
            for id in &containers {
                remove.execute(params![key.0, scope, id])?;
            }
            let mut clear = tx.prepare_cached("DELETE FROM item_errors WHERE connection = ?1 AND pk = ?2")?;
            for error in item_errors {
                clear.execute(params![key.0, error])?;
            }
            match raw_before {
                Some(generation) => raw_items::sqlite::remove_older(tx, key, &scope, generation),
                None => Ok(()),
            }
        })
        .await
    }
}

/// Makes documents tombstones; returns the feed's head.
pub(in crate::store) fn bury(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    keys: &[i64],
    now: DateTime<Utc>,
) -> Result<i64> {
    let writes: Vec<_> = keys.iter().map(|key| DocumentWrite::Gone(DocumentKey(*key))).collect();
    write_documents(tx, connection, &writes, now)
}

/// Writes documents in order; returns the feed's head.
fn write_documents(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    writes: &[DocumentWrite],
    now: DateTime<Utc>,
) -> Result<i64> {
    let before = feed::sqlite::head(tx)?;
    let mut head = before;
    let mut count_change = 0_i64;
    // The statements of the usual writes are looked up once and not for each row.
    let mut seen = tx.prepare_cached("UPDATE documents SET generation = ?1 WHERE pk = ?2")?;
    let mut insert = tx.prepare_cached(INSERT)?;
    let mut insert_body = tx.prepare_cached(INSERT_BODY)?;
    for write in writes {
        match write {
            DocumentWrite::Seen { key, generation, message_hash: None } => {
                seen.execute(params![generation, key.0])?;
            }
            DocumentWrite::Seen { key, generation, message_hash } => {
                tx.prepare_cached("UPDATE documents SET generation = ?1, message_hash = ?2 WHERE pk = ?3")?
                    .execute(params![generation, message_hash, key.0])?;
            }
            DocumentWrite::Put(put) => {
                count_change += i64::from(put.arrives);
                if put.entry != FeedEntryKind::None {
                    head += 1;
                }
                match put.key {
                    None => write_new(tx, &mut insert, &mut insert_body, connection, put, head, now)?,
                    Some(key) => write_known(tx, connection, key, put, head, now)?,
                }
            }
            DocumentWrite::Gone(key) => {
                raw_items::sqlite::remove_of_document(tx, key.0)?;
                let buried = tx
                    .prepare_cached(
                        "UPDATE documents SET gone = 1, feed_offset = ?1, content_offset = ?1, committed_at = ?2, \
                         content_version = NULL, content_state = 0, text_hash = NULL, text_bytes = 0, message_hash = NULL, \
                         parent_id = '', locator = '' WHERE pk = ?3 AND gone = 0",
                    )?
                    .execute(params![head + 1, micros(now), key.0])?;
                head += buried as i64;
                count_change -= buried as i64;
                tx.prepare_cached("DELETE FROM document_bodies WHERE pk = ?1")?.execute([key.0])?;
            }
        }
    }
    if head != before {
        feed::sqlite::set_head(tx, head)?;
    }
    if count_change != 0 {
        tx.prepare_cached("UPDATE connections SET document_count = document_count + ?1 WHERE pk = ?2")?
            .execute(params![count_change, connection.0])?;
    }
    Ok(head)
}

fn write_new(
    tx: &Transaction<'_>,
    insert: &mut CachedStatement<'_>,
    insert_body: &mut CachedStatement<'_>,
    connection: ConnectionKey,
    put: &DocumentPut,
    head: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    insert.execute(params![
        connection.0,
        put.id,
        put.scope,
        put.generation,
        put.version,
        put.content_version,
        content_state_number(put.content_state),
        put.text_hash,
        put.text_bytes,
        put.envelope_hash,
        put.parent_id,
        put.locator,
        head,
        micros(now),
        put.extractor,
        put.message_hash
    ])?;
    let text = match &put.text {
        TextWrite::Set(text) => text.as_deref(),
        TextWrite::Keep => None,
    };
    insert_body.execute(params![tx.last_insert_rowid(), put.envelope, text])?;
    Ok(())
}

fn write_known(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    key: DocumentKey,
    put: &DocumentPut,
    head: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let written = tx.prepare_cached(
        "UPDATE documents SET scope = :scope, gone = 0, generation = :generation, version = :version, \
         content_version = :content_version, content_state = :content_state, extractor = :extractor, \
         text_hash = :text_hash, message_hash = :message_hash, \
         text_bytes = :text_bytes, envelope_hash = :envelope_hash, parent_id = :parent_id, locator = :locator, \
         feed_offset = CASE WHEN :entry > 0 THEN :head ELSE feed_offset END, \
         content_offset = CASE WHEN :entry > 1 THEN :head ELSE content_offset END, \
         committed_at = CASE WHEN :entry > 0 THEN :now ELSE committed_at END \
         WHERE pk = :key AND connection = :connection AND id = :id",
    )?
    .execute(named_params! {
        ":scope": put.scope, ":generation": put.generation, ":version": put.version,
        ":content_version": put.content_version, ":content_state": content_state_number(put.content_state),
        ":text_hash": put.text_hash, ":text_bytes": put.text_bytes, ":envelope_hash": put.envelope_hash,
        ":extractor": put.extractor, ":message_hash": put.message_hash, ":parent_id": put.parent_id, ":locator": put.locator, ":head": head, ":now": micros(now), ":key": key.0,
        ":connection": connection.0, ":id": put.id,
        ":entry": match put.entry {
            FeedEntryKind::None => 0,
            FeedEntryKind::Envelope => 1,
            FeedEntryKind::Content => 2,
        },
    })?;
    if written == 0 {
        // It was a tombstone, and was forgotten meanwhile: what was planned for it would be lost without a word, or be
        // written over a document that was given its key since.
        return Err(StoreError::Conflict("document"));
    }
    match &put.text {
        TextWrite::Keep => tx
            .prepare_cached("UPDATE document_bodies SET envelope = ?2 WHERE pk = ?1")?
            .execute(params![key.0, put.envelope])?,
        TextWrite::Set(text) => tx
            .prepare_cached(
                "INSERT OR REPLACE INTO document_bodies (pk, envelope, text) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![key.0, put.envelope, text])?,
    };
    Ok(())
}

fn write_containers(tx: &Transaction<'_>, connection: ConnectionKey, commit: &Commit) -> Result<()> {
    let mut remove =
        tx.prepare_cached("DELETE FROM containers WHERE connection = ?1 AND scope = ?2 AND id = ?3")?;
    for (scope, id) in &commit.removed_containers {
        remove.execute(params![connection.0, scope, id])?;
    }
    let mut put = tx.prepare_cached(
        "INSERT OR REPLACE INTO containers (connection, id, scope, parent_id, name, locator, generation) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for container in &commit.containers {
        put.execute(params![
            connection.0,
            container.id,
            container.scope,
            container.parent_id,
            container.name,
            container.locator,
            container.generation
        ])?;
    }
    Ok(())
}

pub(super) fn content_state_number(state: ContentState) -> i64 {
    match state {
        ContentState::None => 0,
        ContentState::Whole => 1,
        ContentState::Truncated => 2,
        ContentState::Unreadable => 3,
        ContentState::Stale => 4,
    }
}

/// A stored content state.
pub(in crate::store) fn content_state(number: i64) -> ContentState {
    match number {
        1 => ContentState::Whole,
        2 => ContentState::Truncated,
        3 => ContentState::Unreadable,
        4 => ContentState::Stale,
        _ => ContentState::None,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredDocument> {
    let text_hash = row.get_ref(8)?.as_blob_or_null().ok().flatten().map(hash);
    Ok(StoredDocument {
        key: DocumentKey(row.get(0)?),
        id: row.get(1)?,
        scope: row.get(2)?,
        gone: row.get(3)?,
        generation: row.get(4)?,
        version: row.get(5)?,
        content_version: row.get(6)?,
        content_state: content_state(row.get(7)?),
        text_hash,
        text_bytes: row.get(9)?,
        envelope_hash: hash(row.get_ref(10)?.as_blob().unwrap_or_default()),
        extractor: row.get(11)?,
        message_hash: row.get_ref(12)?.as_blob_or_null().ok().flatten().map(hash),
    })
}
