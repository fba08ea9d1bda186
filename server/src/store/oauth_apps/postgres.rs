//! OAuth apps in PostgreSQL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{NewOAuthApp, OAuthApp, OAuthAppChange, OAuthAppStore};
use crate::store::columns::{micros, time};
use crate::store::postgres::{Failure, Outcome, Plain, Text, Tx};
use crate::store::secrets::{self, Secrets, SecretsWrite};
use crate::store::{Listed, PostgresStore, Result, StoreError};
use crate::vault::oauth_app_owner;

const COLUMNS: &str = "id, organization, connector, client_id, revision, created_at, updated_at";

#[async_trait]
impl OAuthAppStore for PostgresStore {
    async fn create_oauth_app(&self, new: NewOAuthApp, now: DateTime<Utc>) -> Result<OAuthApp> {
        let NewOAuthApp { id, organization, connector, client_id, secrets } = new;
        let app = OAuthApp {
            id,
            organization,
            connector,
            client_id,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        self.write((app, SecretsWrite::Replace(secrets)), |tx, (app, secrets)| {
            Box::pin(async move {
                let sql = format!(
                    "INSERT INTO oauth_apps (id, organization, connector, client_id, created_at, updated_at) \
                     VALUES ($1, $2, $3, $4, $5, $5) RETURNING {COLUMNS}"
                );
                let (organization, connector) = (Text(&app.organization), Text(&app.connector));
                let made = tx
                    .query_one(
                        &sql,
                        &[
                            &Text(&app.id),
                            &organization,
                            &connector,
                            &Text(&app.client_id),
                            &micros(app.created_at),
                        ],
                    )
                    .await;
                let made = made.map_err(|failure: Failure| match failure.is_taken() {
                    true => StoreError::Taken("oauth_app").into(),
                    false => failure,
                })?;
                secrets::postgres::write(tx, &app.organization, &oauth_app_owner(&app.id), secrets).await?;
                Ok(read(&made))
            })
        })
        .await
    }

    async fn update_oauth_app(
        &self,
        id: &str,
        revision: Option<i64>,
        change: OAuthAppChange,
        now: DateTime<Utc>,
    ) -> Result<OAuthApp> {
        self.write((id.to_owned(), revision, change, micros(now)), |tx, (id, revision, change, now)| {
            Box::pin(async move {
                let app =
                    by_id(tx, id, "FOR NO KEY UPDATE").await?.ok_or(StoreError::Missing("oauth_app"))?;
                if revision.is_some_and(|revision| revision != app.revision) {
                    return Err(StoreError::Conflict("oauth_app").into());
                }
                let sql = format!(
                    "UPDATE oauth_apps SET client_id = coalesce($1, client_id), revision = revision + 1, \
                     updated_at = $2 WHERE id = $3 RETURNING {COLUMNS}"
                );
                let client_id = change.client_id.as_deref().map(Text);
                let updated = tx.query_one(&sql, &[&client_id, now, &Text(id)]).await?;
                secrets::postgres::write(tx, &app.organization, &oauth_app_owner(id), &change.secrets)
                    .await?;
                Ok(read(&updated))
            })
        })
        .await
    }

    async fn oauth_app(&self, id: &str) -> Result<Option<(OAuthApp, Secrets)>> {
        self.read(id.to_owned(), |tx, id| {
            Box::pin(async move {
                let app = by_id(tx, id, "").await?;
                with_secrets(tx, app).await
            })
        })
        .await
    }

    async fn oauth_app_for(
        &self,
        organization: &str,
        connector: &str,
    ) -> Result<Option<(OAuthApp, Secrets)>> {
        self.read((organization.to_owned(), connector.to_owned()), |tx, (organization, connector)| {
            Box::pin(async move {
                // The empty name is the smaller one.
                let sql = format!(
                    "SELECT {COLUMNS} FROM oauth_apps WHERE connector = $1 AND organization IN ($2, '') \
                     ORDER BY organization DESC LIMIT 1"
                );
                let app = tx.query_opt(&sql, &[&Text(connector), &Text(organization)]).await?;
                with_secrets(tx, app.as_ref().map(read)).await
            })
        })
        .await
    }

    async fn oauth_apps(
        &self,
        organization: Option<String>,
        after: &str,
        limit: usize,
    ) -> Result<Listed<OAuthApp>> {
        self.single((organization, after.to_owned(), limit), |tx, (organization, after, limit)| {
            Box::pin(async move {
                let sql = format!(
                    "SELECT {COLUMNS} FROM oauth_apps WHERE id > $1 AND ($2::text IS NULL OR organization = $2) \
                     ORDER BY id LIMIT $3"
                );
                let organization = organization.as_deref().map(Text);
                let rows = tx.query(&sql, &[&Text(after), &organization, &(*limit as i64 + 1)]).await?;
                Ok(Listed::cut(rows.iter().map(read).collect(), *limit, |app| app.id.clone()))
            })
        })
        .await
    }

    async fn remove_oauth_app(&self, id: &str) -> Result<bool> {
        self.write(id.to_owned(), |tx, id| {
            Box::pin(async move {
                let sql = "DELETE FROM oauth_apps WHERE id = $1 RETURNING organization";
                let Some(row) = tx.query_opt(sql, &[&Text(id)]).await? else { return Ok(false) };
                secrets::postgres::remove(tx, &row.get::<_, Plain>(0).0, &oauth_app_owner(id)).await?;
                Ok(true)
            })
        })
        .await
    }
}

async fn by_id(tx: &Tx, id: &str, lock: &str) -> Outcome<Option<OAuthApp>> {
    let sql = format!("SELECT {COLUMNS} FROM oauth_apps WHERE id = $1 {lock}");
    Ok(tx.query_opt(&sql, &[&Text(id)]).await?.as_ref().map(read))
}

async fn with_secrets(tx: &Tx, app: Option<OAuthApp>) -> Outcome<Option<(OAuthApp, Secrets)>> {
    let Some(app) = app else { return Ok(None) };
    let secrets = secrets::postgres::of(tx, &app.organization, &oauth_app_owner(&app.id)).await?;
    Ok(Some((app, secrets)))
}

/// Reads [`COLUMNS`].
fn read(row: &Row) -> OAuthApp {
    let text = |column| row.get::<_, Plain>(column).0;
    OAuthApp {
        id: text(0),
        organization: text(1),
        connector: text(2),
        client_id: text(3),
        revision: row.get(4),
        created_at: time(row.get(5)),
        updated_at: time(row.get(6)),
    }
}
