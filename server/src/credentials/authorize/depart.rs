//! The start page: the browser gets what binds the authorization to it, and goes to the provider.

use std::time::Duration;

use secrecy::SecretString;

use super::{Authorizations, Refusal, secret, session_id};
use crate::store::oauth_sessions::Standing;

/// What the start page gives a browser.
pub struct Departure {
    /// Where it goes.
    pub url: SecretString,
    /// What it has to show at the end.
    pub browser: SecretString,
    /// The name that it keeps that under.
    pub cookie: String,
    /// How long.
    pub lasts: Duration,
}

impl Authorizations {
    /// What the browser gets that opens the start page of this `state`. It may be opened again, as programs that look where
    /// links lead do.
    ///
    /// # Errors
    /// `Unknown`, `Used`, `Expired`, `Away`, `Here`.
    pub async fn depart(&self, state: &SecretString) -> Result<Departure, Refusal> {
        let id = session_id(state);
        let found = self.credentials.store.oauth_session(&id).await.map_err(Refusal::Away)?;
        let Standing { session, taken, secrets } = found.ok_or(Refusal::Unknown)?;
        if session.details.started_by.is_empty() {
            return Err(Refusal::Unknown);
        }
        let now = self.credentials.clock.now();
        if taken {
            return Err(Refusal::Used);
        }
        let lasts = (session.expires_at - now).to_std().ok().filter(|left| !left.is_zero());
        let lasts = lasts.ok_or(Refusal::Expired)?;
        let connection = self.connection_of(&session).await?;
        Ok(Departure {
            url: self.open(&connection, &id, &secrets, secret::URL).await?.ok_or(Refusal::Unknown)?,
            browser: self.open(&connection, &id, &secrets, secret::BROWSER).await?.ok_or(Refusal::Unknown)?,
            cookie: self.cookie(&id),
            lasts,
        })
    }
}
