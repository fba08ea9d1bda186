//! How runs are shared out in SQLite: claims and their leases.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use superfasttt_proto::control::v1::run::State;

use super::{by_id, number};
use crate::store::columns::micros;
use crate::store::runs::fair::{self, Lane, LaneKey, Load};
use crate::store::runs::{Claim, Claiming, Claims, lanes_in_a_look};
use crate::store::{ConnectionKey, Fence, Result, StoreError, connections, sync_states, wanted};

/// The runs of a lane that wait.
type Waiting = Lane<(String, ConnectionKey)>;

/// Gives free places to runs that wait.
pub(super) fn claim(tx: &Transaction<'_>, claiming: &Claiming, now: DateTime<Utc>) -> Result<Claims> {
    let lanes = lanes(tx, claiming.after.as_ref(), claiming.places)?;
    if lanes.is_empty() {
        return Ok(Claims::default());
    }
    let chosen = fair::choose(lanes, load(tx)?, &claiming.limits, claiming.places);
    let until = lease_until(now, claiming.lease);
    let mut claims = Vec::with_capacity(chosen.runs.len());
    for (id, connection) in chosen.runs {
        tx.prepare_cached(
            "UPDATE runs SET state = ?1, attempts = attempts + 1, resume_at = NULL, \
             started_at = coalesce(started_at, max(?2, created_at, coalesce((SELECT before.ended_at \
             FROM connections c JOIN runs before ON before.id = c.last_run WHERE c.pk = runs.connection), 0))) \
             WHERE id = ?3",
        )?
        .execute(params![number(State::Running), micros(now), id])?;
        let lease = (claiming.holder.as_str(), until);
        let connection = connections::sqlite::claim_for_run(tx, connection, lease, &id)?;
        claims.push(Claim {
            run: by_id(tx, &id)?.ok_or(StoreError::Missing("run"))?,
            fence: Fence { connection: connection.key, number: connection.fence },
            states: sync_states::sqlite::all(tx, connection.key)?,
            leftovers: wanted::sqlite::leftovers(tx, connection.key)?,
            connection,
        });
    }
    Ok(Claims { claims, after: chosen.after })
}

/// Renews the leases of these claims; says which are lost.
pub(super) fn renew(
    tx: &Transaction<'_>,
    fences: Vec<Fence>,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<Vec<Fence>> {
    let until = lease_until(now, lease);
    let mut lost = Vec::new();
    for fence in fences {
        let renewed = tx
            .prepare_cached(
                "UPDATE connections SET lease_until = ?1 \
                 WHERE pk = ?2 AND fence = ?3 AND lease_until IS NOT NULL",
            )?
            .execute(params![until, fence.connection.0, fence.number])?;
        if renewed == 0 {
            lost.push(fence);
        }
    }
    Ok(lost)
}

/// Which of these claims are lost.
pub(super) fn lost(tx: &Transaction<'_>, fences: Vec<Fence>) -> Result<Vec<Fence>> {
    let mut held = tx.prepare_cached("SELECT 1 FROM connections WHERE pk = ?1 AND fence = ?2")?;
    let mut lost = Vec::new();
    for fence in fences {
        if !held.exists([fence.connection.0, fence.number])? {
            lost.push(fence);
        }
    }
    Ok(lost)
}

/// Takes over the claims whose leases have ended, or everyone's; says how many runs wait again. Leases are found through the runs
/// and deletions under way: whoever has one works on one of these.
pub(super) fn take_over(tx: &Transaction<'_>, everyone: bool, now: DateTime<Utc>) -> Result<u64> {
    let lost = tx
        .prepare_cached(
            "SELECT pk FROM connections WHERE pk IN (SELECT connection FROM runs WHERE state = 2 UNION ALL \
             SELECT pk FROM connections WHERE deleting_at IS NOT NULL AND deleted_at IS NULL) \
             AND lease_until IS NOT NULL AND (?1 OR lease_until < ?2)",
        )?
        .query_map(params![everyone, micros(now)], |row| row.get(0).map(ConnectionKey))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut queued = 0;
    for connection in lost {
        connections::sqlite::claim(tx, connection, None)?;
        queued += begin_again(tx, connection, 1)?;
    }
    Ok(queued)
}

/// Queues a connection's run again whose worker lost its claim; `crashes` is 1 where that was not in order. Says how
/// many runs.
pub(in crate::store) fn begin_again(
    tx: &Transaction<'_>,
    connection: ConnectionKey,
    crashes: u32,
) -> Result<u64> {
    let sql = "UPDATE runs SET state = ?1, crashes = crashes + ?2 WHERE connection = ?3 AND state = 2";
    Ok(tx.execute(sql, params![number(State::Queued), crashes, connection.0])? as u64)
}

/// The next lane, in two steps: for `(organization, connector) > (?1, ?2)` SQLite begins with the first run of that lane
/// and passes over each.
const NEXT_CONNECTOR: &str = "SELECT organization, connector FROM runs WHERE state = 1 AND organization = ?1 \
     AND connector > ?2 ORDER BY connector LIMIT 1";
const NEXT_ORGANIZATION: &str = "SELECT organization, connector FROM runs WHERE state = 1 AND organization > ?1 \
     ORDER BY organization, connector LIMIT 1";

/// The lanes in which runs wait, with as many runs of each as there are places: those behind `after` first, then from
/// the beginning, [`lanes_in_a_look`] at most. A lane is found from the one before it by one step in the index, however
/// many runs wait in it.
fn lanes(tx: &Transaction<'_>, after: Option<&LaneKey>, places: usize) -> Result<Vec<Waiting>> {
    let mut next_connector = tx.prepare_cached(NEXT_CONNECTOR)?;
    let mut next_organization = tx.prepare_cached(NEXT_ORGANIZATION)?;
    let mut waiting = tx.prepare_cached(
        "SELECT id, connection FROM runs WHERE state = 1 AND organization = ?1 AND connector = ?2 \
         ORDER BY turn, created_at, id LIMIT ?3",
    )?;
    let mut lanes = Vec::new();
    let mut at = after.cloned().unwrap_or_default();
    let mut around = after.is_none();
    while lanes.len() < lanes_in_a_look(places) {
        let key = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found: Option<LaneKey> = match next_connector.query_row([&at.0, &at.1], key).optional()? {
            None => next_organization.query_row([&at.0], key).optional()?,
            found => found,
        };
        match found {
            Some(lane) if !around || after.is_none_or(|after| lane <= *after) => at = lane,
            None if !around => {
                around = true;
                at = LaneKey::default();
                continue;
            }
            Some(_) | None => break,
        }
        let runs = waiting
            .query_map(params![at.0, at.1, places as i64], |row| {
                Ok((row.get(0)?, ConnectionKey(row.get(1)?)))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        lanes.push(Lane { organization: at.0.clone(), connector: at.1.clone(), waiting: runs });
    }
    Ok(lanes)
}

/// How many runs are under way.
fn load(tx: &Transaction<'_>) -> Result<Load> {
    let mut load = Load::default();
    let mut statement = tx.prepare_cached(
        "SELECT organization, connector, count(*) FROM runs WHERE state = 2 GROUP BY organization, connector",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (organization, connector): (String, String) = (row.get(0)?, row.get(1)?);
        load.add(&organization, &connector, row.get(2)?);
    }
    Ok(load)
}

/// When a lease of this length ends.
pub(in crate::store) fn lease_until(now: DateTime<Utc>, lease: Duration) -> i64 {
    micros(now).saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::store::SqliteStore;

    #[tokio::test]
    async fn the_next_lane_is_found_without_passing_over_the_runs_of_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("db")).await.unwrap();
        let steps = store.write(|tx| {
            tx.execute_batch(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
                 INSERT INTO runs (id, connection, state, cause, work, created_at, organization, connector, turn) \
                 SELECT 'r' || i, i, 1, 1, 0, 0, iif(i < 3000, 'large', 'small'), 'drive', 0 FROM n",
            )?;
            let found = lanes(tx, None, 2)?;
            let found: Vec<_> = found.iter().map(|lane| (&*lane.organization, lane.waiting.len())).collect();
            assert_eq!(found, [("large", 2), ("small", 1)]);
            let steps = |sql| Ok(tx.prepare_cached(sql)?.get_status(StatementStatus::VmStep));
            [NEXT_CONNECTOR, NEXT_ORGANIZATION].into_iter().map(steps).sum::<Result<i32>>()
        });
        let steps = steps.await.unwrap();
        assert!(steps < 1000, "{steps} steps of SQLite's machine for three lanes");
    }
}
