//! Raw items in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, named_params, params};

use super::{RawItem, RawItemStore, RawPut, RawWrite};
use crate::store::columns::{micros, time};
use crate::store::{ConnectionKey, Result, SqliteStore};

const COLUMNS: &str = "r.id, r.scope, r.generation, r.epoch, r.version, r.content_ref, r.schema, r.permissions, \
     r.normalizer, r.made, r.failed, r.stored_at, r.data";
/// A connection's that are kept: `?1` is its key.
const KEPT: &str =
    "raw_items r WHERE r.connection = ?1 AND r.epoch = (SELECT raw_epoch FROM connections WHERE pk = ?1)";

#[async_trait]
impl RawItemStore for SqliteStore {
    async fn raw_items(
        &self,
        connection: ConnectionKey,
        after: &str,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<RawItem>> {
        let after = after.to_owned();
        self.read(move |tx| {
            let sql = format!("SELECT {COLUMNS} FROM {KEPT} AND r.id > ?2 ORDER BY r.id LIMIT ?3");
            let mut select = tx.prepare_cached(&sql)?;
            let mut rows = select.query(params![connection.0, after, limit as i64])?;
            let (mut items, mut bytes) = (Vec::new(), 0);
            while bytes < max_bytes
                && let Some(row) = rows.next()?
            {
                let item = read(row)?;
                bytes += item.put.data.len();
                items.push(item);
            }
            Ok(items)
        })
        .await
    }

    async fn raw_items_of(&self, connection: ConnectionKey, mut ids: Vec<String>) -> Result<Vec<RawItem>> {
        ids.sort_unstable();
        self.read(move |tx| {
            let sql = format!("SELECT {COLUMNS} FROM {KEPT} AND r.id = ?2");
            let mut select = tx.prepare_cached(&sql)?;
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                found.extend(select.query_row(params![connection.0, id], read).optional()?);
            }
            Ok(found)
        })
        .await
    }

    async fn count_raw_items(&self, connection: ConnectionKey) -> Result<u64> {
        self.read(move |tx| {
            let sql = format!("SELECT count(*) FROM {KEPT}");
            Ok(tx.prepare_cached(&sql)?.query_row([connection.0], |row| row.get(0))?)
        })
        .await
    }

    async fn sample_raw_items(&self, connection: ConnectionKey, count: usize) -> Result<Vec<String>> {
        self.read(move |tx| {
            let sql = format!(
                "SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS total \
                 FROM {KEPT}) WHERE place % max(1, (total + ?2 - 1) / ?2) = 0 ORDER BY id LIMIT ?2"
            );
            let ids = tx
                .prepare_cached(&sql)?
                .query_map(params![connection.0, count.max(1) as i64], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()?;
            Ok(ids)
        })
        .await
    }

    async fn normalizers(&self, connection: ConnectionKey, limit: usize) -> Result<Vec<String>> {
        self.read(move |tx| {
            // From one version to the next by the index: there are few, of many items.
            let sql = format!("SELECT min(r.normalizer) FROM {KEPT} AND (?2 IS NULL OR r.normalizer > ?2)");
            let mut next = tx.prepare_cached(&sql)?;
            let mut found: Vec<String> = Vec::new();
            while found.len() < limit
                && let Some(version) = next
                    .query_row(params![connection.0, found.last()], |row| row.get::<_, Option<String>>(0))?
            {
                found.push(version);
            }
            Ok(found)
        })
        .await
    }

    async fn trim_raw_items(&self, limit: usize) -> Result<u64> {
        self.write(move |tx| {
            let removed = tx
                .prepare_cached(
                    "DELETE FROM raw_items WHERE pk IN (SELECT r.pk FROM connections c \
                     CROSS JOIN raw_items r ON r.connection = c.pk AND r.epoch < c.raw_epoch \
                     WHERE c.raw_epoch > 0 LIMIT ?1)",
                )?
                .execute([limit as i64])?;
            Ok(removed as u64)
        })
        .await
    }
}

/// Writes what a commit says of raw items, in order.
pub(in crate::store) fn write(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    writes: &[RawWrite],
    now: DateTime<Utc>,
) -> Result<()> {
    for write in writes {
        match write {
            RawWrite::Put(put) => self::put(tx, connection, put, now)?,
            RawWrite::Permissions { id, scope, permissions } => {
                tx.prepare_cached(
                    "UPDATE raw_items SET permissions = ?1 WHERE connection = ?2 AND id = ?3 AND scope = ?4",
                )?
                .execute(params![permissions, connection.0, id, scope])?;
            }
            RawWrite::Normalized { id, normalizer, failed } => {
                tx.prepare_cached(
                    "UPDATE raw_items SET normalizer = ?1, failed = ?2, made = (made OR NOT ?2) \
                     WHERE connection = ?3 AND id = ?4",
                )?
                .execute(params![normalizer, failed, connection.0, id])?;
            }
            RawWrite::Gone { id, scope } => {
                tx.prepare_cached(
                    "DELETE FROM raw_items WHERE connection = ?1 AND id = ?2 AND (?3 IS NULL OR scope = ?3)",
                )?
                .execute(params![connection.0, id, scope])?;
            }
        }
    }
    Ok(())
}

fn put(tx: &Transaction<'_>, connection: ConnectionKey, put: &RawPut, now: DateTime<Utc>) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO raw_items (connection, id, scope, generation, epoch, version, content_ref, schema, permissions, \
         normalizer, made, failed, stored_at, data) SELECT :connection, :id, :scope, :generation, :epoch, :version, \
         :content_ref, :schema, NULL, :normalizer, NOT :failed, :failed, :now, :data \
         FROM connections WHERE pk = :connection AND keep_raw = 1 AND raw_epoch = :epoch \
         ON CONFLICT (connection, id) DO UPDATE SET scope = excluded.scope, generation = excluded.generation, \
         epoch = excluded.epoch, version = excluded.version, content_ref = excluded.content_ref, \
         schema = excluded.schema, permissions = NULL, normalizer = excluded.normalizer, made = excluded.made, \
         failed = excluded.failed, stored_at = excluded.stored_at, data = excluded.data",
    )?
    .execute(named_params! {
        ":connection": connection.0, ":id": put.id, ":scope": put.scope, ":generation": put.generation,
        ":epoch": put.epoch, ":version": put.version, ":content_ref": put.content_ref, ":schema": put.schema,
        ":normalizer": put.normalizer, ":failed": put.failed, ":now": micros(now), ":data": put.data,
    })?;
    Ok(())
}

/// Removes the raw item of a document that goes, where the document's scope sent it.
pub(in crate::store) fn remove_of_document(tx: &Transaction<'_>, document: i64) -> Result<()> {
    tx.prepare_cached(
        "DELETE FROM raw_items WHERE (connection, id, scope) = (SELECT connection, id, scope FROM documents WHERE pk = ?1)",
    )?
    .execute([document])?;
    Ok(())
}

/// Removes those that a complete listing of their scope did not name, and of which there is no document.
pub(in crate::store) fn remove_older(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    scope: &str,
    generation: i64,
) -> Result<()> {
    tx.prepare_cached(
        "DELETE FROM raw_items WHERE connection = ?1 AND scope = ?2 AND made = 0 AND generation < ?3 AND NOT EXISTS \
         (SELECT 1 FROM documents d WHERE d.connection = ?1 AND d.id = raw_items.id AND d.gone = 0)",
    )?
    .execute(params![connection.0, scope, generation])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<RawItem> {
    Ok(RawItem {
        put: RawPut {
            id: row.get(0)?,
            scope: row.get(1)?,
            generation: row.get(2)?,
            epoch: row.get(3)?,
            version: row.get(4)?,
            content_ref: row.get(5)?,
            schema: row.get(6)?,
            data: row.get(12)?,
            normalizer: row.get(8)?,
            failed: row.get(10)?,
        },
        made: row.get(9)?,
        permissions: row.get(7)?,
        stored_at: time(row.get(11)?),
    })
}
