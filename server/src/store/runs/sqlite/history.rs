//! How ended runs are forgotten in SQLite, with their logs.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Transaction, params};

use crate::store::Result;
use crate::store::columns::{micros, time};
use crate::store::runs::{LookedAt, Surplus};

/// Removes up to `limit` runs that ended before `before`.
pub(super) fn trim(tx: &Transaction<'_>, before: DateTime<Utc>, limit: usize) -> Result<u64> {
    let old = tx
        .prepare_cached("SELECT id FROM runs WHERE ended_at < ?1 ORDER BY ended_at, id LIMIT ?2")?
        .query_map(params![micros(before), limit as i64], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    remove(tx, &old)?;
    Ok(old.len() as u64)
}

/// Removes up to `limit` runs that are too many, of connections whose runs ended next after `after`.
pub(super) fn trim_surplus(
    tx: &Transaction<'_>,
    keep: usize,
    after: LookedAt,
    limit: usize,
) -> Result<Surplus> {
    let ended = tx
        .prepare_cached(
            "SELECT ended_at, id, connection FROM runs WHERE ended_at IS NOT NULL AND (ended_at, id) > (?1, ?2) \
             ORDER BY ended_at, id LIMIT ?3",
        )?
        .query_map(params![micros(after.ended_at), after.id, limit as i64], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<Vec<(i64, String, i64)>>>()?;
    let connections: BTreeSet<i64> = ended.iter().map(|(_, _, connection)| *connection).collect();
    let mut surplus = tx.prepare_cached(
        "SELECT id FROM runs WHERE connection = ?1 AND state > 3 AND id <= \
           (SELECT id FROM runs WHERE connection = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2) LIMIT ?3",
    )?;
    let mut old: Vec<String> = Vec::new();
    for connection in connections {
        let room = limit - old.len();
        for id in surplus.query_map(params![connection, keep as i64, room as i64], |row| row.get(0))? {
            old.push(id?);
        }
    }
    remove(tx, &old)?;
    Ok(Surplus::new(after, ended.last().map(|(at, id, _)| (time(*at), id.as_str())), old.len(), limit))
}

fn remove(tx: &Transaction<'_>, runs: &[String]) -> Result<()> {
    let mut logs = tx.prepare_cached("DELETE FROM run_logs WHERE run = ?1")?;
    let mut rows = tx.prepare_cached("DELETE FROM runs WHERE id = ?1")?;
    for id in runs {
        logs.execute([id])?;
        rows.execute([id])?;
    }
    Ok(())
}
