//! Where the scopes of a connection stand, shown to and changed by people.

use ring::digest::{SHA256, digest};
use superfasttt_proto::control::v1::{ScopeSyncState, UpdateSyncStateRequest};

use super::error::ApiError;
use super::{Api, convert};
use crate::store::connections::Connection;
use crate::store::sync_states::ScopeState;
use crate::sync::cursor_hash;

/// The longest cursor that a connector may write, and so the longest that it is given.
const MAX_CURSOR_BYTES: usize = 64 * 1024;

impl Api {
    /// All scopes.
    pub(super) async fn scopes(&self, connection: &Connection) -> Result<Vec<ScopeSyncState>, ApiError> {
        let states = self.store.sync_states(connection.key).await?;
        Ok(states.iter().map(shown).collect())
    }

    /// Forgets cursors.
    pub(super) async fn forget_cursors(
        &self,
        connection: &Connection,
        scopes: Vec<String>,
    ) -> Result<Vec<ScopeSyncState>, ApiError> {
        self.refuse_change(connection).await?;
        tracing::info!(connection = %connection.id, ?scopes, "audit: sync state was reset");
        self.store.reset_sync_states(connection.key, scopes).await?;
        self.scopes(connection).await
    }

    /// Puts a cursor in the place of another.
    pub(super) async fn set_cursor(
        &self,
        connection: &Connection,
        request: UpdateSyncStateRequest,
    ) -> Result<ScopeSyncState, ApiError> {
        let UpdateSyncStateRequest { scope, cursor, etag, .. } = request;
        match cursor.len() {
            0 => return Err(ApiError::field("cursor", "is required; ResetSyncState forgets one")),
            length if length > MAX_CURSOR_BYTES => {
                let fault = format!("is {length} bytes; the limit is {MAX_CURSOR_BYTES}");
                return Err(ApiError::field("cursor", fault));
            }
            _ => {}
        }
        self.refuse_change(connection).await?;
        let states = self.store.sync_states(connection.key).await?;
        let found = states.into_iter().find(|state| state.scope == scope);
        let found = found.ok_or_else(|| ApiError::not_found("scope", &scope))?;
        if !etag.is_empty() && etag != etag_of(&found) {
            let message = "the sync state was changed in between: read it again and repeat";
            return Err(ApiError::Conflict(message.to_owned()));
        }
        let before = found.cursor.as_deref().map(cursor_hash).unwrap_or_default();
        let after = cursor_hash(&cursor);
        let expected = (!etag.is_empty()).then_some(found);
        let state = self.store.set_cursor(connection.key, &scope, cursor, expected).await?;
        tracing::info!(
            connection = %connection.id, scope, cursor.before = before, cursor.after = after,
            "audit: a cursor was set by hand"
        );
        Ok(shown(&state))
    }

    /// A change of the state takes a claim of the connection: from a run under way, which would write over it, or from its
    /// deletion.
    async fn refuse_change(&self, connection: &Connection) -> Result<(), ApiError> {
        if connection.deleting_at.is_some() {
            return Err(ApiError::Precondition("the connection is being deleted".to_owned()));
        }
        self.refuse_while_running(connection).await
    }
}

fn shown(state: &ScopeState) -> ScopeSyncState {
    ScopeSyncState { etag: etag_of(state), ..convert::scope_state(state.clone()) }
}

/// Differs wherever anything of a state does.
fn etag_of(state: &ScopeState) -> String {
    let hash = digest(&SHA256, format!("{state:?}").as_bytes());
    hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
