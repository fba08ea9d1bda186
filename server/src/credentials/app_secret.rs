//! The secret of an OAuth app: checked and sealed as it comes in, opened when the provider is called.

use secrecy::{ExposeSecret, SecretString};
use superfasttt_oauth::{AppSecret, ClientAuth, SigningKey};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;

use super::trouble::internal;
use super::{Credentials, field};
use crate::catalog::Manifest;
use crate::redact;
use crate::store::oauth_apps::OAuthApp;
use crate::store::secrets::Secrets;
use crate::vault::{Place, VaultError};

/// A key in PEM with its certificates is shorter.
const MAX_BYTES: usize = 64 * 1024;

/// Why a secret is not taken. Says nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum AppSecretError {
    /// It is none that the provider could have given.
    #[error("{0}")]
    Wrong(String),
    /// The vault cannot seal.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Credentials {
    /// Checks the secret of an OAuth app of this connector, and seals it. An empty one is none: the app is a public client.
    ///
    /// # Errors
    /// [`AppSecretError`].
    pub fn seal_app_secret(
        &self,
        manifest: &Manifest,
        (organization, app): (&str, &str),
        secret: &SecretString,
    ) -> Result<Secrets, AppSecretError> {
        let text = secret.expose_secret();
        let oauth = &manifest.auth.oauth;
        let wrong = |text: &str| Err(AppSecretError::Wrong(text.to_owned()));
        if text.len() > MAX_BYTES {
            return wrong("is longer than 64 KiB");
        }
        if signs(manifest) {
            if let Err(error) = SigningKey::from_pem(secret, None) {
                return Err(AppSecretError::Wrong(format!("signs what the provider is asked: {error}")));
            }
        } else if text.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return wrong("has a space or a line break in it: enter it as the provider shows it");
        } else if text.is_empty() && !oauth.pkce {
            return wrong("is required: the provider takes no proof key, which public clients need");
        }
        if text.is_empty() {
            return Ok(Secrets::new());
        }
        let place = Place::of_oauth_app(organization, app, field::CLIENT_SECRET);
        let sealed = self.vault.seal(&place, text.as_bytes())?;
        Ok(Secrets::from([(field::CLIENT_SECRET.to_owned(), sealed)]))
    }

    pub(super) async fn app_secret(
        &self,
        manifest: &Manifest,
        app: &OAuthApp,
        secrets: &Secrets,
    ) -> Result<AppSecret, ConnectorError> {
        let Some(sealed) = secrets.get(field::CLIENT_SECRET) else { return Ok(AppSecret::None) };
        let place = Place::of_oauth_app(&app.organization, &app.id, field::CLIENT_SECRET);
        let opened = self.vault.open(&place, sealed).await.map_err(|error| internal(&error.to_string()))?;
        let text = String::from_utf8(opened.expose_secret().to_vec())
            .map_err(|_| internal("the secret of the OAuth app is no text: store it again"))?;
        let secret = SecretString::from(text);
        redact::keep_for_a_minute(&secret);
        if !signs(manifest) {
            return Ok(AppSecret::Secret(secret));
        }
        let key = SigningKey::from_pem(&secret, None);
        key.map(AppSecret::Key)
            .map_err(|error| ConnectorError::new(Reason::SettingsInvalid, error.to_string()))
    }
}

/// Whether the secret is a key that signs, and never travels.
fn signs(manifest: &Manifest) -> bool {
    !matches!(manifest.auth.oauth.client_auth, ClientAuth::Post | ClientAuth::Basic)
}
