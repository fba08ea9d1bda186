//! *growth*: a change of 1,000 documents, spread over all, on a connection that holds many documents against one that
//! holds few. Whole incremental syncs, by turns on the one and on the other.

use std::time::Duration;

use anyhow::ensure;
use tempfile::TempDir;

use crate::connectord::{Connectord, Programs};
use crate::database::Database;
use crate::report::{Growth, median, note};
use crate::source::Settings;

/// Documents that each sync changes.
const CHANGES: u64 = 1000;
/// Documents of the small connection.
const FEW: u64 = 10_000;
/// Syncs of each. The first does not count: the processes that do it are cold.
const SYNCS: usize = 9;

/// A connectord with its one connection.
struct Side {
    connectord: Connectord,
    connection: String,
    times: Vec<Duration>,
    _folder: TempDir,
}

/// Measures it on the databases, which are empty: for the few documents and for so many.
///
/// # Errors
/// Where a side fails.
pub async fn measure(
    programs: &Programs,
    documents: u64,
    databases: Option<[Database; 2]>,
) -> anyhow::Result<Growth> {
    let kind = databases.as_ref().map_or("SQLite", |[database, _]| database.name());
    let name = format!("growth, {kind} ({CHANGES} changes of {documents} documents, of {FEW})");
    let [small, large] = databases.map_or([None, None], |databases| databases.map(Some));
    let mut small = Side::prepare(programs, FEW, small).await?;
    note(&format!("{name}: the first sync"));
    let mut large = Side::prepare(programs, documents, large).await?;
    for _ in 0..=SYNCS {
        small.sync().await?;
        large.sync().await?;
    }
    let growth = Growth::new(name, small.median(), large.median(), 1.3);
    small.connectord.stop().await?;
    large.connectord.stop().await?;
    Ok(growth)
}

impl Side {
    async fn prepare(
        programs: &Programs,
        documents: u64,
        database: Option<Database>,
    ) -> anyhow::Result<Self> {
        let folder = programs.new_folder(1)?;
        let environment = database.map_or(Vec::new(), |database| database.environment());
        let connectord = Connectord::start_with(programs, folder.path(), &environment).await?;
        let settings = Settings { changes: CHANGES, ..Settings::new(documents) };
        let (connection, _) = connectord.first_sync(&settings).await?;
        Ok(Self { connectord, connection, times: Vec::new(), _folder: folder })
    }

    async fn sync(&mut self) -> anyhow::Result<()> {
        let synced = self.connectord.sync_changes(&self.connection).await?;
        ensure!(synced.updated == CHANGES, "{} of {CHANGES} documents were changed", synced.updated);
        self.times.push(synced.duration);
        Ok(())
    }

    fn median(&self) -> Duration {
        Duration::from_secs_f64(median(self.times[1..].iter().map(Duration::as_secs_f64)))
    }
}
