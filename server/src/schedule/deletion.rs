//! Deletes a connection: its documents become tombstones in batches, the provider is asked to end its grant, then the rest goes. It can be cut off at any point
//! and is gone on with by whichever replica claims it next.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use crate::store::connections::Connection;
use crate::store::{Fence, StoreError};

/// Documents in one transaction.
const BATCH: usize = 500;
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(5);

impl Scheduler {
    /// Goes on with the deletions that nobody works on, in the background.
    pub(super) async fn begin_deletions(self: &Arc<Self>) -> Result<(), StoreError> {
        while let Ok(place) = self.deletions.clone().try_acquire_owned() {
            let (lease, now) = (self.config.sync.lease, self.clock.now());
            let claimed = self.store.claim_deletion(&self.holder, lease, now).await?;
            let Some((connection, fence)) = claimed else { break };
            let scheduler = self.clone();
            self.tasks.spawn(async move {
                scheduler.delete_to_the_end(&connection, fence).await;
                drop(place);
                scheduler.wake.notify_one();
            });
        }
        Ok(())
    }

    /// Deletes until nothing is left, the claim is lost, or this process stops.
    async fn delete_to_the_end(&self, connection: &Connection, fence: Fence) {
        let claim = self.held.hold(fence);
        loop {
            let deleted = tokio::select! {
                biased;
                () = claim.lost() => return,
                () = self.drain.cancelled() => break,
                deleted = self.delete(connection, fence) => deleted,
            };
            match deleted {
                // Another replica has taken it over.
                Ok(()) | Err(StoreError::Fenced | StoreError::Missing(_)) => return,
                Err(error) => {
                    tracing::warn!(connection = %connection.id, %error, "a deletion was cut off; it goes on");
                }
            }
            tokio::select! {
                biased;
                () = self.drain.cancelled() => break,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        if let Err(error) = self.store.release_claim(fence).await {
            tracing::warn!(connection = %connection.id, %error, "a deletion goes on when its lease ends");
        }
    }

    async fn delete(&self, connection: &Connection, fence: Fence) -> Result<(), StoreError> {
        let mut deleted = 0;
        let mut after = String::new();
        loop {
            let batch = self.store.delete_documents_of(fence, &after, BATCH, self.clock.now()).await?;
            let Some((count, last)) = batch else {
                self.trim_raw_items().await?;
                self.credentials.clone().withdraw(connection).await;
                self.store.end_deletion(fence, self.clock.now()).await?;
                tracing::info!(connection = %connection.id, documents = deleted, "connection deleted");
                return Ok(());
            };
            deleted += count;
            after = last;
        }
    }
}
