//! Re-normalization: documents made anew of kept raw items.

use superfasttt_proto::control::v1::*;

use super::error::ApiError;
use super::{Api, convert};
use crate::schedule::new_id;
use crate::store::connections::Connection;
use crate::store::runs::Queued;

impl Api {
    /// Asks for a re-normalization.
    pub(super) async fn renormalize(
        &self,
        connection: &str,
    ) -> Result<RenormalizeConnectionResponse, ApiError> {
        let connection = self.keeping(connection).await?;
        if connection.disabled {
            return Err(ApiError::Precondition("the connection is disabled: enable it first".to_owned()));
        }
        let queued = self.store.queue_renormalization(new_id(), connection.key, self.clock.now()).await?;
        let (run, already_running) = match queued {
            Queued::New(run) => (run, false),
            Queued::Existing(run) if run.renormalizes => (run, true),
            Queued::Existing(run) | Queued::Follows(run) => {
                let message = format!("run {} syncs the connection: wait for it or cancel it first", run.id);
                return Err(ApiError::Precondition(message));
            }
        };
        Ok(RenormalizeConnectionResponse { run: Some(convert::run(&run)), already_running })
    }

    /// A connection that keeps raw items.
    async fn keeping(&self, connection: &str) -> Result<Connection, ApiError> {
        let connection = self.connection(connection).await?;
        if connection.deleting_at.is_some() {
            return Err(ApiError::Precondition("the connection is being deleted".to_owned()));
        }
        if !connection.keep_raw {
            let message = "the connection keeps no raw items: set keep_raw, and sync it once";
            return Err(ApiError::Precondition(message.to_owned()));
        }
        Ok(connection)
    }
}
