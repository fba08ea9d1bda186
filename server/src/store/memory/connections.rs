//! Connections in memory.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use superfasttt_proto::control::v1::run::Trigger;

use super::{Data, MemoryStore};
use crate::schedule::times::Due;
use crate::store::connections::{
    Connection, ConnectionChange, ConnectionFilter, ConnectionStore, ConnectionTotals, NewConnection,
};
use crate::store::documents::DocumentWrite;
use crate::store::runs::Work;
use crate::store::{ConnectionKey, Fence, Listed, Result, StoreError};

/// A connection with what the world does not see of it.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionRow {
    pub(crate) connection: Connection,
    pub(crate) deleted: bool,
    pub(crate) documents: i64,
    request: Option<(String, Vec<u8>)>,
    /// A run follows the one under way: why, and what is asked of it.
    pub(super) follow: Option<(Trigger, Work)>,
    /// Who works on it, and when others may take over.
    pub(crate) lease: Option<(String, DateTime<Utc>)>,
}

#[async_trait]
impl ConnectionStore for MemoryStore {
    async fn create_connection(&self, new: NewConnection, now: DateTime<Utc>) -> Result<Connection> {
        self.write(|data| {
            if let Some(made) = data.made_by_request(&new.organization, new.request.as_ref(), now)? {
                return Ok(made);
            }
            if data.named(&new.organization, &new.name).is_some() {
                return Err(StoreError::Taken("name"));
            }
            let key = ConnectionKey(data.next_key());
            let next = new.next;
            let mut connection = Connection {
                key,
                id: new.id,
                organization: new.organization,
                connector: new.connector,
                name: new.name,
                settings: new.settings,
                schedule: new.schedule,
                disabled: new.disabled,
                paused: false,
                deleting_at: None,
                revision: 1,
                fence: 0,
                synced_settings: None,
                next_run_at: None,
                next_cause: Trigger::Schedule,
                last_full_at: None,
                last_run: None,
                last_success_at: None,
                failures: 0,
                created_at: now,
                updated_at: now,
                keep_raw: new.keep_raw,
                raw_epoch: i64::from(new.keep_raw),
            };
            set_next(&mut connection, next);
            let row = ConnectionRow {
                connection: connection.clone(),
                deleted: false,
                documents: 0,
                request: new.request,
                follow: None,
                lease: None,
            };
            data.connections.insert(key, row);
            Ok(connection)
        })
        .await
    }

    async fn connection(&self, id: &str) -> Result<Option<Connection>> {
        self.read(|data| data.by_id(id).cloned()).await
    }

    async fn connection_by_key(&self, key: ConnectionKey) -> Result<Option<Connection>> {
        self.read(|data| data.connections.get(&key).map(|row| row.connection.clone())).await
    }

    async fn was_connection(&self, organization: &str, id: &str) -> Result<bool> {
        self.read(|data| {
            let is = |connection: &Connection| {
                connection.id == id && (organization.is_empty() || connection.organization == organization)
            };
            id.is_empty() || data.connections.values().any(|row| is(&row.connection))
        })
        .await
    }

    async fn connection_by_name(&self, organization: &str, name: &str) -> Result<Option<Connection>> {
        self.read(|data| data.named(organization, name).cloned()).await
    }

    async fn connections(
        &self,
        filter: ConnectionFilter,
        after: &str,
        limit: usize,
    ) -> Result<Listed<Connection>> {
        self.read(|data| {
            let matches = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
            let mut found: Vec<Connection> = data.present().cloned().collect();
            found.retain(|connection| {
                connection.id.as_str() > after
                    && matches(&filter.organization, &connection.organization)
                    && matches(&filter.connector, &connection.connector)
            });
            found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            Listed::cut(found, limit, |connection| connection.id.clone())
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
        self.write(|data| {
            let mut connection = data.at_revision(id, revision)?;
            if let Some(name) = change.name {
                if data.named(&connection.organization, &name).is_some_and(|named| named.id != id) {
                    return Err(StoreError::Taken("name"));
                }
                connection.name = name;
            }
            connection.settings = change.settings.unwrap_or(connection.settings);
            connection.schedule = change.schedule.unwrap_or(connection.schedule);
            connection.disabled = change.disabled.unwrap_or(connection.disabled);
            connection.paused = change.paused.unwrap_or(connection.paused);
            let keep_raw = change.keep_raw.unwrap_or(connection.keep_raw);
            connection.raw_epoch += i64::from(keep_raw != connection.keep_raw);
            connection.keep_raw = keep_raw;
            if let Some(next) = change.next {
                set_next(&mut connection, next);
            }
            connection.revision += 1;
            connection.updated_at = now;
            data.row(connection.key)?.connection = connection.clone();
            Ok(connection)
        })
        .await
    }

    async fn begin_deletion(
        &self,
        id: &str,
        revision: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<Connection> {
        let begun = self
            .write(|data| {
                let key = data.at_revision(id, revision)?.key;
                let connection = &mut data.row(key)?.connection;
                connection.deleting_at = connection.deleting_at.or(Some(now));
                connection.next_run_at = None;
                connection.raw_epoch += i64::from(std::mem::take(&mut connection.keep_raw));
                data.defaults.retain(|_, default| *default != key);
                data.end_claim(key)?;
                data.cancel(key, now);
                Ok(data.row(key)?.connection.clone())
            })
            .await;
        self.tell_run_changes();
        begun
    }

    async fn claim_deletion(
        &self,
        holder: &str,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<(Connection, Fence)>> {
        self.write(|data| {
            let free = |row: &&ConnectionRow| {
                row.connection.deleting_at.is_some() && !row.deleted && row.lease.is_none()
            };
            let Some(key) = data.connections.values().find(free).map(|row| row.connection.key) else {
                return Ok(None);
            };
            let fence = data.claim(key, Some((holder.to_owned(), now + delta(lease))))?;
            Ok(Some((data.row(key)?.connection.clone(), fence)))
        })
        .await
    }

    async fn release_claim(&self, fence: Fence) -> Result<()> {
        self.write(|data| {
            if data.check(fence).is_ok() {
                data.end_claim(fence.connection)?;
            }
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
        self.write_fenced(fence, |data| {
            let found = data.live(fence.connection).map(|row| &row.document);
            let found = found.filter(|document| document.id.as_str() > after).take(limit);
            let (keys, mut ids): (Vec<_>, Vec<_>) =
                found.map(|document| (document.key, document.id.clone())).unzip();
            let deleted = keys.len() as u64;
            data.write_documents(fence.connection, keys.into_iter().map(DocumentWrite::Gone).collect(), now);
            Ok(ids.pop().map(|last| (deleted, last)))
        })
        .await
    }

    async fn end_deletion(&self, fence: Fence, _: DateTime<Utc>) -> Result<()> {
        self.write_fenced(fence, |data| {
            let key = fence.connection;
            data.runs.retain(|_, row| row.run.connection != key);
            data.item_errors.retain(|(connection, ..), _| *connection != key);
            data.states.retain(|(connection, _), _| *connection != key);
            data.shields.retain(|(connection, ..), _| *connection != key);
            data.containers.retain(|(connection, _), _| *connection != key);
            data.wanted.retain(|(connection, _), _| *connection != key);
            data.raw_items.retain(|(connection, _), _| *connection != key);
            data.forget_credential(key)?;
            data.forget_sessions(key);
            let row = data.row(key)?;
            (row.deleted, row.request, row.lease) = (true, None, None);
            row.connection.settings.clear();
            Ok(())
        })
        .await
    }

    async fn connection_totals(&self, key: ConnectionKey) -> Result<ConnectionTotals> {
        self.read(|data| {
            let documents = data.connections.get(&key).map_or(0, |row| row.documents);
            let held = data.states_of(key).iter().filter(|state| state.held.is_some()).count();
            ConnectionTotals {
                documents: documents.try_into().unwrap_or_default(),
                item_errors: data.errors_of(key).count() as u64,
                held_sweeps: held as u64,
                is_default: data.defaults.values().any(|default| *default == key),
            }
        })
        .await
    }
}

impl Data {
    /// Those that are not deleted.
    pub(crate) fn present(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values().filter(|row| !row.deleted).map(|row| &row.connection)
    }

    /// All of them, deleted or not.
    pub(crate) fn every_connection(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values().map(|row| &row.connection)
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<&Connection> {
        self.present().find(|connection| connection.id == id)
    }

    /// A connection, deleted or not, with what the world does not see of it.
    pub(crate) fn connection_row(&self, key: ConnectionKey) -> Option<&ConnectionRow> {
        self.connections.get(&key)
    }

    fn named(&self, organization: &str, name: &str) -> Option<&Connection> {
        self.present().find(|connection| connection.organization == organization && connection.name == name)
    }

    pub(super) fn row(&mut self, key: ConnectionKey) -> Result<&mut ConnectionRow> {
        self.connections.get_mut(&key).ok_or(StoreError::Missing("connection"))
    }

    fn at_revision(&self, id: &str, revision: Option<i64>) -> Result<Connection> {
        let connection = self.by_id(id).ok_or(StoreError::Missing("connection"))?;
        if revision.is_some_and(|revision| revision != connection.revision) {
            return Err(StoreError::Conflict("connection"));
        }
        Ok(connection.clone())
    }

    fn made_by_request(
        &self,
        organization: &str,
        request: Option<&(String, Vec<u8>)>,
        now: DateTime<Utc>,
    ) -> Result<Option<Connection>> {
        let Some((id, hash)) = request else { return Ok(None) };
        let since = now - TimeDelta::days(1);
        let made = self.connections.values().find_map(|row| {
            let (made_by, made_hash) = row.request.as_ref()?;
            let own = row.connection.organization == organization;
            let counts = own && made_by == id && row.connection.created_at > since && !row.deleted;
            counts.then_some((&row.connection, made_hash))
        });
        match made {
            None => Ok(None),
            Some((connection, made_hash)) if made_hash == hash => Ok(Some(connection.clone())),
            Some(_) => Err(StoreError::Taken("request_id")),
        }
    }

    /// Takes a new claim of a connection, which ends every earlier one, with a lease for a replica that works on it.
    pub(super) fn claim(
        &mut self,
        key: ConnectionKey,
        lease: Option<(String, DateTime<Utc>)>,
    ) -> Result<Fence> {
        let row = self.row(key)?;
        row.connection.fence += 1;
        row.lease = lease;
        Ok(Fence { connection: key, number: row.connection.fence })
    }

    /// Ends every claim of a connection.
    pub(super) fn end_claim(&mut self, key: ConnectionKey) -> Result<()> {
        self.claim(key, None).map(|_| ())
    }

    pub(super) fn count_documents(&mut self, key: ConnectionKey, change: i64) {
        if let Some(row) = self.connections.get_mut(&key) {
            row.documents += change;
        }
    }

    /// Forgets deleted connections of which no tombstone is left.
    pub(super) fn forget_connections(&mut self) {
        let documents = &self.documents;
        let left = |key: ConnectionKey| documents.values().any(|row| row.connection == key);
        self.connections.retain(|key, row| !row.deleted || left(*key));
    }
}

/// Says when a connection is due next.
pub(super) fn set_next(connection: &mut Connection, next: Option<Due>) {
    connection.next_run_at = next.map(|next| next.at);
    connection.next_cause = next.map_or(Trigger::Schedule, |next| next.cause);
}

/// A length of time as it is added to one.
pub(super) fn delta(length: Duration) -> TimeDelta {
    TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX)
}
