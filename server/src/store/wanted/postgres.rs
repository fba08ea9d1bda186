//! Wanted ids in PostgreSQL.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::sqlite::number;
use super::{Leftovers, Retried, Wanted, WantedStore, Why};
use crate::store::documents::postgres::count;
use crate::store::postgres::{Outcome, Plain, Text, Tx};
use crate::store::{ConnectionKey, Fence, PostgresStore, Result};

/// The rows of connection `$1` with the ids `$2`, by one step in the index for each.
const NAMED: &str = "ctid = ANY(ARRAY(SELECT found.ctid FROM unnest($2::text[]) AS u(id) CROSS JOIN LATERAL \
     (SELECT ctid FROM wanted WHERE connection = $1 AND id = u.id LIMIT 1) AS found))";

#[async_trait]
impl WantedStore for PostgresStore {
    async fn wanted(&self, connection: ConnectionKey, after: &str, limit: usize) -> Result<Vec<Wanted>> {
        self.single((connection, after.to_owned(), limit as i64), |tx, (connection, after, limit)| {
            Box::pin(async move {
                let sql = "SELECT id, scope, version, why, attempts FROM wanted WHERE connection = $1 AND id > $2 \
                     ORDER BY id LIMIT $3";
                let rows = tx.query(sql, &[&connection.0, &Text(after), limit]).await?;
                Ok(rows.iter().map(read).collect())
            })
        })
        .await
    }

    async fn count_attempts(&self, fence: Fence, ids: Vec<String>) -> Result<()> {
        self.write_fenced(fence, (fence.connection, ids), |tx, (connection, ids)| {
            Box::pin(async move {
                let ids: Vec<_> = ids.iter().map(|id| Text(id)).collect();
                let sql = format!("UPDATE wanted SET attempts = attempts + 1 WHERE {NAMED}");
                tx.execute(&sql, &[&connection.0, &ids]).await?;
                Ok(())
            })
        })
        .await
    }

    async fn retry_item_errors(&self, connection: ConnectionKey, errors: Vec<i64>) -> Result<Retried> {
        self.write((connection, errors), |tx, (connection, errors)| {
            Box::pin(async move {
                let sql = "SELECT count(*) FILTER (WHERE item <> '' AND NOT with_descendants), \
                     count(*) FILTER (WHERE (item <> '' OR locator <> '') AND with_descendants), \
                     count(*) FILTER (WHERE item = '' AND locator <> '' AND NOT with_descendants), \
                     count(*) FILTER (WHERE item = '' AND locator = '') \
                     FROM item_errors WHERE connection = $1 AND ($2 OR pk = ANY($3))";
                let all = errors.is_empty();
                let row = tx.query_one(sql, &[&connection.0, &all, errors]).await?;
                // Of several errors of one item the newest says in which scope it is asked for.
                let sql = "INSERT INTO wanted (connection, id, scope, version, why, attempts) \
                     SELECT DISTINCT ON (item) connection, item, scope, '', $4::int, 0 FROM item_errors \
                     WHERE connection = $1 AND ($2 OR pk = ANY($3)) AND item <> '' AND NOT with_descendants \
                     ORDER BY item, pk DESC \
                     ON CONFLICT (connection, id) DO UPDATE SET scope = excluded.scope, why = excluded.why, attempts = 0";
                tx.execute(sql, &[&connection.0, &all, errors, &why(Why::Retry)]).await?;
                Ok(Retried {
                    items: count(&row, 0),
                    subtrees: count(&row, 1),
                    locators: count(&row, 2),
                    unnamed: count(&row, 3),
                })
            })
        })
        .await
    }

    async fn leftovers(&self, connection: ConnectionKey) -> Result<Leftovers> {
        self.single(connection, |tx, connection| {
            Box::pin(async move {
                let found = leftovers(tx, &[connection.0]).await?;
                Ok(found.into_iter().next().map(|(_, left)| left).unwrap_or_default())
            })
        })
        .await
    }
}

/// Whether there are item errors and wanted ids, of each of these connections.
pub(in crate::store) async fn leftovers(
    tx: &Tx,
    connections: &[i64],
) -> Outcome<Vec<(ConnectionKey, Leftovers)>> {
    let sql = "SELECT u.pk, EXISTS (SELECT 1 FROM item_errors WHERE connection = u.pk), \
         EXISTS (SELECT 1 FROM wanted WHERE connection = u.pk) FROM unnest($1::bigint[]) AS u(pk)";
    let rows = tx.query(sql, &[&connections]).await?;
    let left = |row: &Row| Leftovers { item_errors: row.get(1), wanted: row.get(2) };
    Ok(rows.iter().map(|row| (ConnectionKey(row.get(0)), left(row))).collect())
}

/// Forgets ids that were answered, then wants others. What is wanted already at the same version keeps its attempts.
pub(in crate::store) async fn write(
    tx: &Tx,
    connection: ConnectionKey,
    answered: &[String],
    wanted: &[Wanted],
) -> Outcome<()> {
    if !answered.is_empty() {
        let ids: Vec<_> = answered.iter().map(|id| Text(id)).collect();
        tx.execute(&format!("DELETE FROM wanted WHERE {NAMED}"), &[&connection.0, &ids]).await?;
    }
    if wanted.is_empty() {
        return Ok(());
    }
    // Of two of one id the later one counts, and a statement writes a row once.
    let last: BTreeMap<&str, &Wanted> = wanted.iter().map(|wanted| (wanted.id.as_str(), wanted)).collect();
    let ids: Vec<_> = last.keys().map(|id| Text(id)).collect();
    let scopes: Vec<_> = last.values().map(|wanted| Text(&wanted.scope)).collect();
    let versions: Vec<_> = last.values().map(|wanted| Text(&wanted.version)).collect();
    let whys: Vec<i32> = last.values().map(|wanted| why(wanted.why)).collect();
    let attempts: Vec<i64> = last.values().map(|wanted| wanted.attempts.into()).collect();
    tx.execute(
        "INSERT INTO wanted (connection, id, scope, version, why, attempts) \
         SELECT $1, u.* FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[]) AS u \
         ON CONFLICT (connection, id) DO UPDATE SET scope = excluded.scope, version = excluded.version, \
         why = excluded.why, \
         attempts = CASE WHEN wanted.version = excluded.version THEN wanted.attempts ELSE excluded.attempts END",
        &[&connection.0, &ids, &scopes, &versions, &whys, &attempts],
    )
    .await?;
    Ok(())
}

fn why(why: Why) -> i32 {
    i32::try_from(number(why)).unwrap_or_default()
}

fn read(row: &Row) -> Wanted {
    Wanted {
        id: row.get::<_, Plain>(0).0,
        scope: row.get::<_, Plain>(1).0,
        version: row.get::<_, Plain>(2).0,
        why: if row.get::<_, i32>(3) == why(Why::Retry) { Why::Retry } else { Why::Present },
        attempts: u32::try_from(row.get::<_, i64>(4)).unwrap_or(u32::MAX),
    }
}
