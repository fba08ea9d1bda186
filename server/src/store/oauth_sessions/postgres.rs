//! Authorizations under way in PostgreSQL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{Details, Ending, NewOAuthSession, OAuthSession, OAuthSessionStore, Standing, Taking};
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::postgres::{Failure, Outcome, Plain, Text, Tx};
use crate::store::secrets::{self, SecretsWrite};
use crate::store::{ConnectionKey, PostgresStore, Result, StoreError};
use crate::vault::oauth_session_owner;

#[async_trait]
impl OAuthSessionStore for PostgresStore {
    async fn create_oauth_session(&self, new: NewOAuthSession) -> Result<()> {
        let NewOAuthSession { session, secrets } = new;
        self.write((session, SecretsWrite::Replace(secrets)), |tx, (session, secrets)| {
            Box::pin(async move {
                // The end of a deletion, which removes all sessions, waits for this one.
                let sql = "SELECT organization FROM connections WHERE pk = $1 AND deleting_at IS NULL \
                     FOR NO KEY UPDATE";
                let row = tx.query_opt(sql, &[&session.connection.0]).await?;
                let organization = row.ok_or(StoreError::Missing("connection"))?.get::<_, Plain>(0).0;
                let details = to_json("details of an authorization", &session.details)?;
                let (created_at, expires_at) = (micros(session.created_at), micros(session.expires_at));
                let sql = "INSERT INTO oauth_sessions (id, connection, details, created_at, expires_at) \
                     VALUES ($1, $2, $3, $4, $5)";
                let id = Text(&session.id);
                let made = tx
                    .execute(sql, &[&id, &session.connection.0, &Text(&details), &created_at, &expires_at])
                    .await;
                made.map_err(|failure: Failure| match failure.is_taken() {
                    true => StoreError::Taken("oauth_session").into(),
                    false => failure,
                })?;
                secrets::postgres::write(tx, &organization, &oauth_session_owner(&session.id), secrets).await
            })
        })
        .await
    }

    async fn take_oauth_session(&self, id: &str, now: DateTime<Utc>) -> Result<Taking> {
        self.write((id.to_owned(), now), |tx, (id, now)| {
            Box::pin(async move {
                let found = by_id(tx, id, "FOR UPDATE OF s").await?;
                let Some((Standing { session, taken, secrets }, organization)) = found else {
                    return Ok(Taking::Unknown);
                };
                if taken {
                    return Ok(Taking::Used);
                }
                if session.expires_at <= *now {
                    return Ok(Taking::Expired);
                }
                let sql = "UPDATE oauth_sessions SET taken_at = $1 WHERE id = $2";
                tx.execute(sql, &[&micros(*now), &Text(id)]).await?;
                secrets::postgres::remove(tx, &organization, &oauth_session_owner(id)).await?;
                Ok(Taking::Taken(Box::new(session), secrets))
            })
        })
        .await
    }

    async fn oauth_session(&self, id: &str) -> Result<Option<Standing>> {
        self.read(id.to_owned(), |tx, id| {
            Box::pin(async move { Ok(by_id(tx, id, "").await?.map(|(standing, _)| standing)) })
        })
        .await
    }

    async fn finish_oauth_session(&self, id: &str, ending: Ending) -> Result<()> {
        self.write((id.to_owned(), ending), |tx, (id, ending)| {
            Box::pin(async move {
                let found = by_id(tx, id, "FOR UPDATE OF s").await?;
                let (standing, _) = found.ok_or(StoreError::Missing("oauth_session"))?;
                let before = standing.session.details;
                let details = Details { ending: before.ending.clone().or(Some(ending.clone())), ..before };
                let details = to_json("details of an authorization", &details)?;
                let sql = "UPDATE oauth_sessions SET details = $1 WHERE id = $2";
                tx.execute(sql, &[&Text(&details), &Text(id)]).await?;
                Ok(())
            })
        })
        .await
    }

    async fn trim_oauth_sessions(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write((micros(before), limit as i64), |tx, (before, limit)| {
            Box::pin(async move {
                let sql = "SELECT s.id, c.organization FROM oauth_sessions s \
                     JOIN connections c ON c.pk = s.connection WHERE s.expires_at < $1 \
                     ORDER BY s.expires_at LIMIT $2 FOR UPDATE OF s SKIP LOCKED";
                let ended = tx.query(sql, &[before, limit]).await?;
                remove(tx, &ended).await?;
                Ok(ended.len() as u64)
            })
        })
        .await
    }
}

/// Forgets the authorizations of a connection that is deleted.
pub(in crate::store) async fn forget(tx: &Tx, connection: ConnectionKey) -> Outcome<()> {
    let sql = "SELECT s.id, c.organization FROM oauth_sessions s \
         JOIN connections c ON c.pk = s.connection WHERE s.connection = $1 FOR UPDATE OF s";
    let sessions = tx.query(sql, &[&connection.0]).await?;
    remove(tx, &sessions).await
}

/// It, and whose it is.
async fn by_id(tx: &Tx, id: &str, lock: &str) -> Outcome<Option<(Standing, String)>> {
    let sql = format!(
        "SELECT s.connection, s.details, s.created_at, s.expires_at, s.taken_at, c.organization \
         FROM oauth_sessions s JOIN connections c ON c.pk = s.connection WHERE s.id = $1 {lock}"
    );
    let Some(row) = tx.query_opt(&sql, &[&Text(id)]).await? else { return Ok(None) };
    let session = OAuthSession {
        id: id.to_owned(),
        connection: ConnectionKey(row.get(0)),
        details: from_json("details of an authorization", &row.get::<_, Plain>(1).0)?,
        created_at: time(row.get(2)),
        expires_at: time(row.get(3)),
    };
    let organization = row.get::<_, Plain>(5).0;
    let secrets = secrets::postgres::of(tx, &organization, &oauth_session_owner(id)).await?;
    Ok(Some((Standing { session, taken: row.get::<_, Option<i64>>(4).is_some(), secrets }, organization)))
}

/// Removes the sessions of these rows of id and organisation.
async fn remove(tx: &Tx, rows: &[Row]) -> Outcome<()> {
    fn texts(list: &[String]) -> Vec<Text<'_>> {
        list.iter().map(|text| Text(text)).collect()
    }
    let ids: Vec<String> = rows.iter().map(|row| row.get::<_, Plain>(0).0).collect();
    let organizations: Vec<String> = rows.iter().map(|row| row.get::<_, Plain>(1).0).collect();
    let owners: Vec<String> = ids.iter().map(|id| oauth_session_owner(id)).collect();
    let sql = "DELETE FROM secrets s USING unnest($1::text[], $2::text[]) AS u(organization, owner) \
         WHERE s.organization = u.organization AND s.owner = u.owner";
    tx.execute(sql, &[&texts(&organizations), &texts(&owners)]).await?;
    tx.execute("DELETE FROM oauth_sessions WHERE id = ANY($1)", &[&texts(&ids)]).await?;
    Ok(())
}
