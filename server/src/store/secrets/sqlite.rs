//! Sealed secrets in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Resealed, SecretStore, Secrets, SecretsWrite, StoredSecret, key_id};
use crate::store::{Result, SqliteStore, StoreError};
use crate::vault::{KeyId, Place, Sealed};

#[async_trait]
impl SecretStore for SqliteStore {
    async fn secret(&self, place: Place) -> Result<Option<Sealed>> {
        self.read(move |tx| get(tx, &place)).await
    }

    async fn secret_or(&self, place: Place, new: Sealed) -> Result<Sealed> {
        self.write(move |tx| {
            tx.prepare_cached(
                "INSERT INTO secrets (organization, owner, field, sealed) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (organization, owner, field) DO NOTHING",
            )?
            .execute(params![place.organization, place.owner, place.field, new.0])?;
            get(tx, &place)?.ok_or(StoreError::Missing("secret"))
        })
        .await
    }

    async fn secrets_to_reseal(&self, newest: KeyId, after: i64, limit: usize) -> Result<Vec<StoredSecret>> {
        self.read(move |tx| {
            let secrets = tx
                .prepare_cached(
                    "SELECT pk, organization, owner, field, sealed FROM secrets \
                     WHERE pk > ?1 AND substr(sealed, 2, 8) IS NOT ?2 ORDER BY pk LIMIT ?3",
                )?
                .query_map(params![after, newest.0, limit as i64], read)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(secrets)
        })
        .await
    }

    async fn reseal(&self, secrets: Vec<Resealed>) -> Result<u64> {
        self.write(move |tx| {
            let mut update = tx.prepare_cached(
                "UPDATE secrets SET sealed = ?1 \
                 WHERE organization = ?2 AND owner = ?3 AND field = ?4 AND sealed = ?5",
            )?;
            let mut replaced = 0;
            for Resealed { place, old, new } in secrets {
                replaced +=
                    update.execute(params![new.0, place.organization, place.owner, place.field, old.0])?
                        as u64;
            }
            Ok(replaced)
        })
        .await
    }

    async fn count_secrets(&self) -> Result<BTreeMap<Option<KeyId>, u64>> {
        self.read(|tx| {
            let mut counts = BTreeMap::new();
            let mut select =
                tx.prepare_cached("SELECT substr(sealed, 2, 8), count(*) FROM secrets GROUP BY 1")?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                // Of nothing the database makes NULL.
                let key = row.get::<_, Option<Vec<u8>>>(0)?.as_deref().and_then(key_id);
                *counts.entry(key).or_default() += row.get::<_, u64>(1)?;
            }
            Ok(counts)
        })
        .await
    }
}

/// All secrets of an owner.
pub(in crate::store) fn of(tx: &Transaction<'_>, organization: &str, owner: &str) -> Result<Secrets> {
    let secrets = tx
        .prepare_cached("SELECT field, sealed FROM secrets WHERE organization = ?1 AND owner = ?2")?
        .query_map([organization, owner], |row| Ok((row.get(0)?, Sealed(row.get(1)?))))?
        .collect::<rusqlite::Result<Secrets>>()?;
    Ok(secrets)
}

/// Writes the secrets of an owner.
pub(in crate::store) fn write(
    tx: &Transaction<'_>,
    organization: &str,
    owner: &str,
    write: &SecretsWrite,
) -> Result<()> {
    let secrets = match write {
        SecretsWrite::Replace(secrets) => {
            remove(tx, organization, owner)?;
            secrets
        }
        SecretsWrite::Update(secrets) => secrets,
    };
    let mut put = tx.prepare_cached(
        "INSERT INTO secrets (organization, owner, field, sealed) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (organization, owner, field) DO UPDATE SET sealed = excluded.sealed",
    )?;
    for (field, sealed) in secrets {
        put.execute(params![organization, owner, field, sealed.0])?;
    }
    Ok(())
}

/// Removes the secrets of an owner.
pub(in crate::store) fn remove(tx: &Transaction<'_>, organization: &str, owner: &str) -> Result<()> {
    tx.prepare_cached("DELETE FROM secrets WHERE organization = ?1 AND owner = ?2")?
        .execute([organization, owner])?;
    Ok(())
}

fn get(tx: &Transaction<'_>, place: &Place) -> Result<Option<Sealed>> {
    let sealed = tx
        .prepare_cached("SELECT sealed FROM secrets WHERE organization = ?1 AND owner = ?2 AND field = ?3")?
        .query_row([&place.organization, &place.owner, &place.field], |row| row.get(0).map(Sealed))
        .optional()?;
    Ok(sealed)
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredSecret> {
    let place = Place { organization: row.get(1)?, owner: row.get(2)?, field: row.get(3)? };
    Ok(StoredSecret { key: row.get(0)?, place, sealed: Sealed(row.get(4)?) })
}
