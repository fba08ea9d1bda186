//! The database under a connectord: in its data folder, or in a cluster of PostgreSQL. What the benchmark reads of it
//! goes around connectord, so that looking costs it nothing.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::ensure;
use rusqlite::{Connection, OpenFlags};

/// How long to wait until every connection is listed.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often to look.
const LOOK: Duration = Duration::from_millis(200);

/// A database that connectord uses.
#[derive(Clone, Debug)]
pub enum Database {
    /// The file of that name.
    Sqlite(PathBuf),
    /// The database of that URL.
    Postgres(String),
}

impl Database {
    /// What it is called in figures.
    pub fn name(&self) -> &'static str {
        match self {
            Database::Sqlite(_) => "SQLite",
            Database::Postgres(_) => "PostgreSQL",
        }
    }

    /// What tells connectord to use it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Database::Sqlite(_) => Vec::new(),
            Database::Postgres(url) => vec![("CONNECTORD_DATABASE__URL", url.clone())],
        }
    }

    /// Waits until every connection has gone through its first run, a full one.
    ///
    /// # Errors
    /// Where that takes too long.
    pub async fn all_listed(&self) -> anyhow::Result<()> {
        let begun = std::time::Instant::now();
        while self.number("SELECT count(*) FROM connections WHERE last_success_at IS NULL").await? > 0 {
            ensure!(begun.elapsed() < PATIENCE, "the first runs are not through after {PATIENCE:?}");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// How many incremental runs ended well in that time.
    ///
    /// # Errors
    /// Where the database fails, or a run did not end well.
    pub async fn syncs(&self, from: SystemTime, to: SystemTime) -> anyhow::Result<u64> {
        let within = format!("ended_at >= {} AND ended_at < {}", micros(from)?, micros(to)?);
        let others = format!("SELECT count(*) FROM runs WHERE {within} AND (state <> 4 OR mode <> 1)");
        ensure!(self.number(&others).await? == 0, "some runs were none that find nothing");
        let ended = format!("SELECT count(*) FROM runs WHERE {within}");
        Ok(self.number(&ended).await?.try_into()?)
    }

    async fn number(&self, query: &str) -> anyhow::Result<i64> {
        match self {
            Database::Sqlite(path) => {
                let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                Ok(connection.query_row(query, [], |row| row.get(0))?)
            }
            Database::Postgres(url) => crate::postgres::number(url, query).await,
        }
    }
}

fn micros(time: SystemTime) -> anyhow::Result<i64> {
    Ok(time.duration_since(SystemTime::UNIX_EPOCH)?.as_micros().try_into()?)
}
