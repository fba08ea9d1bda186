//! How ended runs are forgotten in PostgreSQL, with their logs.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::store::columns::{micros, time};
use crate::store::postgres::{Outcome, Text, Tx};
use crate::store::runs::{LookedAt, Surplus};

/// Removes up to `limit` runs that ended before `before`.
pub(super) async fn trim(tx: &Tx, before: DateTime<Utc>, limit: usize) -> Outcome<u64> {
    let sql = "SELECT id FROM runs WHERE ended_at < $1 ORDER BY ended_at, id LIMIT $2";
    let rows = tx.query(sql, &[&micros(before), &(limit as i64)]).await?;
    let old: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    remove(tx, &old).await?;
    Ok(old.len() as u64)
}

/// Removes up to `limit` runs that are too many, of connections whose runs ended next after `after`.
pub(super) async fn trim_surplus(tx: &Tx, keep: usize, after: &LookedAt, limit: usize) -> Outcome<Surplus> {
    let sql = "SELECT ended_at, id, connection FROM runs WHERE ended_at IS NOT NULL AND (ended_at, id) > ($1, $2) \
         ORDER BY ended_at, id LIMIT $3";
    let ended = tx.query(sql, &[&micros(after.ended_at), &Text(&after.id), &(limit as i64)]).await?;
    let connections: BTreeSet<i64> = ended.iter().map(|row| row.get(2)).collect();
    let connections: Vec<i64> = connections.into_iter().collect();
    let sql = "SELECT old.id FROM unnest($1::bigint[]) AS u(connection) CROSS JOIN LATERAL ( \
           SELECT id FROM runs WHERE connection = u.connection AND state > 3 AND id <= \
             (SELECT id FROM runs WHERE connection = u.connection ORDER BY id DESC LIMIT 1 OFFSET $2) \
           ORDER BY id LIMIT $3) AS old LIMIT $3";
    let rows = tx.query(sql, &[&connections, &(keep as i64), &(limit as i64)]).await?;
    let old: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    remove(tx, &old).await?;
    let last = ended.last().map(|row| (time(row.get(0)), row.get(1)));
    Ok(Surplus::new(after.clone(), last, old.len(), limit))
}

async fn remove(tx: &Tx, runs: &[String]) -> Outcome<()> {
    let runs: Vec<_> = runs.iter().map(|id| Text(id)).collect();
    tx.execute("DELETE FROM run_logs WHERE run = ANY($1)", &[&runs]).await?;
    tx.execute("DELETE FROM runs WHERE id = ANY($1)", &[&runs]).await?;
    Ok(())
}
