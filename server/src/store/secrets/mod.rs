//! Sealed secrets of whoever has some: connections, OAuth apps, authorizations under way, the vault itself. They are in
//! one table, so that one walk can seal all of them with another key. Whoever owns secrets writes them with its own row,
//! in one transaction; here they are read, counted and sealed again.

pub(in crate::store) mod postgres;
pub mod sqlite;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Result;
use crate::vault::{KeyId, Place, Sealed};

/// The secrets of one owner by their fields.
pub type Secrets = BTreeMap<String, Sealed>;

/// What becomes of an owner's secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretsWrite {
    /// It has these and no others.
    Replace(Secrets),
    /// It has these as well; those of other fields stay.
    Update(Secrets),
}

impl SecretsWrite {
    /// All of them stay as they are.
    pub fn keep() -> Self {
        Self::Update(Secrets::new())
    }
}

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// Its row.
    pub key: i64,
    /// Where it belongs.
    pub place: Place,
    /// What is stored.
    pub sealed: Sealed,
}

/// The same secret, sealed with another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resealed {
    /// Where it belongs.
    pub place: Place,
    /// What was stored when it was read.
    pub old: Sealed,
    /// What is to be stored.
    pub new: Sealed,
}

/// What the store does with sealed secrets.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Gets one.
    async fn secret(&self, place: Place) -> Result<Option<Sealed>>;

    /// Gets one, and stores `new` where there is none.
    async fn secret_or(&self, place: Place, new: Sealed) -> Result<Sealed>;

    /// Those that are not sealed with the key `newest`, in the order of their rows, those behind `after`.
    async fn secrets_to_reseal(&self, newest: KeyId, after: i64, limit: usize) -> Result<Vec<StoredSecret>>;

    /// Replaces those that are still what they were when they were read; says how many.
    async fn reseal(&self, secrets: Vec<Resealed>) -> Result<u64>;

    /// How many are sealed with each key; `None`: too short to name a key, that is, damaged.
    async fn count_secrets(&self) -> Result<BTreeMap<Option<KeyId>, u64>>;
}

/// The id of the key in a column that was cut out of `sealed`.
fn key_id(bytes: &[u8]) -> Option<KeyId> {
    bytes.try_into().ok().map(KeyId)
}
