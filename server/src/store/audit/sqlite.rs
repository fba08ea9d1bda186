//! The audit log in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{Row, named_params, params};

use super::{Actor, AuditEvent, AuditFilter, AuditStore};
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::{Listed, Result, SqliteStore};

#[async_trait]
impl AuditStore for SqliteStore {
    async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<()> {
        self.write(move |tx| {
            let mut statement = tx.prepare_cached(
                "INSERT INTO audit_log (first_at, last_at, count, token, actor, address, organization, action, target, \
                 outcome, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?;
            for event in &events {
                statement.execute(params![
                    micros(event.first_at),
                    micros(event.last_at),
                    event.count,
                    event.actor.token,
                    event.actor.name,
                    event.actor.address,
                    event.organization,
                    event.action,
                    event.target,
                    event.outcome,
                    to_json("detail of the audit log", &event.detail)?,
                ])?;
            }
            Ok(())
        })
        .await
    }

    async fn audit_events(
        &self,
        filter: AuditFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Listed<AuditEvent, i64>> {
        self.read(move |tx| {
            let (beyond, order) = if filter.oldest_first { (">", "ASC") } else { ("<", "DESC") };
            // Each text that is asked for makes its index of use.
            let of = |column: &str, value: &str| {
                if value.is_empty() { format!(":{column} = ''") } else { format!("{column} = :{column}") }
            };
            let sql = format!(
                "SELECT pk, first_at, last_at, count, token, actor, address, organization, action, target, outcome, \
                 detail FROM audit_log WHERE (:after IS NULL OR pk {beyond} :after) AND {} AND {} \
                 AND (:actor = '' OR token = :actor OR actor = :actor) AND (:since IS NULL OR last_at >= :since) \
                 AND (:until IS NULL OR first_at < :until) ORDER BY pk {order} LIMIT :limit",
                of("organization", &filter.organization),
                of("target", &filter.target),
            );
            let values = named_params! {
                ":after": after, ":organization": filter.organization, ":target": filter.target,
                ":actor": filter.actor, ":since": filter.since.map(micros), ":until": filter.until.map(micros),
                ":limit": limit as i64 + 1,
            };
            let rows = tx.prepare_cached(&sql)?.query_map(values, read)?.collect::<rusqlite::Result<Vec<_>>>()?;
            let rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
            Ok(Listed::cut(rows, limit, |(key, _)| *key).map(|(_, event)| event))
        })
        .await
    }

    async fn trim_audit(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write(move |tx| {
            let sql = "DELETE FROM audit_log WHERE pk IN \
                 (SELECT pk FROM audit_log WHERE last_at < ?1 ORDER BY last_at LIMIT ?2)";
            Ok(tx.prepare_cached(sql)?.execute(params![micros(before), limit as i64])? as u64)
        })
        .await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<(i64, AuditEvent)>> {
    let detail = match from_json("detail of the audit log", &row.get::<_, String>(11)?) {
        Ok(detail) => detail,
        Err(error) => return Ok(Err(error)),
    };
    let event = AuditEvent {
        first_at: time(row.get(1)?),
        last_at: time(row.get(2)?),
        count: row.get(3)?,
        actor: Actor { token: row.get(4)?, name: row.get(5)?, address: row.get(6)? },
        organization: row.get(7)?,
        action: row.get(8)?,
        target: row.get(9)?,
        outcome: row.get(10)?,
        detail,
    };
    Ok(Ok((row.get(0)?, event)))
}
