//! The vault: seals secrets before they are stored, and opens them where they are used. `keys` has the key ring and where
//! it comes from, `seal` the stored bytes. What is sealed and who may have it opened is told in docs/vault.md.

mod keys;
mod seal;
mod source;

pub use keys::{Key, KeyId, KeyRing, KeyRingError};
pub use seal::{Place, Sealed, VaultError};
pub use source::{KeySource, SourceError};

use std::sync::{Arc, PoisonError, RwLock};

use secrecy::SecretSlice;

/// Seals and opens with the key ring of this installation. Clones share the ring.
#[derive(Clone, Debug)]
pub struct Vault {
    source: Arc<KeySource>,
    ring: Arc<RwLock<Arc<KeyRing>>>,
}

impl Vault {
    /// Opens the vault with the keys that `source` gives.
    ///
    /// # Errors
    /// Where there are no keys, or they cannot be read.
    pub async fn open(source: KeySource) -> Result<Self, SourceError> {
        let ring = source.read().await?;
        Ok(Self { source: Arc::new(source), ring: Arc::new(RwLock::new(Arc::new(ring))) })
    }

    /// The key ring as it is now.
    pub fn ring(&self) -> Arc<KeyRing> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Seals a secret for one place in the store.
    pub fn seal(&self, place: &Place<'_>, secret: &[u8]) -> Sealed {
        seal::seal(self.ring().newest(), place, secret)
    }

    /// Opens what was sealed for this place. A key that is not known is looked for once more where keys come from: another
    /// replica may have sealed with a newer one.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] where no key has that id, [`VaultError::Damaged`] where the bytes are not what was sealed
    /// for this place.
    pub async fn open_sealed(&self, place: &Place<'_>, sealed: &Sealed) -> Result<SecretSlice<u8>, VaultError> {
        match seal::open(&self.ring(), place, sealed) {
            Err(VaultError::UnknownKey(id)) => {
                self.reload().await.map_err(|error| VaultError::Keys(error.to_string()))?;
                tracing::info!(key = %id, "the key ring was read again for a key that it did not have");
                seal::open(&self.ring(), place, sealed)
            }
            opened => opened,
        }
    }

    /// Reads the key ring again.
    ///
    /// # Errors
    /// Where it cannot be read; the one that there was stays in use.
    pub async fn reload(&self) -> Result<(), SourceError> {
        let ring = Arc::new(self.source.read().await?);
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        Ok(())
    }
}
