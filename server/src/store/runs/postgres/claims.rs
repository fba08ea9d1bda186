//! How replicas share runs in PostgreSQL: claims and their leases.
//!
//! Claims follow each other under one lock that is held for a few statements: so each choice sees every run that is under
//! way, the limits hold over all replicas, and no two choose the same run. A connection whose row somebody holds, such as
//! the last commit of an older claim, is passed over and keeps its place.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{lease_micros, read};
use crate::store::columns::micros;
use crate::store::postgres::{NOW, Outcome, Plain, Text, Tx};
use crate::store::runs::columns::COLUMNS;
use crate::store::runs::fair::{self, Lane, LaneKey, Load};
use crate::store::runs::{Claim, Claiming, Claims, lanes_in_a_look};
use crate::store::{ConnectionKey, Fence, PostgresStore, Result, connections, sync_states, wanted};

/// The lock's name, with the schema's number as its second half: several installations may share a database.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1129072992, \
     (SELECT oid::int FROM pg_namespace WHERE nspname = current_schema()))";

/// Lanes behind `$1`, `$2`, up to `$3`, `$4` where that is given, each with the first `$5` runs. A lane is found from the
/// one before it by one step in the index, however many runs wait in it.
const LANES: &str = "WITH RECURSIVE lane AS ( \
       (SELECT organization, connector, 1 AS number FROM runs \
         WHERE state = 1 AND (organization, connector) > ($1::text, $2::text) \
         ORDER BY organization, connector LIMIT 1) \
       UNION ALL SELECT next.organization, next.connector, lane.number + 1 FROM lane CROSS JOIN LATERAL ( \
         SELECT organization, connector FROM runs \
         WHERE state = 1 AND (organization, connector) > (lane.organization, lane.connector) \
         ORDER BY organization, connector LIMIT 1) AS next \
       WHERE lane.number < $6::int AND ($3::text IS NULL OR (next.organization, next.connector) <= ($3, $4::text))) \
     SELECT lane.organization, lane.connector, run.id, run.connection FROM lane CROSS JOIN LATERAL ( \
       SELECT id, connection, turn, created_at FROM runs \
       WHERE state = 1 AND organization = lane.organization AND connector = lane.connector \
       ORDER BY turn, created_at, id LIMIT $5::bigint) AS run \
     WHERE $3 IS NULL OR (lane.organization, lane.connector) <= ($3, $4) \
     ORDER BY lane.number, run.turn, run.created_at, run.id";

const LOAD: &str = "SELECT organization, connector, count(*) FROM runs WHERE state = 2 GROUP BY 1, 2";

/// The runs of a lane that wait.
type Waiting = Lane<(String, ConnectionKey)>;

/// Takes queued runs.
pub(super) async fn claim_runs(
    store: &PostgresStore,
    claiming: Claiming,
    now: DateTime<Utc>,
) -> Result<Claims> {
    let clock = store.lease_clock().parameters(now);
    store
        .write((claiming, clock, micros(now)), |tx, (claiming, clock, now)| {
            Box::pin(async move {
                tx.query_one(LOCK, &[]).await?;
                let (lanes, load) = futures::try_join!(lanes(tx, claiming), load(tx))?;
                if lanes.is_empty() {
                    return Ok(Claims::default());
                }
                let chosen = fair::choose(lanes, load, &claiming.limits, claiming.places);
                let claims = begin(tx, claiming, &chosen.runs, *clock, *now).await?;
                Ok(Claims { claims, after: chosen.after })
            })
        })
        .await
}

/// Marks the chosen runs as running and their connections as claimed.
async fn begin(
    tx: &Tx,
    claiming: &Claiming,
    chosen: &[(String, ConnectionKey)],
    (given, offset): (Option<i64>, i64),
    now: i64,
) -> Outcome<Vec<Claim>> {
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = chosen.iter().map(|(id, _)| id.as_str()).collect();
    let keys: Vec<i64> = chosen.iter().map(|(_, key)| key.0).collect();
    let columns = connections::postgres::COLUMNS;
    let sql = format!(
        "WITH free AS (SELECT pk, last_run FROM connections WHERE pk = ANY($4) AND deleting_at IS NULL \
           ORDER BY pk FOR NO KEY UPDATE SKIP LOCKED), \
         r AS (UPDATE runs SET state = 2, attempts = attempts + 1, resume_at = NULL, \
           started_at = coalesce(started_at, greatest($5, created_at, \
             (SELECT before.ended_at FROM runs before WHERE before.id = free.last_run))) FROM free WHERE runs.connection = free.pk AND runs.id = ANY($6) AND runs.state = 1 \
           RETURNING runs.*) \
         UPDATE connections c SET fence = c.fence + 1, lease_holder = $7, lease_until = {NOW} + $3::bigint, \
           last_run = r.id FROM r WHERE c.pk = r.connection RETURNING {columns}, {COLUMNS}"
    );
    let begun = tx
        .query(
            &sql,
            &[&given, &offset, &lease_micros(claiming.lease), &keys, &now, &ids, &Text(&claiming.holder)],
        )
        .await?;
    let (states, leftovers) =
        futures::try_join!(sync_states::postgres::all(tx, &keys), wanted::postgres::leftovers(tx, &keys),)?;
    let mut states_of: HashMap<ConnectionKey, Vec<_>> = HashMap::new();
    for (connection, state) in states {
        states_of.entry(connection).or_default().push(state);
    }
    let leftovers: HashMap<ConnectionKey, _> = leftovers.into_iter().collect();
    let width = columns.split(',').count();
    let mut claims = HashMap::new();
    for row in &begun {
        let (connection, run) = (connections::postgres::read(row)?, read(row, width)?);
        let claim = Claim {
            fence: Fence { connection: connection.key, number: connection.fence },
            states: states_of.remove(&connection.key).unwrap_or_default(),
            leftovers: leftovers.get(&connection.key).copied().unwrap_or_default(),
            connection,
            run,
        };
        claims.insert(claim.run.id.clone(), claim);
    }
    Ok(ids.into_iter().filter_map(|id| claims.remove(id)).collect())
}

/// The lanes in which runs wait: those behind the last one first, then from the beginning.
async fn lanes(tx: &Tx, claiming: &Claiming) -> Outcome<Vec<Waiting>> {
    let places = claiming.places as i64;
    let in_a_look = lanes_in_a_look(claiming.places);
    let most = i32::try_from(in_a_look).unwrap_or(i32::MAX);
    let none: Option<&str> = None;
    let start = LaneKey::default();
    let after = claiming.after.as_ref();
    let (organization, connector) = after.unwrap_or(&start);
    let mut rows =
        tx.query(LANES, &[&Text(organization), &Text(connector), &none, &none, &places, &most]).await?;
    if let Some((organization, connector)) = after {
        let until = (Text(organization), Text(connector));
        rows.extend(tx.query(LANES, &[&"", &"", &Some(until.0), &Some(until.1), &places, &most]).await?);
    }
    let mut lanes: Vec<Waiting> = Vec::new();
    for row in &rows {
        let (organization, connector) = (row.get::<_, Plain>(0).0, row.get::<_, Plain>(1).0);
        let run = (row.get(2), ConnectionKey(row.get(3)));
        let full = lanes.len() == in_a_look;
        match lanes.last_mut() {
            Some(lane) if lane.organization == organization && lane.connector == connector => {
                lane.waiting.push(run);
            }
            _ if full => break,
            _ => lanes.push(Lane { organization, connector, waiting: vec![run] }),
        }
    }
    Ok(lanes)
}

/// How many runs are under way.
async fn load(tx: &Tx) -> Outcome<Load> {
    let mut load = Load::default();
    for row in tx.query(LOAD, &[]).await? {
        let runs = usize::try_from(row.get::<_, i64>(2)).unwrap_or(0);
        load.add(&row.get::<_, Plain>(0).0, &row.get::<_, Plain>(1).0, runs);
    }
    Ok(load)
}

const GIVEN: &str = "unnest($1::bigint[], $2::bigint[]) AS given(pk, fence)";

fn halves(fences: &[Fence]) -> (Vec<i64>, Vec<i64>) {
    fences.iter().map(|fence| (fence.connection.0, fence.number)).unzip()
}

fn without(mut fences: Vec<Fence>, found: &HashSet<i64>) -> Vec<Fence> {
    fences.retain(|fence| !found.contains(&fence.connection.0));
    fences
}

/// Renews leases; returns the claims that are lost. A connection in the middle of a commit makes no other wait: it comes
/// when all others are done.
pub(super) async fn renew_leases(
    store: &PostgresStore,
    fences: Vec<Fence>,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<Vec<Fence>> {
    let mut left = fences;
    for wait in ["SKIP LOCKED", ""] {
        if left.is_empty() {
            break;
        }
        let data = (left.clone(), store.lease_clock().parameters(now), lease_micros(lease), wait);
        let renewed = store
            .write(data, |tx, (fences, (given, offset), lease, wait)| {
                Box::pin(async move {
                    let (keys, numbers) = halves(fences);
                    let sql = format!(
                        "UPDATE connections c SET lease_until = {NOW} + $3::bigint FROM ( \
                           SELECT held.pk FROM connections held JOIN unnest($4::bigint[], $5::bigint[]) \
                             AS given(pk, fence) ON held.pk = given.pk AND held.fence = given.fence \
                           WHERE held.lease_until IS NOT NULL ORDER BY held.pk FOR NO KEY UPDATE OF held {wait}) AS mine \
                         WHERE c.pk = mine.pk RETURNING c.pk"
                    );
                    let rows = tx.query(&sql, &[given, offset, lease, &keys, &numbers]).await?;
                    Ok(rows.iter().map(|row| row.get(0)).collect::<HashSet<i64>>())
                })
            })
            .await?;
        left = without(left, &renewed);
    }
    Ok(left)
}

/// Those of these claims that are lost.
pub(super) async fn lost_claims(store: &PostgresStore, fences: Vec<Fence>) -> Result<Vec<Fence>> {
    let held = store
        .single(fences.clone(), |tx, fences| {
            Box::pin(async move {
                let (keys, numbers) = halves(fences);
                let sql = format!(
                    "SELECT c.pk FROM {GIVEN} JOIN connections c ON c.pk = given.pk AND c.fence = given.fence"
                );
                let rows = tx.query(&sql, &[&keys, &numbers]).await?;
                Ok(rows.iter().map(|row| row.get(0)).collect::<HashSet<i64>>())
            })
        })
        .await?;
    Ok(without(fences, &held))
}

/// Ends claims whose lease ran out and queues their runs again. One in the middle of a commit is left for the next look.
/// Leases are found through the runs and deletions under way: whoever has one works on one of these.
pub(super) async fn take_over(store: &PostgresStore, everyone: bool, now: DateTime<Utc>) -> Result<u64> {
    store
        .write((store.lease_clock().parameters(now), everyone), |tx, ((given, offset), everyone)| {
            Box::pin(async move {
                let sql = format!(
                    "WITH lost AS (SELECT pk FROM connections WHERE pk IN \
                         (SELECT connection FROM runs WHERE state = 2 UNION ALL \
                          SELECT pk FROM connections WHERE deleting_at IS NOT NULL AND deleted_at IS NULL) \
                         AND lease_until IS NOT NULL AND ($3::bool OR lease_until < {NOW}) \
                         ORDER BY pk FOR NO KEY UPDATE SKIP LOCKED), \
                       freed AS (UPDATE connections c SET fence = c.fence + 1, lease_holder = NULL, lease_until = NULL \
                         FROM lost WHERE c.pk = lost.pk RETURNING c.pk) \
                     UPDATE runs SET state = 1, crashes = crashes + 1 FROM freed \
                     WHERE runs.connection = freed.pk AND runs.state = 2"
                );
                tx.execute(&sql, &[given, offset, everyone]).await
            })
        })
        .await
}
