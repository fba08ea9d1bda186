//! Authorizations under way in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Details, Ending, NewOAuthSession, OAuthSession, OAuthSessionStore, Standing, Taking};
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::secrets::{self, SecretsWrite};
use crate::store::sqlite::is_taken;
use crate::store::{ConnectionKey, Result, SqliteStore, StoreError};
use crate::vault::oauth_session_owner;

#[async_trait]
impl OAuthSessionStore for SqliteStore {
    async fn create_oauth_session(&self, new: NewOAuthSession) -> Result<()> {
        self.write(move |tx| {
            let session = new.session;
            let organization: Option<String> = tx
                .prepare_cached("SELECT organization FROM connections WHERE pk = ?1 AND deleting_at IS NULL")?
                .query_row([session.connection.0], |row| row.get(0))
                .optional()?;
            let organization = organization.ok_or(StoreError::Missing("connection"))?;
            let made = tx.execute(
                "INSERT INTO oauth_sessions (id, connection, details, created_at, expires_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    session.id,
                    session.connection.0,
                    to_json("details of an authorization", &session.details)?,
                    micros(session.created_at),
                    micros(session.expires_at)
                ],
            );
            made.map_err(
                |error| {
                    if is_taken(&error) { StoreError::Taken("oauth_session") } else { error.into() }
                },
            )?;
            let secrets = SecretsWrite::Replace(new.secrets);
            secrets::sqlite::write(tx, &organization, &oauth_session_owner(&session.id), &secrets)
        })
        .await
    }

    async fn take_oauth_session(&self, id: &str, now: DateTime<Utc>) -> Result<Taking> {
        let id = id.to_owned();
        self.write(move |tx| {
            let Some((Standing { session, taken, secrets }, organization)) = by_id(tx, &id)? else {
                return Ok(Taking::Unknown);
            };
            if taken {
                return Ok(Taking::Used);
            }
            if session.expires_at <= now {
                return Ok(Taking::Expired);
            }
            tx.prepare_cached("UPDATE oauth_sessions SET taken_at = ?1 WHERE id = ?2")?
                .execute(params![micros(now), id])?;
            secrets::sqlite::remove(tx, &organization, &oauth_session_owner(&id))?;
            Ok(Taking::Taken(Box::new(session), secrets))
        })
        .await
    }

    async fn oauth_session(&self, id: &str) -> Result<Option<Standing>> {
        let id = id.to_owned();
        self.read(move |tx| Ok(by_id(tx, &id)?.map(|(standing, _)| standing))).await
    }

    async fn finish_oauth_session(&self, id: &str, ending: Ending) -> Result<()> {
        let id = id.to_owned();
        self.write(move |tx| {
            let (standing, _) = by_id(tx, &id)?.ok_or(StoreError::Missing("oauth_session"))?;
            let before = standing.session.details;
            let details = Details { ending: before.ending.clone().or(Some(ending)), ..before };
            let details = to_json("details of an authorization", &details)?;
            tx.prepare_cached("UPDATE oauth_sessions SET details = ?1 WHERE id = ?2")?
                .execute(params![details, id])?;
            Ok(())
        })
        .await
    }

    async fn trim_oauth_sessions(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write(move |tx| {
            let sql = "SELECT s.id, c.organization FROM oauth_sessions s \
                 JOIN connections c ON c.pk = s.connection WHERE s.expires_at < ?1 ORDER BY s.expires_at LIMIT ?2";
            let ended = tx
                .prepare_cached(sql)?
                .query_map(params![micros(before), limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(String, String)>>>()?;
            for (id, organization) in &ended {
                remove(tx, id, organization)?;
            }
            Ok(ended.len() as u64)
        })
        .await
    }
}

/// Forgets the authorizations of a connection that is deleted.
pub(in crate::store) fn forget(tx: &Transaction<'_>, connection: ConnectionKey) -> Result<()> {
    let sql = "SELECT s.id, c.organization FROM oauth_sessions s \
         JOIN connections c ON c.pk = s.connection WHERE s.connection = ?1";
    let sessions = tx
        .prepare_cached(sql)?
        .query_map([connection.0], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(String, String)>>>()?;
    sessions.iter().try_for_each(|(id, organization)| remove(tx, id, organization))
}

/// It, and whose it is.
fn by_id(tx: &Transaction<'_>, id: &str) -> Result<Option<(Standing, String)>> {
    let found = tx
        .prepare_cached(
            "SELECT s.connection, s.details, s.created_at, s.expires_at, s.taken_at, c.organization \
             FROM oauth_sessions s JOIN connections c ON c.pk = s.connection WHERE s.id = ?1",
        )?
        .query_row([id], |row| {
            let times: (i64, i64, Option<i64>) = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, times, row.get::<_, String>(5)?))
        })
        .optional()?;
    let Some((connection, details, (created_at, expires_at, taken_at), organization)) = found else {
        return Ok(None);
    };
    let session = OAuthSession {
        id: id.to_owned(),
        connection: ConnectionKey(connection),
        details: from_json("details of an authorization", &details)?,
        created_at: time(created_at),
        expires_at: time(expires_at),
    };
    let secrets = secrets::sqlite::of(tx, &organization, &oauth_session_owner(id))?;
    Ok(Some((Standing { session, taken: taken_at.is_some(), secrets }, organization)))
}

fn remove(tx: &Transaction<'_>, id: &str, organization: &str) -> Result<()> {
    secrets::sqlite::remove(tx, organization, &oauth_session_owner(id))?;
    tx.prepare_cached("DELETE FROM oauth_sessions WHERE id = ?1")?.execute([id])?;
    Ok(())
}
