//! Deletes a connection: its documents become tombstones in batches, then the rest goes. It can be cut off at any point
//! and goes on at the next start.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use crate::store::StoreError;
use crate::store::connections::Connection;

/// Documents in one transaction.
const BATCH: usize = 500;
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(5);

impl Scheduler {
    /// Goes on with every deletion that has begun.
    pub(super) async fn spawn_deletions(self: &Arc<Self>) -> Result<(), StoreError> {
        for connection in self.store.deletions_under_way().await? {
            self.spawn_deletion(connection);
        }
        Ok(())
    }

    /// Deletes a connection whose deletion has begun, in the background.
    pub fn spawn_deletion(self: &Arc<Self>, connection: Connection) {
        let scheduler = self.clone();
        self.tasks.spawn(async move {
            while !scheduler.drain.is_cancelled() {
                match scheduler.delete(&connection).await {
                    // Another task, or the end of this process, has taken it over.
                    Ok(()) | Err(StoreError::Fenced | StoreError::Missing(_)) => return,
                    Err(error) => {
                        tracing::warn!(connection = %connection.id, %error, "a deletion was cut off; it goes on");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
    }

    async fn delete(&self, connection: &Connection) -> Result<(), StoreError> {
        // A claim of its own: a run that still goes on can write no more.
        let fence = self.store.claim_connection(connection.key).await?;
        if let Some(run) = self.store.active_run(connection.key).await? {
            self.stop(&run.id).await;
        }
        let mut deleted = 0;
        let mut after = String::new();
        while !self.drain.is_cancelled() {
            let batch = self.store.delete_documents_of(fence, &after, BATCH, self.clock.now()).await?;
            let Some((count, last)) = batch else {
                self.store.end_deletion(fence, self.clock.now()).await?;
                tracing::info!(connection = %connection.id, documents = deleted, "connection deleted");
                return Ok(());
            };
            deleted += count;
            after = last;
        }
        Ok(())
    }
}
