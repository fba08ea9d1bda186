//! Sealed secrets in PostgreSQL.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::{Resealed, SecretStore, Secrets, SecretsWrite, StoredSecret, key_id};
use crate::store::documents::postgres::count;
use crate::store::postgres::{Outcome, Plain, Text, Tx};
use crate::store::{PostgresStore, Result, StoreError};
use crate::vault::{KeyId, Place, Sealed};

#[async_trait]
impl SecretStore for PostgresStore {
    async fn secret(&self, place: Place) -> Result<Option<Sealed>> {
        self.single(place, |tx, place| Box::pin(get(tx, place))).await
    }

    async fn secret_or(&self, place: Place, new: Sealed) -> Result<Sealed> {
        self.write((place, new), |tx, (place, new)| {
            Box::pin(async move {
                let sql = "INSERT INTO secrets (organization, owner, field, sealed) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (organization, owner, field) DO NOTHING";
                let (organization, owner) = (Text(&place.organization), Text(&place.owner));
                tx.execute(sql, &[&organization, &owner, &Text(&place.field), &new.0]).await?;
                Ok(get(tx, place).await?.ok_or(StoreError::Missing("secret"))?)
            })
        })
        .await
    }

    async fn secrets_to_reseal(&self, newest: KeyId, after: i64, limit: usize) -> Result<Vec<StoredSecret>> {
        self.single((newest, after, limit as i64), |tx, (newest, after, limit)| {
            Box::pin(async move {
                let sql = "SELECT pk, organization, owner, field, sealed FROM secrets \
                     WHERE pk > $1 AND substring(sealed FROM 2 FOR 8) <> $2 ORDER BY pk LIMIT $3";
                let rows = tx.query(sql, &[after, &newest.0.as_slice(), limit]).await?;
                Ok(rows.iter().map(read).collect())
            })
        })
        .await
    }

    async fn reseal(&self, secrets: Vec<Resealed>) -> Result<u64> {
        self.write(secrets, |tx, secrets| {
            Box::pin(async move {
                let organizations: Vec<_> =
                    secrets.iter().map(|secret| Text(&secret.place.organization)).collect();
                let owners: Vec<_> = secrets.iter().map(|secret| Text(&secret.place.owner)).collect();
                let fields: Vec<_> = secrets.iter().map(|secret| Text(&secret.place.field)).collect();
                let old: Vec<&[u8]> = secrets.iter().map(|secret| secret.old.0.as_slice()).collect();
                let new: Vec<&[u8]> = secrets.iter().map(|secret| secret.new.0.as_slice()).collect();
                let sql = "UPDATE secrets s SET sealed = u.new FROM \
                     unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[]) \
                     AS u(organization, owner, field, old, new) WHERE s.organization = u.organization \
                     AND s.owner = u.owner AND s.field = u.field AND s.sealed = u.old";
                tx.execute(sql, &[&organizations, &owners, &fields, &old, &new]).await
            })
        })
        .await
    }

    async fn count_secrets(&self) -> Result<BTreeMap<Option<KeyId>, u64>> {
        self.single((), |tx, ()| {
            Box::pin(async move {
                let sql = "SELECT substring(sealed FROM 2 FOR 8), count(*) FROM secrets GROUP BY 1";
                let mut counts = BTreeMap::new();
                for row in tx.query(sql, &[]).await? {
                    *counts.entry(key_id(row.get(0))).or_default() += count(&row, 1);
                }
                Ok(counts)
            })
        })
        .await
    }
}

/// All secrets of an owner.
pub(in crate::store) async fn of(tx: &Tx, organization: &str, owner: &str) -> Outcome<Secrets> {
    let sql = "SELECT field, sealed FROM secrets WHERE organization = $1 AND owner = $2";
    let rows = tx.query(sql, &[&Text(organization), &Text(owner)]).await?;
    Ok(rows.iter().map(|row| (row.get::<_, Plain>(0).0, Sealed(row.get(1)))).collect())
}

/// Writes the secrets of an owner.
pub(in crate::store) async fn write(
    tx: &Tx,
    organization: &str,
    owner: &str,
    write: &SecretsWrite,
) -> Outcome<()> {
    let secrets = match write {
        SecretsWrite::Replace(secrets) => {
            remove(tx, organization, owner).await?;
            secrets
        }
        SecretsWrite::Update(secrets) => secrets,
    };
    if secrets.is_empty() {
        return Ok(());
    }
    let fields: Vec<_> = secrets.keys().map(|field| Text(field)).collect();
    let sealed: Vec<&[u8]> = secrets.values().map(|sealed| sealed.0.as_slice()).collect();
    let sql = "INSERT INTO secrets (organization, owner, field, sealed) \
         SELECT $1, $2, u.* FROM unnest($3::text[], $4::bytea[]) AS u \
         ON CONFLICT (organization, owner, field) DO UPDATE SET sealed = excluded.sealed";
    tx.execute(sql, &[&Text(organization), &Text(owner), &fields, &sealed]).await?;
    Ok(())
}

/// Removes the secrets of an owner.
pub(in crate::store) async fn remove(tx: &Tx, organization: &str, owner: &str) -> Outcome<()> {
    let sql = "DELETE FROM secrets WHERE organization = $1 AND owner = $2";
    tx.execute(sql, &[&Text(organization), &Text(owner)]).await?;
    Ok(())
}

async fn get(tx: &Tx, place: &Place) -> Outcome<Option<Sealed>> {
    let sql = "SELECT sealed FROM secrets WHERE organization = $1 AND owner = $2 AND field = $3";
    let (organization, owner) = (Text(&place.organization), Text(&place.owner));
    let row = tx.query_opt(sql, &[&organization, &owner, &Text(&place.field)]).await?;
    Ok(row.map(|row| Sealed(row.get(0))))
}

fn read(row: &Row) -> StoredSecret {
    let text = |column| row.get::<_, Plain>(column).0;
    let place = Place { organization: text(1), owner: text(2), field: text(3) };
    StoredSecret { key: row.get(0), place, sealed: Sealed(row.get(4)) }
}
