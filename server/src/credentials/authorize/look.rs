//! How an authorization stands, for whoever waits for its end: whichever replica that came to, the store is what they share.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use super::{Authorizations, session_id};
use crate::chance::between;
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::oauth_sessions::Standing;

/// How often an authorization is looked at by who waits for its end, and how long that may be.
const LOOK: Duration = Duration::from_millis(400);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How an authorization stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody came back yet, or the answer is being worked on.
    Pending,
    /// The account is connected.
    Succeeded,
    /// It is not, and why.
    Failed(String),
    /// Nobody came back in time, and what may be the cause.
    Expired(String),
}

impl Authorizations {
    /// Of which connection the authorization of this `state` is. `None`: there is none, or it ended long ago.
    ///
    /// # Errors
    /// Where the store is away.
    pub async fn of_state(&self, state: &SecretString) -> Result<Option<Connection>, StoreError> {
        self.of_id(&session_id(state)).await
    }

    /// Of which connection the authorization of this id is. `None`: there is none, or it ended long ago.
    ///
    /// # Errors
    /// Where the store is away.
    pub async fn of_id(&self, id: &str) -> Result<Option<Connection>, StoreError> {
        let store = &self.credentials.store;
        match store.oauth_session(id).await? {
            Some(standing) => store.connection_by_key(standing.session.connection).await,
            None => Ok(None),
        }
    }

    /// How it stands. Waits for its end so long at most. `None`: there is none, or it ended long ago.
    ///
    /// # Errors
    /// Where the store is away.
    pub async fn look(&self, id: &str, wait: Duration) -> Result<Option<Look>, StoreError> {
        let until = Instant::now() + wait.min(LONGEST_WAIT);
        loop {
            let Some(standing) = self.credentials.store.oauth_session(id).await? else { return Ok(None) };
            let look = self.judge(&standing);
            let left = until.saturating_duration_since(Instant::now());
            if look != Look::Pending || left.is_zero() || self.stopping.is_cancelled() {
                return Ok(Some(look));
            }
            // It is not told of its end: that may come to another replica, and the store is what they share.
            tokio::select! {
                () = tokio::time::sleep(LOOK.mul_f64(between(0.8..=1.2)).min(left)) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    fn judge(&self, standing: &Standing) -> Look {
        match &standing.session.details.ending {
            Some(ending) if ending.succeeded => return Look::Succeeded,
            Some(ending) => return Look::Failed(ending.message.clone()),
            None => {}
        }
        if self.credentials.clock.now() < standing.session.expires_at {
            return Look::Pending;
        }
        if standing.taken {
            let message = "the server stopped while it asked the provider for access: connect again";
            return Look::Failed(message.to_owned());
        }
        let mut message = "nobody came back from the provider within ten minutes: connect again".to_owned();
        if self.public_url.is_loopback() && !standing.session.details.started_by.is_empty() {
            message = format!(
                "{message}, in a browser on the machine of the server, or have an administrator set server.public_url: \
                 {} is reached from nowhere else",
                self.public_url
            );
        }
        Look::Expired(message)
    }
}
