//! Refreshes ahead of time what is due: so that no run waits for it, and no grant dies of not being used.

use std::sync::Arc;
use std::time::Duration;

use superfasttt_proto::connector::v1::Reason;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::refresh::later;
use super::{Credentials, as_it_is};
use crate::store::StoreError;
use crate::store::credentials::{CredentialPut, DueRefresh};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// How long it waits where there is more: what keeps the store from being written must not be asked for without a pause.
const AGAIN: Duration = Duration::from_millis(50);
/// Credentials that are looked for at once.
const BATCH: usize = 500;
/// Refreshes of one process at the same time: most of the time they wait for a provider.
const AT_ONCE: usize = 64;

impl Credentials {
    /// Refreshes what is due until `stop`, and then ends what it has begun.
    pub async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while !stop.is_cancelled() {
            let pause = match self.refresh_due(&places, &stop).await {
                Ok(BATCH) => AGAIN,
                Ok(_) => EVERY,
                Err(error) => {
                    tracing::warn!(%error, "credentials that are due could not be read; trying again");
                    EVERY
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Refreshes one batch, and waits for all of it: what is due is then another.
    async fn refresh_due(
        self: &Arc<Self>,
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
            let credentials = self.clone();
            begun.spawn(async move {
                credentials.refresh_one(one).await;
                drop(place);
            });
        }
        while begun.join_next().await.is_some() {}
        Ok(found)
    }

    async fn refresh_one(self: &Arc<Self>, due: DueRefresh) {
        let connection = match self.store.connection_by_key(due.connection).await {
            Ok(Some(connection)) => connection,
            Ok(None) => return,
            Err(error) => {
                return tracing::warn!(%error, "a connection whose credential is due could not be read");
            }
        };
        let Ok(manifest) = self.manifest(&connection) else {
            // Without its manifest nobody knows the provider. Those behind it must not wait for that.
            let put_off = self.change(&connection, |found| {
                let found = found.filter(|found| found.version == due.version);
                let refresh_at = Some(later(self.clock.now()));
                Ok(found.map(|found| CredentialPut { refresh_at, ..as_it_is(found) }))
            });
            if let Err(error) = put_off.await {
                tracing::warn!(connection = %connection.id, %error, "a refresh could not be put off");
            }
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
