//! The SQLite store: one writer connection (`sqlite_writer`), which makes writes that wait true together, one that folds its
//! log into the file (`sqlite_checkpoints`), and a few reader connections (`sqlite_readers`), each on a thread of its own.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction};
use rusqlite_migration::{M, Migrations};
use tokio::sync::{oneshot, watch};

use super::sqlite_readers::Readers;
use super::sqlite_writer::Writer;
use super::trouble::Trouble;
use super::{Fence, Maintenance, Result, Store, StoreError};
use crate::telemetry::operation::{operation_of, timed};

/// The migrations, in order. Each has its way back.
static MIGRATIONS: LazyLock<Migrations<'static>> = LazyLock::new(|| {
    Migrations::new(vec![
        M::up(include_str!("migrations/sqlite/0001_first.up.sql"))
            .down(include_str!("migrations/sqlite/0001_first.down.sql")),
        M::up(include_str!("migrations/sqlite/0002_leases.up.sql"))
            .down(include_str!("migrations/sqlite/0002_leases.down.sql")),
        M::up(include_str!("migrations/sqlite/0003_items.up.sql"))
            .down(include_str!("migrations/sqlite/0003_items.down.sql")),
        M::up(include_str!("migrations/sqlite/0004_raw.up.sql"))
            .down(include_str!("migrations/sqlite/0004_raw.down.sql")),
        M::up(include_str!("migrations/sqlite/0005_feed.up.sql"))
            .down(include_str!("migrations/sqlite/0005_feed.down.sql")),
        M::up(include_str!("migrations/sqlite/0006_history.up.sql"))
            .down(include_str!("migrations/sqlite/0006_history.down.sql")),
        M::up(include_str!("migrations/sqlite/0007_credentials.up.sql"))
            .down(include_str!("migrations/sqlite/0007_credentials.down.sql")),
        M::up(include_str!("migrations/sqlite/0008_access.up.sql"))
            .down(include_str!("migrations/sqlite/0008_access.down.sql")),
    ])
});

/// How many migrations there are: the schema's number.
const SCHEMA: i64 = 8;

/// How many reads may go on at once.
const READERS: usize = 4;

/// Pages that each connection keeps. The writer goes back to the upper pages of each index for every row; readers go
/// through once, and what they miss is in the system's cache.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
const READER_CACHE_KIB: i64 = 4 * 1024;

/// The statements of each connection that stay prepared.
const PREPARED_STATEMENTS: usize = 128;

/// The store in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: Writer,
    trouble: Trouble,
    readers: Readers,
    /// Counts changes of runs, for those who wait for some.
    pub(super) run_changes: watch::Sender<u64>,
    /// The feed's newest offset, for those who wait for it to move.
    pub(super) feed_head: watch::Sender<i64>,
}

impl SqliteStore {
    /// Opens the file, makes it where it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] where a newer version wrote it; [`StoreError::Database`] where it cannot be opened.
    pub async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let mut writer = connect(&path, WRITER_CACHE_KIB)?;
            refuse_newer(&writer)?;
            MIGRATIONS.to_latest(&mut writer).map_err(|error| StoreError::Database(error.to_string()))?;
            let head = super::feed::sqlite::begin_history(&mut writer)?;
            // Nobody else works on this file: whoever refreshed when the last process was killed is gone with it.
            writer.execute("UPDATE credentials SET lease_holder = NULL, lease_until = NULL WHERE lease_holder IS NOT NULL", [])?;
            Self::with(writer, &path, head)
        })
        .await
    }

    /// Opens the file of a server that may be running, as it is: for a command that changes what no sync does. What is
    /// written to the feed through it wakes no reader.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none; [`StoreError::Database`] where no server of this version has opened it
    /// yet; as [`Self::open`].
    pub async fn open_beside(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            if !path.exists() {
                return Err(StoreError::Missing("database"));
            }
            let writer = connect(&path, WRITER_CACHE_KIB)?;
            let found = refuse_newer(&writer)?;
            if found < SCHEMA {
                let text =
                    "the database is of an older version: start connectord, which brings it up to date";
                return Err(StoreError::Database(text.to_owned()));
            }
            Self::with(writer, &path, 0)
        })
        .await
    }

    fn with(writer: Connection, path: &Path, head: i64) -> Result<Self> {
        let readers = (0..READERS).map(|_| connect(path, READER_CACHE_KIB)).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            writer: Writer::new(writer, connect(path, READER_CACHE_KIB)?).map_err(no_thread)?,
            trouble: Trouble::default(),
            run_changes: watch::Sender::new(0),
            readers: Readers::new(readers).map_err(no_thread)?,
            feed_head: watch::Sender::new(head),
        })
    }

    /// Runs `work` in a write transaction and commits it, unless it fails. The work goes on to its end even when
    /// the caller stops waiting.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.trouble.note(timed(operation_of(&work), self.writer.write(work, |_| {})).await)
    }

    /// As [`Self::write`], and says that runs have changed.
    pub(super) async fn write_runs<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let changes = self.run_changes.clone();
        let tell = move |_: &T| changes.send_modify(|count| *count += 1);
        self.trouble.note(timed(operation_of(&work), self.writer.write(work, tell)).await)
    }

    /// As [`Self::write`], and only while `fence` is the newest claim of its connection.
    pub(super) async fn write_fenced<T: Send + 'static>(
        &self,
        fence: Fence,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let operation = operation_of(&work);
        let fenced = move |transaction: &Transaction<'_>| {
            check(transaction, fence)?;
            work(transaction)
        };
        self.trouble.note(timed(operation, self.writer.write(fenced, |_| {})).await)
    }

    /// As [`Self::write_fenced`], for work that may move the feed and returns its head beside its value. Readers are
    /// told with the commit itself, so that they hear of it even when the caller has stopped waiting.
    pub(super) async fn write_feed<T: Send + 'static>(
        &self,
        fence: Fence,
        work: impl FnOnce(&Transaction<'_>) -> Result<(T, i64)> + Send + 'static,
    ) -> Result<T> {
        let readers = self.feed_head.clone();
        let operation = operation_of(&work);
        let fenced = move |transaction: &Transaction<'_>| {
            check(transaction, fence)?;
            work(transaction)
        };
        let tell = move |(_, head): &(T, i64)| {
            readers.send_if_modified(|known| {
                let moved = head > known;
                *known = *head.max(known);
                moved
            });
        };
        let (value, _) = self.trouble.note(timed(operation, self.writer.write(fenced, tell)).await)?;
        Ok(value)
    }

    /// Runs `work` on a snapshot of the database.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        timed(operation_of(&work), self.readers.read(work)).await
    }
}

impl Store for SqliteStore {}

#[async_trait]
impl Maintenance for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_in_trouble(&self) -> bool {
        self.trouble.goes_on()
    }

    async fn close(&self) {
        self.readers.close().await;
        // Closing the last connection folds the write-ahead log into the file.
        self.writer.close().await;
    }
}

/// Refuses whoever lost its claim, also of a connection that is forgotten altogether.
pub(super) fn check(transaction: &Transaction<'_>, fence: Fence) -> Result<()> {
    let newest: Option<i64> = transaction
        .prepare_cached("SELECT fence FROM connections WHERE pk = ?1")?
        .query_row([fence.connection.0], |row| row.get(0))
        .optional()?;
    if newest == Some(fence.number) { Ok(()) } else { Err(StoreError::Fenced) }
}

pub(super) fn closed() -> StoreError {
    StoreError::Database("the store is closed".to_owned())
}

/// The schema's number.
fn refuse_newer(connection: &Connection) -> Result<i64> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > SCHEMA { Err(StoreError::TooNew { found, known: SCHEMA }) } else { Ok(found) }
}

fn connect(path: &Path, cache_kib: i64) -> Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    // Otherwise a statement whose LIMIT is a parameter is prepared anew each time that one is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a position that a consumer was given outlives a power cut. Commits are grouped, so it costs little.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    // Negative: in KiB, whatever the size of a page.
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    // The writer has them made (`sqlite_checkpoints`).
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| StoreError::Database(format!("a statement panicked: {error}")))?
}

/// Waits for the answer of the writer or a reader; None where it has gone without.
pub(super) async fn answered<T: Send + 'static>(answer: oneshot::Receiver<T>) -> Option<T> {
    // A test whose clock stands still would see time leap while nothing but one of those threads is at work.
    #[cfg(test)]
    return tokio::task::spawn_blocking(|| answer.blocking_recv()).await.ok()?.ok();
    #[cfg(not(test))]
    answer.await.ok()
}

fn no_thread(error: std::io::Error) -> StoreError {
    StoreError::Database(format!("the system gives no thread: {error}"))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        // What readers and the writer share of the log is a file as well, and grows.
        let full = error.sqlite_error().is_some_and(|error| {
            error.code == rusqlite::ErrorCode::DiskFull
                || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
        });
        if full {
            StoreError::full("the data folder", &error.to_string())
        } else {
            StoreError::Database(error.to_string())
        }
    }
}

/// Whether a write failed because of a unique index.
pub(super) fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
            || error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[tokio::test]
    async fn a_statement_whose_limit_is_a_parameter_is_prepared_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("db")).await.unwrap();
        let prepared_anew = store.write(|tx| {
            let sql = "SELECT pk FROM connections WHERE next_run_at <= ?1 ORDER BY next_run_at LIMIT ?2";
            for limit in 1..4 {
                assert!(!tx.prepare_cached(sql)?.exists([limit, limit])?);
            }
            Ok(tx.prepare_cached(sql)?.get_status(StatementStatus::RePrepare))
        });
        assert_eq!(prepared_anew.await.unwrap(), 0);
    }
}
