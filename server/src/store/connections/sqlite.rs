//! Connections in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, named_params, params};
use superfasttt_proto::control::v1::run::Trigger;

use super::{
    Connection, ConnectionChange, ConnectionFilter, ConnectionStore, ConnectionTotals, NewConnection,
};
use crate::schedule::times::Due;
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::sqlite::is_taken;
use crate::store::{
    ConnectionKey, Fence, Listed, Result, SqliteStore, StoreError, credentials, defaults, documents,
    oauth_sessions, runs,
};

const COLUMNS: &str = "pk, id, organization, connector, name, settings, schedule, next_cause, disabled, paused, \
     deleting_at, revision, fence, synced_settings, next_run_at, last_full_at, last_run, last_success_at, failures, \
     created_at, updated_at, keep_raw, raw_epoch";

#[async_trait]
impl ConnectionStore for SqliteStore {
    async fn create_connection(&self, new: NewConnection, now: DateTime<Utc>) -> Result<Connection> {
        self.write_runs(move |tx| {
            if let Some((request, hash)) = &new.request
                && let Some(made) = made_by_request(tx, &new.organization, request, hash, now)?
            {
                return Ok(made);
            }
            let (request_id, request_hash) = new.request.unzip();
            let made = tx.execute(
                "INSERT INTO connections (id, organization, connector, name, settings, schedule, disabled, \
                 next_run_at, next_cause, request_id, request_hash, keep_raw, raw_epoch, created_at, updated_at) \
                 VALUES (:id, :organization, :connector, :name, :settings, :schedule, :disabled, :next_run_at, \
                 :next_cause, :request_id, :request_hash, :keep_raw, :keep_raw, :now, :now)",
                named_params! {
                    ":id": new.id, ":organization": new.organization, ":connector": new.connector, ":name": new.name,
                    ":settings": to_json("settings", &new.settings)?,
                    ":schedule": to_json("schedule", &new.schedule)?, ":disabled": new.disabled,
                    ":next_run_at": new.next.map(|next| micros(next.at)),
                    ":next_cause": new.next.map_or(Trigger::Schedule, |next| next.cause) as i32,
                    ":keep_raw": new.keep_raw, ":request_id": request_id, ":request_hash": request_hash, ":now": micros(now),
                },
            );
            match made {
                Ok(_) => by_id(tx, &new.id)?.ok_or(StoreError::Missing("connection")),
                Err(error) if is_taken(&error) => Err(StoreError::Taken("name")),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    async fn connection(&self, id: &str) -> Result<Option<Connection>> {
        let id = id.to_owned();
        self.read(move |tx| by_id(tx, &id)).await
    }

    async fn connection_by_key(&self, key: ConnectionKey) -> Result<Option<Connection>> {
        self.read(move |tx| by_key(tx, key)).await
    }

    async fn was_connection(&self, organization: &str, id: &str) -> Result<bool> {
        let (organization, id) = (organization.to_owned(), id.to_owned());
        self.read(move |tx| {
            let sql = "SELECT ?1 = '' OR EXISTS (SELECT 1 FROM connections WHERE id = ?1 \
                 AND (?2 = '' OR organization = ?2))";
            Ok(tx.prepare_cached(sql)?.query_row([id, organization], |row| row.get(0))?)
        })
        .await
    }

    async fn connection_by_name(&self, organization: &str, name: &str) -> Result<Option<Connection>> {
        let (organization, name) = (organization.to_owned(), name.to_owned());
        self.read(move |tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM connections WHERE organization = ?1 AND name = ?2 AND deleted_at IS NULL"
            );
            tx.prepare_cached(&sql)?.query_row([organization, name], read).optional()?.transpose()
        })
        .await
    }

    async fn connections(
        &self,
        filter: ConnectionFilter,
        after: &str,
        limit: usize,
    ) -> Result<Listed<Connection>> {
        let after = after.to_owned();
        self.read(move |tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM connections WHERE id > :after AND deleted_at IS NULL \
                 AND (:organization = '' OR organization = :organization) \
                 AND (:connector = '' OR connector = :connector) ORDER BY id LIMIT :limit"
            );
            let values = named_params! {
                ":after": after, ":organization": filter.organization, ":connector": filter.connector,
                ":limit": limit as i64 + 1,
            };
            let rows =
                tx.prepare_cached(&sql)?.query_map(values, read)?.collect::<rusqlite::Result<Vec<_>>>()?;
            let items = rows.into_iter().collect::<Result<Vec<_>>>()?;
            Ok(Listed::cut(items, limit, |connection| connection.id.clone()))
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
        let id = id.to_owned();
        self.write_runs(move |tx| {
            let mut connection = by_id(tx, &id)?.ok_or(StoreError::Missing("connection"))?;
            if revision.is_some_and(|revision| revision != connection.revision) {
                return Err(StoreError::Conflict("connection"));
            }
            connection.name = change.name.unwrap_or(connection.name);
            connection.settings = change.settings.unwrap_or(connection.settings);
            connection.schedule = change.schedule.unwrap_or(connection.schedule);
            connection.disabled = change.disabled.unwrap_or(connection.disabled);
            connection.paused = change.paused.unwrap_or(connection.paused);
            let keep_raw = change.keep_raw.unwrap_or(connection.keep_raw);
            connection.raw_epoch += i64::from(keep_raw != connection.keep_raw);
            let changed = tx.execute(
                "UPDATE connections SET name = :name, settings = :settings, schedule = :schedule, \
                 disabled = :disabled, paused = :paused, keep_raw = :keep_raw, raw_epoch = :raw_epoch, \
                 revision = revision + 1, updated_at = :now WHERE pk = :key",
                named_params! {
                    ":name": connection.name, ":settings": to_json("settings", &connection.settings)?,
                    ":schedule": to_json("schedule", &connection.schedule)?, ":disabled": connection.disabled,
                    ":paused": connection.paused, ":keep_raw": keep_raw, ":raw_epoch": connection.raw_epoch,
                    ":now": micros(now), ":key": connection.key.0,
                },
            );
            if let Some(next) = change.next {
                set_next(tx, connection.key, next)?;
            }
            match changed {
                Ok(_) => by_id(tx, &id)?.ok_or(StoreError::Missing("connection")),
                Err(error) if is_taken(&error) => Err(StoreError::Taken("name")),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    async fn begin_deletion(
        &self,
        id: &str,
        revision: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<Connection> {
        let id = id.to_owned();
        self.write_runs(move |tx| {
            let connection = by_id(tx, &id)?.ok_or(StoreError::Missing("connection"))?;
            if revision.is_some_and(|revision| revision != connection.revision) {
                return Err(StoreError::Conflict("connection"));
            }
            if connection.deleting_at.is_some() {
                return Ok(connection);
            }
            tx.execute(
                "UPDATE connections SET deleting_at = ?1, next_run_at = NULL, raw_epoch = raw_epoch + keep_raw, \
                 keep_raw = 0 WHERE pk = ?2",
                params![micros(now), connection.key.0],
            )?;
            defaults::sqlite::forget(tx, connection.key)?;
            claim(tx, connection.key, None)?;
            runs::sqlite::cancel(tx, connection.key, now)?;
            by_id(tx, &id)?.ok_or(StoreError::Missing("connection"))
        })
        .await
    }

    async fn claim_deletion(
        &self,
        holder: &str,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<(Connection, Fence)>> {
        let holder = holder.to_owned();
        self.write(move |tx| {
            let found: Option<i64> = tx
                .prepare_cached(
                    "SELECT pk FROM connections WHERE deleting_at IS NOT NULL AND deleted_at IS NULL \
                     AND lease_until IS NULL ORDER BY pk LIMIT 1",
                )?
                .query_row([], |row| row.get(0))
                .optional()?;
            let Some(key) = found.map(ConnectionKey) else { return Ok(None) };
            let fence = claim(tx, key, Some((&holder, runs::sqlite::claims::lease_until(now, lease))))?;
            let connection = by_key(tx, key)?.ok_or(StoreError::Missing("connection"))?;
            Ok(Some((connection, fence)))
        })
        .await
    }

    async fn release_claim(&self, fence: Fence) -> Result<()> {
        self.write(move |tx| {
            tx.execute(
                "UPDATE connections SET fence = fence + 1, lease_holder = NULL, lease_until = NULL \
                 WHERE pk = ?1 AND fence = ?2",
                params![fence.connection.0, fence.number],
            )?;
            Ok(())
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
        let after = after.to_owned();
        self.write_feed(fence, move |tx| {
            let found = tx
                .prepare_cached(
                    "SELECT pk, id FROM documents WHERE connection = ?1 AND id > ?2 AND gone = 0 ORDER BY id LIMIT ?3",
                )?
                .query_map(params![fence.connection.0, after, limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
            let (keys, mut ids): (Vec<i64>, Vec<String>) = found.into_iter().unzip();
            let head = documents::sqlite::bury(tx, fence.connection, &keys, now)?;
            Ok((ids.pop().map(|last| (keys.len() as u64, last)), head))
        })
        .await
    }

    async fn end_deletion(&self, fence: Fence, now: DateTime<Utc>) -> Result<()> {
        self.write_fenced(fence, move |tx| {
            let key = fence.connection.0;
            tx.execute("DELETE FROM run_logs WHERE run IN (SELECT id FROM runs WHERE connection = ?1)", [key])?;
            for table in ["runs", "item_errors", "sync_states", "shields", "containers", "raw_items", "wanted"] {
                tx.execute(&format!("DELETE FROM {table} WHERE connection = ?1"), [key])?;
            }
            credentials::sqlite::forget(tx, fence.connection)?;
            oauth_sessions::sqlite::forget(tx, fence.connection)?;
            tx.execute(
                "UPDATE connections SET deleted_at = ?1, settings = '{}', request_id = NULL, request_hash = NULL \
                 WHERE pk = ?2",
                params![micros(now), key],
            )?;
            Ok(())
        })
        .await
    }

    async fn connection_totals(&self, key: ConnectionKey) -> Result<ConnectionTotals> {
        self.read(move |tx| {
            let count = |sql: &str| tx.prepare_cached(sql)?.query_row([key.0], |row| row.get::<_, u64>(0));
            Ok(ConnectionTotals {
                documents: count("SELECT document_count FROM connections WHERE pk = ?1")?,
                item_errors: count("SELECT count(*) FROM item_errors WHERE connection = ?1")?,
                held_sweeps: count(
                    "SELECT count(*) FROM sync_states WHERE connection = ?1 AND held_generation IS NOT NULL",
                )?,
                is_default: count("SELECT count(*) FROM default_connections WHERE connection = ?1")? > 0,
            })
        })
        .await
    }
}

/// Takes a new claim of a connection, which ends every earlier one, with a lease for a replica that works on it.
pub(in crate::store) fn claim(
    tx: &Transaction<'_>,
    key: ConnectionKey,
    lease: Option<(&str, i64)>,
) -> Result<Fence> {
    let (holder, until) = lease.unzip();
    let number = tx
        .prepare_cached(
            "UPDATE connections SET fence = fence + 1, lease_holder = ?1, lease_until = ?2 WHERE pk = ?3 RETURNING fence",
        )?
        .query_row(params![holder, until, key.0], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::Missing("connection"))?;
    Ok(Fence { connection: key, number })
}

/// Claims a connection for this run, and gives it as it is then.
pub(in crate::store) fn claim_for_run(
    tx: &Transaction<'_>,
    key: ConnectionKey,
    (holder, until): (&str, i64),
    run: &str,
) -> Result<Connection> {
    let sql = format!(
        "UPDATE connections SET fence = fence + 1, lease_holder = ?1, lease_until = ?2, last_run = ?3 WHERE pk = ?4 \
         RETURNING {COLUMNS}"
    );
    let claimed = tx.prepare_cached(&sql)?.query_row(params![holder, until, run, key.0], read).optional()?;
    claimed.transpose()?.ok_or(StoreError::Missing("connection"))
}

/// Says when a connection is due next.
pub(in crate::store) fn set_next(tx: &Transaction<'_>, key: ConnectionKey, next: Option<Due>) -> Result<()> {
    tx.prepare_cached("UPDATE connections SET next_run_at = ?1, next_cause = ?2 WHERE pk = ?3")?.execute(
        params![
            next.map(|next| micros(next.at)),
            next.map_or(Trigger::Schedule, |next| next.cause) as i32,
            key.0
        ],
    )?;
    Ok(())
}

/// One that may be deleted.
pub(in crate::store) fn by_key(tx: &Transaction<'_>, key: ConnectionKey) -> Result<Option<Connection>> {
    let sql = format!("SELECT {COLUMNS} FROM connections WHERE pk = ?1");
    tx.prepare_cached(&sql)?.query_row([key.0], read).optional()?.transpose()
}

fn by_id(tx: &Transaction<'_>, id: &str) -> Result<Option<Connection>> {
    let sql = format!("SELECT {COLUMNS} FROM connections WHERE id = ?1 AND deleted_at IS NULL");
    tx.prepare_cached(&sql)?.query_row([id], read).optional()?.transpose()
}

fn made_by_request(
    tx: &Transaction<'_>,
    organization: &str,
    request: &str,
    hash: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Connection>> {
    let since = micros(now - TimeDelta::days(1));
    let made: Option<(String, Vec<u8>)> = tx
        .prepare_cached(
            "SELECT id, request_hash FROM connections \
             WHERE request_id = ?1 AND created_at > ?2 AND organization = ?3 AND deleted_at IS NULL",
        )?
        .query_row(params![request, since, organization], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match made {
        None => Ok(None),
        Some((id, made_hash)) if made_hash == hash => by_id(tx, &id),
        Some(_) => Err(StoreError::Taken("request_id")),
    }
}

/// Reads [`COLUMNS`]. The outer result is the database's, the inner one is about the values.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<Connection>> {
    let (settings, schedule): (String, String) = (row.get(5)?, row.get(6)?);
    let parse = || Ok((from_json("settings", &settings)?, from_json("schedule", &schedule)?));
    let (settings, schedule) = match parse() {
        Ok(parsed) => parsed,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Connection {
        key: ConnectionKey(row.get(0)?),
        id: row.get(1)?,
        organization: row.get(2)?,
        connector: row.get(3)?,
        name: row.get(4)?,
        settings,
        schedule,
        next_cause: runs::columns::trigger(row.get(7)?),
        disabled: row.get(8)?,
        paused: row.get(9)?,
        deleting_at: row.get::<_, Option<i64>>(10)?.map(time),
        revision: row.get(11)?,
        fence: row.get(12)?,
        synced_settings: row.get(13)?,
        next_run_at: row.get::<_, Option<i64>>(14)?.map(time),
        last_full_at: row.get::<_, Option<i64>>(15)?.map(time),
        last_run: row.get(16)?,
        last_success_at: row.get::<_, Option<i64>>(17)?.map(time),
        failures: row.get(18)?,
        created_at: time(row.get(19)?),
        updated_at: time(row.get(20)?),
        keep_raw: row.get(21)?,
        raw_epoch: row.get(22)?,
    }))
}
