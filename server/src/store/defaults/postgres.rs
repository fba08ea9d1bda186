//! Default connections in PostgreSQL.

use async_trait::async_trait;

use super::DefaultStore;
use crate::store::connections::Connection;
use crate::store::connections::postgres::{COLUMNS, read};
use crate::store::postgres::{Outcome, Plain, Text, Tx};
use crate::store::{ConnectionKey, PostgresStore, Result, StoreError};

#[async_trait]
impl DefaultStore for PostgresStore {
    async fn set_default(&self, connection: ConnectionKey, category: &str) -> Result<()> {
        self.write((connection, category.to_owned()), |tx, (connection, category)| {
            Box::pin(async move {
                // A deletion that begins meanwhile waits, and then forgets what is written here.
                let sql = "SELECT organization FROM connections WHERE pk = $1 AND deleting_at IS NULL \
                     FOR NO KEY UPDATE";
                let found = tx.query_opt(sql, &[&connection.0]).await?;
                let organization: Plain = found.ok_or(StoreError::Missing("connection"))?.get(0);
                forget(tx, *connection).await?;
                let sql = "INSERT INTO default_connections (organization, category, connection) VALUES ($1, $2, $3) \
                     ON CONFLICT (organization, category) DO UPDATE SET connection = excluded.connection";
                tx.execute(sql, &[&Text(&organization.0), &Text(category), &connection.0]).await?;
                Ok(())
            })
        })
        .await
    }

    async fn default_connection(&self, organization: &str, category: &str) -> Result<Option<Connection>> {
        let which = (organization.to_owned(), category.to_owned());
        self.single(which, |tx, (organization, category)| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT {COLUMNS} FROM connections c JOIN default_connections d ON d.connection = c.pk \
                     WHERE d.organization = $1 AND d.category = $2"
                );
                let found = tx.query_opt(&sql, &[&Text(organization), &Text(category)]).await?;
                Ok(found.as_ref().map(read).transpose()?)
            })
        })
        .await
    }
}

/// A connection is no default any more.
pub(in crate::store) async fn forget(tx: &Tx, connection: ConnectionKey) -> Outcome<()> {
    tx.execute("DELETE FROM default_connections WHERE connection = $1", &[&connection.0]).await?;
    Ok(())
}
