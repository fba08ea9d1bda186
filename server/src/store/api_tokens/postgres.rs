//! API tokens in PostgreSQL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{ApiToken, ApiTokenStore, NewApiToken, TokenHash};
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::postgres::{Failure, Plain, Text};
use crate::store::{Listed, PostgresStore, Result, StoreError};

const COLUMNS: &str = "id, name, organization, permissions, created_at, expires_at, last_used_at, revoked_at";

#[async_trait]
impl ApiTokenStore for PostgresStore {
    async fn create_api_token(&self, new: NewApiToken, now: DateTime<Utc>) -> Result<ApiToken> {
        self.write((new, micros(now)), |tx, (new, now)| {
            Box::pin(async move {
                let sql = format!(
                    "INSERT INTO api_tokens (id, name, hash, organization, permissions, created_at, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {COLUMNS}"
                );
                let (id, name, organization) = (Text(&new.id), Text(&new.name), Text(&new.organization));
                let permissions = to_json("permissions", &new.permissions)?;
                let (hash, expires_at) = (new.hash.as_slice(), new.expires_at.map(micros));
                let made = tx
                    .query_one(&sql, &[&id, &name, &hash, &organization, &permissions, now, &expires_at])
                    .await;
                let made = made.map_err(|failure: Failure| match failure.is_taken() {
                    true => StoreError::Taken("api_token").into(),
                    false => failure,
                })?;
                Ok(read(&made)?)
            })
        })
        .await
    }

    async fn api_token_by_hash(&self, hash: TokenHash) -> Result<Option<ApiToken>> {
        self.single(hash, |tx, hash| {
            Box::pin(async move {
                let sql = format!("SELECT {COLUMNS} FROM api_tokens WHERE hash = $1");
                let found = tx.query_opt(&sql, &[&hash.as_slice()]).await?;
                Ok(found.as_ref().map(read).transpose()?)
            })
        })
        .await
    }

    async fn api_tokens(
        &self,
        organization: Option<String>,
        after: &str,
        limit: usize,
    ) -> Result<Listed<ApiToken>> {
        self.single((organization, after.to_owned(), limit), |tx, (organization, after, limit)| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT {COLUMNS} FROM api_tokens WHERE id > $1 AND ($2::text IS NULL OR organization = $2) \
                     ORDER BY id LIMIT $3"
                );
                let organization = organization.as_deref().map(Text);
                let rows = tx.query(&sql, &[&Text(after), &organization, &(*limit as i64 + 1)]).await?;
                let tokens = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
                Ok(Listed::cut(tokens, *limit, |token| token.id.clone()))
            })
        })
        .await
    }

    async fn revoke_api_token(&self, id: &str, now: DateTime<Utc>) -> Result<ApiToken> {
        self.write((id.to_owned(), micros(now)), |tx, (id, now)| {
            Box::pin(async move {
                let sql = format!(
                    "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, $1) WHERE id = $2 RETURNING {COLUMNS}"
                );
                let revoked = tx.query_opt(&sql, &[now, &Text(id)]).await?;
                Ok(read(&revoked.ok_or(StoreError::Missing("api_token"))?)?)
            })
        })
        .await
    }

    async fn note_api_tokens(&self, mut used: Vec<(String, DateTime<Utc>)>) -> Result<()> {
        // In one order everywhere: replicas that note the same tokens wait for each other in turn.
        used.sort_unstable();
        self.write(used, |tx, used| {
            Box::pin(async move {
                let ids: Vec<Text<'_>> = used.iter().map(|(id, _)| Text(id)).collect();
                let times: Vec<i64> = used.iter().map(|(_, at)| micros(*at)).collect();
                let sql = "UPDATE api_tokens t SET last_used_at = greatest(t.last_used_at, u.at) FROM (SELECT id, at \
                     FROM unnest($1::text[], $2::bigint[]) AS u(id, at)) AS u WHERE t.id = u.id";
                tx.execute(sql, &[&ids, &times]).await?;
                Ok(())
            })
        })
        .await
    }
}

/// Reads [`COLUMNS`].
fn read(row: &Row) -> Result<ApiToken> {
    let text = |column: usize| row.get::<_, Plain>(column).0;
    let optional = |column: usize| row.get::<_, Option<i64>>(column).map(time);
    Ok(ApiToken {
        id: text(0),
        name: text(1),
        organization: text(2),
        permissions: from_json("permissions", row.get(3))?,
        created_at: time(row.get(4)),
        expires_at: optional(5),
        last_used_at: optional(6),
        revoked_at: optional(7),
    })
}
