//! Default connections: which one of an organisation is meant where only a category is named. At most one each, which the
//! table's key sees to; none while a connection is being deleted.

pub(in crate::store) mod postgres;
pub mod sqlite;

use async_trait::async_trait;

use super::connections::Connection;
use super::{ConnectionKey, Result};

/// What the store does with default connections.
#[async_trait]
pub trait DefaultStore: Send + Sync {
    /// Makes a connection the default of a category in its organisation, in place of the one that was. It is the default of
    /// no other one then.
    ///
    /// # Errors
    /// `Missing("connection")` where it is not there, or is being deleted.
    async fn set_default(&self, connection: ConnectionKey, category: &str) -> Result<()>;

    /// The default of a category.
    async fn default_connection(&self, organization: &str, category: &str) -> Result<Option<Connection>>;
}
