//! What readers of the feed meet after a restart, and after a backup was restored: with real copies of real databases.

use super::support::*;
use crate::documents::Position;
use crate::store::SqliteStore;
use crate::store::testing::Database;

/// A database that can be copied.
pub trait Copied: Sized {
    /// An empty one.
    async fn new() -> Self;
    /// Opens it.
    async fn open(&self) -> Shared;
    /// Keeps it as it is now. Nobody has it open.
    async fn back_up(&mut self);
    /// Puts it back as it was kept. Nobody has it open.
    async fn restore(&self);
}

/// A file, and a copy of it.
pub struct SqliteFile(tempfile::TempDir);

impl Copied for SqliteFile {
    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Shared {
        std::sync::Arc::new(SqliteStore::open(&self.0.path().join("db")).await.unwrap())
    }

    async fn back_up(&mut self) {
        std::fs::copy(self.0.path().join("db"), self.0.path().join("backup")).unwrap();
    }

    async fn restore(&self) {
        std::fs::copy(self.0.path().join("backup"), self.0.path().join("db")).unwrap();
    }
}

/// A database, and a copy of it.
pub struct PostgresCopy(Database, Option<Database>);

impl Copied for PostgresCopy {
    async fn new() -> Self {
        Self(Database::new().await, None)
    }

    async fn open(&self) -> Shared {
        std::sync::Arc::new(self.0.open().await)
    }

    async fn back_up(&mut self) {
        self.1 = Some(self.0.copy().await);
    }

    async fn restore(&self) {
        self.0.restore(self.1.as_ref().expect("it was backed up")).await;
    }
}

macro_rules! restored {
    ($name:ident, $database:ty) => {
        mod $name {
            use crate::store::suite::restored;

            #[tokio::test]
            async fn a_restart_costs_nobody_a_snapshot() {
                restored::a_restart_costs_nobody_a_snapshot::<$database>().await;
            }

            #[tokio::test]
            async fn i6_who_read_beyond_a_restored_backup_is_noticed() {
                restored::i6_who_read_beyond_a_restored_backup_is_noticed::<$database>().await;
            }
        }
    };
}
pub(super) use restored;

/// Where a reader stands that has read everything.
async fn read_all(store: &Shared) -> Position {
    let bounds = store.feed_bounds().await.unwrap();
    Position::after(&bounds, bounds.head, bounds.head)
}

/// Whether a reader goes on without a snapshot.
async fn goes_on(store: &Shared, position: Position) -> bool {
    position.resume(&store.feed_bounds().await.unwrap()).is_some()
}

/// Opens the database, adds these documents in a run of its own, and closes it.
async fn add<D: Copied>(database: &D, name: &str, ids: &[&str]) -> Position {
    let store = database.open().await;
    let (_, _, fence) = running(&store, name).await;
    write(&store, fence, puts(ids)).await;
    let position = read_all(&store).await;
    store.close().await;
    position
}

pub async fn a_restart_costs_nobody_a_snapshot<D: Copied>() {
    let database = D::new().await;
    let first = add(&database, "first", &["1", "2"]).await;
    let second = add(&database, "second", &["3"]).await;
    // Starts in which nothing is written.
    for _ in 0..3 {
        database.open().await.close().await;
    }
    let third = add(&database, "third", &["4"]).await;
    let store = database.open().await;
    for position in [Position::Beginning, first, second, third] {
        assert!(goes_on(&store, position).await, "{position}");
    }
    store.close().await;
}

pub async fn i6_who_read_beyond_a_restored_backup_is_noticed<D: Copied>() {
    let mut database = D::new().await;
    let before = add(&database, "before", &["1", "2"]).await;
    let at_the_backup = add(&database, "kept", &["3"]).await;
    database.back_up().await;
    let beyond = add(&database, "lost", &["4", "5"]).await;
    database.restore().await;
    let store = database.open().await;
    assert!(!goes_on(&store, beyond).await, "beyond the head");
    store.close().await;
    // The feed grows past the position, with other documents at the offsets that were given before.
    let grown = add(&database, "other", &["6", "7", "8", "9"]).await;
    let store = database.open().await;
    assert!(!goes_on(&store, beyond).await, "its offset is of another history now");
    for position in [before, at_the_backup, grown] {
        assert!(goes_on(&store, position).await, "{position} was not beyond the backup");
    }
    store.close().await;
}
