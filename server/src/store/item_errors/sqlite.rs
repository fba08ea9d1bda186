//! Item errors and shields in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{Row, Transaction, named_params, params};
use superfasttt_proto::connector::v1::Reason;

use super::{ItemError, ItemErrorFilter, ItemErrorStore, Shield, StoredItemError, Target};
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::{ConnectionKey, Listed, Result, SqliteStore};

#[async_trait]
impl ItemErrorStore for SqliteStore {
    async fn item_errors(
        &self,
        connection: ConnectionKey,
        filter: ItemErrorFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Listed<StoredItemError, i64>> {
        self.read(move |tx| {
            let rows = tx
                .prepare_cached(
                    "SELECT pk, scope, target, with_descendants, reason, code, message, metadata, first_seen_at, \
                     last_seen_at, attempts, run FROM item_errors WHERE connection = ?1 AND (?2 IS NULL OR pk < ?2) \
                     AND (?4 IS NULL OR scope = ?4) AND (?5 IS NULL OR reason = ?5) ORDER BY pk DESC LIMIT ?3",
                )?
                .query_map(
                    params![
                        connection.0,
                        before,
                        limit as i64 + 1,
                        filter.scope,
                        filter.reason.map(|reason| reason as i32)
                    ],
                    read,
                )?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let items = rows.into_iter().collect::<Result<Vec<_>>>()?;
            Ok(Listed::cut(items, limit, |error| error.key))
        })
        .await
    }

    async fn old_item_errors(
        &self,
        connection: ConnectionKey,
        scope: &str,
        before: DateTime<Utc>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Target)>> {
        let scope = scope.to_owned();
        self.read(move |tx| {
            let old = tx
                .prepare_cached(
                    "SELECT pk, target FROM item_errors WHERE connection = ?1 AND scope = ?2 AND last_seen_at < ?3 \
                     AND pk > ?4 AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.connection = ?1 AND d.id = item \
                     AND d.gone = 0 AND d.content_state IN (3, 4)) ORDER BY pk LIMIT ?5",
                )?
                .query_map(params![connection.0, scope, micros(before), after, limit as i64], |row| {
                    Ok((row.get(0)?, decode(&row.get::<_, String>(1)?)))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(old)
        })
        .await
    }

    async fn count_item_errors(&self, connection: ConnectionKey) -> Result<u64> {
        self.read(move |tx| {
            let sql = "SELECT count(*) FROM item_errors WHERE connection = ?1";
            Ok(tx.prepare_cached(sql)?.query_row([connection.0], |row| row.get(0))?)
        })
        .await
    }

    async fn shields(&self, connection: ConnectionKey, scope: &str) -> Result<Vec<Shield>> {
        let scope = scope.to_owned();
        self.read(move |tx| {
            let shields = tx
                .prepare_cached(
                    "SELECT target, with_descendants FROM shields WHERE connection = ?1 AND scope = ?2",
                )?
                .query_map(params![connection.0, scope], |row| {
                    let target = decode(&row.get::<_, String>(0)?);
                    Ok(Shield { scope: scope.clone(), target, with_descendants: row.get(1)? })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(shields)
        })
        .await
    }
}

/// Records an error: a new one, or one more sight of it.
pub(in crate::store) fn record(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    run: &str,
    error: &ItemError,
    now: DateTime<Utc>,
) -> Result<()> {
    let (item, locator) = match &error.target {
        Target::Id(id) => (id.as_str(), ""),
        Target::Locator(locator) => ("", locator.as_str()),
        Target::Unnamed => ("", ""),
    };
    // Unnamed errors are told apart by what they say.
    let target = match &error.target {
        Target::Unnamed => format!("?{}", error.message),
        named => encode(named),
    };
    tx.prepare_cached(
        "INSERT INTO item_errors (connection, scope, target, item, locator, with_descendants, reason, code, message, \
         metadata, first_seen_at, last_seen_at, attempts, run) VALUES (:connection, :scope, :target, :item, :locator, \
         :with_descendants, :reason, :code, :message, :metadata, :now, :now, 1, :run) \
         ON CONFLICT (connection, scope, target) DO UPDATE SET with_descendants = excluded.with_descendants, \
         reason = excluded.reason, code = excluded.code, message = excluded.message, metadata = excluded.metadata, \
         last_seen_at = excluded.last_seen_at, attempts = attempts + (run <> excluded.run), run = excluded.run",
    )?
    .execute(named_params! {
        ":connection": connection.0, ":scope": error.scope, ":target": target, ":item": item, ":locator": locator,
        ":with_descendants": error.with_descendants, ":reason": error.reason as i32, ":code": error.code,
        ":message": error.message, ":metadata": to_json("metadata", &error.metadata)?, ":now": micros(now),
        ":run": run,
    })?;
    Ok(())
}

/// Forgets the errors in one scope of an item that is gone from there.
pub(in crate::store) fn clear_in(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    scope: &str,
    item: &str,
) -> Result<()> {
    tx.prepare_cached("DELETE FROM item_errors WHERE connection = ?1 AND item = ?2 AND scope = ?3")?
        .execute(params![connection.0, item, scope])?;
    Ok(())
}

/// Forgets the errors of an item that was read: those that know it by its id, and those that know it by the
/// locator under which it is stored by now.
pub(in crate::store) fn clear(tx: &Transaction<'_>, connection: ConnectionKey, item: &str) -> Result<()> {
    tx.prepare_cached("DELETE FROM item_errors WHERE connection = ?1 AND item = ?2")?
        .execute(params![connection.0, item])?;
    tx.prepare_cached(
        "DELETE FROM item_errors WHERE connection = ?1 AND (scope, target) IN (SELECT scope, 'l' || locator \
         FROM documents WHERE connection = ?1 AND id = ?2 AND gone = 0 AND locator <> '')",
    )?
    .execute(params![connection.0, item])?;
    Ok(())
}

/// Puts a shield over a target.
pub(in crate::store) fn shield(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    shield: &Shield,
) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO shields (connection, scope, target, with_descendants) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET with_descendants = max(with_descendants, excluded.with_descendants)",
    )?
    .execute(params![connection.0, shield.scope, encode(&shield.target), shield.with_descendants])?;
    Ok(())
}

pub(super) fn encode(target: &Target) -> String {
    match target {
        Target::Id(id) => format!("i{id}"),
        Target::Locator(locator) => format!("l{locator}"),
        Target::Unnamed => "?".to_owned(),
    }
}

pub(super) fn decode(target: &str) -> Target {
    match target.split_at_checked(1) {
        Some(("i", id)) => Target::Id(id.to_owned()),
        Some(("l", locator)) => Target::Locator(locator.to_owned()),
        _ => Target::Unnamed,
    }
}

/// The outer result is the database's, the inner one is about the values.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<StoredItemError>> {
    let metadata: String = row.get(7)?;
    let metadata = match from_json("metadata", &metadata) {
        Ok(metadata) => metadata,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(StoredItemError {
        key: row.get(0)?,
        error: ItemError {
            scope: row.get(1)?,
            target: decode(&row.get::<_, String>(2)?),
            with_descendants: row.get(3)?,
            reason: Reason::try_from(row.get::<_, i32>(4)?).unwrap_or(Reason::Internal),
            code: row.get(5)?,
            message: row.get(6)?,
            metadata,
        },
        first_seen_at: time(row.get(8)?),
        last_seen_at: time(row.get(9)?),
        attempts: row.get(10)?,
        run: row.get(11)?,
    }))
}
