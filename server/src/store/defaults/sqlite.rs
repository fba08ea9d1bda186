//! Default connections in SQLite.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Transaction, params};

use super::DefaultStore;
use crate::store::connections::Connection;
use crate::store::connections::sqlite::by_key;
use crate::store::{ConnectionKey, Result, SqliteStore, StoreError};

#[async_trait]
impl DefaultStore for SqliteStore {
    async fn set_default(&self, connection: ConnectionKey, category: &str) -> Result<()> {
        let category = category.to_owned();
        self.write(move |tx| {
            let found = by_key(tx, connection)?.filter(|found| found.deleting_at.is_none());
            let organization = found.ok_or(StoreError::Missing("connection"))?.organization;
            forget(tx, connection)?;
            tx.execute(
                "INSERT OR REPLACE INTO default_connections (organization, category, connection) VALUES (?1, ?2, ?3)",
                params![organization, category, connection.0],
            )?;
            Ok(())
        })
        .await
    }

    async fn default_connection(&self, organization: &str, category: &str) -> Result<Option<Connection>> {
        let (organization, category) = (organization.to_owned(), category.to_owned());
        self.read(move |tx| {
            let key: Option<i64> = tx
                .prepare_cached(
                    "SELECT connection FROM default_connections WHERE organization = ?1 AND category = ?2",
                )?
                .query_row([organization, category], |row| row.get(0))
                .optional()?;
            key.map_or(Ok(None), |key| by_key(tx, ConnectionKey(key)))
        })
        .await
    }
}

/// A connection is no default any more.
pub(in crate::store) fn forget(tx: &Transaction<'_>, connection: ConnectionKey) -> Result<()> {
    tx.execute("DELETE FROM default_connections WHERE connection = ?1", [connection.0])?;
    Ok(())
}
