//! The feed in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::documents::DocumentRow;
use super::{Data, MemoryStore};
use crate::store::feed::{
    Consumer, FeedBounds, FeedFilter, FeedLag, FeedPage, FeedRow, FeedStore, MAX_INLINE_TEXT_BYTES,
    ReadLimit, Texts,
};
use crate::store::{ConnectionKey, Listed, Result, StoreError};

#[async_trait]
impl FeedStore for MemoryStore {
    fn feed_changes(&self) -> watch::Receiver<i64> {
        self.feed_head.subscribe()
    }

    async fn feed_bounds(&self) -> Result<FeedBounds> {
        self.read(Data::bounds).await
    }

    async fn read_feed(
        &self,
        filter: FeedFilter,
        offset: i64,
        texts: Texts,
        limit: ReadLimit,
    ) -> Result<FeedPage> {
        self.read(|data| {
            let bounds = data.bounds();
            let head = bounds.head;
            let mut page = FeedPage { rows: Vec::new(), read_to: head, caught_up: true, bounds };
            let mut bytes = 0;
            for row in data.feed_after(offset).filter_map(|row| data.feed_row(row, &filter, texts)) {
                bytes += size(&row);
                page.read_to = row.offset;
                page.rows.push(row);
                if page.rows.len() >= limit.rows || bytes >= limit.bytes {
                    page.caught_up = page.read_to >= head;
                    return page;
                }
            }
            page.read_to = head.max(offset);
            page
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
        self.read(|data| {
            let keys = data.document_keys.iter().filter(|(place, _)| Some(*place) > after.as_ref());
            let rows = keys.filter_map(|(_, key)| data.documents.get(key)).filter(|row| !row.document.gone);
            let mut found = Vec::new();
            let mut bytes = 0;
            for row in rows.filter_map(|row| data.feed_row(row, &filter, texts)) {
                if found.len() >= limit.rows || bytes >= limit.bytes {
                    return (found, true);
                }
                bytes += size(&row);
                found.push(row);
            }
            (found, false)
        })
        .await
    }

    async fn document(&self, connection: ConnectionKey, id: &str) -> Result<Option<FeedRow>> {
        self.read(|data| {
            let row = data.document(connection, id).filter(|row| !row.document.gone)?;
            data.feed_row(row, &FeedFilter::default(), Texts::ChangedAfter(-1))
        })
        .await
    }

    async fn text(&self, connection: ConnectionKey, id: &str) -> Result<Option<Option<String>>> {
        self.read(|data| {
            let body = data.document(connection, id)?.body.as_ref();
            body.map(|(_, text)| text.clone())
        })
        .await
    }

    async fn consumer(&self, name: &str, filter: FeedFilter, _: DateTime<Utc>) -> Result<Consumer> {
        self.write(|data| {
            let new =
                || Consumer { name: name.to_owned(), filter, position: String::new(), committed_at: None };
            Ok(data.consumers.entry(name.to_owned()).or_insert_with(new).clone())
        })
        .await
    }

    async fn commit_position(&self, name: &str, position: String, now: DateTime<Utc>) -> Result<Consumer> {
        self.write(|data| {
            let consumer = data.consumers.get_mut(name).ok_or(StoreError::Missing("consumer"))?;
            (consumer.position, consumer.committed_at) = (position, Some(now));
            Ok(consumer.clone())
        })
        .await
    }

    async fn consumers(&self, after: &str, limit: usize) -> Result<Listed<Consumer>> {
        self.read(|data| {
            let found = data.consumers.values().filter(|consumer| consumer.name.as_str() > after);
            Listed::cut(found.take(limit + 1).cloned().collect(), limit, |consumer| consumer.name.clone())
        })
        .await
    }

    async fn delete_consumer(&self, name: &str) -> Result<bool> {
        self.write(|data| Ok(data.consumers.remove(name).is_some())).await
    }

    async fn feed_lag(&self, filter: FeedFilter, offset: i64) -> Result<FeedLag> {
        self.read(|data| {
            let rows = data.feed_after(offset);
            let mut rows = rows.filter_map(|row| data.feed_row(row, &filter, Texts::Omit));
            let since = rows.next().map(|row| row.committed_at);
            FeedLag { entries: u64::from(since.is_some()) + rows.count() as u64, since }
        })
        .await
    }

    async fn trim_tombstones(&self, before: DateTime<Utc>, limit: usize) -> Result<u64> {
        self.write(|data| {
            let old = data.documents.values().filter(|row| row.document.gone && row.committed_at < before);
            let mut old: Vec<_> = old.map(|row| (row.committed_at, row.offset, row.document.key)).collect();
            old.sort_unstable();
            old.truncate(limit);
            for (_, offset, key) in &old {
                if let Some(row) = data.documents.remove(key) {
                    data.document_keys.remove(&(row.connection, row.document.id));
                }
                data.feed.remove(offset);
                data.bounds.floor = data.bounds.floor.max(*offset);
            }
            data.forget_connections();
            Ok(old.len() as u64)
        })
        .await
    }
}

impl Data {
    /// The feed's bounds now.
    pub(crate) fn bounds(&self) -> FeedBounds {
        self.bounds.clone()
    }

    fn feed_after(&self, offset: i64) -> impl Iterator<Item = &DocumentRow> {
        self.feed.range(offset.saturating_add(1)..).filter_map(|(_, key)| self.documents.get(key))
    }

    /// The row as the feed shows it, where the filter matches.
    fn feed_row(&self, row: &DocumentRow, filter: &FeedFilter, texts: Texts) -> Option<FeedRow> {
        let connection = &self.connections.get(&row.connection)?.connection;
        let matches = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        if !matches(&filter.connection, &connection.id)
            || !matches(&filter.organization, &connection.organization)
        {
            return None;
        }
        let wanted = match texts {
            Texts::Omit => false,
            Texts::ChangedAfter(offset) => row.content_offset > offset,
        };
        let (envelope, text) = row.body.clone().unwrap_or_default();
        Some(FeedRow {
            organization: connection.organization.clone(),
            connection: connection.id.clone(),
            connection_key: row.connection,
            offset: row.offset,
            content_offset: row.content_offset,
            id: row.document.id.clone(),
            gone: row.document.gone,
            content_state: row.document.content_state,
            text_bytes: row.document.text_bytes,
            envelope,
            text: text.filter(|_| wanted && row.document.text_bytes <= MAX_INLINE_TEXT_BYTES),
            committed_at: row.committed_at,
        })
    }
}

fn size(row: &FeedRow) -> usize {
    row.envelope.len() + row.text.as_ref().map_or(0, String::len)
}
