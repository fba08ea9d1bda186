//! *two replicas* on one PostgreSQL against one, where the work is bound by the source: each page costs the connector
//! 20 ms, and a replica has so many places that the processors are not what they wait for.

#![expect(
    clippy::disallowed_methods,
    reason = "the time of day is compared with what another process has written down"
)]

use std::time::{Duration, SystemTime};

use crate::cluster::Cluster;
use crate::connectord::{Connectord, Programs};
use crate::database::Database;
use crate::postgres;
use crate::report::{Ratio, Repetition, progress};
use crate::source::Settings;

const CONNECTIONS: usize = 64;
/// How often each is due: more often than both replicas together can sync it.
const INTERVAL: Duration = Duration::from_secs(1);
/// Runs that a replica has at once.
const PLACES: usize = 4;
/// What each sync brings: pages of so many changed documents.
const PAGES: u64 = 10;
const PAGE_DOCUMENTS: u64 = 10;
const PAGE_MS: u64 = 20;
/// How long it goes on before it counts, and how long it counts.
const WARM_UP: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(5);

/// Measures it so often.
///
/// # Errors
/// Where a replica fails.
pub async fn measure(programs: &Programs, cluster: &Cluster, repetitions: usize) -> anyhow::Result<Ratio> {
    let database = Database::Postgres(postgres::create(cluster, "replicas").await?);
    let settings = Settings {
        changes: PAGES * PAGE_DOCUMENTS,
        page_documents: PAGE_DOCUMENTS,
        page_ms: PAGE_MS,
        ..Settings::new(PAGES * PAGE_DOCUMENTS)
    };
    let folder = programs.new_folder(1)?;
    let first = Connectord::start_with(programs, folder.path(), &environment(&database)).await?;
    first.create_many(CONNECTIONS, &settings, INTERVAL).await?;
    database.all_listed().await?;
    first.stop().await?;
    let mut measured = Vec::new();
    for _ in 0..repetitions {
        let (one, _) = pages_per_s(programs, &database, 1).await?;
        let (two, cpu_s_each) = pages_per_s(programs, &database, 2).await?;
        measured.push(Repetition::of_rates(two, one, cpu_s_each));
        progress("two replicas", "pages", measured.last());
    }
    Ok(Ratio::new("two replicas", "one replica", "pages", 1.8, measured))
}

fn environment(database: &Database) -> Vec<(&'static str, String)> {
    let mut environment = database.environment();
    environment.push(("CONNECTORD_SYNC__MAX_CONCURRENT_RUNS", PLACES.to_string()));
    environment
}

/// Pages a second by so many replicas, and the processor time that they used for each.
async fn pages_per_s(
    programs: &Programs,
    database: &Database,
    replicas: usize,
) -> anyhow::Result<(f64, f64)> {
    let mut started = Vec::new();
    for _ in 0..replicas {
        let folder = programs.new_folder(1)?;
        let replica = Connectord::start_with(programs, folder.path(), &environment(database)).await?;
        started.push((replica, folder));
    }
    tokio::time::sleep(WARM_UP).await;
    let cpu = |replicas: &[(Connectord, _)]| {
        replicas.iter().map(|(replica, _)| replica.cpu_time()).sum::<anyhow::Result<Duration>>()
    };
    let (from, cpu_before) = (SystemTime::now(), cpu(&started)?);
    tokio::time::sleep(WINDOW).await;
    let (to, cpu) = (SystemTime::now(), cpu(&started)?.saturating_sub(cpu_before));
    for (replica, _folder) in started {
        replica.stop().await?;
    }
    let pages = (database.syncs(from, to).await? * PAGES) as f64;
    Ok((pages / to.duration_since(from)?.as_secs_f64(), cpu.as_secs_f64() / pages))
}
