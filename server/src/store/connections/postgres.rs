//! Connections in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use superfasttt_proto::control::v1::run::Trigger;
use tokio_postgres::Row;

use super::{
    Connection, ConnectionChange, ConnectionFilter, ConnectionStore, ConnectionTotals, NewConnection,
};
use crate::schedule::times::Due;
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::documents::postgres::count;
use crate::store::postgres::{Failure, NOW, Outcome, Plain, Text, Tx};
use crate::store::{
    ConnectionKey, Fence, Listed, PostgresStore, Result, StoreError, credentials, defaults, documents,
    oauth_sessions, runs,
};

/// What [`read`] reads, of `connections c`.
pub(in crate::store) const COLUMNS: &str = "c.pk, c.id, c.organization, c.connector, c.name, c.settings, c.schedule, \
     c.next_cause, c.disabled, c.paused, c.deleting_at, c.revision, c.fence, c.synced_settings, c.next_run_at, \
     c.last_full_at, c.last_run, c.last_success_at, c.failures, c.created_at, c.updated_at, c.keep_raw, c.raw_epoch";

#[async_trait]
impl ConnectionStore for PostgresStore {
    async fn create_connection(&self, new: NewConnection, now: DateTime<Utc>) -> Result<Connection> {
        self.write((new, now), |tx, (new, now)| {
            Box::pin(async move {
                if let Some((request, hash)) = &new.request {
                    // Two of one request at once: the second sees what the first made.
                    let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))";
                    tx.query_one(sql, &[&Text(request)]).await?;
                    if let Some(made) = made_by_request(tx, &new.organization, request, hash, *now).await? {
                        return Ok(made);
                    }
                }
                tx.changes_runs();
                let (request_id, request_hash) =
                    new.request.as_ref().map(|(id, hash)| (Text(id), hash)).unzip();
                let sql = format!(
                    "INSERT INTO connections AS c (id, organization, connector, name, settings, schedule, disabled, \
                     next_run_at, next_cause, request_id, request_hash, created_at, updated_at, keep_raw, raw_epoch) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14) RETURNING {COLUMNS}"
                );
                let made = tx
                    .query_one(
                        &sql,
                        &[
                            &Text(&new.id),
                            &Text(&new.organization),
                            &Text(&new.connector),
                            &Text(&new.name),
                            &to_json("settings", &new.settings)?,
                            &to_json("schedule", &new.schedule)?,
                            &new.disabled,
                            &new.next.map(|next| micros(next.at)),
                            &(new.next.map_or(Trigger::Schedule, |next| next.cause) as i32),
                            &request_id,
                            &request_hash,
                            &micros(*now),
                            &new.keep_raw,
                            &i64::from(new.keep_raw),
                        ],
                    )
                    .await;
                Ok(read(&made.map_err(taken)?)?)
            })
        })
        .await
    }

    async fn connection(&self, id: &str) -> Result<Option<Connection>> {
        self.single(id.to_owned(), |tx, id| Box::pin(by_id(tx, id, ""))).await
    }

    async fn connection_by_key(&self, key: ConnectionKey) -> Result<Option<Connection>> {
        self.single(key, |tx, key| Box::pin(by_key(tx, *key))).await
    }

    async fn was_connection(&self, organization: &str, id: &str) -> Result<bool> {
        self.single((organization.to_owned(), id.to_owned()), |tx, (organization, id)| {
            Box::pin(async move {
                let sql = "SELECT $1::text = '' OR EXISTS (SELECT 1 FROM connections WHERE id = $1 \
                     AND ($2::text = '' OR organization = $2))";
                Ok(tx.query_one(sql, &[&Text(id), &Text(organization)]).await?.get(0))
            })
        })
        .await
    }

    async fn connection_by_name(&self, organization: &str, name: &str) -> Result<Option<Connection>> {
        self.single((organization.to_owned(), name.to_owned()), |tx, (organization, name)| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT {COLUMNS} FROM connections c \
                     WHERE c.organization = $1 AND c.name = $2 AND c.deleted_at IS NULL"
                );
                let row = tx.query_opt(&sql, &[&Text(organization), &Text(name)]).await?;
                Ok(row.as_ref().map(read).transpose()?)
            })
        })
        .await
    }

    async fn connections(
        &self,
        filter: ConnectionFilter,
        after: &str,
        limit: usize,
    ) -> Result<Listed<Connection>> {
        self.single((filter, after.to_owned(), limit), |tx, (filter, after, limit)| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT {COLUMNS} FROM connections c WHERE c.id > $1 AND c.deleted_at IS NULL \
                     AND ($2::text = '' OR c.organization = $2) AND ($3::text = '' OR c.connector = $3) \
                     ORDER BY c.id LIMIT $4"
                );
                let (organization, connector) = (Text(&filter.organization), Text(&filter.connector));
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                    [&Text(after), &organization, &connector, &(*limit as i64 + 1)];
                let rows = tx.query(&sql, &values).await?;
                let items = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
                Ok(Listed::cut(items, *limit, |connection| connection.id.clone()))
            })
        })
        .await
    }

    async fn update_connection(
        &self,
        id: &str,
        revision: Option<i64>,
        change: ConnectionChange,
        now: DateTime<Utc>,
    ) -> Result<Connection> {
        self.write((id.to_owned(), revision, change, now), |tx, (id, revision, change, now)| {
            Box::pin(async move {
                let mut connection = held_by_id(tx, id, *revision).await?;
                let change = change.clone();
                connection.name = change.name.unwrap_or(connection.name);
                connection.settings = change.settings.unwrap_or(connection.settings);
                connection.schedule = change.schedule.unwrap_or(connection.schedule);
                connection.disabled = change.disabled.unwrap_or(connection.disabled);
                connection.paused = change.paused.unwrap_or(connection.paused);
                let keep_raw = change.keep_raw.unwrap_or(connection.keep_raw);
                connection.raw_epoch += i64::from(keep_raw != connection.keep_raw);
                let sql = "UPDATE connections SET name = $1, settings = $2, schedule = $3, disabled = $4, paused = $5, \
                     revision = revision + 1, updated_at = $6, keep_raw = $8, raw_epoch = $9 WHERE pk = $7";
                let changed = tx
                    .execute(
                        sql,
                        &[
                            &Text(&connection.name),
                            &to_json("settings", &connection.settings)?,
                            &to_json("schedule", &connection.schedule)?,
                            &connection.disabled,
                            &connection.paused,
                            &micros(*now),
                            &connection.key.0,
                            &keep_raw,
                            &connection.raw_epoch,
                        ],
                    )
                    .await;
                changed.map_err(taken)?;
                if let Some(next) = change.next {
                    set_next(tx, &[(connection.key, next)]).await?;
                }
                tx.changes_runs();
                Ok(by_id(tx, id, "").await?.ok_or(StoreError::Missing("connection"))?)
            })
        })
        .await
    }

    async fn begin_deletion(
        &self,
        id: &str,
        revision: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<Connection> {
        self.write((id.to_owned(), revision, now), |tx, (id, revision, now)| {
            Box::pin(async move {
                let connection = held_by_id(tx, id, *revision).await?;
                if connection.deleting_at.is_some() {
                    return Ok(connection);
                }
                let sql = "UPDATE connections SET deleting_at = $1, next_run_at = NULL, \
                     raw_epoch = raw_epoch + keep_raw::int, keep_raw = FALSE WHERE pk = $2";
                tx.execute(sql, &[&micros(*now), &connection.key.0]).await?;
                defaults::postgres::forget(tx, connection.key).await?;
                end_claims(tx, connection.key).await?;
                runs::postgres::cancel(tx, connection.key, *now).await?;
                tx.changes_runs();
                Ok(by_id(tx, id, "").await?.ok_or(StoreError::Missing("connection"))?)
            })
        })
        .await
    }

    async fn claim_deletion(
        &self,
        holder: &str,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<(Connection, Fence)>> {
        let clock = self.lease_clock().parameters(now);
        let lease = runs::postgres::lease_micros(lease);
        self.write((clock, lease, holder.to_owned()), |tx, ((given, offset), lease, holder)| {
            Box::pin(async move {
                let sql = format!(
                    "UPDATE connections c SET fence = fence + 1, lease_holder = $4, lease_until = {NOW} + $3::bigint \
                     WHERE pk = (SELECT pk FROM connections WHERE deleting_at IS NOT NULL AND deleted_at IS NULL \
                     AND lease_until IS NULL ORDER BY pk LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) RETURNING {COLUMNS}"
                );
                let row = tx.query_opt(&sql, &[given, offset, lease, &Text(holder)]).await?;
                let connection = row.as_ref().map(read).transpose()?;
                Ok(connection.map(|connection| {
                    let fence = Fence { connection: connection.key, number: connection.fence };
                    (connection, fence)
                }))
            })
        })
        .await
    }

    async fn release_claim(&self, fence: Fence) -> Result<()> {
        self.write(fence, |tx, fence| {
            Box::pin(async move {
                let sql = "UPDATE connections SET fence = fence + 1, lease_holder = NULL, lease_until = NULL \
                     WHERE pk = $1 AND fence = $2";
                tx.execute(sql, &[&fence.connection.0, &fence.number]).await?;
                Ok(())
            })
        })
        .await
    }

    async fn delete_documents_of(
        &self,
        fence: Fence,
        after: &str,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Option<(u64, String)>> {
        let data = (fence.connection, after.to_owned(), limit as i64, now);
        self.write_fenced(fence, data, |tx, (connection, after, limit, now)| {
            Box::pin(async move {
                let sql = "SELECT pk, id FROM documents WHERE connection = $1 AND id > $2 AND NOT gone \
                     ORDER BY id LIMIT $3";
                let found = tx.query(sql, &[&connection.0, &Text(after), limit]).await?;
                let keys: Vec<i64> = found.iter().map(|row| row.get(0)).collect();
                documents::postgres::bury(tx, *connection, &keys, *now).await?;
                Ok(found.last().map(|last| (keys.len() as u64, last.get::<_, Plain>(1).0)))
            })
        })
        .await
    }

    async fn end_deletion(&self, fence: Fence, now: DateTime<Utc>) -> Result<()> {
        self.write_fenced(fence, (fence.connection, micros(now)), |tx, (connection, now)| {
            Box::pin(async move {
                for sql in [
                    "DELETE FROM run_logs WHERE run IN (SELECT id FROM runs WHERE connection = $1)",
                    "DELETE FROM runs WHERE connection = $1",
                    "DELETE FROM item_errors WHERE connection = $1",
                    "DELETE FROM sync_states WHERE connection = $1",
                    "DELETE FROM shields WHERE connection = $1",
                    "DELETE FROM containers WHERE connection = $1",
                    "DELETE FROM raw_items WHERE connection = $1",
                    "DELETE FROM wanted WHERE connection = $1",
                ] {
                    tx.execute(sql, &[&connection.0]).await?;
                }
                credentials::postgres::forget(tx, *connection).await?;
                oauth_sessions::postgres::forget(tx, *connection).await?;
                let sql = "UPDATE connections SET deleted_at = $1, settings = '{}', request_id = NULL, \
                     request_hash = NULL WHERE pk = $2";
                tx.execute(sql, &[now, &connection.0]).await?;
                Ok(())
            })
        })
        .await
    }

    async fn connection_totals(&self, key: ConnectionKey) -> Result<ConnectionTotals> {
        self.single(key, |tx, key| {
            Box::pin(async move {
                let sql = "SELECT coalesce((SELECT document_count FROM connections WHERE pk = $1), 0), \
                     (SELECT count(*) FROM item_errors WHERE connection = $1), \
                     (SELECT count(*) FROM sync_states WHERE connection = $1 AND held_generation IS NOT NULL), \
                     EXISTS (SELECT 1 FROM default_connections WHERE connection = $1)";
                let row = tx.query_one(sql, &[&key.0]).await?;
                Ok(ConnectionTotals {
                    documents: count(&row, 0),
                    item_errors: count(&row, 1),
                    held_sweeps: count(&row, 2),
                    is_default: row.get(3),
                })
            })
        })
        .await
    }
}

/// Takes a new claim of a connection for nobody, which ends every earlier one.
pub(in crate::store) async fn end_claims(tx: &Tx, key: ConnectionKey) -> Outcome<()> {
    let sql =
        "UPDATE connections SET fence = fence + 1, lease_holder = NULL, lease_until = NULL WHERE pk = $1";
    match tx.execute(sql, &[&key.0]).await? {
        0 => Err(StoreError::Missing("connection").into()),
        _ => Ok(()),
    }
}

/// Keeps everybody else from writing for a connection until the end of the transaction.
pub(in crate::store) async fn hold(tx: &Tx, key: ConnectionKey) -> Outcome<()> {
    tx.execute("SELECT FROM connections WHERE pk = $1 FOR NO KEY UPDATE", &[&key.0]).await?;
    Ok(())
}

/// Says when connections are due next.
pub(in crate::store) async fn set_next(tx: &Tx, due: &[(ConnectionKey, Option<Due>)]) -> Outcome<()> {
    let keys: Vec<i64> = due.iter().map(|(key, _)| key.0).collect();
    let at: Vec<Option<i64>> = due.iter().map(|(_, next)| next.map(|next| micros(next.at))).collect();
    let causes: Vec<i32> =
        due.iter().map(|(_, next)| next.map_or(Trigger::Schedule, |next| next.cause) as i32).collect();
    let sql = "UPDATE connections c SET next_run_at = u.at, next_cause = u.cause \
         FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS u(pk, at, cause) WHERE c.pk = u.pk";
    tx.execute(sql, &[&keys, &at, &causes]).await?;
    Ok(())
}

/// One that may be deleted.
async fn by_key(tx: &Tx, key: ConnectionKey) -> Outcome<Option<Connection>> {
    let sql = format!("SELECT {COLUMNS} FROM connections c WHERE c.pk = $1");
    Ok(tx.query_opt(&sql, &[&key.0]).await?.as_ref().map(read).transpose()?)
}

/// One that is not deleted, with a lock or without.
async fn by_id(tx: &Tx, id: &str, lock: &str) -> Outcome<Option<Connection>> {
    let sql = format!("SELECT {COLUMNS} FROM connections c WHERE c.id = $1 AND c.deleted_at IS NULL {lock}");
    Ok(tx.query_opt(&sql, &[&Text(id)]).await?.as_ref().map(read).transpose()?)
}

/// One that nobody else writes until the end of the transaction, if it is as the caller thinks.
async fn held_by_id(tx: &Tx, id: &str, revision: Option<i64>) -> Outcome<Connection> {
    let found = by_id(tx, id, "FOR NO KEY UPDATE").await?;
    let connection = found.ok_or(StoreError::Missing("connection"))?;
    if revision.is_some_and(|revision| revision != connection.revision) {
        return Err(StoreError::Conflict("connection").into());
    }
    Ok(connection)
}

fn taken(failure: Failure) -> Failure {
    if failure.is_taken() { StoreError::Taken("name").into() } else { failure }
}

async fn made_by_request(
    tx: &Tx,
    organization: &str,
    request: &str,
    hash: &[u8],
    now: DateTime<Utc>,
) -> Outcome<Option<Connection>> {
    let since = micros(now - TimeDelta::days(1));
    let sql = "SELECT id, request_hash FROM connections \
         WHERE request_id = $1 AND created_at > $2 AND organization = $3 AND deleted_at IS NULL";
    let Some(row) = tx.query_opt(sql, &[&Text(request), &since, &Text(organization)]).await? else {
        return Ok(None);
    };
    if row.get::<_, Option<&[u8]>>(1) != Some(hash) {
        return Err(StoreError::Taken("request_id").into());
    }
    by_id(tx, &row.get::<_, Plain>(0).0, "").await
}

/// Reads [`COLUMNS`], which the row begins with.
pub(in crate::store) fn read(row: &Row) -> Result<Connection> {
    Ok(Connection {
        key: ConnectionKey(row.get(0)),
        id: row.get::<_, Plain>(1).0,
        organization: row.get::<_, Plain>(2).0,
        connector: row.get::<_, Plain>(3).0,
        name: row.get::<_, Plain>(4).0,
        settings: from_json("settings", row.get(5))?,
        schedule: from_json("schedule", row.get(6))?,
        next_cause: runs::columns::trigger(row.get(7)),
        disabled: row.get(8),
        paused: row.get(9),
        deleting_at: row.get::<_, Option<i64>>(10).map(time),
        revision: row.get(11),
        fence: row.get(12),
        synced_settings: row.get(13),
        next_run_at: row.get::<_, Option<i64>>(14).map(time),
        last_full_at: row.get::<_, Option<i64>>(15).map(time),
        last_run: row.get(16),
        last_success_at: row.get::<_, Option<i64>>(17).map(time),
        failures: row.get(18),
        created_at: time(row.get(19)),
        updated_at: time(row.get(20)),
        keep_raw: row.get(21),
        raw_epoch: row.get(22),
    })
}
