//! Item errors and shields in PostgreSQL.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use superfasttt_proto::connector::v1::Reason;
use tokio_postgres::Row;

use super::sqlite::{decode, encode};
use super::{ItemError, ItemErrorFilter, ItemErrorStore, Shield, StoredItemError, Target};
use crate::store::columns::{from_json, micros, time, to_json};
use crate::store::documents::postgres::count;
use crate::store::documents::{Commit, DocumentPut, DocumentWrite};
use crate::store::postgres::{Outcome, Plain, Text, Tx};
use crate::store::{ConnectionKey, Listed, PostgresStore, Result};

#[async_trait]
impl ItemErrorStore for PostgresStore {
    async fn item_errors(
        &self,
        connection: ConnectionKey,
        filter: ItemErrorFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Listed<StoredItemError, i64>> {
        self.single((connection, filter, before, limit), |tx, (connection, filter, before, limit)| {
            Box::pin(async move {
                let sql = "SELECT pk, scope, target, with_descendants, reason, code, message, metadata, \
                     first_seen_at, last_seen_at, attempts, run FROM item_errors \
                     WHERE connection = $1 AND ($2::bigint IS NULL OR pk < $2) AND ($4::text IS NULL OR scope = $4) \
                     AND ($5::int IS NULL OR reason = $5) ORDER BY pk DESC LIMIT $3";
                let (scope, reason) =
                    (filter.scope.as_deref().map(Text), filter.reason.map(|reason| reason as i32));
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                    [&connection.0, before, &(*limit as i64 + 1), &scope, &reason];
                let rows = tx.query(sql, &values).await?;
                let items = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
                Ok(Listed::cut(items, *limit, |error| error.key))
            })
        })
        .await
    }

    async fn old_item_errors(
        &self,
        connection: ConnectionKey,
        scope: &str,
        before: DateTime<Utc>,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Target)>> {
        let data = (connection, scope.to_owned(), micros(before), after, limit as i64);
        self.single(data, |tx, (connection, scope, before, after, limit)| {
            Box::pin(async move {
                let sql = "SELECT pk, target FROM item_errors WHERE connection = $1 AND scope = $2 \
                     AND last_seen_at < $3 AND pk > $4 AND NOT EXISTS (SELECT 1 FROM documents d \
                     WHERE d.connection = $1 AND d.id = item AND NOT d.gone AND d.content_state IN (3, 4)) \
                     ORDER BY pk LIMIT $5";
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                    [&connection.0, &Text(scope), before, after, limit];
                let rows = tx.query(sql, &values).await?;
                Ok(rows.iter().map(|row| (row.get(0), decode(&row.get::<_, Plain>(1).0))).collect())
            })
        })
        .await
    }

    async fn count_item_errors(&self, connection: ConnectionKey) -> Result<u64> {
        self.single(connection, |tx, connection| {
            Box::pin(async move {
                let sql = "SELECT count(*) FROM item_errors WHERE connection = $1";
                Ok(count(&tx.query_one(sql, &[&connection.0]).await?, 0))
            })
        })
        .await
    }

    async fn shields(&self, connection: ConnectionKey, scope: &str) -> Result<Vec<Shield>> {
        self.single((connection, scope.to_owned()), |tx, (connection, scope)| {
            Box::pin(async move {
                let sql = "SELECT target, with_descendants FROM shields WHERE connection = $1 AND scope = $2";
                let rows = tx.query(sql, &[&connection.0, &Text(scope)]).await?;
                let shields = rows.iter().map(|row| Shield {
                    scope: scope.clone(),
                    target: decode(&row.get::<_, Plain>(0).0),
                    with_descendants: row.get(1),
                });
                Ok(shields.collect())
            })
        })
        .await
    }
}

/// Records errors: new ones, or one more sight of them.
pub(in crate::store) async fn record(
    tx: &Tx,
    connection: ConnectionKey,
    run: &str,
    errors: &[ItemError],
    now: DateTime<Utc>,
) -> Outcome<()> {
    if errors.is_empty() {
        return Ok(());
    }
    // Of several about one target the last counts, and a statement writes a row once. In the order in which they were
    // met: newer errors have higher keys.
    let mut place = BTreeMap::new();
    let mut last: Vec<(String, &ItemError)> = Vec::new();
    for error in errors {
        // Unnamed errors are told apart by what they say.
        let target = match &error.target {
            Target::Unnamed => format!("?{}", error.message),
            named => encode(named),
        };
        match place.get(&(error.scope.as_str(), target.clone())) {
            Some(at) => {
                let found: &mut (String, &ItemError) = &mut last[*at];
                found.1 = error;
            }
            None => {
                place.insert((error.scope.as_str(), target.clone()), last.len());
                last.push((target, error));
            }
        }
    }
    let texts = |field: fn(&ItemError) -> &str| -> Vec<Text<'_>> {
        last.iter().map(|(_, error)| Text(field(error))).collect()
    };
    let targets: Vec<_> = last.iter().map(|(target, _)| Text(target)).collect();
    let wide: Vec<bool> = last.iter().map(|(_, error)| error.with_descendants).collect();
    let reasons: Vec<i32> = last.iter().map(|(_, error)| error.reason as i32).collect();
    let metadata =
        last.iter().map(|(_, error)| to_json("metadata", &error.metadata)).collect::<Result<Vec<_>>>()?;
    tx.execute(
        "INSERT INTO item_errors (connection, scope, target, item, locator, with_descendants, reason, code, message, \
         metadata, first_seen_at, last_seen_at, attempts, run) \
         SELECT $1, u.scope, u.target, u.item, u.locator, u.wide, u.reason, u.code, u.message, u.metadata, $11, $11, 1, \
         $12 FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::int[], $8::text[], $9::text[], \
         $10::text[]) WITH ORDINALITY AS u(scope, target, item, locator, wide, reason, code, message, metadata, place) \
         ORDER BY u.place \
         ON CONFLICT (connection, scope, md5(target)) DO UPDATE SET with_descendants = excluded.with_descendants, \
         reason = excluded.reason, code = excluded.code, message = excluded.message, metadata = excluded.metadata, \
         last_seen_at = excluded.last_seen_at, \
         attempts = item_errors.attempts + CASE WHEN item_errors.run <> excluded.run THEN 1 ELSE 0 END, \
         run = excluded.run",
        &[
            &connection.0,
            &texts(|error| &error.scope),
            &targets,
            &texts(|error| if let Target::Id(id) = &error.target { id } else { "" }),
            &texts(|error| if let Target::Locator(locator) = &error.target { locator } else { "" }),
            &wide,
            &reasons,
            &texts(|error| &error.code),
            &texts(|error| &error.message),
            &metadata,
            &micros(now),
            &run,
        ],
    )
    .await?;
    Ok(())
}

/// Forgets the errors of items that were read, or are gone: those that know them by their ids, and those that know them by
/// the locators under which this commit stores them, or by which they are stored where it leaves them as they are.
pub(in crate::store) async fn clear(tx: &Tx, connection: ConnectionKey, commit: &Commit) -> Outcome<()> {
    if !commit.gone_items.is_empty() {
        let scopes: Vec<_> = commit.gone_items.iter().map(|(scope, _)| Text(scope)).collect();
        let items: Vec<_> = commit.gone_items.iter().map(|(_, item)| Text(item)).collect();
        let sql = "DELETE FROM item_errors WHERE connection = $1 AND (scope, item) IN \
             (SELECT * FROM unnest($2::text[], $3::text[]))";
        tx.execute(sql, &[&connection.0, &scopes, &items]).await?;
    }
    if commit.cleared_items.is_empty() {
        return Ok(());
    }
    let items: Vec<_> = commit.cleared_items.iter().map(|item| Text(item)).collect();
    // One step in the index for each, whatever the planner believes (see `stored_documents`); an item may have an error in
    // several scopes.
    let sql = "DELETE FROM item_errors WHERE ctid = ANY(ARRAY(SELECT found.ctid FROM unnest($2::text[]) AS u(id) \
         CROSS JOIN LATERAL (SELECT ctid FROM item_errors WHERE connection = $1 AND item = u.id OFFSET 0) AS found))";
    tx.execute(sql, &[&connection.0, &items]).await?;
    let puts: BTreeMap<&str, &DocumentPut> = commit
        .documents
        .iter()
        .filter_map(|write| match write {
            DocumentWrite::Put(put) => Some((put.id.as_str(), &**put)),
            DocumentWrite::Seen { .. } | DocumentWrite::Gone(_) => None,
        })
        .collect();
    let (written, left): (Vec<_>, Vec<_>) =
        commit.cleared_items.iter().partition(|item| puts.contains_key(item.as_str()));
    let written = || written.iter().filter_map(|item| puts.get(item.as_str()));
    let named = || written().filter(|put| !put.locator.is_empty());
    let scopes: Vec<_> = named().map(|put| Text(&put.scope)).collect();
    let targets: Vec<_> = named().map(|put| format!("l{}", put.locator)).collect();
    let targets: Vec<_> = targets.iter().map(|target| Text(target)).collect();
    let left: Vec<_> = left.into_iter().map(|item| Text(item)).collect();
    let gone: Vec<i64> = commit
        .documents
        .iter()
        .filter_map(|write| if let DocumentWrite::Gone(key) = write { Some(key.0) } else { None })
        .collect();
    let sql = "DELETE FROM item_errors e USING ( \
           SELECT * FROM unnest($2::text[], $3::text[]) AS written(scope, target) \
           UNION ALL SELECT d.scope, 'l' || d.locator FROM unnest($4::text[]) AS u(id) CROSS JOIN LATERAL \
             (SELECT pk, scope, locator, gone FROM documents WHERE connection = $1 AND id = u.id LIMIT 1) AS d \
             WHERE NOT d.gone AND d.pk <> ALL($5) AND d.locator <> '') AS named(scope, target) \
         WHERE e.connection = $1 AND e.scope = named.scope COLLATE \"C\" AND md5(e.target) = md5(named.target) \
         AND e.target = named.target COLLATE \"C\"";
    tx.execute(sql, &[&connection.0, &scopes, &targets, &left, &gone]).await?;
    Ok(())
}

/// Puts shields over targets.
pub(in crate::store) async fn shield(tx: &Tx, connection: ConnectionKey, shields: &[Shield]) -> Outcome<()> {
    if shields.is_empty() {
        return Ok(());
    }
    let mut widest = BTreeMap::new();
    for shield in shields {
        *widest.entry((shield.scope.as_str(), encode(&shield.target))).or_insert(false) |=
            shield.with_descendants;
    }
    let scopes: Vec<_> = widest.keys().map(|(scope, _)| Text(scope)).collect();
    let targets: Vec<_> = widest.keys().map(|(_, target)| Text(target)).collect();
    let wide: Vec<bool> = widest.values().copied().collect();
    tx.execute(
        "INSERT INTO shields (connection, scope, target, with_descendants) \
         SELECT $1, u.* FROM unnest($2::text[], $3::text[], $4::bool[]) AS u \
         ON CONFLICT (connection, scope, md5(target)) \
         DO UPDATE SET with_descendants = shields.with_descendants OR excluded.with_descendants",
        &[&connection.0, &scopes, &targets, &wide],
    )
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<StoredItemError> {
    Ok(StoredItemError {
        key: row.get(0),
        error: ItemError {
            scope: row.get::<_, Plain>(1).0,
            target: decode(&row.get::<_, Plain>(2).0),
            with_descendants: row.get(3),
            reason: Reason::try_from(row.get::<_, i32>(4)).unwrap_or(Reason::Internal),
            code: row.get::<_, Plain>(5).0,
            message: row.get::<_, Plain>(6).0,
            metadata: from_json("metadata", row.get(7))?,
        },
        first_seen_at: time(row.get(8)),
        last_seen_at: time(row.get(9)),
        attempts: u32::try_from(row.get::<_, i64>(10)).unwrap_or(u32::MAX),
        run: row.get(11),
    })
}
