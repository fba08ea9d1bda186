//! Credentials in PostgreSQL. Leases go by the database's clock, as those of runs do.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{Credential, CredentialPut, CredentialStore, DueRefresh, IN_USE, RefreshClaim, granted_to, kind};
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::postgres::{NOW, Outcome, Plain, Text, Tx};
use crate::store::runs::postgres::lease_micros;
use crate::store::secrets::{self, Secrets};
use crate::store::{ConnectionKey, PostgresStore, Result, StoreError};
use crate::vault::connection_owner;

const COLUMNS: &str = "connection, version, kind, status, expires_at, refresh_at, updated_at";

#[async_trait]
impl CredentialStore for PostgresStore {
    async fn credential(&self, connection: ConnectionKey) -> Result<Option<(Credential, Secrets)>> {
        self.read(connection, |tx, connection| {
            Box::pin(async move {
                let sql = format!("SELECT {COLUMNS} FROM credentials WHERE connection = $1 AND NOT removed");
                let Some(row) = tx.query_opt(&sql, &[&connection.0]).await? else { return Ok(None) };
                let (organization, owner) = owner(tx, *connection, "").await?;
                Ok(Some((read(&row)?, secrets::postgres::of(tx, &organization, &owner).await?)))
            })
        })
        .await
    }

    async fn credentials(&self, connections: Vec<ConnectionKey>) -> Result<Vec<Credential>> {
        self.single(connections, |tx, connections| {
            Box::pin(async move {
                let keys: Vec<i64> = connections.iter().map(|key| key.0).collect();
                let sql = format!(
                    "SELECT {COLUMNS} FROM credentials JOIN unnest($1::bigint[]) WITH ORDINALITY AS u(pk, place) \
                     ON connection = u.pk WHERE NOT removed ORDER BY u.place"
                );
                let rows = tx.query(&sql, &[&keys]).await?;
                Ok(rows.iter().map(read).collect::<Result<Vec<_>>>()?)
            })
        })
        .await
    }

    async fn put_credential(
        &self,
        connection: ConnectionKey,
        expected: Option<i64>,
        put: CredentialPut,
        now: DateTime<Utc>,
    ) -> Result<i64> {
        let data = (connection, expected, put, micros(now), self.lease_clock().parameters(now));
        self.write(data, |tx, (connection, expected, put, now, (given, offset))| {
            Box::pin(async move {
                // Two that make the first one wait for each other here, and so does the end of a deletion.
                let (organization, owner) = owner(tx, *connection, "FOR NO KEY UPDATE").await?;
                let sql = format!(
                    "SELECT version, removed, coalesce(lease_until > {NOW}, FALSE) FROM credentials \
                     WHERE connection = $3 FOR UPDATE"
                );
                let found = tx.query_opt(&sql, &[given, offset, &connection.0]).await?;
                let found = found.map(|row| (row.get::<_, i64>(0), row.get::<_, bool>(1), row.get::<_, bool>(2)));
                let standing = found.filter(|(_, removed, _)| !removed);
                let refreshing = standing.is_some_and(|(_, _, leased)| leased);
                if standing.map(|(version, ..)| version) != *expected
                    || (refreshing && !put.may_overtake_a_refresh())
                {
                    return Err(StoreError::Conflict("credential").into());
                }
                let version = found.map_or(0, |(version, ..)| version) + 1;
                let sql = "INSERT INTO credentials \
                     (connection, version, kind, status, expires_at, refresh_at, updated_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (connection) DO UPDATE SET \
                     version = excluded.version, removed = FALSE, kind = excluded.kind, status = excluded.status, \
                     expires_at = excluded.expires_at, refresh_at = excluded.refresh_at, lease_holder = NULL, \
                     lease_until = NULL, updated_at = excluded.updated_at";
                let status = to_json("status of a credential", &put.status)?;
                let (expires_at, refresh_at) = (put.expires_at.map(micros), put.refresh_at.map(micros));
                tx.execute(
                    sql,
                    &[
                        &connection.0,
                        &version,
                        &put.kind.as_str(),
                        &Text(&status),
                        &expires_at,
                        &refresh_at,
                        now,
                    ],
                )
                .await?;
                secrets::postgres::write(tx, &organization, &owner, &put.secrets).await?;
                Ok(version)
            })
        })
        .await
    }

    async fn remove_credential(
        &self,
        connection: ConnectionKey,
        expected: i64,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.write((connection, expected, micros(now)), |tx, (connection, expected, now)| {
            Box::pin(async move {
                let (organization, owner) = owner(tx, *connection, "FOR NO KEY UPDATE").await?;
                let sql = "UPDATE credentials SET removed = TRUE, version = version + 1, status = '{}', \
                     expires_at = NULL, refresh_at = NULL, lease_holder = NULL, lease_until = NULL, updated_at = $1 \
                     WHERE connection = $2 AND version = $3 AND NOT removed";
                if tx.execute(sql, &[now, &connection.0, expected]).await? == 0 {
                    return Err(StoreError::Conflict("credential").into());
                }
                secrets::postgres::remove(tx, &organization, &owner).await
            })
        })
        .await
    }

    async fn claim_refresh(
        &self,
        connection: ConnectionKey,
        version: i64,
        holder: &str,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<RefreshClaim> {
        let clock = self.lease_clock().parameters(now);
        let data = (clock, connection, version, holder.to_owned(), lease_micros(lease));
        self.write(data, |tx, ((given, offset), connection, version, holder, lease)| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT lease_holder, lease_until - {NOW} FROM credentials \
                     WHERE connection = $3 AND version = $4 AND NOT removed FOR UPDATE"
                );
                let found = tx.query_opt(&sql, &[given, offset, &connection.0, version]).await?;
                let Some(row) = found else { return Ok(RefreshClaim::Changed) };
                let (held_by, left): (Option<Plain>, Option<i64>) = (row.get(0), row.get(1));
                let left = left.unwrap_or(0);
                if left > 0 && held_by.is_none_or(|held_by| held_by.0 != *holder) {
                    return Ok(RefreshClaim::Held(Duration::from_micros(left.unsigned_abs())));
                }
                let sql = format!(
                    "UPDATE credentials SET lease_holder = $4, lease_until = {NOW} + $5::bigint WHERE connection = $3"
                );
                tx.execute(&sql, &[given, offset, &connection.0, &Text(holder), lease]).await?;
                Ok(RefreshClaim::Granted)
            })
        })
        .await
    }

    async fn count_grants(&self, oauth_app: &str) -> Result<u64> {
        self.single(granted_to(oauth_app), |tx, granted| {
            Box::pin(async move {
                let sql = "SELECT count(*) FROM credentials WHERE NOT removed AND strpos(status, $1) > 0 \
                           AND (strpos(status, $2) > 0 OR strpos(status, $3) > 0)";
                let [connected, pending] = IN_USE;
                let row = tx.query_one(sql, &[&Text(granted), &connected, &pending]).await?;
                Ok(row.get::<_, i64>(0).unsigned_abs())
            })
        })
        .await
    }

    async fn due_refreshes(&self, limit: usize, now: DateTime<Utc>) -> Result<Vec<DueRefresh>> {
        let data = (self.lease_clock().parameters(now), micros(now), limit as i64);
        self.single(data, |tx, ((given, offset), now, limit)| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT r.connection, r.version, r.refresh_at FROM credentials r \
                     JOIN connections c ON c.pk = r.connection \
                     WHERE r.refresh_at <= $3 AND (r.lease_until IS NULL OR r.lease_until <= {NOW}) \
                     AND c.deleting_at IS NULL ORDER BY r.refresh_at, r.connection LIMIT $4"
                );
                let rows = tx.query(&sql, &[given, offset, now, limit]).await?;
                let due = |row: &Row| DueRefresh {
                    connection: ConnectionKey(row.get(0)),
                    version: row.get(1),
                    refresh_at: time(row.get(2)),
                };
                Ok(rows.iter().map(due).collect())
            })
        })
        .await
    }
}

/// Forgets the credential of a connection that is deleted, with its secrets. Its row is held.
pub(in crate::store) async fn forget(tx: &Tx, connection: ConnectionKey) -> Outcome<()> {
    let (organization, owner) = owner(tx, connection, "").await?;
    secrets::postgres::remove(tx, &organization, &owner).await?;
    tx.execute("DELETE FROM credentials WHERE connection = $1", &[&connection.0]).await?;
    Ok(())
}

/// Whose the secrets of a connection are; its row is locked, or not.
async fn owner(tx: &Tx, connection: ConnectionKey, lock: &str) -> Outcome<(String, String)> {
    let sql = format!("SELECT organization, id FROM connections WHERE pk = $1 AND deleted_at IS NULL {lock}");
    let row = tx.query_opt(&sql, &[&connection.0]).await?.ok_or(StoreError::Missing("connection"))?;
    Ok((row.get::<_, Plain>(0).0, connection_owner(&row.get::<_, Plain>(1).0)))
}

/// Reads [`COLUMNS`].
fn read(row: &Row) -> Result<Credential> {
    Ok(Credential {
        connection: ConnectionKey(row.get(0)),
        version: row.get(1),
        kind: kind(row.get(2))?,
        status: from_json("status of a credential", &row.get::<_, Plain>(3).0)?,
        expires_at: row.get::<_, Option<i64>>(4).map(time),
        refresh_at: row.get::<_, Option<i64>>(5).map(time),
        updated_at: time(row.get(6)),
    })
}
