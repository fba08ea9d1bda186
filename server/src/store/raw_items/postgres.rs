//! Raw items in PostgreSQL.

use std::collections::HashSet;
use std::mem::discriminant;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{RawItem, RawItemStore, RawPut, RawWrite};
use crate::store::columns::{micros, time};
use crate::store::documents::postgres::count;
use crate::store::postgres::{Outcome, Plain, Text, Tx};
use crate::store::{ConnectionKey, PostgresStore, Result};

const COLUMNS: &str = "r.id, r.scope, r.generation, r.epoch, r.version, r.content_ref, r.schema, r.permissions, \
     r.normalizer, r.made, r.failed, r.stored_at, r.data";
/// A connection's that are kept: `$1` is its key.
const KEPT: &str =
    "raw_items r WHERE r.connection = $1 AND r.epoch = (SELECT raw_epoch FROM connections WHERE pk = $1)";

#[async_trait]
impl RawItemStore for PostgresStore {
    async fn raw_items(
        &self,
        connection: ConnectionKey,
        after: &str,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<RawItem>> {
        let most = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let data = (connection, after.to_owned(), most(limit), most(max_bytes.max(1)));
        self.single(data, |tx, (connection, after, limit, max_bytes)| {
            Box::pin(async move {
                // Lengths are known without reading the values, so what is beyond is never read.
                let sql = format!(
                    "SELECT * FROM (SELECT page.*, coalesce(sum(octet_length(data)) OVER (ORDER BY id \
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before FROM \
                     (SELECT {COLUMNS} FROM {KEPT} AND r.id > $2 ORDER BY r.id LIMIT $3) AS page) AS pages \
                     WHERE before < $4::bigint ORDER BY id"
                );
                let rows = tx.query(&sql, &[&connection.0, &Text(after), limit, max_bytes]).await?;
                Ok(rows.iter().map(read).collect())
            })
        })
        .await
    }

    async fn raw_items_of(&self, connection: ConnectionKey, ids: Vec<String>) -> Result<Vec<RawItem>> {
        self.single((connection, ids), |tx, (connection, ids)| {
            Box::pin(async move {
                let ids: Vec<_> = ids.iter().map(|id| Text(id)).collect();
                // One step in the index for each, whatever the planner believes (see `stored_documents`).
                let sql = format!(
                    "SELECT r.* FROM (SELECT DISTINCT unnest($2::text[]) AS id) AS u CROSS JOIN LATERAL \
                     (SELECT {COLUMNS} FROM {KEPT} AND r.id = u.id LIMIT 1) AS r ORDER BY r.id"
                );
                Ok(tx.query(&sql, &[&connection.0, &ids]).await?.iter().map(read).collect())
            })
        })
        .await
    }

    async fn count_raw_items(&self, connection: ConnectionKey) -> Result<u64> {
        self.single(connection, |tx, connection| {
            Box::pin(async move {
                let sql = format!("SELECT count(*) FROM {KEPT}");
                Ok(count(&tx.query_one(&sql, &[&connection.0]).await?, 0))
            })
        })
        .await
    }

    async fn sample_raw_items(&self, connection: ConnectionKey, count: usize) -> Result<Vec<String>> {
        self.single((connection, count.max(1) as i64), |tx, (connection, count)| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT id FROM (SELECT r.id, row_number() OVER (ORDER BY r.id) - 1 AS place, \
                     count(*) OVER () AS total FROM {KEPT}) AS placed \
                     WHERE place % greatest(1, (total + $2::bigint - 1) / $2) = 0 ORDER BY id LIMIT $2"
                );
                let rows = tx.query(&sql, &[&connection.0, count]).await?;
                Ok(rows.iter().map(|row| row.get::<_, Plain>(0).0).collect())
            })
        })
        .await
    }

    async fn normalizers(&self, connection: ConnectionKey, limit: usize) -> Result<Vec<String>> {
        self.read((connection, limit), |tx, (connection, limit)| {
            Box::pin(async move {
                // From one version to the next by the index: there are few, of many items.
                let sql = format!(
                    "SELECT min(r.normalizer) FROM {KEPT} AND ($2::text IS NULL OR r.normalizer > $2)"
                );
                let mut found: Vec<String> = Vec::new();
                while found.len() < *limit {
                    let last = found.last().map(|last| Text(last));
                    let row = tx.query_one(&sql, &[&connection.0, &last]).await?;
                    let Some(next) = row.get::<_, Option<Plain>>(0) else { break };
                    found.push(next.0);
                }
                Ok(found)
            })
        })
        .await
    }

    async fn trim_raw_items(&self, limit: usize) -> Result<u64> {
        self.write(limit as i64, |tx, limit| {
            Box::pin(async move {
                let sql = "DELETE FROM raw_items WHERE pk IN (SELECT r.pk FROM connections c \
                     JOIN raw_items r ON r.connection = c.pk AND r.epoch < c.raw_epoch WHERE c.raw_epoch > 0 LIMIT $1)";
                tx.execute(sql, &[limit]).await
            })
        })
        .await
    }
}

/// Writes what a commit says of raw items, in order: all that follow each other and are alike in one statement.
pub(in crate::store) async fn write(
    tx: &Tx,
    connection: ConnectionKey,
    writes: &[RawWrite],
    now: DateTime<Utc>,
) -> Outcome<()> {
    let mut rest = writes;
    while let Some(first) = rest.first() {
        // A statement writes a row once.
        let mut ids = HashSet::new();
        let alike = rest
            .iter()
            .take_while(|write| discriminant(*write) == discriminant(first) && ids.insert(id(write)))
            .count();
        let (group, others) = rest.split_at(alike);
        write_alike(tx, connection, group, now).await?;
        rest = others;
    }
    Ok(())
}

fn id(write: &RawWrite) -> &str {
    match write {
        RawWrite::Put(put) => &put.id,
        RawWrite::Permissions { id, .. } | RawWrite::Normalized { id, .. } | RawWrite::Gone { id, .. } => id,
    }
}

async fn write_alike(
    tx: &Tx,
    connection: ConnectionKey,
    writes: &[RawWrite],
    now: DateTime<Utc>,
) -> Outcome<()> {
    let ids: Vec<_> = writes.iter().map(|write| Text(id(write))).collect();
    let (mut puts, mut scopes, mut bytes, mut normalizers, mut failed) =
        (vec![], vec![], vec![], vec![], vec![]);
    for write in writes {
        match write {
            RawWrite::Put(put) => puts.push(&**put),
            RawWrite::Permissions { scope, permissions, .. } => {
                scopes.push(Some(Text(scope)));
                bytes.push(permissions.as_slice());
            }
            RawWrite::Normalized { normalizer, failed: it_failed, .. } => {
                normalizers.push(Text(normalizer));
                failed.push(*it_failed);
            }
            RawWrite::Gone { scope, .. } => scopes.push(scope.as_deref().map(Text)),
        }
    }
    match writes.first() {
        Some(RawWrite::Put(_)) => put(tx, connection, &puts, now).await?,
        Some(RawWrite::Permissions { .. }) => {
            let sql = "UPDATE raw_items r SET permissions = u.permissions \
                 FROM unnest($2::text[], $3::text[], $4::bytea[]) AS u(id, scope, permissions) \
                 WHERE r.connection = $1 AND r.id = u.id AND r.scope = u.scope";
            tx.execute(sql, &[&connection.0, &ids, &scopes, &bytes]).await?;
        }
        Some(RawWrite::Normalized { .. }) => {
            let sql = "UPDATE raw_items r SET normalizer = u.normalizer, failed = u.failed, \
                 made = r.made OR NOT u.failed \
                 FROM unnest($2::text[], $3::text[], $4::bool[]) AS u(id, normalizer, failed) \
                 WHERE r.connection = $1 AND r.id = u.id";
            tx.execute(sql, &[&connection.0, &ids, &normalizers, &failed]).await?;
        }
        Some(RawWrite::Gone { .. }) => {
            let sql = "DELETE FROM raw_items r USING unnest($2::text[], $3::text[]) AS u(id, scope) \
                 WHERE r.connection = $1 AND r.id = u.id AND (u.scope IS NULL OR r.scope = u.scope)";
            tx.execute(sql, &[&connection.0, &ids, &scopes]).await?;
        }
        None => {}
    }
    Ok(())
}

async fn put(tx: &Tx, connection: ConnectionKey, puts: &[&RawPut], now: DateTime<Utc>) -> Outcome<()> {
    let texts =
        |field: fn(&RawPut) -> &str| -> Vec<Text<'_>> { puts.iter().map(|put| Text(field(put))).collect() };
    let generations: Vec<i64> = puts.iter().map(|put| put.generation).collect();
    let epochs: Vec<i64> = puts.iter().map(|put| put.epoch).collect();
    let failed: Vec<bool> = puts.iter().map(|put| put.failed).collect();
    let data: Vec<&[u8]> = puts.iter().map(|put| put.data.as_slice()).collect();
    tx.execute(
        "INSERT INTO raw_items (connection, id, scope, generation, epoch, version, content_ref, schema, permissions, \
         normalizer, made, failed, stored_at, data) SELECT c.pk, u.id, u.scope, u.generation, u.epoch, u.version, \
         u.content_ref, u.schema, NULL, u.normalizer, NOT u.failed, u.failed, $2, u.data \
         FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[], \
         $10::text[], $11::bool[], $12::bytea[]) \
         AS u(id, scope, generation, epoch, version, content_ref, schema, normalizer, failed, data) \
         JOIN connections c ON c.pk = $1 AND c.keep_raw AND c.raw_epoch = u.epoch \
         ON CONFLICT (connection, id) DO UPDATE SET scope = excluded.scope, generation = excluded.generation, \
         epoch = excluded.epoch, version = excluded.version, content_ref = excluded.content_ref, \
         schema = excluded.schema, permissions = NULL, normalizer = excluded.normalizer, made = excluded.made, \
         failed = excluded.failed, stored_at = excluded.stored_at, data = excluded.data",
        &[
            &connection.0,
            &micros(now),
            &texts(|put| &put.id),
            &texts(|put| &put.scope),
            &generations,
            &epochs,
            &texts(|put| &put.version),
            &texts(|put| &put.content_ref),
            &texts(|put| &put.schema),
            &texts(|put| &put.normalizer),
            &failed,
            &data,
        ],
    )
    .await?;
    Ok(())
}

/// Removes the raw items of documents that go, where the document's scope sent it.
pub(in crate::store) async fn remove_of_documents(tx: &Tx, documents: &[i64]) -> Outcome<()> {
    if documents.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM raw_items r USING documents d WHERE d.pk = ANY($1) \
         AND r.connection = d.connection AND r.id = d.id AND r.scope = d.scope";
    tx.execute(sql, &[&documents]).await?;
    Ok(())
}

/// Removes those that a complete listing of their scope did not name, and of which there is no document.
pub(in crate::store) async fn remove_older(
    tx: &Tx,
    connection: ConnectionKey,
    scope: &str,
    generation: i64,
) -> Outcome<()> {
    let sql = "DELETE FROM raw_items r WHERE r.connection = $1 AND r.scope = $2 AND NOT r.made AND r.generation < $3 \
         AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.connection = $1 AND d.id = r.id AND NOT d.gone)";
    tx.execute(sql, &[&connection.0, &Text(scope), &generation]).await?;
    Ok(())
}

fn read(row: &Row) -> RawItem {
    RawItem {
        put: RawPut {
            id: row.get::<_, Plain>(0).0,
            scope: row.get::<_, Plain>(1).0,
            generation: row.get(2),
            epoch: row.get(3),
            version: row.get::<_, Plain>(4).0,
            content_ref: row.get::<_, Plain>(5).0,
            schema: row.get::<_, Plain>(6).0,
            data: row.get(12),
            normalizer: row.get::<_, Plain>(8).0,
            failed: row.get(10),
        },
        made: row.get(9),
        permissions: row.get(7),
        stored_at: time(row.get(11)),
    }
}
