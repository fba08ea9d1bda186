//! Authorizations under way in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Data, MemoryStore};
use crate::store::oauth_sessions::{
    Ending, NewOAuthSession, OAuthSession, OAuthSessionStore, Standing, Taking,
};
use crate::store::secrets::SecretsWrite;
use crate::store::{ConnectionKey, Result, StoreError};
use crate::vault::oauth_session_owner;

/// An authorization, whose it is, and whether there was an answer.
#[derive(Debug)]
pub(super) struct SessionRow {
    session: OAuthSession,
    organization: String,
    taken: bool,
}

#[async_trait]
impl OAuthSessionStore for MemoryStore {
    async fn create_oauth_session(&self, new: NewOAuthSession) -> Result<()> {
        self.write(|data| {
            let NewOAuthSession { session, secrets } = new;
            let stays = data.present().find(|row| row.key == session.connection && row.deleting_at.is_none());
            let organization = stays.ok_or(StoreError::Missing("connection"))?.organization.clone();
            if data.oauth_sessions.contains_key(&session.id) {
                return Err(StoreError::Taken("oauth_session"));
            }
            let owner = oauth_session_owner(&session.id);
            data.write_secrets(&organization, &owner, SecretsWrite::Replace(secrets));
            let id = session.id.clone();
            data.oauth_sessions.insert(id, SessionRow { session, organization, taken: false });
            Ok(())
        })
        .await
    }

    async fn take_oauth_session(&self, id: &str, now: DateTime<Utc>) -> Result<Taking> {
        self.write(|data| {
            let Some(row) = data.oauth_sessions.get_mut(id) else { return Ok(Taking::Unknown) };
            if row.taken {
                return Ok(Taking::Used);
            }
            if row.session.expires_at <= now {
                return Ok(Taking::Expired);
            }
            row.taken = true;
            let (session, organization) = (row.session.clone(), row.organization.clone());
            let owner = oauth_session_owner(id);
            let secrets = data.secrets_of(&organization, &owner);
            data.remove_secrets(&organization, &owner);
            Ok(Taking::Taken(Box::new(session), secrets))
        })
        .await
    }

    async fn oauth_session(&self, id: &str) -> Result<Option<Standing>> {
        self.read(|data| {
            data.oauth_sessions.get(id).map(|row| Standing {
                session: row.session.clone(),
                taken: row.taken,
                secrets: data.secrets_of(&row.organization, &oauth_session_owner(id)),
            })
        })
        .await
    }

    async fn finish_oauth_session(&self, id: &str, ending: Ending) -> Result<()> {
        self.write(|data| {
            let row = data.oauth_sessions.get_mut(id).ok_or(StoreError::Missing("oauth_session"))?;
            row.session.details.ending.get_or_insert(ending);
            Ok(())
        })
        .await
    }

    async fn trim_oauth_sessions(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write(|data| {
            let mut ended: Vec<_> = data
                .oauth_sessions
                .values()
                .filter(|row| row.session.expires_at < before)
                .map(|row| (row.session.expires_at, row.session.id.clone()))
                .collect();
            ended.sort();
            ended.truncate(limit);
            let trimmed = ended.len() as u64;
            data.remove_sessions(ended.into_iter().map(|(_, id)| id).collect());
            Ok(trimmed)
        })
        .await
    }
}

impl Data {
    /// Forgets the authorizations of a connection that is deleted.
    pub(super) fn forget_sessions(&mut self, connection: ConnectionKey) {
        let of = self.oauth_sessions.values().filter(|row| row.session.connection == connection);
        let ids = of.map(|row| row.session.id.clone()).collect();
        self.remove_sessions(ids);
    }

    fn remove_sessions(&mut self, ids: Vec<String>) {
        for id in ids {
            if let Some(row) = self.oauth_sessions.remove(&id) {
                self.remove_secrets(&row.organization, &oauth_session_owner(&id));
            }
        }
    }
}
