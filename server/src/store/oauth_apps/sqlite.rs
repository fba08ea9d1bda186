//! OAuth apps in SQLite.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{NewOAuthApp, OAuthApp, OAuthAppChange, OAuthAppStore};
use crate::store::columns::{micros, time};
use crate::store::secrets::{self, Secrets, SecretsWrite};
use crate::store::sqlite::is_taken;
use crate::store::{Listed, Result, SqliteStore, StoreError};
use crate::vault::oauth_app_owner;

const COLUMNS: &str = "id, organization, connector, client_id, revision, created_at, updated_at";

#[async_trait]
impl OAuthAppStore for SqliteStore {
    async fn create_oauth_app(&self, new: NewOAuthApp, now: DateTime<Utc>) -> Result<OAuthApp> {
        self.write(move |tx| {
            let made = tx.execute(
                "INSERT INTO oauth_apps (id, organization, connector, client_id, created_at, updated_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                params![new.id, new.organization, new.connector, new.client_id, micros(now)],
            );
            made.map_err(
                |error| {
                    if is_taken(&error) { StoreError::Taken("oauth_app") } else { error.into() }
                },
            )?;
            let secrets = SecretsWrite::Replace(new.secrets);
            secrets::sqlite::write(tx, &new.organization, &oauth_app_owner(&new.id), &secrets)?;
            by_id(tx, &new.id)?.ok_or(StoreError::Missing("oauth_app"))
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
        let id = id.to_owned();
        self.write(move |tx| {
            let app = by_id(tx, &id)?.ok_or(StoreError::Missing("oauth_app"))?;
            if revision.is_some_and(|revision| revision != app.revision) {
                return Err(StoreError::Conflict("oauth_app"));
            }
            let client_id = change.client_id.unwrap_or(app.client_id);
            tx.execute(
                "UPDATE oauth_apps SET client_id = ?1, revision = revision + 1, updated_at = ?2 WHERE id = ?3",
                params![client_id, micros(now), id],
            )?;
            secrets::sqlite::write(tx, &app.organization, &oauth_app_owner(&id), &change.secrets)?;
            by_id(tx, &id)?.ok_or(StoreError::Missing("oauth_app"))
        })
        .await
    }

    async fn oauth_app(&self, id: &str) -> Result<Option<(OAuthApp, Secrets)>> {
        let id = id.to_owned();
        self.read(move |tx| by_id(tx, &id)?.map(|app| with_secrets(tx, app)).transpose()).await
    }

    async fn oauth_app_for(
        &self,
        organization: &str,
        connector: &str,
    ) -> Result<Option<(OAuthApp, Secrets)>> {
        let (organization, connector) = (organization.to_owned(), connector.to_owned());
        self.read(move |tx| {
            // The empty name is the smaller one.
            let sql = format!(
                "SELECT {COLUMNS} FROM oauth_apps WHERE connector = ?1 AND organization IN (?2, '') \
                 ORDER BY organization DESC LIMIT 1"
            );
            let app = tx.prepare_cached(&sql)?.query_row([connector, organization], read).optional()?;
            app.map(|app| with_secrets(tx, app)).transpose()
        })
        .await
    }

    async fn oauth_apps(
        &self,
        organization: Option<String>,
        after: &str,
        limit: usize,
    ) -> Result<Listed<OAuthApp>> {
        let after = after.to_owned();
        self.read(move |tx| {
            let sql = format!(
                "SELECT {COLUMNS} FROM oauth_apps WHERE id > ?1 AND (?2 IS NULL OR organization = ?2) \
                 ORDER BY id LIMIT ?3"
            );
            let apps = tx
                .prepare_cached(&sql)?
                .query_map(params![after, organization, limit as i64 + 1], read)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(Listed::cut(apps, limit, |app| app.id.clone()))
        })
        .await
    }

    async fn remove_oauth_app(&self, id: &str) -> Result<bool> {
        let id = id.to_owned();
        self.write(move |tx| {
            let Some(app) = by_id(tx, &id)? else { return Ok(false) };
            secrets::sqlite::remove(tx, &app.organization, &oauth_app_owner(&id))?;
            tx.execute("DELETE FROM oauth_apps WHERE id = ?1", [id])?;
            Ok(true)
        })
        .await
    }
}

fn by_id(tx: &Transaction<'_>, id: &str) -> Result<Option<OAuthApp>> {
    let sql = format!("SELECT {COLUMNS} FROM oauth_apps WHERE id = ?1");
    Ok(tx.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

fn with_secrets(tx: &Transaction<'_>, app: OAuthApp) -> Result<(OAuthApp, Secrets)> {
    let secrets = secrets::sqlite::of(tx, &app.organization, &oauth_app_owner(&app.id))?;
    Ok((app, secrets))
}

/// Reads [`COLUMNS`].
fn read(row: &Row<'_>) -> rusqlite::Result<OAuthApp> {
    Ok(OAuthApp {
        id: row.get(0)?,
        organization: row.get(1)?,
        connector: row.get(2)?,
        client_id: row.get(3)?,
        revision: row.get(4)?,
        created_at: time(row.get(5)?),
        updated_at: time(row.get(6)?),
    })
}
