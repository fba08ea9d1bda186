//! Sync states in PostgreSQL.

use async_trait::async_trait;
use superfasttt_proto::connector::v1::PullMode;
use tokio_postgres::Row;

use super::sqlite::listing_number;
use super::{Held, Listing, ListingMode, ScopeState, SyncStateStore};
use crate::store::columns::{micros, time};
use crate::store::documents::postgres::count;
use crate::store::postgres::{Outcome, Plain, Text, Tx};
use crate::store::{ConnectionKey, Fence, PostgresStore, Result, StoreError, connections, runs};

#[async_trait]
impl SyncStateStore for PostgresStore {
    async fn sync_states(&self, connection: ConnectionKey) -> Result<Vec<ScopeState>> {
        self.single(connection, |tx, connection| {
            Box::pin(async move {
                let found = all(tx, &[connection.0]).await?;
                Ok(found.into_iter().map(|(_, state)| state).collect())
            })
        })
        .await
    }

    async fn save_sync_states(
        &self,
        fence: Fence,
        states: Vec<ScopeState>,
        settings: Option<Vec<u8>>,
    ) -> Result<()> {
        self.write_fenced(
            fence,
            (fence.connection, states, settings),
            |tx, (connection, states, settings)| {
                Box::pin(async move {
                    let begun = |state: &&ScopeState| {
                        state.listing == Listing::UnderWay && state.listing_cursor.is_none()
                    };
                    let begun: Vec<_> = states.iter().filter(begun).map(|state| Text(&state.scope)).collect();
                    if !begun.is_empty() {
                        let sql = "DELETE FROM shields WHERE connection = $1 AND scope = ANY($2)";
                        tx.execute(sql, &[&connection.0, &begun]).await?;
                    }
                    save(tx, *connection, states).await?;
                    if settings.is_some() {
                        let sql = "UPDATE connections SET synced_settings = $1 WHERE pk = $2";
                        tx.execute(sql, &[settings, &connection.0]).await?;
                    }
                    Ok(())
                })
            },
        )
        .await
    }

    async fn approve_held(&self, connection: ConnectionKey, scopes: Vec<String>) -> Result<Vec<ScopeState>> {
        self.write((connection, scopes), |tx, (connection, scopes)| {
            Box::pin(async move {
                connections::postgres::hold(tx, *connection).await?;
                let mut held: Vec<_> =
                    all(tx, &[connection.0]).await?.into_iter().map(|(_, state)| state).collect();
                held.retain(|state| {
                    state.held.is_some() && (scopes.is_empty() || scopes.contains(&state.scope))
                });
                let names: Vec<_> = held.iter().map(|state| Text(&state.scope)).collect();
                let sql = "UPDATE sync_states SET approved_generation = held_generation \
                     WHERE connection = $1 AND scope = ANY($2)";
                tx.execute(sql, &[&connection.0, &names]).await?;
                Ok(held)
            })
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
        let data = (connection, scope.to_owned(), cursor, expected);
        self.write(data, |tx, (connection, scope, cursor, expected)| {
            Box::pin(async move {
                connections::postgres::hold(tx, *connection).await?;
                let found = all(tx, &[connection.0]).await?.into_iter().map(|(_, state)| state);
                let mut state = found
                    .into_iter()
                    .find(|state| state.scope == *scope)
                    .ok_or(StoreError::Missing("scope"))?;
                if expected.as_ref().is_some_and(|expected| *expected != state) {
                    return Err(StoreError::Conflict("sync state").into());
                }
                connections::postgres::end_claims(tx, *connection).await?;
                runs::postgres::begin_again(tx, *connection, 0).await?;
                state.cursor = Some(cursor.clone());
                save(tx, *connection, std::slice::from_ref(&state)).await?;
                Ok(state)
            })
        })
        .await
    }

    async fn reset_sync_states(&self, connection: ConnectionKey, scopes: Vec<String>) -> Result<()> {
        self.write((connection, scopes), |tx, (connection, scopes)| {
            Box::pin(async move {
                connections::postgres::end_claims(tx, *connection).await?;
                runs::postgres::begin_again(tx, *connection, 0).await?;
                tx.changes_runs();
                let names: Vec<_> = scopes.iter().map(|scope| Text(scope)).collect();
                let sql = "UPDATE sync_states SET cursor = NULL, listing = 0, listing_cursor = NULL, \
                     approved_generation = CASE WHEN held_generation IS NULL THEN NULL ELSE approved_generation END \
                     WHERE connection = $1 AND ($2 OR scope = ANY($3))";
                tx.execute(sql, &[&connection.0, &scopes.is_empty(), &names]).await?;
                Ok(())
            })
        })
        .await
    }

    async fn remove_scope(&self, fence: Fence, scope: &str) -> Result<()> {
        self.write_fenced(fence, (fence.connection, scope.to_owned()), |tx, (connection, scope)| {
            Box::pin(async move {
                for sql in [
                    "DELETE FROM sync_states WHERE connection = $1 AND scope = $2",
                    "DELETE FROM shields WHERE connection = $1 AND scope = $2",
                    "DELETE FROM item_errors WHERE connection = $1 AND scope = $2",
                    "DELETE FROM containers WHERE connection = $1 AND scope = $2",
                    "DELETE FROM raw_items WHERE connection = $1 AND scope = $2",
                    "DELETE FROM wanted WHERE connection = $1 AND scope = $2",
                ] {
                    tx.execute(sql, &[&connection.0, &Text(scope)]).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// All states of these connections, each with its connection, ordered by scope.
pub(in crate::store) async fn all(tx: &Tx, connections: &[i64]) -> Outcome<Vec<(ConnectionKey, ScopeState)>> {
    let rows = tx.query(SELECT, &[&connections]).await?;
    Ok(rows.iter().map(read).collect())
}

/// All states of the connections `$1`.
const SELECT: &str = "SELECT scope, cursor, listing, listing_cursor, listing_unreliable, listing_for_settings, \
     listing_started_at, listing_completed_at, generation, checkpoint_at, held_generation, held_absent, held_total, \
     held_at, approved_generation, connection, listing_mode FROM sync_states WHERE connection = ANY($1) ORDER BY connection, scope";

/// Writes states. An approval is never overwritten: it comes from a person, beside the run; it ends when nothing is held
/// any more.
pub(in crate::store) async fn save(tx: &Tx, connection: ConnectionKey, states: &[ScopeState]) -> Outcome<()> {
    let states: Vec<_> = states.iter().map(|state| (connection, state)).collect();
    save_all(tx, &states).await
}

/// As [`save`], of several connections.
pub(in crate::store) async fn save_all(tx: &Tx, states: &[(ConnectionKey, &ScopeState)]) -> Outcome<()> {
    if states.is_empty() {
        return Ok(());
    }
    // Of two of one scope the later one counts, and a statement writes a row once.
    let mut last = std::collections::BTreeMap::new();
    for (connection, state) in states {
        last.insert((connection.0, state.scope.as_str()), *state);
    }
    let connections: Vec<i64> = last.keys().map(|(connection, _)| *connection).collect();
    let scopes: Vec<_> = last.keys().map(|(_, scope)| Text(scope)).collect();
    let states: Vec<&ScopeState> = last.into_values().collect();
    let numbers = |field: fn(&ScopeState) -> Option<i64>| -> Vec<Option<i64>> {
        states.iter().map(|state| field(state)).collect()
    };
    let bytes = |field: fn(&ScopeState) -> Option<&[u8]>| -> Vec<Option<&[u8]>> {
        states.iter().map(|state| field(state)).collect()
    };
    let flags =
        |field: fn(&ScopeState) -> bool| -> Vec<bool> { states.iter().map(|state| field(state)).collect() };
    let listings: Vec<i32> =
        states.iter().map(|state| i32::try_from(listing_number(state.listing)).unwrap_or(0)).collect();
    let modes: Vec<i32> = states.iter().map(|state| mode_number(state.listing_mode)).collect();
    let generations: Vec<i64> = states.iter().map(|state| state.generation).collect();
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT INTO sync_states (connection, scope, cursor, listing, listing_cursor, listing_unreliable, \
         listing_for_settings, listing_started_at, listing_completed_at, generation, checkpoint_at, held_generation, \
         held_absent, held_total, held_at, listing_mode) SELECT u.* FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::int[], \
         $5::bytea[], $6::bool[], $7::bool[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], \
         $13::bigint[], $14::bigint[], $15::bigint[], $16::int[]) AS u \
         ON CONFLICT (connection, scope) DO UPDATE SET cursor = excluded.cursor, listing = excluded.listing, \
         listing_cursor = excluded.listing_cursor, listing_unreliable = excluded.listing_unreliable, \
         listing_for_settings = excluded.listing_for_settings, listing_started_at = excluded.listing_started_at, \
         listing_completed_at = excluded.listing_completed_at, generation = excluded.generation, \
         checkpoint_at = excluded.checkpoint_at, held_generation = excluded.held_generation, \
         held_absent = excluded.held_absent, held_total = excluded.held_total, held_at = excluded.held_at, \
         listing_mode = excluded.listing_mode, \
         approved_generation = CASE WHEN excluded.held_generation IS NULL THEN NULL \
         ELSE sync_states.approved_generation END",
        &[
            &connections,
            &scopes,
            &bytes(|state| state.cursor.as_deref()),
            &listings,
            &bytes(|state| state.listing_cursor.as_deref()),
            &flags(|state| state.listing_unreliable),
            &flags(|state| state.listing_for_settings),
            &numbers(|state| state.listing_started_at.map(micros)),
            &numbers(|state| state.listing_completed_at.map(micros)),
            &generations,
            &numbers(|state| state.checkpoint_at.map(micros)),
            &numbers(|state| state.held.map(|held| held.generation)),
            &states.iter().map(|state| state.held.map(|held| signed(held.absent))).collect::<Vec<_>>(),
            &states.iter().map(|state| state.held.map(|held| signed(held.total))).collect::<Vec<_>>(),
            &numbers(|state| state.held.map(|held| micros(held.at))),
            &modes,
        ],
    )
    .await?;
    Ok(())
}

fn mode_number(mode: ListingMode) -> i32 {
    match mode {
        ListingMode::Full => PullMode::Full as i32,
        ListingMode::List => PullMode::List as i32,
    }
}

fn read(row: &Row) -> (ConnectionKey, ScopeState) {
    let held = row.get::<_, Option<i64>>(10).map(|generation| Held {
        generation,
        absent: count(row, 11),
        total: count(row, 12),
        at: time(row.get(13)),
    });
    let state = ScopeState {
        scope: row.get::<_, Plain>(0).0,
        cursor: row.get(1),
        listing: match row.get::<_, i32>(2) {
            1 => Listing::UnderWay,
            2 => Listing::Complete,
            _ => Listing::None,
        },
        listing_cursor: row.get(3),
        listing_unreliable: row.get(4),
        listing_for_settings: row.get(5),
        listing_started_at: row.get::<_, Option<i64>>(6).map(time),
        listing_completed_at: row.get::<_, Option<i64>>(7).map(time),
        generation: row.get(8),
        checkpoint_at: row.get::<_, Option<i64>>(9).map(time),
        held,
        approved_generation: row.get(14),
        listing_mode: if row.get::<_, i32>(16) == mode_number(ListingMode::List) {
            ListingMode::List
        } else {
            ListingMode::Full
        },
    };
    (ConnectionKey(row.get(15)), state)
}
