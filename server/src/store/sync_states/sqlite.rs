//! Sync states in SQLite.

use async_trait::async_trait;
use rusqlite::{Row, Transaction, named_params, params};
use superfasttt_proto::connector::v1::PullMode;

use super::{Held, Listing, ListingMode, ScopeState, SyncStateStore};
use crate::store::columns::{micros, time};
use crate::store::{ConnectionKey, Fence, Result, SqliteStore, StoreError, connections, runs};

#[async_trait]
impl SyncStateStore for SqliteStore {
    async fn sync_states(&self, connection: ConnectionKey) -> Result<Vec<ScopeState>> {
        self.read(move |tx| all(tx, connection)).await
    }

    async fn save_sync_states(
        &self,
        fence: Fence,
        states: Vec<ScopeState>,
        settings: Option<Vec<u8>>,
    ) -> Result<()> {
        self.write_fenced(fence, move |tx| {
            for state in &states {
                if state.listing == Listing::UnderWay && state.listing_cursor.is_none() {
                    tx.prepare_cached("DELETE FROM shields WHERE connection = ?1 AND scope = ?2")?
                        .execute(params![fence.connection.0, state.scope])?;
                }
                save(tx, fence.connection, state)?;
            }
            if let Some(settings) = settings {
                tx.execute(
                    "UPDATE connections SET synced_settings = ?1 WHERE pk = ?2",
                    params![settings, fence.connection.0],
                )?;
            }
            Ok(())
        })
        .await
    }

    async fn approve_held(&self, connection: ConnectionKey, scopes: Vec<String>) -> Result<Vec<ScopeState>> {
        self.write(move |tx| {
            let mut held = all(tx, connection)?;
            held.retain(|state| state.held.is_some() && (scopes.is_empty() || scopes.contains(&state.scope)));
            for state in &held {
                tx.execute(
                    "UPDATE sync_states SET approved_generation = held_generation WHERE connection = ?1 AND scope = ?2",
                    params![connection.0, state.scope],
                )?;
            }
            Ok(held)
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
        let scope = scope.to_owned();
        self.write(move |tx| {
            let found = all(tx, connection)?.into_iter().find(|state| state.scope == scope);
            let mut state = found.ok_or(StoreError::Missing("scope"))?;
            if expected.is_some_and(|expected| expected != state) {
                return Err(StoreError::Conflict("sync state"));
            }
            connections::sqlite::claim(tx, connection, None)?;
            runs::sqlite::claims::begin_again(tx, connection, 0)?;
            state.cursor = Some(cursor);
            save(tx, connection, &state)?;
            Ok(state)
        })
        .await
    }

    async fn reset_sync_states(&self, connection: ConnectionKey, scopes: Vec<String>) -> Result<()> {
        self.write_runs(move |tx| {
            connections::sqlite::claim(tx, connection, None)?;
            runs::sqlite::claims::begin_again(tx, connection, 0)?;
            for mut state in all(tx, connection)? {
                if scopes.is_empty() || scopes.contains(&state.scope) {
                    state.cursor = None;
                    state.listing = Listing::None;
                    state.listing_cursor = None;
                    save(tx, connection, &state)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn remove_scope(&self, fence: Fence, scope: &str) -> Result<()> {
        let scope = scope.to_owned();
        self.write_fenced(fence, move |tx| {
            for table in ["sync_states", "shields", "item_errors", "containers", "raw_items", "wanted"] {
                tx.execute(
                    &format!("DELETE FROM {table} WHERE connection = ?1 AND scope = ?2"),
                    params![fence.connection.0, scope],
                )?;
            }
            Ok(())
        })
        .await
    }
}

/// All of a connection, ordered by scope.
pub(in crate::store) fn all(tx: &Transaction<'_>, connection: ConnectionKey) -> Result<Vec<ScopeState>> {
    let rows = tx
        .prepare_cached(
            "SELECT scope, cursor, listing, listing_cursor, listing_unreliable, listing_for_settings, \
             listing_started_at, listing_completed_at, generation, checkpoint_at, held_generation, held_absent, \
             held_total, held_at, approved_generation, listing_mode FROM sync_states WHERE connection = ?1 ORDER BY scope",
        )?
        .query_map([connection.0], read)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rows)
}

/// Writes one state. An approval is never overwritten: it comes from a person, beside the run; it ends when nothing
/// is held any more.
pub(in crate::store) fn save(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    state: &ScopeState,
) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO sync_states (connection, scope, cursor, listing, listing_cursor, listing_unreliable, \
         listing_for_settings, listing_started_at, listing_completed_at, generation, checkpoint_at, held_generation, \
         held_absent, held_total, held_at, listing_mode) VALUES (:connection, :scope, :cursor, :listing, \
         :listing_cursor, :listing_unreliable, :listing_for_settings, :listing_started_at, :listing_completed_at, \
         :generation, :checkpoint_at, :held_generation, :held_absent, :held_total, :held_at, :listing_mode) \
         ON CONFLICT (connection, scope) DO UPDATE SET cursor = excluded.cursor, listing = excluded.listing, \
         listing_cursor = excluded.listing_cursor, listing_unreliable = excluded.listing_unreliable, \
         listing_for_settings = excluded.listing_for_settings, listing_started_at = excluded.listing_started_at, \
         listing_completed_at = excluded.listing_completed_at, generation = excluded.generation, \
         checkpoint_at = excluded.checkpoint_at, held_generation = excluded.held_generation, \
         held_absent = excluded.held_absent, held_total = excluded.held_total, held_at = excluded.held_at, \
         listing_mode = excluded.listing_mode, \
         approved_generation = CASE WHEN excluded.held_generation IS NULL THEN NULL ELSE approved_generation END",
    )?
    .execute(named_params! {
        ":connection": connection.0,
        ":scope": state.scope,
        ":cursor": state.cursor,
        ":listing": listing_number(state.listing),
        ":listing_cursor": state.listing_cursor,
        ":listing_unreliable": state.listing_unreliable,
        ":listing_for_settings": state.listing_for_settings,
        ":listing_started_at": state.listing_started_at.map(micros),
        ":listing_completed_at": state.listing_completed_at.map(micros),
        ":generation": state.generation,
        ":checkpoint_at": state.checkpoint_at.map(micros),
        ":held_generation": state.held.map(|held| held.generation),
        ":held_absent": state.held.map(|held| held.absent),
        ":held_total": state.held.map(|held| held.total),
        ":held_at": state.held.map(|held| micros(held.at)),
        ":listing_mode": match state.listing_mode {
            ListingMode::Full => PullMode::Full,
            ListingMode::List => PullMode::List,
        } as i32,
    })?;
    Ok(())
}

pub(super) fn listing_number(listing: Listing) -> i64 {
    match listing {
        Listing::None => 0,
        Listing::UnderWay => 1,
        Listing::Complete => 2,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<ScopeState> {
    let held = match row.get::<_, Option<i64>>(10)? {
        Some(generation) => {
            Some(Held { generation, absent: row.get(11)?, total: row.get(12)?, at: time(row.get(13)?) })
        }
        None => None,
    };
    Ok(ScopeState {
        scope: row.get(0)?,
        cursor: row.get(1)?,
        listing: match row.get(2)? {
            1 => Listing::UnderWay,
            2 => Listing::Complete,
            _ => Listing::None,
        },
        listing_cursor: row.get(3)?,
        listing_unreliable: row.get(4)?,
        listing_for_settings: row.get(5)?,
        listing_started_at: row.get::<_, Option<i64>>(6)?.map(time),
        listing_completed_at: row.get::<_, Option<i64>>(7)?.map(time),
        generation: row.get(8)?,
        checkpoint_at: row.get::<_, Option<i64>>(9)?.map(time),
        held,
        approved_generation: row.get(14)?,
        listing_mode: if row.get::<_, i32>(15)? == PullMode::List as i32 {
            ListingMode::List
        } else {
            ListingMode::Full
        },
    })
}
