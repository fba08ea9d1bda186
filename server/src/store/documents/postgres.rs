//! Documents in PostgreSQL: what the engine reads. How they are written is in `postgres_write`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;

pub(in crate::store) use super::postgres_write::bury;
use super::postgres_write::{look_up, write_documents};
use super::sqlite::content_state;
use super::{
    Absent, Child, Commit, DocumentKey, DocumentStore, DocumentWrite, Generation, OldContainer,
    StoredDocument,
};
use crate::store::columns::hash;
use crate::store::postgres::{Outcome, Plain, Text, Tx};
use crate::store::runs::RunProgress;
use crate::store::{
    ConnectionKey, Fence, PostgresStore, Result, item_errors, raw_items, runs, sync_states, wanted,
};

/// Documents and containers right under `$3`: `$1` is the connection, `$2` the scope, `$4` the limit.
const CHILDREN: &str = "SELECT under.id, EXISTS (SELECT 1 FROM containers c WHERE c.connection = $1 AND c.scope = $2 \
         AND c.parent_id = under.id AND c.parent_id <> '' \
         AND hashtextextended(c.parent_id, 0) = hashtextextended(under.id, 0)) \
       OR EXISTS (SELECT 1 FROM documents d WHERE d.connection = $1 AND d.scope = $2 \
         AND d.parent_id = under.id AND d.parent_id <> '' \
         AND hashtextextended(d.parent_id, 0) = hashtextextended(under.id, 0)) \
     FROM (SELECT id FROM containers WHERE connection = $1 AND scope = $2 AND parent_id = $3 AND parent_id <> '' \
         AND hashtextextended(parent_id, 0) = hashtextextended($3::text, 0) \
       UNION SELECT id FROM documents WHERE connection = $1 AND scope = $2 AND parent_id = $3 AND parent_id <> '' \
         AND hashtextextended(parent_id, 0) = hashtextextended($3::text, 0)) AS under ORDER BY under.id LIMIT $4";

const BY_LOCATOR: &str = "SELECT id, 1 AS kind FROM documents WHERE connection = $1 AND scope = $2 AND locator = $3 \
       AND locator <> '' AND hashtextextended(locator, 0) = hashtextextended($3::text, 0) AND NOT gone \
     UNION ALL SELECT id, 2 FROM containers WHERE connection = $1 AND scope = $2 AND locator = $3 \
       AND locator <> '' AND hashtextextended(locator, 0) = hashtextextended($3::text, 0) \
     ORDER BY kind, id LIMIT 1";

#[async_trait]
impl DocumentStore for PostgresStore {
    async fn stored_documents(
        &self,
        connection: ConnectionKey,
        ids: Vec<String>,
    ) -> Result<Vec<StoredDocument>> {
        self.single((connection, ids), |tx, (connection, ids)| {
            Box::pin(async move {
                let ids: Vec<_> = ids.iter().map(|id| Text(id)).collect();
                // One step in the index for each id, whatever the planner believes: while a table grows, a plan that was
                // made when it was empty would compare every id with every row.
                let sql = "SELECT d.* FROM unnest($2::text[]) AS u(id) CROSS JOIN LATERAL (SELECT pk, id, scope, gone, \
                       generation, version, content_version, content_state, text_hash, text_bytes, envelope_hash, \
                       extractor, message_hash FROM documents WHERE connection = $1 AND id = u.id LIMIT 1) AS d";
                Ok(tx.query(sql, &[&connection.0, &ids]).await?.iter().map(read).collect())
            })
        })
        .await
    }

    async fn stored_envelopes(&self, keys: Vec<DocumentKey>) -> Result<Vec<(DocumentKey, Vec<u8>)>> {
        self.single(keys, |tx, keys| {
            Box::pin(async move {
                let keys: Vec<i64> = keys.iter().map(|key| key.0).collect();
                let sql = "SELECT pk, envelope FROM document_bodies WHERE pk = ANY($1)";
                let rows = tx.query(sql, &[&keys]).await?;
                Ok(rows.iter().map(|row| (DocumentKey(row.get(0)), row.get(1))).collect())
            })
        })
        .await
    }

    async fn id_of_locator(
        &self,
        connection: ConnectionKey,
        scope: &str,
        locator: &str,
    ) -> Result<Option<String>> {
        self.single((connection, scope.to_owned(), locator.to_owned()), |tx, (connection, scope, locator)| {
            Box::pin(async move {
                let row = tx.query_opt(BY_LOCATOR, &[&connection.0, &Text(scope), &Text(locator)]).await?;
                Ok(row.map(|row| row.get::<_, Plain>(0).0))
            })
        })
        .await
    }

    async fn children(
        &self,
        connection: ConnectionKey,
        scope: &str,
        id: &str,
        limit: usize,
    ) -> Result<Vec<Child>> {
        let data = (connection, scope.to_owned(), id.to_owned(), limit as i64);
        self.single(data, |tx, (connection, scope, id, limit)| {
            Box::pin(async move {
                let rows = tx.query(CHILDREN, &[&connection.0, &Text(scope), &Text(id), limit]).await?;
                let child = |row: &Row| Child { id: row.get::<_, Plain>(0).0, has_children: row.get(1) };
                Ok(rows.iter().map(child).collect())
            })
        })
        .await
    }

    async fn commit(&self, fence: Fence, commit: Commit, now: DateTime<Utc>) -> Result<()> {
        self.write_fenced(fence, (fence.connection, commit, now), |tx, (connection, commit, now)| {
            Box::pin(async move {
                let errors = async {
                    item_errors::postgres::clear(tx, *connection, commit).await?;
                    item_errors::postgres::record(tx, *connection, &commit.run, &commit.item_errors, *now)
                        .await
                };
                let (known, ..) = futures::try_join!(
                    look_up(tx, *connection, &commit.documents),
                    write_containers(tx, *connection, commit),
                    errors,
                    item_errors::postgres::shield(tx, *connection, &commit.shields),
                    sync_states::postgres::save(tx, *connection, &commit.states),
                    runs::postgres::save_progress(tx, &commit.run, &commit.progress),
                    wanted::postgres::write(tx, *connection, &commit.answered, &commit.wanted),
                )?;
                if let Some(id) = &commit.renormalized_to {
                    let sql = "UPDATE runs SET renormalized_to = $1 WHERE id = $2";
                    tx.execute(sql, &[&Text(id), &commit.run]).await?;
                }
                raw_items::postgres::remove_of_documents(tx, &buried(&commit.documents)).await?;
                raw_items::postgres::write(tx, *connection, &commit.raw_items, *now).await?;
                // Last: it takes the feed's head, which all writers wait for.
                write_documents(tx, *connection, &commit.documents, known, *now).await
            })
        })
        .await
    }

    async fn generations(&self, connection: ConnectionKey) -> Result<Vec<Generation>> {
        self.single(connection, |tx, connection| {
            Box::pin(async move {
                let sql = "SELECT scope, generation, count(*) FROM documents WHERE connection = $1 AND NOT gone \
                     GROUP BY scope, generation ORDER BY scope, generation";
                let rows = tx.query(sql, &[&connection.0]).await?;
                let generation = |row: &Row| Generation {
                    scope: row.get::<_, Plain>(0).0,
                    generation: row.get(1),
                    documents: count(row, 2),
                };
                Ok(rows.iter().map(generation).collect())
            })
        })
        .await
    }

    async fn absent(
        &self,
        connection: ConnectionKey,
        scope: &str,
        generation: i64,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Absent>> {
        let data = (connection, scope.to_owned(), generation, after.to_owned(), limit as i64);
        self.single(data, |tx, (connection, scope, generation, after, limit)| {
            Box::pin(async move {
                let sql = "SELECT pk, id, parent_id, locator, generation FROM documents \
                     WHERE connection = $1 AND id > $2 AND scope = $3 AND NOT gone AND generation < $4 \
                     ORDER BY id LIMIT $5";
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                    [&connection.0, &Text(after), &Text(scope), generation, limit];
                let rows = tx.query(sql, &values).await?;
                let absent = rows.iter().map(|row| Absent {
                    key: DocumentKey(row.get(0)),
                    id: row.get::<_, Plain>(1).0,
                    parent_id: row.get::<_, Plain>(2).0,
                    locator: row.get::<_, Plain>(3).0,
                    generation: row.get(4),
                });
                Ok(absent.collect())
            })
        })
        .await
    }

    async fn parent_of(&self, connection: ConnectionKey, id: &str) -> Result<Option<String>> {
        self.single((connection, id.to_owned()), |tx, (connection, id)| {
            Box::pin(async move {
                let sql = "SELECT parent_id FROM containers WHERE connection = $1 AND id = $2 \
                     UNION ALL SELECT parent_id FROM documents WHERE connection = $1 AND id = $2 LIMIT 1";
                let row = tx.query_opt(sql, &[&connection.0, &Text(id)]).await?;
                Ok(row.map(|row| row.get::<_, Plain>(0).0))
            })
        })
        .await
    }

    async fn bury(
        &self,
        fence: Fence,
        keys: Vec<DocumentKey>,
        run: &str,
        progress: RunProgress,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let keys: Vec<i64> = keys.into_iter().map(|key| key.0).collect();
        let data = (fence.connection, keys, run.to_owned(), progress, now);
        self.write_fenced(fence, data, |tx, (connection, keys, run, progress, now)| {
            Box::pin(async move {
                runs::postgres::save_progress(tx, run, progress).await?;
                bury(tx, *connection, keys, *now).await
            })
        })
        .await
    }

    async fn old_containers(
        &self,
        connection: ConnectionKey,
        scope: &str,
        generation: i64,
        after: &str,
        limit: usize,
    ) -> Result<Vec<OldContainer>> {
        let data = (connection, scope.to_owned(), generation, after.to_owned(), limit as i64);
        self.single(data, |tx, (connection, scope, generation, after, limit)| {
            Box::pin(async move {
                let sql = "SELECT id, parent_id, locator FROM containers WHERE connection = $1 AND id > $2 \
                     AND scope = $3 AND generation < $4 ORDER BY id LIMIT $5";
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                    [&connection.0, &Text(after), &Text(scope), generation, limit];
                let rows = tx.query(sql, &values).await?;
                let old = |row: &Row| OldContainer {
                    id: row.get::<_, Plain>(0).0,
                    parent_id: row.get::<_, Plain>(1).0,
                    locator: row.get::<_, Plain>(2).0,
                };
                Ok(rows.iter().map(old).collect())
            })
        })
        .await
    }

    async fn forget(
        &self,
        fence: Fence,
        scope: &str,
        containers: Vec<String>,
        item_errors: Vec<i64>,
        raw_before: Option<i64>,
    ) -> Result<()> {
        let data = (fence.connection, scope.to_owned(), containers, item_errors, raw_before);
        self.write_fenced(fence, data, |tx, (connection, scope, containers, item_errors, raw_before)| {
            Box::pin(async move {
                let ids: Vec<_> = containers.iter().map(|id| Text(id)).collect();
                let sql = "DELETE FROM containers WHERE ctid = ANY(ARRAY(SELECT found.ctid FROM unnest($3::text[]) AS u(id) \
                     CROSS JOIN LATERAL (SELECT ctid, scope FROM containers WHERE connection = $1 AND id = u.id LIMIT 1) \
                     AS found WHERE found.scope = $2))";
                tx.execute(sql, &[&connection.0, &Text(scope), &ids]).await?;
                let sql = "DELETE FROM item_errors WHERE connection = $1 AND pk = ANY($2)";
                tx.execute(sql, &[&connection.0, item_errors]).await?;
                match raw_before {
                    Some(generation) => {
                        raw_items::postgres::remove_older(tx, *connection, scope, *generation).await
                    }
                    None => Ok(()),
                }
            })
        })
        .await
    }
}

/// The documents that go.
fn buried(writes: &[DocumentWrite]) -> Vec<i64> {
    let gone = |write: &DocumentWrite| match write {
        DocumentWrite::Gone(key) => Some(key.0),
        DocumentWrite::Put(_) | DocumentWrite::Seen { .. } => None,
    };
    writes.iter().filter_map(gone).collect()
}

async fn write_containers(tx: &Tx, connection: ConnectionKey, commit: &Commit) -> Outcome<()> {
    if !commit.removed_containers.is_empty() {
        let (scopes, ids): (Vec<_>, Vec<_>) =
            commit.removed_containers.iter().map(|(scope, id)| (Text(scope), Text(id))).unzip();
        let sql = "DELETE FROM containers c USING unnest($2::text[], $3::text[]) AS u(scope, id) \
             WHERE c.connection = $1 AND c.id = u.id COLLATE \"C\" AND c.scope = u.scope COLLATE \"C\"";
        tx.execute(sql, &[&connection.0, &scopes, &ids]).await?;
    }
    if commit.containers.is_empty() {
        return Ok(());
    }
    // Of two with one id the later one counts, and a statement writes a row once.
    let mut last = std::collections::BTreeMap::new();
    for container in &commit.containers {
        last.insert(container.id.as_str(), container);
    }
    let texts = |field: fn(&super::ContainerPut) -> &str| -> Vec<Text<'_>> {
        last.values().map(|container| Text(field(container))).collect()
    };
    let generations: Vec<i64> = last.values().map(|container| container.generation).collect();
    tx.execute(
        "INSERT INTO containers (connection, id, scope, parent_id, name, locator, generation) \
         SELECT $1, u.* FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[]) AS u \
         ON CONFLICT (connection, id) DO UPDATE SET scope = excluded.scope, parent_id = excluded.parent_id, \
         name = excluded.name, locator = excluded.locator, generation = excluded.generation",
        &[
            &connection.0,
            &texts(|put| &put.id),
            &texts(|put| &put.scope),
            &texts(|put| &put.parent_id),
            &texts(|put| &put.name),
            &texts(|put| &put.locator),
            &generations,
        ],
    )
    .await?;
    Ok(())
}

/// A count, which is never negative.
pub(in crate::store) fn count(row: &Row, index: usize) -> u64 {
    row.get::<_, i64>(index).unsigned_abs()
}

fn read(row: &Row) -> StoredDocument {
    StoredDocument {
        key: DocumentKey(row.get(0)),
        id: row.get::<_, Plain>(1).0,
        scope: row.get::<_, Plain>(2).0,
        gone: row.get(3),
        generation: row.get(4),
        version: row.get::<_, Plain>(5).0,
        content_version: row.get::<_, Option<Plain>>(6).map(|version| version.0),
        content_state: content_state(row.get::<_, i32>(7).into()),
        text_hash: row.get::<_, Option<&[u8]>>(8).map(hash),
        text_bytes: count(row, 9),
        envelope_hash: hash(row.get(10)),
        extractor: u32::try_from(row.get::<_, i64>(11)).unwrap_or(0),
        message_hash: row.get::<_, Option<&[u8]>>(12).map(hash),
    }
}
