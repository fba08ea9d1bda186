//! Sealed secrets in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Data, MemoryStore};
use crate::store::Result;
use crate::store::secrets::{Resealed, SecretStore, Secrets, SecretsWrite, StoredSecret};
use crate::vault::{KeyId, Place, Sealed};

#[async_trait]
impl SecretStore for MemoryStore {
    async fn secret(&self, place: Place) -> Result<Option<Sealed>> {
        self.read(|data| data.secrets.get(&place).map(|(_, sealed)| sealed.clone())).await
    }

    async fn secret_or(&self, place: Place, new: Sealed) -> Result<Sealed> {
        self.write(|data| {
            if !data.secrets.contains_key(&place) {
                data.put_secret(place.clone(), new);
            }
            Ok(data.secrets[&place].1.clone())
        })
        .await
    }

    async fn secrets_to_reseal(&self, newest: KeyId, after: i64, limit: usize) -> Result<Vec<StoredSecret>> {
        self.read(|data| {
            let older = data.secrets.iter().filter(|(_, (_, sealed))| sealed.key() != Some(newest));
            let stored = older.map(|(place, (key, sealed))| StoredSecret {
                key: *key,
                place: place.clone(),
                sealed: sealed.clone(),
            });
            let mut stored: Vec<_> = stored.filter(|stored| stored.key > after).collect();
            stored.sort_by_key(|stored| stored.key);
            stored.truncate(limit);
            stored
        })
        .await
    }

    async fn reseal(&self, secrets: Vec<Resealed>) -> Result<u64> {
        self.write(|data| {
            let mut replaced = 0;
            for secret in secrets {
                let found = data.secrets.get_mut(&secret.place);
                if let Some((_, sealed)) = found.filter(|(_, sealed)| *sealed == secret.old) {
                    *sealed = secret.new;
                    replaced += 1;
                }
            }
            Ok(replaced)
        })
        .await
    }

    async fn count_secrets(&self) -> Result<BTreeMap<Option<KeyId>, u64>> {
        self.read(|data| {
            let mut counts = BTreeMap::new();
            for (_, sealed) in data.secrets.values() {
                *counts.entry(sealed.key()).or_default() += 1;
            }
            counts
        })
        .await
    }
}

impl Data {
    /// All secrets of an owner.
    pub(super) fn secrets_of(&self, organization: &str, owner: &str) -> Secrets {
        let of = self
            .secrets
            .iter()
            .filter(|(place, _)| place.organization == organization && place.owner == owner);
        of.map(|(place, (_, sealed))| (place.field.clone(), sealed.clone())).collect()
    }

    /// Writes the secrets of an owner.
    pub(super) fn write_secrets(&mut self, organization: &str, owner: &str, write: SecretsWrite) {
        let secrets = match write {
            SecretsWrite::Replace(secrets) => {
                self.remove_secrets(organization, owner);
                secrets
            }
            SecretsWrite::Update(secrets) => secrets,
        };
        for (field, sealed) in secrets {
            let (organization, owner) = (organization.to_owned(), owner.to_owned());
            self.put_secret(Place { organization, owner, field }, sealed);
        }
    }

    /// Removes the secrets of an owner.
    pub(super) fn remove_secrets(&mut self, organization: &str, owner: &str) {
        self.secrets.retain(|place, _| place.organization != organization || place.owner != owner);
    }

    fn put_secret(&mut self, place: Place, sealed: Sealed) {
        let key = self.secrets.get(&place).map(|(key, _)| *key).unwrap_or_else(|| self.next_key());
        self.secrets.insert(place, (key, sealed));
    }
}
