//! The vault as the rest of the server has it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use secrecy::SecretSlice;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::keys::{KeyId, KeyRing};
use super::seal::{self, Place, Sealed, VaultError};
use super::source::{KeySource, SourceError};

/// How long a key that was looked for and not found is not looked for again: a secret whose key is lost must not start
/// the key command at each use.
const NOT_AGAIN: Duration = Duration::from_secs(5);

/// Seals and opens with the key ring of this installation. Clones share the ring. One without keys answers everything
/// with [`VaultError::NoKeys`].
#[derive(Clone, Debug)]
pub struct Vault(Option<Arc<Keys>>);

#[derive(Debug)]
struct Keys {
    source: KeySource,
    ring: RwLock<Arc<KeyRing>>,
    /// Who reads the ring again; and the key that was not found the last time.
    reading: Mutex<Option<(KeyId, Instant)>>,
}

impl Vault {
    /// The vault with the keys that `source` gives.
    ///
    /// # Errors
    /// Where there are no keys, or they cannot be read.
    pub async fn with_keys(source: KeySource) -> Result<Self, SourceError> {
        let ring = RwLock::new(Arc::new(source.read().await?));
        Ok(Self(Some(Arc::new(Keys { source, ring, reading: Mutex::default() }))))
    }

    /// The vault of an installation that was given no keys.
    pub fn without_keys() -> Self {
        Self(None)
    }

    /// The key ring as it is now.
    ///
    /// # Errors
    /// [`VaultError::NoKeys`].
    pub fn ring(&self) -> Result<Arc<KeyRing>, VaultError> {
        Ok(self.keys()?.ring())
    }

    /// Seals a secret for one place in the store.
    ///
    /// # Errors
    /// [`VaultError::NoKeys`].
    pub fn seal(&self, place: &Place, secret: &[u8]) -> Result<Sealed, VaultError> {
        Ok(seal::seal(self.ring()?.newest(), place, secret))
    }

    /// Opens what was sealed for this place. A key that is not known is looked for once more where keys come from: another
    /// replica may have sealed with a newer one.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] where no key has that id, [`VaultError::Damaged`] where the bytes are not what was sealed
    /// for this place, [`VaultError::NoKeys`].
    pub async fn open(&self, place: &Place, sealed: &Sealed) -> Result<SecretSlice<u8>, VaultError> {
        let keys = self.keys()?;
        match seal::open(&keys.ring(), place, sealed) {
            Err(VaultError::UnknownKey(id)) => {
                let ring = keys.look_for(id).await?;
                seal::open(&ring, place, sealed)
            }
            opened => opened,
        }
    }

    /// Reads the key ring again.
    ///
    /// # Errors
    /// Where it cannot be read; the one that there was stays in use.
    pub async fn reload(&self) -> Result<(), VaultError> {
        let keys = self.keys()?;
        let _alone = keys.reading.lock().await;
        keys.read_again().await
    }

    fn keys(&self) -> Result<&Keys, VaultError> {
        self.0.as_deref().ok_or(VaultError::NoKeys)
    }
}

impl Keys {
    fn ring(&self) -> Arc<KeyRing> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The ring with this key, if it is anywhere. Of many who miss it at once, one reads the source.
    async fn look_for(&self, id: KeyId) -> Result<Arc<KeyRing>, VaultError> {
        let mut missed = self.reading.lock().await;
        let known_missing = missed.is_some_and(|(missing, at)| missing == id && at.elapsed() < NOT_AGAIN);
        if self.ring().get(id).is_none() && !known_missing {
            self.read_again().await?;
            *missed = self.ring().get(id).is_none().then(|| (id, Instant::now()));
        }
        Ok(self.ring())
    }

    async fn read_again(&self) -> Result<(), VaultError> {
        let read =
            self.source.read().await.map_err(|error: SourceError| VaultError::Keys(error.to_string()))?;
        let newest = read.newest().id();
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
        tracing::info!(key = %newest, "the keys of the vault were read again");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::super::key_file;
    use super::*;

    fn place() -> Place {
        Place::of_connection("acme", "c-1", "api_key")
    }

    #[tokio::test]
    async fn a_key_that_another_replica_seals_with_is_found_in_the_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = key_file::in_folder(folder.path());
        key_file::make(&path).unwrap();
        let vault = Vault::with_keys(KeySource::File(path.clone())).await.unwrap();
        let old = vault.seal(&place(), b"old").unwrap();
        let newest = key_file::put_new_in_front(&path).unwrap();
        let new = seal::seal(newest.newest(), &place(), b"new");
        assert_eq!(vault.open(&place(), &new).await.unwrap().expose_secret(), b"new");
        assert_eq!(vault.open(&place(), &old).await.unwrap().expose_secret(), b"old");
        assert_eq!(
            vault.seal(&place(), b"").unwrap().key(),
            Some(newest.newest().id()),
            "it seals with it too"
        );
    }

    #[tokio::test]
    async fn a_lost_key_is_looked_for_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let (path, asked) = (folder.path().join("keys"), folder.path().join("asked"));
        key_file::make(&path).unwrap();
        let script = format!("echo x >> {}; cat {}", asked.display(), path.display());
        let command = ["sh", "-c", &script].map(str::to_owned).into();
        let vault = Vault::with_keys(KeySource::Command(command)).await.unwrap();
        let lost = seal::seal(&super::super::Key::generate(), &place(), b"token");
        let times = || fs::read_to_string(&asked).unwrap().lines().count();
        for _ in 0..3 {
            let error = vault.open(&place(), &lost).await.unwrap_err();
            assert_eq!(error, VaultError::UnknownKey(lost.key().unwrap()));
        }
        assert_eq!(times(), 2, "at the start, and once for the lost key");
        tokio::time::pause();
        tokio::time::advance(NOT_AGAIN).await;
        // The command takes its own time.
        tokio::time::resume();
        vault.open(&place(), &lost).await.unwrap_err();
        assert_eq!(times(), 3);
    }

    #[tokio::test]
    async fn a_source_that_fails_later_leaves_the_ring_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = key_file::in_folder(folder.path());
        key_file::make(&path).unwrap();
        let vault = Vault::with_keys(KeySource::File(path.clone())).await.unwrap();
        let sealed = vault.seal(&place(), b"token").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let told = vault.reload().await.unwrap_err().to_string();
        assert!(told.contains("chmod 600"), "{told}");
        assert_eq!(vault.open(&place(), &sealed).await.unwrap().expose_secret(), b"token");
    }

    #[tokio::test]
    async fn a_vault_without_keys_says_what_to_set() {
        let vault = Vault::without_keys();
        let told = vault.seal(&place(), b"token").unwrap_err().to_string();
        assert!(told.contains("vault.key_file"), "{told}");
        assert_eq!(vault.open(&place(), &Sealed(vec![1; 60])).await.unwrap_err(), VaultError::NoKeys);
    }
}
