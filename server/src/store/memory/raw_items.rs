//! Raw items in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Data, MemoryStore};
use crate::store::raw_items::{RawItem, RawItemStore, RawWrite};
use crate::store::{ConnectionKey, Result};

#[async_trait]
impl RawItemStore for MemoryStore {
    async fn raw_items(
        &self,
        connection: ConnectionKey,
        after: &str,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<RawItem>> {
        self.read(|data| {
            let (mut items, mut bytes) = (Vec::new(), 0);
            let kept = data.kept_raw_items(connection).filter(|item| item.put.id.as_str() > after);
            for item in kept.take(limit) {
                if bytes >= max_bytes {
                    break;
                }
                bytes += item.put.data.len();
                items.push(item.clone());
            }
            items
        })
        .await
    }

    async fn raw_items_of(&self, connection: ConnectionKey, ids: Vec<String>) -> Result<Vec<RawItem>> {
        self.read(|data| {
            data.kept_raw_items(connection).filter(|item| ids.contains(&item.put.id)).cloned().collect()
        })
        .await
    }

    async fn count_raw_items(&self, connection: ConnectionKey) -> Result<u64> {
        self.read(|data| data.kept_raw_items(connection).count() as u64).await
    }

    async fn sample_raw_items(&self, connection: ConnectionKey, count: usize) -> Result<Vec<String>> {
        self.read(|data| {
            let total = data.kept_raw_items(connection).count();
            let step = total.div_ceil(count.max(1)).max(1);
            let items = data.kept_raw_items(connection).step_by(step);
            items.take(count.max(1)).map(|item| item.put.id.clone()).collect()
        })
        .await
    }

    async fn normalizers(&self, connection: ConnectionKey, limit: usize) -> Result<Vec<String>> {
        self.read(|data| {
            let items = data.kept_raw_items(connection);
            let mut found: Vec<String> = items.map(|item| item.put.normalizer.clone()).collect();
            found.sort_unstable();
            found.dedup();
            found.truncate(limit);
            found
        })
        .await
    }

    async fn trim_raw_items(&self, limit: usize) -> Result<u64> {
        self.write(|data| {
            let connections = &data.connections;
            let over = data.raw_items.iter().filter(|((key, _), item)| {
                connections.get(key).is_some_and(|row| item.put.epoch < row.connection.raw_epoch)
            });
            let over: Vec<_> = over.take(limit).map(|(place, _)| place.clone()).collect();
            for place in &over {
                data.raw_items.remove(place);
            }
            Ok(over.len() as u64)
        })
        .await
    }
}

impl Data {
    /// A connection's of its present epoch, ordered by id.
    pub(crate) fn kept_raw_items(&self, connection: ConnectionKey) -> impl Iterator<Item = &RawItem> {
        let epoch = self.connections.get(&connection).map(|row| row.connection.raw_epoch);
        let items = self.raw_items.iter().filter(move |((key, _), _)| *key == connection);
        items.map(|(_, item)| item).filter(move |item| Some(item.put.epoch) == epoch)
    }

    /// Writes what a commit says of raw items, in order.
    pub(super) fn write_raw_items(
        &mut self,
        connection: ConnectionKey,
        writes: Vec<RawWrite>,
        now: DateTime<Utc>,
    ) {
        for write in writes {
            match write {
                RawWrite::Put(put) => {
                    let keeps = self
                        .connections
                        .get(&connection)
                        .is_some_and(|row| row.connection.keep_raw && row.connection.raw_epoch == put.epoch);
                    if keeps {
                        let (made, place) = (!put.failed, (connection, put.id.clone()));
                        let item = RawItem { put: *put, made, permissions: None, stored_at: now };
                        self.raw_items.insert(place, item);
                    }
                }
                RawWrite::Permissions { id, scope, permissions } => {
                    let item = self.raw_items.get_mut(&(connection, id));
                    if let Some(item) = item.filter(|item| item.put.scope == scope) {
                        item.permissions = Some(permissions);
                    }
                }
                RawWrite::Normalized { id, normalizer, failed } => {
                    if let Some(item) = self.raw_items.get_mut(&(connection, id)) {
                        (item.put.normalizer, item.put.failed) = (normalizer, failed);
                        item.made |= !failed;
                    }
                }
                RawWrite::Gone { id, scope } => {
                    let place = (connection, id);
                    let sent_by = self.raw_items.get(&place).map(|item| item.put.scope.clone());
                    if scope.is_none() || scope == sent_by {
                        self.raw_items.remove(&place);
                    }
                }
            }
        }
    }

    /// Removes those that a complete listing of their scope did not name, and of which there is no document.
    pub(super) fn remove_older_raw_items(&mut self, connection: ConnectionKey, scope: &str, generation: i64) {
        let mut items = std::mem::take(&mut self.raw_items);
        items.retain(|(key, id), item| {
            let older = *key == connection && item.put.scope == scope && item.put.generation < generation;
            let documented = self.document(connection, id).is_some_and(|row| !row.document.gone);
            !older || item.made || documented
        });
        self.raw_items = items;
    }
}
