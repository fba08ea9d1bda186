//! Refreshes ahead of time what is due: so that no run waits for it, and no grant dies of not being used.

use std::sync::Arc;
use std::time::Duration;

use superfasttt_proto::connector::v1::Reason;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Credentials;
use crate::catalog::Catalog;
use crate::store::StoreError;
use crate::store::credentials::DueRefresh;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// Credentials that are looked for at once.
const BATCH: usize = 500;
/// Refreshes of one process at the same time: most of the time they wait for a provider.
const AT_ONCE: usize = 64;

impl Credentials {
    /// Refreshes what is due until `stop`, and then ends what it has begun.
    pub async fn keep_fresh(self: Arc<Self>, catalog: Arc<Catalog>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while !stop.is_cancelled() {
            match self.refresh_due(&catalog, &places, &stop).await {
                // There may be more.
                Ok(BATCH) => continue,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "credentials that are due could not be read; trying again")
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        // A refresh that was begun is not given up: see `refresh`.
        let _ = places.acquire_many(AT_ONCE as u32).await;
    }

    /// Refreshes one batch, and waits for all of it: what is due is then another.
    async fn refresh_due(
        self: &Arc<Self>,
        catalog: &Arc<Catalog>,
        places: &Arc<Semaphore>,
        stop: &CancellationToken,
    ) -> Result<usize, StoreError> {
        let due = self.store.due_refreshes(BATCH, self.clock.now()).await?;
        let found = due.len();
        let mut begun = tokio::task::JoinSet::new();
        for one in due {
            let place = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                place = places.clone().acquire_owned() => place,
            };
            let (credentials, catalog) = (self.clone(), catalog.clone());
            begun.spawn(async move {
                credentials.refresh_one(&catalog, one).await;
                drop(place);
            });
        }
        while begun.join_next().await.is_some() {}
        Ok(found)
    }

    async fn refresh_one(self: &Arc<Self>, catalog: &Catalog, due: DueRefresh) {
        let connection = match self.store.connection_by_key(due.connection).await {
            Ok(Some(connection)) => connection,
            Ok(None) => return,
            Err(error) => {
                return tracing::warn!(%error, "a connection whose credential is due could not be read");
            }
        };
        // Without its manifest nobody knows the provider; it is due when the connector is back.
        let Some(manifest) = catalog.get(&connection.connector).and_then(|entry| entry.manifest.clone())
        else {
            return;
        };
        let flight = self.flights.of(connection.key);
        let _alone = flight.lock().await;
        match self.refresh(&connection, &manifest, due.version).await {
            Ok(()) => {}
            Err(error) if error.reason == Reason::CredentialRevoked => {
                tracing::warn!(connection = %connection.id, message = %error.message, "an account has to be connected again");
            }
            Err(error) => {
                tracing::info!(connection = %connection.id, message = %error.message, "a credential could not be refreshed; it is tried again");
            }
        }
    }
}
