//! Credentials in memory.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::connections::delta;
use super::{Data, MemoryStore};
use crate::store::credentials::{
    Credential, CredentialPut, CredentialStore, DueRefresh, RefreshClaim, State,
};
use crate::store::secrets::{Secrets, SecretsWrite};
use crate::store::{ConnectionKey, Result, StoreError};
use crate::vault::connection_owner;

/// A credential with what the world does not see of it.
#[derive(Debug)]
pub(super) struct CredentialRow {
    credential: Credential,
    removed: bool,
    lease: Option<(String, DateTime<Utc>)>,
}

#[async_trait]
impl CredentialStore for MemoryStore {
    async fn credential(&self, connection: ConnectionKey) -> Result<Option<(Credential, Secrets)>> {
        self.read(|data| {
            let credential = data.standing(connection)?.credential.clone();
            let (organization, owner) = data.owner(connection).ok()?;
            Some((credential, data.secrets_of(&organization, &owner)))
        })
        .await
    }

    async fn credentials(&self, connections: Vec<ConnectionKey>) -> Result<Vec<Credential>> {
        self.read(|data| {
            let found = connections.iter().filter_map(|key| data.standing(*key));
            found.map(|row| row.credential.clone()).collect()
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
        self.write(|data| {
            let (organization, owner) = data.owner(connection)?;
            let standing = data.standing(connection);
            let refreshing =
                standing.is_some_and(|row| row.lease.as_ref().is_some_and(|(_, until)| *until > now));
            if standing.map(|row| row.credential.version) != expected
                || (refreshing && !put.may_overtake_a_refresh())
            {
                return Err(StoreError::Conflict("credential"));
            }
            let version = data.credentials.get(&connection).map_or(0, |row| row.credential.version) + 1;
            let credential = Credential {
                connection,
                version,
                kind: put.kind,
                status: put.status,
                expires_at: put.expires_at,
                refresh_at: put.refresh_at,
                updated_at: now,
            };
            data.credentials.insert(connection, CredentialRow { credential, removed: false, lease: None });
            data.write_secrets(&organization, &owner, put.secrets);
            Ok(version)
        })
        .await
    }

    async fn remove_credential(
        &self,
        connection: ConnectionKey,
        expected: i64,
        _: DateTime<Utc>,
    ) -> Result<()> {
        self.write(|data| {
            let (organization, owner) = data.owner(connection)?;
            let Some(row) = data.at_version(connection, expected) else {
                return Err(StoreError::Conflict("credential"));
            };
            (row.removed, row.lease) = (true, None);
            row.credential.version += 1;
            data.write_secrets(&organization, &owner, SecretsWrite::Replace(Secrets::new()));
            Ok(())
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
        self.write(|data| {
            let Some(row) = data.at_version(connection, version) else { return Ok(RefreshClaim::Changed) };
            if let Some((held_by, until)) = &row.lease
                && held_by != holder
                && *until > now
            {
                return Ok(RefreshClaim::Held((*until - now).to_std().unwrap_or_default()));
            }
            row.lease = Some((holder.to_owned(), now + delta(lease)));
            Ok(RefreshClaim::Granted)
        })
        .await
    }

    async fn count_grants(&self, oauth_app: &str) -> Result<u64> {
        self.read(|data| {
            let counts = |row: &&CredentialRow| {
                let status = &row.credential.status;
                !row.removed
                    && status.oauth_app == oauth_app
                    && matches!(status.state, State::Connected | State::Pending)
            };
            data.credentials.values().filter(counts).count() as u64
        })
        .await
    }

    async fn due_refreshes(&self, limit: usize, now: DateTime<Utc>) -> Result<Vec<DueRefresh>> {
        self.read(|data| {
            let free = |row: &&CredentialRow| {
                !row.removed && row.lease.as_ref().is_none_or(|(_, until)| *until <= now)
            };
            let stays = |row: &&CredentialRow| {
                let connection = data.connections.get(&row.credential.connection);
                connection.is_some_and(|row| row.connection.deleting_at.is_none())
            };
            let mut due: Vec<_> = data
                .credentials
                .values()
                .filter(free)
                .filter(stays)
                .filter_map(|CredentialRow { credential, .. }| {
                    let refresh_at = credential.refresh_at.filter(|at| *at <= now)?;
                    let (connection, version) = (credential.connection, credential.version);
                    Some(DueRefresh { connection, version, refresh_at })
                })
                .collect();
            due.sort_by_key(|due| (due.refresh_at, due.connection));
            due.truncate(limit);
            due
        })
        .await
    }
}

impl Data {
    fn standing(&self, connection: ConnectionKey) -> Option<&CredentialRow> {
        self.credentials.get(&connection).filter(|row| !row.removed)
    }

    fn at_version(&mut self, connection: ConnectionKey, version: i64) -> Option<&mut CredentialRow> {
        let row = self.credentials.get_mut(&connection)?;
        (!row.removed && row.credential.version == version).then_some(row)
    }

    /// Whose the secrets of a connection are.
    fn owner(&self, connection: ConnectionKey) -> Result<(String, String)> {
        let found = self.present().find(|present| present.key == connection);
        let found = found.ok_or(StoreError::Missing("connection"))?;
        Ok((found.organization.clone(), connection_owner(&found.id)))
    }

    /// Forgets the credential of a connection that is deleted, with its secrets.
    pub(super) fn forget_credential(&mut self, connection: ConnectionKey) -> Result<()> {
        let (organization, owner) = self.owner(connection)?;
        self.remove_secrets(&organization, &owner);
        self.credentials.remove(&connection);
        Ok(())
    }
}
