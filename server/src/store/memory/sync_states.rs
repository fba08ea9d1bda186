//! Sync states in memory.

use async_trait::async_trait;

use super::{Data, MemoryStore};
use crate::store::sync_states::{Listing, ScopeState, SyncStateStore};
use crate::store::{ConnectionKey, Fence, Result, StoreError};

#[async_trait]
impl SyncStateStore for MemoryStore {
    async fn sync_states(&self, connection: ConnectionKey) -> Result<Vec<ScopeState>> {
        self.read(|data| data.states_of(connection)).await
    }

    async fn save_sync_states(
        &self,
        fence: Fence,
        states: Vec<ScopeState>,
        settings: Option<Vec<u8>>,
    ) -> Result<()> {
        self.write_fenced(fence, |data| {
            let connection = fence.connection;
            for state in states {
                if state.listing == Listing::UnderWay && state.listing_cursor.is_none() {
                    data.shields.retain(|(key, scope, _), _| *key != connection || *scope != state.scope);
                }
                data.save_state(connection, state);
            }
            if let (Some(settings), Some(row)) = (settings, data.connections.get_mut(&connection)) {
                row.connection.synced_settings = Some(settings);
            }
            Ok(())
        })
        .await
    }

    async fn approve_held(&self, connection: ConnectionKey, scopes: Vec<String>) -> Result<Vec<ScopeState>> {
        self.write(|data| {
            let mut held = data.states_of(connection);
            held.retain(|state| state.held.is_some() && (scopes.is_empty() || scopes.contains(&state.scope)));
            for state in &held {
                if let Some(stored) = data.states.get_mut(&(connection, state.scope.clone())) {
                    stored.approved_generation = stored.held.map(|held| held.generation);
                }
            }
            Ok(held)
        })
        .await
    }

    async fn reset_sync_states(&self, connection: ConnectionKey, scopes: Vec<String>) -> Result<()> {
        self.write(|data| {
            data.end_claim(connection)?;
            data.begin_again(connection, 0);
            for mut state in data.states_of(connection) {
                if scopes.is_empty() || scopes.contains(&state.scope) {
                    (state.cursor, state.listing, state.listing_cursor) = (None, Listing::None, None);
                    data.save_state(connection, state);
                }
            }
            Ok(())
        })
        .await
    }

    async fn set_cursor(
        &self,
        connection: ConnectionKey,
        scope: &str,
        cursor: Vec<u8>,
        expected: Option<ScopeState>,
    ) -> Result<ScopeState> {
        self.write(|data| {
            let stored = data.states.get(&(connection, scope.to_owned())).cloned();
            let mut state = stored.ok_or(StoreError::Missing("scope"))?;
            if expected.is_some_and(|expected| expected != state) {
                return Err(StoreError::Conflict("sync state"));
            }
            data.end_claim(connection)?;
            data.begin_again(connection, 0);
            state.cursor = Some(cursor);
            data.save_state(connection, state.clone());
            Ok(state)
        })
        .await
    }

    async fn remove_scope(&self, fence: Fence, scope: &str) -> Result<()> {
        self.write_fenced(fence, |data| {
            let key = fence.connection;
            data.states.remove(&(key, scope.to_owned()));
            data.shields.retain(|(connection, name, _), _| *connection != key || name != scope);
            data.item_errors.retain(|(connection, name, ..), _| *connection != key || name != scope);
            data.wanted.retain(|(connection, _), wanted| *connection != key || wanted.scope != scope);
            data.containers.retain(|(connection, _), put| *connection != key || put.scope != scope);
            data.raw_items.retain(|(connection, _), item| *connection != key || item.put.scope != scope);
            Ok(())
        })
        .await
    }
}

impl Data {
    /// Where a connection's scopes stand, ordered by scope.
    pub(crate) fn states_of(&self, connection: ConnectionKey) -> Vec<ScopeState> {
        let states = self.states.range((connection, String::new())..);
        states.take_while(|((key, _), _)| *key == connection).map(|(_, state)| state.clone()).collect()
    }

    /// Writes one state. An approval is never overwritten: it comes from a person; it ends when nothing is held any more.
    pub(super) fn save_state(&mut self, connection: ConnectionKey, mut state: ScopeState) {
        let place = (connection, state.scope.clone());
        let stored = self.states.get(&place).and_then(|stored| stored.approved_generation);
        state.approved_generation = stored.filter(|_| state.held.is_some());
        self.states.insert(place, state);
    }
}
