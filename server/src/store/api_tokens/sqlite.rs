//! API tokens in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Params, Row, Transaction, params};

use super::{ApiToken, ApiTokenStore, NewApiToken, TokenHash};
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::sqlite::is_taken;
use crate::store::{Listed, Result, SqliteStore, StoreError};

const COLUMNS: &str = "id, name, organization, permissions, created_at, expires_at, last_used_at, revoked_at";

#[async_trait]
impl ApiTokenStore for SqliteStore {
    async fn create_api_token(&self, new: NewApiToken, now: DateTime<Utc>) -> Result<ApiToken> {
        self.write(move |tx| {
            let made = tx.execute(
                "INSERT INTO api_tokens (id, name, hash, organization, permissions, created_at, expires_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    new.id,
                    new.name,
                    new.hash,
                    new.organization,
                    to_json("permissions", &new.permissions)?,
                    micros(now),
                    new.expires_at.map(micros),
                ],
            );
            made.map_err(
                |error| {
                    if is_taken(&error) { StoreError::Taken("api_token") } else { error.into() }
                },
            )?;
            find(tx, "id = ?1", [new.id])?.ok_or(StoreError::Missing("api_token"))
        })
        .await
    }

    async fn api_token_by_hash(&self, hash: TokenHash) -> Result<Option<ApiToken>> {
        self.read(move |tx| find(tx, "hash = ?1", [hash])).await
    }

    async fn api_tokens(
        &self,
        organization: Option<String>,
        after: &str,
        limit: usize,
    ) -> Result<Listed<ApiToken>> {
        let after = after.to_owned();
        self.read(move |tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM api_tokens WHERE id > ?1 AND (?2 IS NULL OR organization = ?2) \
                 ORDER BY id LIMIT ?3"
            );
            let rows = tx
                .prepare_cached(&sql)?
                .query_map(params![after, organization, limit as i64 + 1], read)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let tokens = rows.into_iter().collect::<Result<Vec<_>>>()?;
            Ok(Listed::cut(tokens, limit, |token| token.id.clone()))
        })
        .await
    }

    async fn revoke_api_token(&self, id: &str, now: DateTime<Utc>) -> Result<ApiToken> {
        let id = id.to_owned();
        self.write(move |tx| {
            tx.execute(
                "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, ?1) WHERE id = ?2",
                params![micros(now), id],
            )?;
            find(tx, "id = ?1", [id])?.ok_or(StoreError::Missing("api_token"))
        })
        .await
    }

    async fn note_api_tokens(&self, used: Vec<(String, DateTime<Utc>)>) -> Result<()> {
        self.write(move |tx| {
            let sql =
                "UPDATE api_tokens SET last_used_at = max(coalesce(last_used_at, ?1), ?1) WHERE id = ?2";
            let mut statement = tx.prepare_cached(sql)?;
            for (id, at) in &used {
                statement.execute(params![micros(*at), id])?;
            }
            Ok(())
        })
        .await
    }
}

fn find(tx: &Transaction<'_>, which: &str, value: impl Params) -> Result<Option<ApiToken>> {
    let sql = format!("SELECT {COLUMNS} FROM api_tokens WHERE {which}");
    tx.prepare_cached(&sql)?.query_row(value, read).optional()?.transpose()
}

/// Reads [`COLUMNS`].
fn read(row: &Row<'_>) -> rusqlite::Result<Result<ApiToken>> {
    let permissions = match from_json("permissions", &row.get::<_, String>(3)?) {
        Ok(permissions) => permissions,
        Err(error) => return Ok(Err(error)),
    };
    let optional = |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(time));
    Ok(Ok(ApiToken {
        id: row.get(0)?,
        name: row.get(1)?,
        organization: row.get(2)?,
        permissions,
        created_at: time(row.get(4)?),
        expires_at: optional(5)?,
        last_used_at: optional(6)?,
        revoked_at: optional(7)?,
    }))
}
