//! Wanted ids in SQLite.

use async_trait::async_trait;
use rusqlite::{Row, Transaction, params};

use super::{Leftovers, Retried, Wanted, WantedStore, Why};
use crate::store::{ConnectionKey, Fence, Result, SqliteStore};

#[async_trait]
impl WantedStore for SqliteStore {
    async fn wanted(&self, connection: ConnectionKey, after: &str, limit: usize) -> Result<Vec<Wanted>> {
        let after = after.to_owned();
        self.read(move |tx| {
            let rows = tx
                .prepare_cached(
                    "SELECT id, scope, version, why, attempts FROM wanted WHERE connection = ?1 AND id > ?2 \
                     ORDER BY id LIMIT ?3",
                )?
                .query_map(params![connection.0, after, limit as i64], read)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(rows)
        })
        .await
    }

    async fn count_attempts(&self, fence: Fence, ids: Vec<String>) -> Result<()> {
        self.write_fenced(fence, move |tx| {
            let sql = "UPDATE wanted SET attempts = attempts + 1 WHERE connection = ?1 AND id = ?2";
            let mut count = tx.prepare_cached(sql)?;
            for id in &ids {
                count.execute(params![fence.connection.0, id])?;
            }
            Ok(())
        })
        .await
    }

    async fn retry_item_errors(&self, connection: ConnectionKey, errors: Vec<i64>) -> Result<Retried> {
        self.write(move |tx| {
            let mut retried = Retried::default();
            if errors.is_empty() {
                retry(tx, connection, None, &mut retried)?;
            }
            for error in errors {
                retry(tx, connection, Some(error), &mut retried)?;
            }
            Ok(retried)
        })
        .await
    }

    async fn leftovers(&self, connection: ConnectionKey) -> Result<Leftovers> {
        self.read(move |tx| leftovers(tx, connection)).await
    }
}

/// Whether there are item errors and wanted ids.
pub(in crate::store) fn leftovers(tx: &Transaction<'_>, connection: ConnectionKey) -> Result<Leftovers> {
    let sql = "SELECT EXISTS (SELECT 1 FROM item_errors WHERE connection = ?1), \
         EXISTS (SELECT 1 FROM wanted WHERE connection = ?1)";
    let leftovers = |row: &Row<'_>| Ok(Leftovers { item_errors: row.get(0)?, wanted: row.get(1)? });
    Ok(tx.prepare_cached(sql)?.query_row([connection.0], leftovers)?)
}

/// Wants the item of one error, or of all.
fn retry(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    error: Option<i64>,
    retried: &mut Retried,
) -> Result<()> {
    let counts = tx
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE item <> '' AND NOT with_descendants), \
             count(*) FILTER (WHERE (item <> '' OR locator <> '') AND with_descendants), \
             count(*) FILTER (WHERE item = '' AND locator <> '' AND NOT with_descendants), \
             count(*) FILTER (WHERE item = '' AND locator = '') \
             FROM item_errors WHERE connection = ?1 AND (?2 IS NULL OR pk = ?2)",
        )?
        .query_row(params![connection.0, error], |row| {
            let (items, subtrees) = (row.get(0)?, row.get(1)?);
            Ok(Retried { items, subtrees, locators: row.get(2)?, unnamed: row.get(3)? })
        })?;
    retried.items += counts.items;
    retried.subtrees += counts.subtrees;
    retried.locators += counts.locators;
    retried.unnamed += counts.unnamed;
    tx.prepare_cached(
        "INSERT INTO wanted (connection, id, scope, version, why, attempts) \
         SELECT connection, item, scope, '', ?3, 0 FROM item_errors \
         WHERE connection = ?1 AND (?2 IS NULL OR pk = ?2) AND item <> '' AND NOT with_descendants \
         ON CONFLICT (connection, id) DO UPDATE SET scope = excluded.scope, why = excluded.why, attempts = 0",
    )?
    .execute(params![connection.0, error, number(Why::Retry)])?;
    Ok(())
}

/// Wants an id. What is wanted already at the same version keeps its attempts.
pub(in crate::store) fn want(tx: &Transaction<'_>, connection: ConnectionKey, wanted: &Wanted) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO wanted (connection, id, scope, version, why, attempts) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (connection, id) DO UPDATE SET scope = excluded.scope, version = excluded.version, \
         why = excluded.why, \
         attempts = CASE WHEN wanted.version = excluded.version THEN wanted.attempts ELSE excluded.attempts END",
    )?
    .execute(params![
        connection.0,
        wanted.id,
        wanted.scope,
        wanted.version,
        number(wanted.why),
        wanted.attempts
    ])?;
    Ok(())
}

/// Forgets an id that was answered.
pub(in crate::store) fn answered(tx: &Transaction<'_>, connection: ConnectionKey, id: &str) -> Result<()> {
    tx.prepare_cached("DELETE FROM wanted WHERE connection = ?1 AND id = ?2")?
        .execute(params![connection.0, id])?;
    Ok(())
}

pub(super) fn number(why: Why) -> i64 {
    match why {
        Why::Present => 1,
        Why::Retry => 2,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Wanted> {
    Ok(Wanted {
        id: row.get(0)?,
        scope: row.get(1)?,
        version: row.get(2)?,
        why: if row.get::<_, i64>(3)? == number(Why::Retry) { Why::Retry } else { Why::Present },
        attempts: row.get(4)?,
    })
}
