//! *claim at scale*: one claim of runs with a million connections in the table against a thousand. The tables are
//! filled by SQL, each connection with a state and a run behind it; every twentieth has a run that waits. The two are
//! claimed from by turns, and what was claimed is given back before the next turn.

#![expect(
    clippy::disallowed_methods,
    reason = "the time of day is compared with what another process has written down"
)]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;
use connectord::clock::{Clock as _, SystemClock};
use connectord::config::DatabaseConfig;
use connectord::schedule::new_id;
use connectord::store::runs::{Claiming, LogPart, RunEnd, RunOutcome};
use connectord::store::{Maintenance as _, PostgresStore, SqliteStore, Store};
use rusqlite::Connection;
use superfasttt_proto::control::v1::run::State;

use crate::cluster::Cluster;
use crate::connectord::Programs;
use crate::postgres;
use crate::report::{Growth, median, note};

/// Connections of the small table.
const FEW: u64 = 1000;
/// Connections of one organisation, each of another connector than the nine before it.
const IN_ORGANIZATION: u64 = 100;
/// One of so many connections has a run that waits.
const ONE_WAITS_OF: u64 = 20;
/// How long a claim that is part of the table is good for.
const LEASE: Duration = Duration::from_secs(60);
/// How often each claim is measured, and of how many runs it is.
const CLAIMS: [(usize, usize); 2] = [(400, 1), (200, 32)];

/// Measures it on SQLite.
///
/// # Errors
/// Where a store fails.
pub async fn measure_sqlite(programs: &Programs, connections: u64) -> anyhow::Result<Vec<Growth>> {
    let folder = programs.new_folder(0)?;
    let mut stores = Vec::new();
    for count in [FEW, connections] {
        let path = folder.path().join(format!("{count}.db"));
        // Opened once for its tables.
        SqliteStore::open(&path).await?.close().await;
        let filled = path.clone();
        tokio::task::spawn_blocking(move || fill_sqlite(&filled, count)).await??;
        stores.push(SqliteStore::open(&path).await?);
    }
    let growths = measure("SQLite", &stores[0], &stores[1], connections).await?;
    for store in &stores {
        store.close().await;
    }
    Ok(growths)
}

/// Measures it on PostgreSQL.
///
/// # Errors
/// Where a store fails.
pub async fn measure_postgres(cluster: &Cluster, connections: u64) -> anyhow::Result<Vec<Growth>> {
    let mut stores = Vec::new();
    for count in [FEW, connections] {
        let url = postgres::create(cluster, &format!("claim_{count}")).await?;
        let config = DatabaseConfig { url: Some(url.clone().into()), ..DatabaseConfig::default() };
        let store = PostgresStore::open(&config).await?;
        fill_postgres(&url, count).await?;
        stores.push(store);
    }
    let growths = measure("PostgreSQL", &stores[0], &stores[1], connections).await?;
    for store in &stores {
        store.close().await;
    }
    Ok(growths)
}

/// Compares the small store with the large one.
async fn measure(
    name: &str,
    small: &dyn Store,
    large: &dyn Store,
    connections: u64,
) -> anyhow::Result<Vec<Growth>> {
    let mut growths = Vec::new();
    for (claims, places) in CLAIMS {
        let (mut of_small, mut of_large) = (Side::new(small, places), Side::new(large, places));
        // The first tenth warms up.
        for number in 0..claims + claims / 10 {
            let counts = number >= claims / 10;
            of_small.turn(counts).await?;
            of_large.turn(counts).await?;
        }
        for (share, times) in [("median", median as fn(_) -> f64), ("p99", p99)] {
            let of = |side: &Side<'_>| Duration::from_secs_f64(times(side.times.clone().into_iter()));
            let name = format!("claim of {places}, {name}, {share} ({connections} connections, {FEW})");
            growths.push(Growth::new(name, of(&of_small), of(&of_large), 3.0));
        }
    }
    Ok(growths)
}

/// A store, and how long its claims took, in seconds.
struct Side<'a> {
    store: &'a dyn Store,
    claiming: Claiming,
    times: Vec<f64>,
}

impl<'a> Side<'a> {
    fn new(store: &'a dyn Store, places: usize) -> Self {
        let claiming = Claiming { holder: "bench".to_owned(), lease: LEASE, places, ..Claiming::default() };
        Self { store, claiming, times: Vec::new() }
    }

    /// Claims, and gives back.
    async fn turn(&mut self, counts: bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        let claims = self.store.claim_runs(self.claiming.clone(), SystemClock.now()).await?;
        let took = begun.elapsed();
        if counts {
            self.times.push(took.as_secs_f64());
        }
        let claimed = claims.claims.len();
        ensure!(claimed == self.claiming.places, "{claimed} runs were claimed of {}", self.claiming.places);
        // As the scheduler does: the next look begins behind this one.
        self.claiming.after = claims.after;
        let outcomes = claims.claims.into_iter().map(|claim| RunOutcome {
            fence: claim.fence,
            run: claim.run.id,
            end: RunEnd {
                state: State::Queued,
                resume_at: None,
                error: None,
                retry_at: None,
                held_sweeps: Vec::new(),
                listed_all: false,
                next_id: new_id(),
            },
            progress: None,
            states: Vec::new(),
            log: LogPart::default(),
        });
        for ended in self.store.end_runs(outcomes.collect(), SystemClock.now()).await? {
            ended?;
        }
        Ok(())
    }
}

fn p99(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.collect();
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}

/// Fills the tables of a SQLite store, which nobody has open.
fn fill_sqlite(path: &Path, connections: u64) -> anyhow::Result<()> {
    let database = Connection::open(path)?;
    // Nothing of the filling need outlive a crash.
    database.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; BEGIN")?;
    for statement in statements(connections, "sqlite")? {
        database.execute_batch(&statement)?;
    }
    database.execute_batch("COMMIT")?;
    Ok(())
}

/// Fills the tables of a PostgreSQL store.
async fn fill_postgres(url: &str, connections: u64) -> anyhow::Result<()> {
    for statement in statements(connections, "postgres")? {
        postgres::execute(url, &statement).await?;
    }
    // What autovacuum would have done long ago for a table that grew in months.
    postgres::execute(url, "VACUUM ANALYZE").await
}

/// What fills the tables, in either dialect.
fn statements(connections: u64, dialect: &str) -> anyhow::Result<Vec<String>> {
    note(&format!("claim: {dialect}: {connections} connections are made"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_micros();
    // `n` counts from 1; an id is as long as the real ones.
    let (numbers, from, blob) = match dialect {
        "sqlite" => (
            format!(
                "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {connections})"
            ),
            "numbers".to_owned(),
            "CAST('0' AS BLOB)",
        ),
        _ => {
            (String::new(), format!("generate_series(1, {connections}::bigint) AS numbers (n)"), "'0'::bytea")
        }
    };
    let id = |mark: &str| format!("'01900000-0000-{mark}000-8000-' || substr('' || (1000000000000 + n), 2)");
    let owner = format!("'organization-' || (n / {IN_ORGANIZATION}), 'connector-' || (n % 10)");
    Ok(vec![
        format!(
            "INSERT INTO connections (pk, id, organization, connector, name, settings, schedule, next_run_at, \
             next_cause, last_run, last_success_at, created_at, updated_at) {numbers} \
             SELECT n, {}, {owner}, 'connection ' || n, '{{\"folder\":\"/library\",\"documents\":1000}}', \
             '{{\"frequency\":\"1h\"}}', {now} + n % 3600 * 1000000, 1, {}, {now}, {now}, {now} FROM {from}",
            id("7"),
            id("8")
        ),
        format!(
            "INSERT INTO sync_states (connection, scope, cursor) {numbers} SELECT n, '', {blob} FROM {from}"
        ),
        format!(
            "INSERT INTO runs (id, connection, organization, connector, turn, state, cause, work, mode, \
             created_at, started_at, ended_at, pulls, attempts) {numbers} \
             SELECT {}, n, {owner}, 1, 4, 1, 2, 1, {now} - n, {now} - n, {now} - n, 1, 1 FROM {from}",
            id("8")
        ),
        format!(
            "INSERT INTO runs (id, connection, organization, connector, turn, state, cause, work, created_at) \
             {numbers} SELECT {}, n, {owner}, 1, 1, 1, 2, {now} + n FROM {from} WHERE n % {ONE_WAITS_OF} = 0",
            id("9")
        ),
    ])
}
