//! The canary: a secret of the vault's own, sealed like all others. At the start it is opened, so that a wrong key ring is
//! noticed before anything is sealed or asked for with it. A rotation seals it again before all others, so that replicas
//! that look at it hear of the new key, also those that open nothing.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::handle::Vault;
use super::key_file;
use super::keys::KeyId;
use super::seal::{Place, Sealed, VaultError};
use super::source::{KeySource, SourceError};
use crate::config::Config;
use crate::store::{Store, StoreError};

/// How often a running server looks at the canary.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// What is sealed in it.
const SONG: &[u8] = b"superfasttt vault canary 1";

/// Why the vault cannot be opened: the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The keys cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The keys are not those that the secrets were sealed with.
    #[error("the keys from {source_name} do not open the secrets in the database: {error}")]
    WrongKeys {
        /// Where they come from.
        source_name: String,
        /// What opening the canary said.
        error: VaultError,
    },
    /// There are secrets, and no keys.
    #[error(
        "the secrets in the database were sealed with key {key}, and {missing}: give that key back \
         (vault.key_file, vault.keys or vault.key_command in the configuration)"
    )]
    NoKeys {
        /// The key that is missing.
        key: KeyId,
        /// Where it was looked for.
        missing: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where the canary is.
pub(super) fn place() -> Place {
    Place { organization: String::new(), owner: String::new(), field: "canary".to_owned() }
}

/// Opens the vault of this installation with the keys that its configuration names. Without any, an embedded one gets a
/// key file in its data folder, and one on PostgreSQL has a vault without keys.
///
/// # Errors
/// Where the keys cannot be read, or are not those of this database.
pub async fn open(config: &Config, store: &dyn Store) -> Result<Vault, OpenError> {
    let canary = store.secret(place()).await?;
    let sealed_with = canary.as_ref().and_then(Sealed::key);
    let Some(source) = KeySource::of(config) else {
        let missing = "no keys are configured".to_owned();
        return sealed_with
            .map_or_else(|| Ok(Vault::without_keys()), |key| Err(OpenError::NoKeys { key, missing }));
    };
    if let Some(path) = source.file().filter(|_| !config.vault.is_given())
        && !path.exists()
    {
        // A new key would open nothing of what is there.
        if let Some(key) = sealed_with {
            let missing = format!("the key file {} is not there", path.display());
            return Err(OpenError::NoKeys { key, missing });
        }
        key_file::make(path)?;
        tracing::info!(path = %path.display(), "a key file was made: back it up, apart from the database");
    }
    let source_name = source.name();
    let vault = Vault::with_keys(source).await?;
    check(&vault, store, canary).await.map_err(|error| match error {
        CheckError::Vault(error) => OpenError::WrongKeys { source_name, error },
        CheckError::Store(error) => OpenError::Store(error),
    })?;
    Ok(vault)
}

enum CheckError {
    Vault(VaultError),
    Store(StoreError),
}

/// Opens the canary, which is made where there is none yet. Of several replicas that start at once, one makes it.
async fn check(vault: &Vault, store: &dyn Store, canary: Option<Sealed>) -> Result<(), CheckError> {
    let canary = match canary {
        Some(canary) => canary,
        None => {
            let new = vault.seal(&place(), SONG).map_err(CheckError::Vault)?;
            store.secret_or(place(), new).await.map_err(CheckError::Store)?
        }
    };
    let opened = vault.open(&place(), &canary).await.map_err(CheckError::Vault)?;
    if opened.expose_secret() == SONG { Ok(()) } else { Err(CheckError::Vault(VaultError::Damaged)) }
}

/// Reads the keys again whenever the canary was sealed with another one than this replica seals with. Goes on until it is
/// dropped.
pub async fn watch(vault: Vault, store: Arc<dyn Store>) {
    let mut seen = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Ok(ring) = vault.ring() else { return };
        let canary = match store.secret(place()).await {
            Ok(canary) => canary,
            Err(error) => {
                tracing::debug!(%error, "the vault's canary could not be read; it is tried again");
                continue;
            }
        };
        // One that has not changed was looked into before: a ring may have a newer key in front before it is rotated.
        if canary == seen {
            continue;
        }
        if canary.as_ref().and_then(Sealed::key) != Some(ring.newest().id())
            && let Err(error) = vault.reload().await
        {
            tracing::warn!(%error, "another replica seals with another key, and the keys cannot be read again");
            continue;
        }
        seen = canary;
    }
}
