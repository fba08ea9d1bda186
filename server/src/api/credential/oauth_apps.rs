//! OAuth apps: what the installation, or an organisation of its own, is known to a provider by. A secret goes in and never
//! comes out.

use secrecy::SecretString;
use superfasttt_proto::control::v1::{
    CreateOAuthAppResponse, DeleteOAuthAppResponse, GetOAuthAppResponse, ListOAuthAppsRequest,
    ListOAuthAppsResponse, OAuthApp, UpdateOAuthAppResponse,
};

use crate::access::Caller;
use crate::api::bounds::within;
use crate::api::connection::{check_organization, revision};
use crate::api::error::ApiError;
use crate::api::{Api, convert, page};
use crate::catalog::{AuthKind, Manifest};
use crate::chance::new_id;
use crate::credentials::{AppSecretError, field};
use crate::store::StoreError;
use crate::store::oauth_apps::{self, NewOAuthApp, OAuthAppChange};
use crate::store::secrets::{Secrets, SecretsWrite};

const MAX_CLIENT_ID_BYTES: usize = 512;

impl Api {
    /// Without an organisation it is the caller's, and of one who sees all of them the installation's.
    pub(super) async fn create_oauth_app(
        &self,
        caller: &Caller,
        asked: OAuthApp,
    ) -> Result<CreateOAuthAppResponse, ApiError> {
        let asked = OAuthApp { organization: within(caller, &asked.organization)?, ..asked };
        let mut faults = Vec::new();
        if !asked.organization.is_empty() {
            check_organization("oauth_app.organization", &asked.organization, &mut faults);
        }
        check_client_id(&asked.client_id, &mut faults);
        let manifest = match self.manifest_of_provider(&asked.connector) {
            Ok(manifest) => Some(manifest),
            Err(fault) => {
                faults.push(("oauth_app.connector".to_owned(), fault));
                None
            }
        };
        let id = new_id();
        let secret = SecretString::from(asked.client_secret);
        let mut secrets = Secrets::new();
        if let Some(manifest) = &manifest {
            match self.credentials.seal_app_secret(manifest, (&asked.organization, &id), &secret) {
                Ok(sealed) => secrets = sealed,
                Err(AppSecretError::Wrong(fault)) => {
                    faults.push(("oauth_app.client_secret".to_owned(), fault))
                }
                Err(AppSecretError::Vault(error)) => return Err(ApiError::Precondition(error.to_string())),
            }
        }
        if !faults.is_empty() {
            return Err(ApiError::Invalid(faults));
        }
        let has_secret = !secrets.is_empty();
        caller.concerns_any("oauth_app", &id, &asked.organization);
        let (connector, organization) = (asked.connector.clone(), asked.organization.clone());
        let new = NewOAuthApp { id, organization, connector, client_id: asked.client_id, secrets };
        let made = self.store.create_oauth_app(new, self.clock.now()).await.map_err(|error| match error {
            StoreError::Taken(_) => {
                let whose = match asked.organization.as_str() {
                    "" => "the installation".to_owned(),
                    organization => format!("the organization {organization:?}"),
                };
                ApiError::Taken(format!(
                    "{whose} has an OAuth app for the connector {:?} already: update it, or delete it first",
                    asked.connector
                ))
            }
            error => error.into(),
        })?;
        Ok(CreateOAuthAppResponse { oauth_app: Some(self.show_oauth_app(made, has_secret)) })
    }

    pub(super) async fn get_oauth_app(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<GetOAuthAppResponse, ApiError> {
        let (found, secrets) = self.oauth_app(caller, id, "oauth_app").await?;
        let has_secret = secrets.contains_key(field::CLIENT_SECRET);
        Ok(GetOAuthAppResponse { oauth_app: Some(self.show_oauth_app(found, has_secret)) })
    }

    pub(super) async fn list_oauth_apps(
        &self,
        caller: &Caller,
        request: ListOAuthAppsRequest,
    ) -> Result<ListOAuthAppsResponse, ApiError> {
        let limit = page::size(request.page_size)?;
        let organization = within(caller, &request.organization)?;
        let filters = ["oauth_apps", organization.as_str()];
        let after = page::key(&filters, &request.page_token)?.unwrap_or_default();
        let owner = (!organization.is_empty()).then(|| organization.clone());
        let listed = self.store.oauth_apps(owner, &after, limit).await?;
        let mut oauth_apps = Vec::with_capacity(listed.items.len());
        for app in listed.items {
            // One that was deleted since is left out.
            let Some((app, secrets)) = self.store.oauth_app(&app.id).await? else { continue };
            oauth_apps.push(self.show_oauth_app(app, secrets.contains_key(field::CLIENT_SECRET)));
        }
        let next_page_token = listed.next.map(|key| page::token(&filters, &key)).unwrap_or_default();
        Ok(ListOAuthAppsResponse { oauth_apps, next_page_token })
    }

    pub(super) async fn update_oauth_app(
        &self,
        caller: &Caller,
        asked: OAuthApp,
    ) -> Result<UpdateOAuthAppResponse, ApiError> {
        let (found, before) = self.oauth_app(caller, &asked.id, "oauth_app.id").await?;
        let mut faults = Vec::new();
        for (field, asked, found) in [
            ("oauth_app.organization", &asked.organization, &found.organization),
            ("oauth_app.connector", &asked.connector, &found.connector),
        ] {
            if !asked.is_empty() && asked != found {
                let fault = format!("cannot be changed: it is {found:?}. Create another OAuth app");
                faults.push((field.to_owned(), fault));
            }
        }
        if !asked.client_id.is_empty() {
            check_client_id(&asked.client_id, &mut faults);
        }
        if asked.client_id.is_empty() && asked.client_secret.is_empty() {
            let fault = "nothing is to be changed: give a client_id, a client_secret, or both";
            faults.push(("oauth_app".to_owned(), fault.to_owned()));
        }
        let revision = revision(&asked.etag, "oauth_app.etag")?;
        let mut secrets = SecretsWrite::keep();
        if !asked.client_secret.is_empty() {
            let manifest = self.manifest_of_provider(&found.connector).map_err(ApiError::Precondition)?;
            let secret = SecretString::from(asked.client_secret);
            let place = (found.organization.as_str(), found.id.as_str());
            match self.credentials.seal_app_secret(&manifest, place, &secret) {
                Ok(sealed) => secrets = SecretsWrite::Replace(sealed),
                Err(AppSecretError::Wrong(fault)) => {
                    faults.push(("oauth_app.client_secret".to_owned(), fault))
                }
                Err(AppSecretError::Vault(error)) => return Err(ApiError::Precondition(error.to_string())),
            }
        }
        if !faults.is_empty() {
            return Err(ApiError::Invalid(faults));
        }
        let has_secret =
            matches!(secrets, SecretsWrite::Replace(_)) || before.contains_key(field::CLIENT_SECRET);
        let client_id = (!asked.client_id.is_empty()).then_some(asked.client_id);
        let change = OAuthAppChange { client_id, secrets };
        let changed = self.store.update_oauth_app(&found.id, revision, change, self.clock.now()).await?;
        Ok(UpdateOAuthAppResponse { oauth_app: Some(self.show_oauth_app(changed, has_secret)) })
    }

    pub(super) async fn delete_oauth_app(
        &self,
        caller: &Caller,
        id: &str,
        force: bool,
    ) -> Result<DeleteOAuthAppResponse, ApiError> {
        let (found, _) = self.oauth_app(caller, id, "oauth_app").await?;
        // Who connects between this look and the removal is where everybody is after a removal with `force`.
        let connected = if force { 0 } else { self.store.count_grants(&found.id).await? };
        if connected > 0 {
            let text = format!(
                "connections whose account cannot be refreshed without it: {connected}; connect them through another app first, \
                 revoke them, or set `force`"
            );
            return Err(ApiError::Precondition(text));
        }
        self.store.remove_oauth_app(&found.id).await?;
        Ok(DeleteOAuthAppResponse {})
    }

    /// The OAuth app of an id, as this caller sees it. That of the installation is seen by those who see all of it.
    async fn oauth_app(
        &self,
        caller: &Caller,
        id: &str,
        field: &str,
    ) -> Result<(oauth_apps::OAuthApp, Secrets), ApiError> {
        if id.is_empty() {
            return Err(ApiError::field(field, "is required: the server's id of an OAuth app"));
        }
        let not_found = || ApiError::not_found("oauth_app", id);
        let (app, secrets) = self.store.oauth_app(id).await?.ok_or_else(not_found)?;
        if !caller.sees(&app.organization) {
            caller.denied_other_organization("oauth_app", id);
            return Err(not_found());
        }
        caller.concerns_any("oauth_app", &app.id, &app.organization);
        Ok((app, secrets))
    }

    /// The manifest of a connector whose accounts are connected by OAuth; else what is wrong with it.
    fn manifest_of_provider(&self, connector: &str) -> Result<std::sync::Arc<Manifest>, String> {
        if connector.is_empty() {
            return Err("is required: the id of a connector".to_owned());
        }
        let manifest = self.catalog.get(connector).and_then(|entry| entry.manifest.clone());
        let manifest = manifest
            .ok_or_else(|| format!("there is no connector {connector:?}, or its manifest is not valid"))?;
        match manifest.auth.kind {
            AuthKind::OAuth2 => Ok(manifest),
            kind => {
                Err(format!("the connector {connector:?} needs no OAuth app: it takes {}", kind.as_str()))
            }
        }
    }

    fn show_oauth_app(&self, app: oauth_apps::OAuthApp, has_client_secret: bool) -> OAuthApp {
        OAuthApp {
            id: app.id,
            organization: app.organization,
            connector: app.connector,
            client_id: app.client_id,
            client_secret: String::new(),
            has_client_secret,
            redirect_uri: self.authorizations.public_url().redirect_uri(),
            created_at: Some(convert::timestamp(app.created_at)),
            updated_at: Some(convert::timestamp(app.updated_at)),
            etag: convert::etag(app.revision),
        }
    }
}

fn check_client_id(client_id: &str, faults: &mut Vec<(String, String)>) {
    let fault = if client_id.is_empty() {
        "is required: what the provider calls the app"
    } else if client_id.len() > MAX_CLIENT_ID_BYTES || !client_id.bytes().all(|byte| byte.is_ascii_graphic())
    {
        "must be 1 to 512 visible ASCII characters: enter it as the provider shows it"
    } else {
        return;
    };
    faults.push(("oauth_app.client_id".to_owned(), fault.to_owned()));
}
