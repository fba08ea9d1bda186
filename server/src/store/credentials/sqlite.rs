//! Credentials in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, named_params, params};

use super::{Credential, CredentialPut, CredentialStore, DueRefresh, IN_USE, RefreshClaim, granted_to, kind};
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::runs::sqlite::claims::lease_until;
use crate::store::secrets::{self, Secrets};
use crate::store::{ConnectionKey, Result, SqliteStore, StoreError};
use crate::vault::connection_owner;

const COLUMNS: &str = "connection, version, kind, status, expires_at, refresh_at, updated_at";

#[async_trait]
impl CredentialStore for SqliteStore {
    async fn credential(&self, connection: ConnectionKey) -> Result<Option<(Credential, Secrets)>> {
        self.read(move |tx| {
            let Some(credential) = get(tx, connection)? else { return Ok(None) };
            let (organization, owner) = owner(tx, connection)?;
            Ok(Some((credential, secrets::sqlite::of(tx, &organization, &owner)?)))
        })
        .await
    }

    async fn credentials(&self, connections: Vec<ConnectionKey>) -> Result<Vec<Credential>> {
        self.read(move |tx| connections.into_iter().filter_map(|key| get(tx, key).transpose()).collect())
            .await
    }

    async fn put_credential(
        &self,
        connection: ConnectionKey,
        expected: Option<i64>,
        put: CredentialPut,
        now: DateTime<Utc>,
    ) -> Result<i64> {
        self.write(move |tx| {
            let (organization, owner) = owner(tx, connection)?;
            let found: Option<(i64, bool, Option<i64>)> = tx
                .prepare_cached(
                    "SELECT version, removed, lease_until FROM credentials WHERE connection = ?1",
                )?
                .query_row([connection.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let standing = found.filter(|(_, removed, _)| !removed);
            let refreshing =
                standing.is_some_and(|(_, _, until)| until.is_some_and(|until| until > micros(now)));
            if standing.map(|(version, ..)| version) != expected
                || (refreshing && !put.may_overtake_a_refresh())
            {
                return Err(StoreError::Conflict("credential"));
            }
            let version = found.map_or(0, |(version, ..)| version) + 1;
            tx.prepare_cached(
                "INSERT OR REPLACE INTO credentials \
                 (connection, version, kind, status, expires_at, refresh_at, updated_at) \
                 VALUES (:connection, :version, :kind, :status, :expires_at, :refresh_at, :now)",
            )?
            .execute(named_params! {
                ":connection": connection.0, ":version": version, ":kind": put.kind.as_str(),
                ":status": to_json("status of a credential", &put.status)?,
                ":expires_at": put.expires_at.map(micros), ":refresh_at": put.refresh_at.map(micros),
                ":now": micros(now),
            })?;
            secrets::sqlite::write(tx, &organization, &owner, &put.secrets)?;
            Ok(version)
        })
        .await
    }

    async fn remove_credential(
        &self,
        connection: ConnectionKey,
        expected: i64,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.write(move |tx| {
            let removed = tx
                .prepare_cached(
                    "UPDATE credentials SET removed = 1, version = version + 1, status = '{}', expires_at = NULL, \
                     refresh_at = NULL, lease_holder = NULL, lease_until = NULL, updated_at = ?1 \
                     WHERE connection = ?2 AND version = ?3 AND removed = 0",
                )?
                .execute(params![micros(now), connection.0, expected])?;
            if removed == 0 {
                return Err(StoreError::Conflict("credential"));
            }
            let (organization, owner) = owner(tx, connection)?;
            secrets::sqlite::remove(tx, &organization, &owner)
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
        let holder = holder.to_owned();
        self.write(move |tx| {
            let found: Option<(Option<String>, Option<i64>)> = tx
                .prepare_cached(
                    "SELECT lease_holder, lease_until FROM credentials \
                     WHERE connection = ?1 AND version = ?2 AND removed = 0",
                )?
                .query_row(params![connection.0, version], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((held_by, until)) = found else { return Ok(RefreshClaim::Changed) };
            let left = until.unwrap_or(0) - micros(now);
            if left > 0 && held_by.as_ref() != Some(&holder) {
                return Ok(RefreshClaim::Held(Duration::from_micros(left.unsigned_abs())));
            }
            tx.prepare_cached(
                "UPDATE credentials SET lease_holder = ?1, lease_until = ?2 WHERE connection = ?3",
            )?
            .execute(params![holder, lease_until(now, lease), connection.0])?;
            Ok(RefreshClaim::Granted)
        })
        .await
    }

    async fn count_grants(&self, oauth_app: &str) -> Result<u64> {
        let granted = granted_to(oauth_app);
        self.read(move |tx| {
            let sql = "SELECT count(*) FROM credentials WHERE NOT removed AND instr(status, ?1) > 0 \
                       AND (instr(status, ?2) > 0 OR instr(status, ?3) > 0)";
            let [connected, pending] = IN_USE;
            let count: i64 =
                tx.prepare_cached(sql)?.query_row([&granted, connected, pending], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
        .await
    }

    async fn due_refreshes(&self, limit: usize, now: DateTime<Utc>) -> Result<Vec<DueRefresh>> {
        self.read(move |tx| {
            let due = tx
                .prepare_cached(
                    "SELECT r.connection, r.version, r.refresh_at FROM credentials r \
                     JOIN connections c ON c.pk = r.connection \
                     WHERE r.refresh_at <= ?1 AND (r.lease_until IS NULL OR r.lease_until <= ?1) \
                     AND c.deleting_at IS NULL ORDER BY r.refresh_at, r.connection LIMIT ?2",
                )?
                .query_map(params![micros(now), limit as i64], |row| {
                    let (connection, version) = (ConnectionKey(row.get(0)?), row.get(1)?);
                    Ok(DueRefresh { connection, version, refresh_at: time(row.get(2)?) })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(due)
        })
        .await
    }
}

/// Forgets the credential of a connection that is deleted, with its secrets.
pub(in crate::store) fn forget(tx: &Transaction<'_>, connection: ConnectionKey) -> Result<()> {
    let (organization, owner) = owner(tx, connection)?;
    secrets::sqlite::remove(tx, &organization, &owner)?;
    tx.execute("DELETE FROM credentials WHERE connection = ?1", [connection.0])?;
    Ok(())
}

/// Whose the secrets of a connection are.
fn owner(tx: &Transaction<'_>, connection: ConnectionKey) -> Result<(String, String)> {
    let found: Option<(String, String)> = tx
        .prepare_cached("SELECT organization, id FROM connections WHERE pk = ?1 AND deleted_at IS NULL")?
        .query_row([connection.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (organization, id) = found.ok_or(StoreError::Missing("connection"))?;
    Ok((organization, connection_owner(&id)))
}

fn get(tx: &Transaction<'_>, connection: ConnectionKey) -> Result<Option<Credential>> {
    let sql = format!("SELECT {COLUMNS} FROM credentials WHERE connection = ?1 AND removed = 0");
    tx.prepare_cached(&sql)?.query_row([connection.0], read).optional()?.transpose()
}

/// Reads [`COLUMNS`]. The outer result is the database's, the inner one is about the values.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<Credential>> {
    let (word, status): (String, String) = (row.get(2)?, row.get(3)?);
    let parse = || Ok((kind(&word)?, from_json("status of a credential", &status)?));
    let (kind, status) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Credential {
        connection: ConnectionKey(row.get(0)?),
        version: row.get(1)?,
        kind,
        status,
        expires_at: row.get::<_, Option<i64>>(4)?.map(time),
        refresh_at: row.get::<_, Option<i64>>(5)?.map(time),
        updated_at: time(row.get(6)?),
    }))
}
