//! Default connections in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::connections::Connection;
use crate::store::defaults::DefaultStore;
use crate::store::{ConnectionKey, Result, StoreError};

#[async_trait]
impl DefaultStore for MemoryStore {
    async fn set_default(&self, connection: ConnectionKey, category: &str) -> Result<()> {
        self.write(|data| {
            let found = data.present().find(|found| found.key == connection && found.deleting_at.is_none());
            let organization = found.ok_or(StoreError::Missing("connection"))?.organization.clone();
            data.defaults.retain(|_, default| *default != connection);
            data.defaults.insert((organization, category.to_owned()), connection);
            Ok(())
        })
        .await
    }

    async fn default_connection(&self, organization: &str, category: &str) -> Result<Option<Connection>> {
        self.read(|data| {
            let key = data.defaults.get(&(organization.to_owned(), category.to_owned()))?;
            data.connections.get(key).map(|row| row.connection.clone())
        })
        .await
    }
}
