//! Sealing all secrets with the newest key, in batches, beside servers that go on using them.
//!
//! The canary comes first: servers look at it, and read their keys again. Then a walk over all secrets that are not of the
//! newest key; each is replaced only while it is still what was read. One that was written meanwhile by a server which did
//! not know the new key yet is found by the next walk, and the walks end when one finds nothing after all servers have had
//! the time to look. Where it was cut off, the next rotation goes on, because it looks for what is left.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::canary::{self, LOOK};
use super::handle::Vault;
use super::keys::KeyId;
use super::seal::{Place, Sealed, VaultError};
use crate::store::secrets::{Resealed, StoredSecret};
use crate::store::{Store, StoreError};

/// Secrets in one transaction.
const BATCH: usize = 500;
/// How long servers have to hear of the new key.
const SETTLE: Duration = LOOK.saturating_mul(2);

/// Why a rotation ended early. What it has done stays done.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The vault has no keys.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a rotation tells on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many secrets of so many were sealed again.
    Resealed {
        /// Until now.
        done: u64,
        /// When it began to count.
        of: u64,
    },
    /// Servers are given this time to take up the new key, before it is looked for what they wrote meanwhile.
    Settling(Duration),
}

/// What came of a rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Secrets that were sealed again.
    pub resealed: u64,
    /// Those that could not be opened, and why. They stay as they were.
    pub failed: Vec<(Place, VaultError)>,
}

/// Seals everything with the newest key of the vault.
///
/// # Errors
/// Where the store fails, or there are no keys.
pub async fn rotate(
    vault: &Vault,
    store: &dyn Store,
    mut tell: impl FnMut(Progress),
) -> Result<Rotated, RotateError> {
    let newest = vault.ring()?.newest().id();
    let counts = store.count_secrets().await?;
    let of = counts.iter().filter(|(key, _)| **key != Some(newest)).map(|(_, count)| count).sum();
    let mut rotated = Rotated::default();
    let announced = announce(vault, store, newest, &mut rotated).await?;
    let mut found = announced;
    loop {
        let resealed =
            walk(vault, store, newest, &mut rotated, |done| tell(Progress::Resealed { done, of })).await?;
        found |= resealed > 0;
        if !found {
            return Ok(rotated);
        }
        tell(Progress::Settling(SETTLE));
        tokio::time::sleep(SETTLE).await;
        found = false;
    }
}

/// Seals the canary again, where it is not of the newest key; says whether it was not.
async fn announce(
    vault: &Vault,
    store: &dyn Store,
    newest: KeyId,
    rotated: &mut Rotated,
) -> Result<bool, RotateError> {
    let place = canary::place();
    match store.secret(place.clone()).await?.filter(|sealed| sealed.key() != Some(newest)) {
        Some(sealed) => Ok(reseal(vault, store, vec![(place, sealed)], rotated).await? > 0),
        None => Ok(false),
    }
}

/// Goes through all that is not of the newest key; says how many it sealed again.
async fn walk(
    vault: &Vault,
    store: &dyn Store,
    newest: KeyId,
    rotated: &mut Rotated,
    mut tell: impl FnMut(u64),
) -> Result<u64, RotateError> {
    // What could not be opened is named once, by the last walk.
    rotated.failed.clear();
    let (mut after, mut resealed) = (0, 0);
    loop {
        let batch = store.secrets_to_reseal(newest, after, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(resealed) };
        after = last.key;
        let batch = batch.into_iter().map(|StoredSecret { place, sealed, .. }| (place, sealed)).collect();
        resealed += reseal(vault, store, batch, rotated).await?;
        tell(rotated.resealed);
    }
}

/// Seals these again.
async fn reseal(
    vault: &Vault,
    store: &dyn Store,
    secrets: Vec<(Place, Sealed)>,
    rotated: &mut Rotated,
) -> Result<u64, RotateError> {
    let mut again = Vec::with_capacity(secrets.len());
    for (place, sealed) in secrets {
        match vault.open(&place, &sealed).await {
            Ok(opened) => {
                let new = vault.seal(&place, opened.expose_secret())?;
                again.push(Resealed { place, old: sealed, new });
            }
            Err(error) => rotated.failed.push((place, error)),
        }
    }
    let replaced = store.reseal(again).await?;
    rotated.resealed += replaced;
    Ok(replaced)
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;
