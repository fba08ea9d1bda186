//! *idle syncs*: incremental runs that find nothing, the commonest work there is, against the same as tasks of Celery.
//! Every connection is due each second, so runs always wait. Each goes through schedule, queue, claim, the connector's
//! process, and its outcome, and leaves its row in the history; what ended in the time is counted in the database
//! afterwards.

#![expect(
    clippy::disallowed_methods,
    reason = "the time of day is compared with what another process has written down"
)]

use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::celery::{self, Celery};
use crate::cluster::Cluster;
use crate::connectord::{Connectord, Programs};
use crate::database::Database;
use crate::postgres;
use crate::report::{Ratio, Repetition, Skipped, note, progress};
use crate::source::Settings;

/// How long it goes on before it counts, and how long it counts.
const WARM_UP: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(4);

/// How often each connection is due.
const INTERVAL: Duration = Duration::from_secs(1);

/// As an operator would set it for connections that mostly have nothing: such a run waits rather than works.
const CONCURRENT_RUNS: usize = 512;

/// A connectord with its connections.
struct Side {
    name: String,
    target_ratio: f64,
    folder: TempDir,
    database: Database,
    measured: Vec<Repetition>,
}

/// Measures it so often, on SQLite and on PostgreSQL as asked, with so many connections; or says what is missing.
///
/// # Errors
/// Where a side fails.
pub async fn measure(
    programs: &Programs,
    cluster: &Cluster,
    (sqlite, postgres): (bool, bool),
    connections: usize,
    repetitions: usize,
) -> anyhow::Result<Result<Vec<Ratio>, Skipped>> {
    if let Some(missing) = celery::missing() {
        return Ok(Err(Skipped::new("idle syncs", missing)));
    }
    let url = postgres::create(cluster, "celery").await?;
    let celery = Celery::prepare(programs, url, connections).await?;
    let mut sides = Vec::new();
    for cursor_moves in [false, true] {
        if sqlite {
            let folder = programs.new_folder(1)?;
            let database = Database::Sqlite(folder.path().join("data/connectord.db"));
            sides.push(Side::prepare(programs, folder, database, connections, cursor_moves).await?);
        }
        if postgres {
            let folder = programs.new_folder(1)?;
            let name = if cursor_moves { "moving" } else { "same" };
            let database = Database::Postgres(postgres::create(cluster, name).await?);
            sides.push(Side::prepare(programs, folder, database, connections, cursor_moves).await?);
        }
    }
    for _ in 0..repetitions {
        let bare = celery.rate(WARM_UP, WINDOW).await?;
        for side in &mut sides {
            side.measure(programs, bare).await?;
        }
    }
    let ratios = sides.into_iter().map(|side| {
        let bare = "Celery with Redis and PostgreSQL, a task for each sync";
        Ratio::new(side.name, bare, "syncs", side.target_ratio, side.measured)
    });
    Ok(Ok(ratios.collect()))
}

impl Side {
    /// Makes the connections, and lists each for the first time.
    async fn prepare(
        programs: &Programs,
        folder: TempDir,
        database: Database,
        connections: usize,
        cursor_moves: bool,
    ) -> anyhow::Result<Self> {
        let cursor = if cursor_moves { "moving cursor" } else { "same cursor" };
        let name = format!("idle syncs, {}, {cursor}", database.name());
        let target_ratio = if matches!(database, Database::Sqlite(_)) { 5.0 } else { 3.0 };
        let side = Self { name, target_ratio, folder, database, measured: Vec::new() };
        note(&format!("{}: {connections} connections are made", side.name));
        let connectord = side.start(programs).await?;
        let settings = Settings { cursor_moves, ..Settings::new(0) };
        connectord.create_many(connections, &settings, INTERVAL).await?;
        side.database.all_listed().await?;
        connectord.stop().await?;
        Ok(side)
    }

    async fn start(&self, programs: &Programs) -> anyhow::Result<Connectord> {
        let mut environment = self.database.environment();
        environment.push(("CONNECTORD_SYNC__MAX_CONCURRENT_RUNS", CONCURRENT_RUNS.to_string()));
        Connectord::start_with(programs, self.folder.path(), &environment).await
    }

    async fn measure(&mut self, programs: &Programs, bare: f64) -> anyhow::Result<()> {
        let connectord = self.start(programs).await?;
        tokio::time::sleep(WARM_UP).await;
        let (from, cpu_before) = (SystemTime::now(), connectord.cpu_time()?);
        tokio::time::sleep(WINDOW).await;
        let (to, cpu) = (SystemTime::now(), connectord.cpu_time()?.saturating_sub(cpu_before));
        connectord.stop().await?;
        let syncs = self.database.syncs(from, to).await? as f64;
        let per_s = syncs / to.duration_since(from)?.as_secs_f64();
        self.measured.push(Repetition::of_rates(per_s, bare, cpu.as_secs_f64() / syncs));
        progress(&self.name, "syncs", self.measured.last());
        Ok(())
    }
}
