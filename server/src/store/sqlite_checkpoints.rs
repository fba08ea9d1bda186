//! Checkpoints of SQLite's log. Most of what one copies into the file is copied by a thread of its own, while the writer goes
//! on; the writer itself, between two transactions, copies the rest, after which the log begins anew.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

/// Pages of log after which the thread copies what there is. Pages that were changed again and again are copied once.
const AHEAD_PAGES: i64 = 12_288;

/// Pages of log, 64 MiB, after which the writer copies the rest: while it writes, the thread never has everything.
const MAX_PAGES: i64 = 16_384;

/// The thread, and what the writer knows of the log.
#[derive(Debug)]
pub(super) struct Checkpoints {
    orders: SyncSender<()>,
    thread: JoinHandle<()>,
    /// The thread was told, since the log began.
    told: bool,
}

impl Checkpoints {
    /// Works through this connection.
    pub(super) fn new(connection: Connection) -> io::Result<Self> {
        let (orders, taken) = sync_channel::<()>(1);
        let copy = move || taken.iter().for_each(|()| copy(&connection));
        let thread = std::thread::Builder::new().name("sqlite-log".into()).spawn(copy)?;
        Ok(Self { orders, thread, told: false })
    }

    /// Looks at the log after a commit of the writer's.
    pub(super) fn after_commit(&mut self, writer: &Connection) {
        // NOOP says how long the log is, and copies nothing. A database without a log has -1 pages of it.
        let pages = writer.prepare_cached("PRAGMA wal_checkpoint(NOOP)");
        let pages = pages.and_then(|mut statement| statement.query_row([], |row| row.get(1))).unwrap_or(0);
        if pages >= MAX_PAGES {
            copy(writer);
        } else if pages < AHEAD_PAGES {
            self.told = false;
        } else if !self.told {
            // One that is at it already sees to it.
            self.told = self.orders.try_send(()).is_ok();
        }
    }

    /// Ends the thread, and closes its connection.
    pub(super) fn end(self) {
        drop(self.orders);
        // A panic of it has been told.
        let _ = self.thread.join();
    }
}

/// Copies what no reader needs any more, and waits for nobody. Where it fails, as on a full disk, the log stays, nothing is lost,
/// and the next one tries again.
fn copy(connection: &Connection) {
    let copied = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)");
    if let Err(error) = copied.and_then(|mut statement| statement.query_row([], |_| Ok(()))) {
        tracing::debug!(%error, "the log could not be copied into the database");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &std::path::Path) -> Connection {
        let connection = Connection::open(folder.join("db")).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").unwrap();
        connection
    }

    /// Pages in the log, and how many of them are in the file.
    fn log(connection: &Connection) -> (i64, i64) {
        connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap()
    }

    #[test]
    fn the_log_is_copied_beside_the_writer_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let writer = open(folder.path());
        writer.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE bytes (bytes BLOB)").unwrap();
        let mut checkpoints = Checkpoints::new(open(folder.path())).unwrap();
        let (began, mut pages, mut begun_anew) = (std::time::Instant::now(), 0, 0);
        while begun_anew < 3 {
            writer.execute("INSERT INTO bytes VALUES (zeroblob(1000000))", []).unwrap();
            checkpoints.after_commit(&writer);
            // The writer copies nothing yet, so it is the thread that does.
            while (AHEAD_PAGES..MAX_PAGES).contains(&log(&writer).0) && log(&writer).1 == 0 {
                assert!(began.elapsed().as_secs() < 60, "the thread copies nothing");
                std::thread::yield_now();
            }
            let before = std::mem::replace(&mut pages, log(&writer).0);
            begun_anew += u32::from(pages < before);
            assert!(pages < MAX_PAGES + 1_000, "{pages}");
        }
        checkpoints.end();
    }
}
