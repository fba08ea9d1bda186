//! Refreshes ahead of time what is due: so that no run waits for it, and no grant dies of not being used.

use std::sync::Arc;
use std::time::Duration;

use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::refresh::later;
use super::{Credentials, as_it_is};
use crate::store::StoreError;
use crate::store::connections::Connection;
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
        let flight = self.flights.of(connection.key);
        let _alone = flight.lock().await;
        let standing = async {
            let manifest = self.manifest(&connection)?;
            let stored = self.stored(&connection, &manifest).await?;
            Ok::<_, ConnectorError>((manifest, stored))
        };
        let Ok((manifest, (credential, secrets))) = standing.await else {
            // Without its manifest, or by one that asks for something else now, nobody knows how. Those behind it must not
            // wait for that.
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
        let done = if self.renews(&credential, &secrets, &manifest) {
            self.refresh(&connection, &manifest, due.version).await
        } else {
            self.let_it_end(&connection, due.version).await
        };
        match done {
            Ok(()) => {}
            Err(error) if error.reason == Reason::CredentialRevoked => {
                tracing::warn!(connection = %connection.id, message = %error.message, "an account has to be connected again");
            }
            Err(error) => {
                tracing::info!(connection = %connection.id, message = %error.message, "a credential could not be refreshed; it is tried again");
            }
        }
    }

    /// There is nothing to renew it with: it is looked at again when it ends, and then a person is told.
    async fn let_it_end(&self, connection: &Connection, version: i64) -> Result<(), ConnectorError> {
        let mut ended = None;
        let now = self.clock.now();
        self.change(connection, |found| {
            let found = found.filter(|found| found.version == version);
            ended = found.filter(|found| found.expires_at.is_some_and(|at| at <= now)).cloned();
            let waits = found.filter(|_| ended.is_none());
            Ok(waits.map(|found| CredentialPut { refresh_at: found.expires_at, ..as_it_is(found) }))
        })
        .await?;
        match ended {
            Some(credential) => Err(self.ended(connection, &credential).await),
            None => Ok(()),
        }
    }
}
