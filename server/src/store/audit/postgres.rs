//! The audit log in PostgreSQL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{Actor, AuditEvent, AuditFilter, AuditStore};
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::documents::postgres::count;
use crate::store::postgres::{Plain, Text};
use crate::store::{Listed, PostgresStore, Result};

#[async_trait]
impl AuditStore for PostgresStore {
    async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<()> {
        self.write(events, |tx, events| {
            Box::pin(async move {
                let numbers =
                    |of: fn(&AuditEvent) -> i64| events.iter().map(of).collect::<Vec<i64>>();
                let details = events.iter().map(|event| to_json("detail of the audit log", &event.detail));
                let details = details.collect::<Result<Vec<String>>>()?;
                let sql = "INSERT INTO audit_log (first_at, last_at, count, token, actor, address, organization, \
                     action, target, outcome, detail) SELECT first_at, last_at, count, token, actor, address, \
                     organization, action, target, outcome, detail FROM unnest($1::bigint[], $2::bigint[], \
                     $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], \
                     $10::text[], $11::text[]) WITH ORDINALITY AS u(first_at, last_at, count, token, actor, address, \
                     organization, action, target, outcome, detail, number) ORDER BY number";
                tx.execute(
                    sql,
                    &[
                        &numbers(|event| micros(event.first_at)),
                        &numbers(|event| micros(event.last_at)),
                        &numbers(|event| i64::try_from(event.count).unwrap_or(i64::MAX)),
                        &texts(events, |event| &event.actor.token),
                        &texts(events, |event| &event.actor.name),
                        &texts(events, |event| &event.actor.address),
                        &texts(events, |event| &event.organization),
                        &texts(events, |event| &event.action),
                        &texts(events, |event| &event.target),
                        &texts(events, |event| &event.outcome),
                        &details,
                    ],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn audit_events(
        &self,
        filter: AuditFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Listed<AuditEvent, i64>> {
        self.single((filter, after, limit), |tx, (filter, after, limit)| {
            Box::pin(async move {
                let (beyond, order) = if filter.oldest_first { (">", "ASC") } else { ("<", "DESC") };
                let sql = format!(
                    "SELECT pk, first_at, last_at, count, token, actor, address, organization, action, target, \
                     outcome, detail FROM audit_log WHERE ($1::bigint IS NULL OR pk {beyond} $1) \
                     AND ($2::text = '' OR organization = $2) AND ($3::text = '' OR target = $3) \
                     AND ($4::text = '' OR token = $4 OR actor = $4) AND ($5::bigint IS NULL OR last_at >= $5) \
                     AND ($6::bigint IS NULL OR first_at < $6) ORDER BY pk {order} LIMIT $7"
                );
                let (since, until) = (filter.since.map(micros), filter.until.map(micros));
                let (organization, target) = (Text(&filter.organization), Text(&filter.target));
                let limit_and_one = *limit as i64 + 1;
                let rows = tx
                    .query(
                        &sql,
                        &[after, &organization, &target, &Text(&filter.actor), &since, &until, &limit_and_one],
                    )
                    .await?;
                let rows = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
                Ok(Listed::cut(rows, *limit, |(key, _)| *key).map(|(_, event)| event))
            })
        })
        .await
    }

    async fn trim_audit(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write((micros(before), limit as i64), |tx, (before, limit)| {
            Box::pin(async move {
                let sql = "DELETE FROM audit_log WHERE pk IN (SELECT pk FROM audit_log WHERE last_at < $1 \
                     ORDER BY last_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
                tx.execute(sql, &[before, limit]).await
            })
        })
        .await
    }
}

fn texts(events: &[AuditEvent], of: fn(&AuditEvent) -> &String) -> Vec<Text<'_>> {
    events.iter().map(|event| Text(of(event))).collect()
}

fn read(row: &Row) -> Result<(i64, AuditEvent)> {
    let text = |column: usize| row.get::<_, Plain>(column).0;
    let event = AuditEvent {
        first_at: time(row.get(1)),
        last_at: time(row.get(2)),
        count: count(row, 3),
        actor: Actor { token: text(4), name: text(5), address: text(6) },
        organization: text(7),
        action: text(8),
        target: text(9),
        outcome: text(10),
        detail: from_json("detail of the audit log", row.get(11))?,
    };
    Ok((row.get(0), event))
}
