//! The feed in PostgreSQL. Offsets are given out under a lock that is held to the commit (`documents::postgres_write`),
//! so they become visible in their order.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_postgres::Row;

use super::{
    Consumer, FeedBounds, FeedFilter, FeedLag, FeedPage, FeedRow, FeedStore, Histories, History,
    MAX_INLINE_TEXT_BYTES, ReadLimit, Texts,
};
use crate::store::columns::{micros, time};
use crate::store::documents::postgres::count;
use crate::store::documents::sqlite::content_state;
use crate::store::postgres::{Outcome, Plain, Text, Tx};
use crate::store::{ConnectionKey, Listed, PostgresStore, Result, StoreError};

/// `$1` is the offset after which texts are read (the largest number reads none), `$2` the longest text, `$3` the
/// connection and `$4` the organisation.
const ROWS: &str = "SELECT c.organization, c.id AS name, d.connection, d.feed_offset, d.content_offset, d.id, d.gone, \
     d.content_state, d.text_bytes, b.envelope, \
     CASE WHEN d.content_offset > $1::bigint AND d.text_bytes <= $2::bigint THEN b.text END AS text, d.committed_at \
     FROM documents d JOIN connections c ON c.pk = d.connection LEFT JOIN document_bodies b ON b.pk = d.pk \
     WHERE ($3::text = '' OR c.id = $3) AND ($4::text = '' OR c.organization = $4)";

/// Of the rows of a query in an order, those before which lie less than so many bytes. Lengths are known without reading
/// the values, so what is beyond is never read.
fn within(rows: &str, order: &str, bytes: &str) -> String {
    format!(
        "SELECT * FROM (SELECT page.*, coalesce(sum(coalesce(octet_length(envelope), 0) \
         + coalesce(octet_length(text), 0)) OVER (ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), \
         0) AS before FROM ({rows}) AS page) AS pages WHERE before < {bytes} ORDER BY {order}"
    )
}

const CONSUMER: &str = "name, connection, organization, position, committed_at";

#[async_trait]
impl FeedStore for PostgresStore {
    fn feed_changes(&self) -> watch::Receiver<i64> {
        self.feed_head.subscribe()
    }

    async fn feed_bounds(&self) -> Result<FeedBounds> {
        self.read((), |tx, ()| Box::pin(bounds(tx))).await
    }

    async fn read_feed(
        &self,
        filter: FeedFilter,
        offset: i64,
        texts: Texts,
        limit: ReadLimit,
    ) -> Result<FeedPage> {
        self.read((filter, offset, texts, limit), |tx, (filter, offset, texts, limit)| {
            Box::pin(async move {
                let inner =
                    format!("{ROWS} AND d.feed_offset > $5::bigint ORDER BY d.feed_offset LIMIT $6::bigint");
                let sql = within(&inner, "feed_offset", "$7::bigint");
                let (rows, bytes) = (limit.rows as i64, most_bytes(*limit));
                let texts_after = texts_after(*texts);
                let (connection, organization) = (Text(&filter.connection), Text(&filter.organization));
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                    [&texts_after, &MAX_TEXT, &connection, &organization, offset, &rows, &bytes];
                let (bounds, rows) = futures::try_join!(bounds(tx), tx.query(&sql, &values))?;
                let rows = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
                let head = bounds.head;
                let cut = rows.len() >= limit.rows || size(&rows) >= limit.bytes;
                let read_to = match rows.last() {
                    Some(last) if cut => last.offset,
                    _ => head.max(*offset),
                };
                Ok(FeedPage { caught_up: !cut || read_to >= head, rows, read_to, bounds })
            })
        })
        .await
    }

    async fn list_documents(
        &self,
        filter: FeedFilter,
        after: Option<(ConnectionKey, String)>,
        texts: Texts,
        limit: ReadLimit,
    ) -> Result<(Vec<FeedRow>, bool)> {
        self.single((filter, after, texts, limit), |tx, (filter, after, texts, limit)| {
            Box::pin(async move {
                let (after_connection, after_id) =
                    after.as_ref().map_or((0, ""), |(key, id)| (key.0, id.as_str()));
                // One connection's documents are a range of the index, if it is asked for by its key.
                let range = if filter.connection.is_empty() {
                    "(d.connection, d.id) > ($5::bigint, $6::text)"
                } else {
                    "d.connection = (SELECT pk FROM connections WHERE id = $3) AND d.id > $6::text \
                     AND $5::bigint IS NOT NULL"
                };
                let inner =
                    format!("{ROWS} AND {range} AND NOT d.gone ORDER BY d.connection, d.id LIMIT $7::bigint");
                let sql = within(&inner, "connection, id", "$8::bigint");
                // One more than asked for tells whether there is one.
                let (rows, bytes) = (limit.rows as i64 + 1, most_bytes(*limit));
                let texts_after = texts_after(*texts);
                let (connection, organization) = (Text(&filter.connection), Text(&filter.organization));
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
                    &texts_after,
                    &MAX_TEXT,
                    &connection,
                    &organization,
                    &after_connection,
                    &Text(after_id),
                    &rows,
                    &bytes,
                ];
                let found = tx.query(&sql, &values).await?;
                let mut rows = found.iter().map(read).collect::<Result<Vec<_>>>()?;
                let more = rows.len() > limit.rows;
                rows.truncate(limit.rows);
                if more || size(&rows) < limit.bytes {
                    return Ok((rows, more));
                }
                // The bytes ended the page: is there a row behind it?
                let Some(last) = rows.last() else { return Ok((rows, false)) };
                let sql = format!("SELECT EXISTS ({ROWS} AND {range} AND NOT d.gone)");
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] = [
                    &texts_after,
                    &MAX_TEXT,
                    &connection,
                    &organization,
                    &last.connection_key.0,
                    &Text(&last.id),
                ];
                let more = tx.query_one(&sql, &values).await?.get(0);
                Ok((rows, more))
            })
        })
        .await
    }

    async fn document(&self, connection: ConnectionKey, id: &str) -> Result<Option<FeedRow>> {
        self.single((connection, id.to_owned()), |tx, (connection, id)| {
            Box::pin(async move {
                let sql = format!("{ROWS} AND d.connection = $5 AND d.id = $6 AND NOT d.gone");
                let row =
                    tx.query_opt(&sql, &[&-1_i64, &MAX_TEXT, &"", &"", &connection.0, &Text(id)]).await?;
                Ok(row.as_ref().map(read).transpose()?)
            })
        })
        .await
    }

    async fn text(&self, connection: ConnectionKey, id: &str) -> Result<Option<Option<String>>> {
        self.single((connection, id.to_owned()), |tx, (connection, id)| {
            Box::pin(async move {
                let sql = "SELECT b.text FROM documents d JOIN document_bodies b ON b.pk = d.pk \
                     WHERE d.connection = $1 AND d.id = $2 AND NOT d.gone";
                let row = tx.query_opt(sql, &[&connection.0, &Text(id)]).await?;
                Ok(row.map(|row| text(row.get(0))).transpose()?)
            })
        })
        .await
    }

    async fn consumer(&self, name: &str, filter: FeedFilter, now: DateTime<Utc>) -> Result<Consumer> {
        self.write((name.to_owned(), filter, micros(now)), |tx, (name, filter, now)| {
            Box::pin(async move {
                let sql = "INSERT INTO consumers (name, connection, organization, position, created_at) \
                     VALUES ($1, $2, $3, '', $4) ON CONFLICT DO NOTHING";
                tx.execute(sql, &[&Text(name), &Text(&filter.connection), &Text(&filter.organization), now])
                    .await?;
                let sql = format!("SELECT {CONSUMER} FROM consumers WHERE name = $1");
                let row = tx.query_opt(&sql, &[&Text(name)]).await?;
                Ok(row.as_ref().map(read_consumer).ok_or(StoreError::Missing("consumer"))?)
            })
        })
        .await
    }

    async fn commit_position(&self, name: &str, position: String, now: DateTime<Utc>) -> Result<Consumer> {
        self.write((name.to_owned(), position, micros(now)), |tx, (name, position, now)| {
            Box::pin(async move {
                let sql = format!(
                    "UPDATE consumers SET position = $1, committed_at = $2 WHERE name = $3 RETURNING {CONSUMER}"
                );
                let row = tx.query_opt(&sql, &[&Text(position), now, &Text(name)]).await?;
                Ok(row.as_ref().map(read_consumer).ok_or(StoreError::Missing("consumer"))?)
            })
        })
        .await
    }

    async fn consumers(&self, after: &str, limit: usize) -> Result<Listed<Consumer>> {
        self.single((after.to_owned(), limit), |tx, (after, limit)| {
            Box::pin(async move {
                let sql = format!("SELECT {CONSUMER} FROM consumers WHERE name > $1 ORDER BY name LIMIT $2");
                let rows = tx.query(&sql, &[&Text(after), &(*limit as i64 + 1)]).await?;
                let items = rows.iter().map(read_consumer).collect();
                Ok(Listed::cut(items, *limit, |consumer| consumer.name.clone()))
            })
        })
        .await
    }

    async fn delete_consumer(&self, name: &str) -> Result<bool> {
        self.write(name.to_owned(), |tx, name| {
            Box::pin(async move {
                Ok(tx.execute("DELETE FROM consumers WHERE name = $1", &[&Text(name)]).await? > 0)
            })
        })
        .await
    }

    async fn feed_lag(&self, filter: FeedFilter, offset: i64) -> Result<FeedLag> {
        self.read((filter, offset), |tx, (filter, offset)| {
            Box::pin(async move {
                let from = "FROM documents d JOIN connections c ON c.pk = d.connection WHERE d.feed_offset > $1 \
                     AND ($2::text = '' OR c.id = $2) AND ($3::text = '' OR c.organization = $3)";
                let counting = format!("SELECT count(*) {from}");
                let oldest = format!("SELECT d.committed_at {from} ORDER BY d.feed_offset LIMIT 1");
                let (connection, organization) = (Text(&filter.connection), Text(&filter.organization));
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                    [offset, &connection, &organization];
                let (entries, since) = futures::try_join!(
                    tx.query_one(&counting, &values),
                    tx.query_opt(&oldest, &values),
                )?;
                Ok(FeedLag { entries: count(&entries, 0), since: since.map(|row| time(row.get(0))) })
            })
        })
        .await
    }

    async fn trim_tombstones(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write((micros(before), limit as i64), |tx, (before, limit)| {
            Box::pin(async move {
                // One that a run brings back meanwhile is passed over.
                let sql = "DELETE FROM documents WHERE gone AND pk IN (SELECT pk FROM documents \
                       WHERE gone AND committed_at < $1 ORDER BY committed_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
                     RETURNING feed_offset";
                let old = tx.query(sql, &[before, limit]).await?;
                if let Some(newest) = old.iter().map(|row| row.get::<_, i64>(0)).max() {
                    let sql = "UPDATE meta SET value = greatest(value, $1) WHERE name = 'feed_floor'";
                    tx.execute(sql, &[&newest]).await?;
                }
                tx.execute(
                    "DELETE FROM connections WHERE deleted_at IS NOT NULL AND NOT EXISTS \
                     (SELECT 1 FROM documents WHERE connection = connections.pk)",
                    &[],
                )
                .await?;
                Ok(old.len() as u64)
            })
        })
        .await
    }
}

const MAX_TEXT: i64 = MAX_INLINE_TEXT_BYTES as i64;

async fn bounds(tx: &Tx) -> Outcome<FeedBounds> {
    let (facts, histories) = futures::try_join!(
        tx.query("SELECT name, value FROM meta", &[]),
        tx.query("SELECT from_offset, number FROM feed_histories", &[]),
    )?;
    let fact = |name: &str| {
        facts.iter().find(|row| row.get::<_, &str>(0) == name).map_or(0, |row| row.get::<_, i64>(1))
    };
    let histories = histories.iter().map(|row| History { from_offset: row.get(0), number: row.get(1) });
    Ok(FeedBounds {
        histories: Histories::new(histories.collect()),
        head: fact("feed_head"),
        floor: fact("feed_floor"),
    })
}

fn texts_after(texts: Texts) -> i64 {
    match texts {
        Texts::Omit => i64::MAX,
        Texts::ChangedAfter(offset) => offset,
    }
}

/// At least one row is read, however large.
fn most_bytes(limit: ReadLimit) -> i64 {
    i64::try_from(limit.bytes).unwrap_or(i64::MAX).max(1)
}

fn size(rows: &[FeedRow]) -> usize {
    rows.iter().map(|row| row.envelope.len() + row.text.as_ref().map_or(0, String::len)).sum()
}

/// A stored text.
fn text(bytes: Option<Vec<u8>>) -> Result<Option<String>> {
    let read = |bytes| String::from_utf8(bytes);
    bytes
        .map(read)
        .transpose()
        .map_err(|error| StoreError::Corrupt { what: "text", detail: error.to_string() })
}

fn read_consumer(row: &Row) -> Consumer {
    Consumer {
        name: row.get::<_, Plain>(0).0,
        filter: FeedFilter { connection: row.get::<_, Plain>(1).0, organization: row.get::<_, Plain>(2).0 },
        position: row.get::<_, Plain>(3).0,
        committed_at: row.get::<_, Option<i64>>(4).map(time),
    }
}

fn read(row: &Row) -> Result<FeedRow> {
    Ok(FeedRow {
        organization: row.get::<_, Plain>(0).0,
        connection: row.get::<_, Plain>(1).0,
        connection_key: ConnectionKey(row.get(2)),
        offset: row.get(3),
        content_offset: row.get(4),
        id: row.get::<_, Plain>(5).0,
        gone: row.get(6),
        content_state: content_state(row.get::<_, i32>(7).into()),
        text_bytes: count(row, 8),
        envelope: row.get::<_, Option<Vec<u8>>>(9).unwrap_or_default(),
        text: text(row.get(10))?,
        committed_at: time(row.get(11)),
    })
}
