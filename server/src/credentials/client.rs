//! The OAuth provider of a connection, and the app that talks to it.

use std::sync::Arc;

use serde_json::Value;
use superfasttt_oauth::{App, Client, Provider, UrlRules};
use superfasttt_proto::error::ConnectorError;

use super::Credentials;
use super::trouble::{away, settings_invalid};
use crate::catalog::{Manifest, apply_defaults};
use crate::store::connections::Connection;
use crate::store::oauth_apps::OAuthApp;

impl Credentials {
    /// The connection's provider.
    ///
    /// # Errors
    /// `SETTINGS_INVALID` where the settings make no address.
    pub(super) fn provider(
        &self,
        connection: &Connection,
        manifest: &Manifest,
    ) -> Result<Provider, ConnectorError> {
        let rules = UrlRules {
            allowed_hosts: &manifest.allowed_hosts,
            operator_hosts: &self.config.allowed_hosts,
            allow_loopback: self.config.allow_loopback,
        };
        let declaration = Arc::new(manifest.auth.oauth.clone());
        // As the connector has them: what a person left out is what the manifest says.
        let settings = apply_defaults(manifest, &Value::Object(connection.settings.clone()));
        let settings = settings.as_object().unwrap_or(&connection.settings);
        Provider::new(declaration, settings, &rules).map_err(|error| settings_invalid(error.to_string()))
    }

    /// A client of the connection's provider, as the app `id`, else as the one that its organisation uses.
    ///
    /// # Errors
    /// `SETTINGS_INVALID` where the settings make no address, or there is no app.
    pub(super) async fn client(
        &self,
        connection: &Connection,
        manifest: &Manifest,
        id: &str,
    ) -> Result<(Client, OAuthApp), ConnectorError> {
        let provider = self.provider(connection, manifest)?;
        let found = match id {
            "" => self.store.oauth_app_for(&connection.organization, &connection.connector).await,
            id => self.store.oauth_app(id).await,
        };
        let (app, secrets) = found.map_err(|error| away(&error))?.ok_or_else(|| {
            settings_invalid(format!(
                "there is no OAuth app for connector {:?}: an administrator has to register one with the provider and \
                 store it (`connectorctl oauth-apps create {}`)",
                connection.connector, connection.connector
            ))
        })?;
        let secret = self.app_secret(manifest, &app, &secrets).await?;
        let known = App { client_id: app.client_id.clone(), secret };
        Ok((Client::new(self.http.clone(), provider, Arc::new(known)), app))
    }
}
