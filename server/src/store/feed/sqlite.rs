//! The feed in SQLite. There is one writer, so offsets become visible in their order.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use tokio::sync::watch;

use super::{
    Consumer, FeedBounds, FeedFilter, FeedLag, FeedPage, FeedRow, FeedStore, Histories, History,
    MAX_HISTORIES, MAX_INLINE_TEXT_BYTES, ReadLimit, Texts, new_number,
};
use crate::store::columns::{micros, time};
use crate::store::documents::sqlite::content_state;
use crate::store::{ConnectionKey, Listed, Result, SqliteStore, StoreError};

/// `:texts_after` is the offset after which texts are read; the largest number reads none.
const SELECT: &str = "SELECT c.organization, c.id, d.connection, d.feed_offset, d.content_offset, d.id, d.gone, \
     d.content_state, d.text_bytes, coalesce(b.envelope, x''), \
     CASE WHEN d.content_offset > :texts_after AND d.text_bytes <= :max_text THEN b.text END, d.committed_at \
     FROM documents d JOIN connections c ON c.pk = d.connection LEFT JOIN document_bodies b ON b.pk = d.pk";

const MATCHES: &str =
    "(:connection = '' OR c.id = :connection) AND (:organization = '' OR c.organization = :organization)";

#[async_trait]
impl FeedStore for SqliteStore {
    fn feed_changes(&self) -> watch::Receiver<i64> {
        self.feed_head.subscribe()
    }

    async fn feed_bounds(&self) -> Result<FeedBounds> {
        self.read(bounds).await
    }

    async fn read_feed(
        &self,
        filter: FeedFilter,
        offset: i64,
        texts: Texts,
        limit: ReadLimit,
    ) -> Result<FeedPage> {
        self.read(move |tx| {
            let bounds = bounds(tx)?;
            let sql = format!("{SELECT} WHERE d.feed_offset > :offset AND {MATCHES} ORDER BY d.feed_offset");
            let mut statement = tx.prepare_cached(&sql)?;
            let mut rows = statement.query(named_params! {
                ":offset": offset, ":texts_after": texts_after(texts), ":max_text": MAX_INLINE_TEXT_BYTES,
                ":connection": filter.connection, ":organization": filter.organization,
            })?;
            let head = bounds.head;
            let mut page = FeedPage { rows: Vec::new(), read_to: head, caught_up: true, bounds };
            let mut bytes = 0;
            while let Some(row) = rows.next()? {
                let row = read(row)?;
                bytes += row.envelope.len() + row.text.as_ref().map_or(0, String::len);
                page.read_to = row.offset;
                page.rows.push(row);
                if page.rows.len() >= limit.rows || bytes >= limit.bytes {
                    page.caught_up = page.read_to >= head;
                    return Ok(page);
                }
            }
            page.read_to = head.max(offset);
            Ok(page)
        })
        .await
    }

    async fn list_documents(
        &self,
        filter: FeedFilter,
        after: Option<(ConnectionKey, String)>,
        texts: Texts,
        limit: ReadLimit,
    ) -> Result<(Vec<FeedRow>, bool)> {
        self.read(move |tx| {
            let (after_connection, after_id) = after.map_or((0, String::new()), |(key, id)| (key.0, id));
            // One connection's documents are a range of the index, if it is asked for by its key.
            let range = if filter.connection.is_empty() {
                "(d.connection, d.id) > (:after_connection, :after_id)"
            } else {
                "d.connection = (SELECT pk FROM connections WHERE id = :connection) AND d.id > :after_id \
                 AND :after_connection IS NOT NULL"
            };
            let sql = format!("{SELECT} WHERE {range} AND d.gone = 0 AND {MATCHES} ORDER BY d.connection, d.id");
            let mut statement = tx.prepare_cached(&sql)?;
            let mut rows = statement.query(named_params! {
                ":after_connection": after_connection, ":after_id": after_id, ":texts_after": texts_after(texts),
                ":max_text": MAX_INLINE_TEXT_BYTES, ":connection": filter.connection,
                ":organization": filter.organization,
            })?;
            let mut found = Vec::new();
            let mut bytes = 0;
            while let Some(row) = rows.next()? {
                if found.len() >= limit.rows || bytes >= limit.bytes {
                    return Ok((found, true));
                }
                let row = read(row)?;
                bytes += row.envelope.len() + row.text.as_ref().map_or(0, String::len);
                found.push(row);
            }
            Ok((found, false))
        })
        .await
    }

    async fn document(&self, connection: ConnectionKey, id: &str) -> Result<Option<FeedRow>> {
        let id = id.to_owned();
        self.read(move |tx| {
            let sql = format!("{SELECT} WHERE d.connection = :connection AND d.id = :id AND d.gone = 0");
            let values = named_params! {
                ":connection": connection.0, ":id": id, ":texts_after": -1, ":max_text": MAX_INLINE_TEXT_BYTES,
            };
            Ok(tx.prepare_cached(&sql)?.query_row(values, read).optional()?)
        })
        .await
    }

    async fn text(&self, connection: ConnectionKey, id: &str) -> Result<Option<Option<String>>> {
        let id = id.to_owned();
        self.read(move |tx| {
            let sql = "SELECT b.text FROM documents d JOIN document_bodies b ON b.pk = d.pk \
                 WHERE d.connection = ?1 AND d.id = ?2 AND d.gone = 0";
            Ok(tx.prepare_cached(sql)?.query_row(params![connection.0, id], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn consumer(&self, name: &str, filter: FeedFilter, now: DateTime<Utc>) -> Result<Consumer> {
        let name = name.to_owned();
        self.write(move |tx| {
            tx.execute(
                "INSERT INTO consumers (name, connection, organization, position, created_at) \
                 VALUES (?1, ?2, ?3, '', ?4) ON CONFLICT DO NOTHING",
                params![name, filter.connection, filter.organization, micros(now)],
            )?;
            consumer(tx, &name)?.ok_or(StoreError::Missing("consumer"))
        })
        .await
    }

    async fn commit_position(&self, name: &str, position: String, now: DateTime<Utc>) -> Result<Consumer> {
        let name = name.to_owned();
        self.write(move |tx| {
            let changed = tx.execute(
                "UPDATE consumers SET position = ?1, committed_at = ?2 WHERE name = ?3",
                params![position, micros(now), name],
            )?;
            if changed == 0 {
                return Err(StoreError::Missing("consumer"));
            }
            consumer(tx, &name)?.ok_or(StoreError::Missing("consumer"))
        })
        .await
    }

    async fn consumers(&self, after: &str, limit: usize) -> Result<Listed<Consumer>> {
        let after = after.to_owned();
        self.read(move |tx| {
            let items = tx
                .prepare_cached(
                    "SELECT name, connection, organization, position, committed_at FROM consumers \
                     WHERE name > ?1 ORDER BY name LIMIT ?2",
                )?
                .query_map(params![after, limit as i64 + 1], read_consumer)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(Listed::cut(items, limit, |consumer| consumer.name.clone()))
        })
        .await
    }

    async fn delete_consumer(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |tx| Ok(tx.execute("DELETE FROM consumers WHERE name = ?1", [name])? > 0)).await
    }

    async fn feed_lag(&self, filter: FeedFilter, offset: i64) -> Result<FeedLag> {
        self.read(move |tx| {
            let from = format!(
                "FROM documents d JOIN connections c ON c.pk = d.connection \
                 WHERE d.feed_offset > :offset AND {MATCHES}"
            );
            let values = named_params! {
                ":offset": offset, ":connection": filter.connection, ":organization": filter.organization,
            };
            let sql = format!("SELECT count(*) {from}");
            let entries = tx.prepare_cached(&sql)?.query_row(values, |row| row.get(0))?;
            let sql = format!("SELECT d.committed_at {from} ORDER BY d.feed_offset LIMIT 1");
            let since: Option<i64> =
                tx.prepare_cached(&sql)?.query_row(values, |row| row.get(0)).optional()?;
            Ok(FeedLag { entries, since: since.map(time) })
        })
        .await
    }

    async fn trim_tombstones(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write(move |tx| {
            let old = tx
                .prepare_cached(
                    "SELECT pk, feed_offset FROM documents WHERE gone = 1 AND committed_at < ?1 \
                     ORDER BY committed_at LIMIT ?2",
                )?
                .query_map(params![micros(before), limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
            for (key, _) in &old {
                tx.prepare_cached("DELETE FROM documents WHERE pk = ?1")?.execute([key])?;
            }
            if let Some(newest) = old.iter().map(|(_, offset)| *offset).max() {
                set_meta(tx, "feed_floor", newest.max(meta(tx, "feed_floor")?))?;
            }
            tx.execute(
                "DELETE FROM connections WHERE deleted_at IS NOT NULL AND NOT EXISTS \
                 (SELECT 1 FROM documents WHERE connection = connections.pk)",
                [],
            )?;
            Ok(old.len() as u64)
        })
        .await
    }
}

/// Begins a new history behind the head; returns the head. One that nothing was written in gives way to it.
pub(in crate::store) fn begin_history(connection: &mut Connection) -> Result<i64> {
    let tx = connection.transaction()?;
    let head = head(&tx)?;
    tx.execute(
        "INSERT OR REPLACE INTO feed_histories (from_offset, number) VALUES (?1, ?2)",
        [head + 1, new_number()],
    )?;
    // The oldest that are too many become one, which is none of them.
    let joined = tx.execute(
        "DELETE FROM feed_histories WHERE from_offset > (SELECT min(from_offset) FROM feed_histories) \
         AND from_offset <= (SELECT from_offset FROM feed_histories ORDER BY from_offset DESC LIMIT 1 OFFSET ?1)",
        [MAX_HISTORIES - 1],
    )?;
    if joined > 0 {
        tx.execute(
            "UPDATE feed_histories SET number = ?1 \
             WHERE from_offset = (SELECT min(from_offset) FROM feed_histories)",
            [new_number()],
        )?;
    }
    tx.commit()?;
    Ok(head)
}

/// The newest offset.
pub(in crate::store) fn head(tx: &Transaction<'_>) -> Result<i64> {
    meta(tx, "feed_head")
}

/// Writes the newest offset.
pub(in crate::store) fn set_head(tx: &Transaction<'_>, head: i64) -> Result<()> {
    set_meta(tx, "feed_head", head)
}

fn bounds(tx: &Transaction<'_>) -> Result<FeedBounds> {
    let histories = tx
        .prepare_cached("SELECT from_offset, number FROM feed_histories")?
        .query_map([], |row| Ok(History { from_offset: row.get(0)?, number: row.get(1)? }))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(FeedBounds { histories: Histories::new(histories), head: head(tx)?, floor: meta(tx, "feed_floor")? })
}

/// A fact about the installation; 0 where it was never written.
fn meta(tx: &Transaction<'_>, name: &str) -> Result<i64> {
    let value = tx
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(value.unwrap_or(0))
}

fn set_meta(tx: &Transaction<'_>, name: &str, value: i64) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
        .execute(params![name, value])?;
    Ok(())
}

fn texts_after(texts: Texts) -> i64 {
    match texts {
        Texts::Omit => i64::MAX,
        Texts::ChangedAfter(offset) => offset,
    }
}

fn consumer(tx: &Transaction<'_>, name: &str) -> Result<Option<Consumer>> {
    Ok(tx
        .prepare_cached(
            "SELECT name, connection, organization, position, committed_at FROM consumers WHERE name = ?1",
        )?
        .query_row([name], read_consumer)
        .optional()?)
}

fn read_consumer(row: &Row<'_>) -> rusqlite::Result<Consumer> {
    Ok(Consumer {
        name: row.get(0)?,
        filter: FeedFilter { connection: row.get(1)?, organization: row.get(2)? },
        position: row.get(3)?,
        committed_at: row.get::<_, Option<i64>>(4)?.map(time),
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<FeedRow> {
    Ok(FeedRow {
        organization: row.get(0)?,
        connection: row.get(1)?,
        connection_key: ConnectionKey(row.get(2)?),
        offset: row.get(3)?,
        content_offset: row.get(4)?,
        id: row.get(5)?,
        gone: row.get(6)?,
        content_state: content_state(row.get(7)?),
        text_bytes: row.get(8)?,
        envelope: row.get(9)?,
        text: row.get(10)?,
        committed_at: time(row.get(11)?),
    })
}
