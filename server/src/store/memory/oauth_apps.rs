//! OAuth apps in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Data, MemoryStore};
use crate::store::oauth_apps::{NewOAuthApp, OAuthApp, OAuthAppChange, OAuthAppStore};
use crate::store::secrets::{Secrets, SecretsWrite};
use crate::store::{Listed, Result, StoreError};
use crate::vault::oauth_app_owner;

#[async_trait]
impl OAuthAppStore for MemoryStore {
    async fn create_oauth_app(&self, new: NewOAuthApp, now: DateTime<Utc>) -> Result<OAuthApp> {
        self.write(|data| {
            let same =
                |app: &OAuthApp| app.organization == new.organization && app.connector == new.connector;
            if data.oauth_apps.contains_key(&new.id) || data.oauth_apps.values().any(same) {
                return Err(StoreError::Taken("oauth_app"));
            }
            let NewOAuthApp { id, organization, connector, client_id, secrets } = new;
            data.write_secrets(&organization, &oauth_app_owner(&id), SecretsWrite::Replace(secrets));
            let (created_at, updated_at) = (now, now);
            let app =
                OAuthApp { id, organization, connector, client_id, revision: 1, created_at, updated_at };
            data.oauth_apps.insert(app.id.clone(), app.clone());
            Ok(app)
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
        self.write(|data| {
            let app = data.oauth_apps.get_mut(id).ok_or(StoreError::Missing("oauth_app"))?;
            if revision.is_some_and(|revision| revision != app.revision) {
                return Err(StoreError::Conflict("oauth_app"));
            }
            app.client_id = change.client_id.unwrap_or_else(|| app.client_id.clone());
            (app.revision, app.updated_at) = (app.revision + 1, now);
            let app = app.clone();
            data.write_secrets(&app.organization, &oauth_app_owner(id), change.secrets);
            Ok(app)
        })
        .await
    }

    async fn oauth_app(&self, id: &str) -> Result<Option<(OAuthApp, Secrets)>> {
        self.read(|data| data.oauth_apps.get(id).map(|app| data.with_secrets(app))).await
    }

    async fn oauth_app_for(
        &self,
        organization: &str,
        connector: &str,
    ) -> Result<Option<(OAuthApp, Secrets)>> {
        self.read(|data| {
            let of = |organization: &str| {
                let is = |app: &&OAuthApp| app.organization == organization && app.connector == connector;
                data.oauth_apps.values().find(is)
            };
            of(organization).or_else(|| of("")).map(|app| data.with_secrets(app))
        })
        .await
    }

    async fn oauth_apps(
        &self,
        organization: Option<String>,
        after: &str,
        limit: usize,
    ) -> Result<Listed<OAuthApp>> {
        self.read(|data| {
            let of = |app: &&OAuthApp| {
                app.id.as_str() > after
                    && organization.as_ref().is_none_or(|owner| *owner == app.organization)
            };
            let apps = data.oauth_apps.values().filter(of).take(limit + 1).cloned().collect();
            Listed::cut(apps, limit, |app| app.id.clone())
        })
        .await
    }

    async fn remove_oauth_app(&self, id: &str) -> Result<bool> {
        self.write(|data| {
            let Some(app) = data.oauth_apps.remove(id) else { return Ok(false) };
            data.remove_secrets(&app.organization, &oauth_app_owner(id));
            Ok(true)
        })
        .await
    }
}

impl Data {
    fn with_secrets(&self, app: &OAuthApp) -> (OAuthApp, Secrets) {
        (app.clone(), self.secrets_of(&app.organization, &oauth_app_owner(&app.id)))
    }
}
