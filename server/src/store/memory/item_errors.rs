//! Item errors and shields in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Data, MemoryStore};
use crate::store::documents::ContentState;
use crate::store::item_errors::{
    ItemError, ItemErrorFilter, ItemErrorStore, Shield, StoredItemError, Target,
};
use crate::store::{ConnectionKey, Listed, Result};

/// Connection, scope, target, and for an unnamed one what it says.
pub(super) type ErrorKey = (ConnectionKey, String, Target, String);

#[async_trait]
impl ItemErrorStore for MemoryStore {
    async fn item_errors(
        &self,
        connection: ConnectionKey,
        filter: ItemErrorFilter,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Listed<StoredItemError, i64>> {
        self.read(|data| {
            let mut errors: Vec<_> = data.errors_of(connection).cloned().collect();
            errors.retain(|stored| {
                before.is_none_or(|before| stored.key < before)
                    && filter.scope.as_ref().is_none_or(|scope| stored.error.scope == *scope)
                    && filter.reason.is_none_or(|reason| stored.error.reason == reason)
            });
            errors.sort_unstable_by_key(|error| -error.key);
            Listed::cut(errors, limit, |error| error.key)
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
        self.read(|data| {
            let unread = |target: &Target| match target {
                Target::Id(id) => data.document(connection, id).is_some_and(|row| {
                    let state = row.document.content_state;
                    !row.document.gone && matches!(state, ContentState::Unreadable | ContentState::Stale)
                }),
                Target::Locator(_) | Target::Unnamed => false,
            };
            let old = data.errors_of(connection).filter(|stored| {
                stored.error.scope == scope && stored.last_seen_at < before && stored.key > after
            });
            let old = old.filter(|stored| !unread(&stored.error.target));
            let mut old: Vec<_> = old.map(|stored| (stored.key, stored.error.target.clone())).collect();
            old.sort_unstable();
            old.truncate(limit);
            old
        })
        .await
    }

    async fn count_item_errors(&self, connection: ConnectionKey) -> Result<u64> {
        self.read(|data| data.errors_of(connection).count() as u64).await
    }

    async fn shields(&self, connection: ConnectionKey, scope: &str) -> Result<Vec<Shield>> {
        self.read(|data| {
            let shields = data.shields.iter();
            let shields = shields.filter(|((key, name, _), _)| *key == connection && name == scope);
            let shields = shields.map(|((_, scope, target), with_descendants)| Shield {
                scope: scope.clone(),
                target: target.clone(),
                with_descendants: *with_descendants,
            });
            shields.collect()
        })
        .await
    }
}

impl Data {
    pub(crate) fn errors_of(&self, connection: ConnectionKey) -> impl Iterator<Item = &StoredItemError> {
        self.item_errors.iter().filter(move |((key, ..), _)| *key == connection).map(|(_, error)| error)
    }

    /// Records an error: a new one, or one more sight of it.
    pub(super) fn record_error(
        &mut self,
        connection: ConnectionKey,
        run: &str,
        error: ItemError,
        now: DateTime<Utc>,
    ) {
        let says = if error.target == Target::Unnamed { error.message.clone() } else { String::new() };
        let place = (connection, error.scope.clone(), error.target.clone(), says);
        if let Some(known) = self.item_errors.get_mut(&place) {
            known.attempts += u32::from(known.run != run);
            (known.error, known.last_seen_at, known.run) = (error, now, run.to_owned());
            return;
        }
        let key = self.next_key();
        let (attempts, run) = (1, run.to_owned());
        let stored = StoredItemError { key, error, first_seen_at: now, last_seen_at: now, attempts, run };
        self.item_errors.insert(place, stored);
    }

    /// Forgets the error in one scope of an item that is gone from there.
    pub(super) fn clear_item_in(&mut self, connection: ConnectionKey, scope: &str, item: String) {
        self.item_errors.remove(&(connection, scope.to_owned(), Target::Id(item), String::new()));
    }

    /// Forgets the errors of an item that was read.
    pub(super) fn clear_item(&mut self, connection: ConnectionKey, item: &str) {
        let stored =
            self.document(connection, item).filter(|row| !row.document.gone && !row.locator.is_empty());
        let located = stored.map(|row| (row.document.scope.clone(), Target::Locator(row.locator.clone())));
        let item = Target::Id(item.to_owned());
        self.item_errors.retain(|(key, scope, target, _), _| {
            let by_locator = located.as_ref().is_some_and(|(of, locator)| of == scope && locator == target);
            *key != connection || (*target != item && !by_locator)
        });
    }

    /// Puts a shield over a target; a wide one stays wide.
    pub(super) fn put_shield(&mut self, connection: ConnectionKey, shield: Shield) {
        let wide = self.shields.entry((connection, shield.scope, shield.target)).or_default();
        *wide |= shield.with_descendants;
    }
}
