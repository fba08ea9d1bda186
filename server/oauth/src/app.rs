//! The application that an organisation registered with a provider.

use secrecy::{ExposeSecret, SecretString};

use crate::signing::SigningKey;

/// An OAuth application: who we are for the provider.
#[derive(Clone, Debug)]
pub struct App {
    /// The client id; for GitHub Apps the app's id.
    pub client_id: String,
    /// How it shows that it is itself.
    pub secret: AppSecret,
}

/// How an application shows that it is itself. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub enum AppSecret {
    /// Not at all: a public client, which needs a proof key.
    None,
    /// A client secret.
    Secret(SecretString),
    /// A key that signs assertions.
    Key(SigningKey),
}

impl AppSecret {
    pub(crate) fn secret(&self) -> Option<&str> {
        match self {
            AppSecret::Secret(secret) => Some(secret.expose_secret()),
            AppSecret::None | AppSecret::Key(_) => None,
        }
    }

    pub(crate) fn key(&self) -> Option<&SigningKey> {
        match self {
            AppSecret::Key(key) => Some(key),
            AppSecret::None | AppSecret::Secret(_) => None,
        }
    }
}
