//! Transactions on PostgreSQL: each on a task of its own, so that it goes on to its end when its caller has left, and
//! again from the beginning where it lost a race or its connection before the end.
//!
//! **What was not answered.** When the connection is lost during COMMIT nobody knows whether the work is there. It is
//! not done again here; the caller hears [`StoreError::Unavailable`] and repeats on its own terms. Each write is made for
//! that. Commits of documents and tombstones: the engine reads again what is stored, and what equals it makes no entry
//! (I2). Sync states, positions, approvals, changes of connections: they write what is to be, not what is to be added.
//! Outcomes and deletions: the fence moves with them, so a second one is refused. Claims: one that nobody heard of runs
//! out, and its run is queued again. New runs and connections: one active run per connection and one connection per
//! request or name. The lines of a log may come twice.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use deadpool_postgres::{Client, Object};
use futures::future::BoxFuture;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use tracing::Instrument;

use super::PostgresStore;
use crate::store::{Fence, Result, StoreError};
use crate::telemetry::operation::{operation_of, timed};

/// How often a transaction is begun at most.
const ATTEMPTS: u32 = 6;
/// The longest pause before the second attempt; it doubles with each that follows.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a statement or a transaction failed.
#[derive(Debug)]
pub(in crate::store) enum Failure {
    /// The store's own rules refuse it.
    Store(StoreError),
    /// The database does.
    Database(tokio_postgres::Error),
}

/// What work in a transaction says.
pub(in crate::store) type Outcome<T> = std::result::Result<T, Failure>;

/// Parameters of a statement.
pub(in crate::store) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Work in a transaction, on what it is given. It may be done several times.
pub(in crate::store) trait Work<D, T>:
    for<'a> Fn(&'a Tx, &'a D) -> BoxFuture<'a, Outcome<T>> + Send + Sync + 'static
{
}

impl<D, T, W> Work<D, T> for W where
    W: for<'a> Fn(&'a Tx, &'a D) -> BoxFuture<'a, Outcome<T>> + Send + Sync + 'static
{
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Failure::Database(error)
    }
}

impl Failure {
    /// Whether a unique index refused it.
    pub(in crate::store) fn is_taken(&self) -> bool {
        self.code() == Some(&SqlState::UNIQUE_VIOLATION)
    }

    fn code(&self) -> Option<&SqlState> {
        match self {
            Failure::Database(error) => error.code(),
            Failure::Store(_) => None,
        }
    }

    /// The server went away, or ended this connection.
    pub(super) fn is_lost(&self) -> bool {
        let Failure::Database(error) = self else { return false };
        match error.code() {
            // Class 57P: shut down, crashed, starting up. 08: connections. 25P03, 57P05: ended for idling.
            Some(code) => {
                let code = code.code();
                code.starts_with("57P") || code.starts_with("08") || code == "25P03"
            }
            None => error.is_closed() || has_io_source(error),
        }
    }

    /// The same again may go through at once.
    fn lost_a_race(&self) -> bool {
        let codes = [&SqlState::T_R_SERIALIZATION_FAILURE, &SqlState::T_R_DEADLOCK_DETECTED];
        self.code().is_some_and(|code| codes.contains(&code))
    }

    /// What the caller is told.
    pub(super) fn told(self) -> StoreError {
        let error = match self {
            Failure::Store(error) => return error,
            Failure::Database(error) => error,
        };
        let code = error.code().cloned();
        let text = describe(&error);
        if code == Some(SqlState::DISK_FULL) {
            return StoreError::full("the database's server", &text);
        }
        let failure = Failure::Database(error);
        let waits = [
            &SqlState::LOCK_NOT_AVAILABLE,
            &SqlState::QUERY_CANCELED,
            &SqlState::TOO_MANY_CONNECTIONS,
            &SqlState::READ_ONLY_SQL_TRANSACTION,
        ];
        if failure.is_lost() || failure.lost_a_race() || code.is_some_and(|code| waits.contains(&&code)) {
            StoreError::Unavailable(text)
        } else {
            StoreError::Database(text)
        }
    }
}

/// An error in words. The database's own details may quote rows and stay where they are.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("{} ({})", answer.message(), answer.code().code());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn has_io_source(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

/// A transaction under way.
pub(in crate::store) struct Tx {
    client: Client,
    /// Who has to hear of it.
    news: Mutex<News>,
}

/// What others wait for to happen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    /// The feed's head, where it moved.
    pub(super) head: Option<i64>,
    /// Runs were queued, cancelled or reset.
    pub(super) runs: bool,
}

/// How a transaction is made.
#[derive(Clone, Copy)]
enum Kind {
    Write(Option<Fence>),
    /// Several statements see the same database.
    Snapshot,
    /// One statement needs no transaction around it.
    Single,
}

impl Kind {
    fn begin(self) -> Option<&'static str> {
        match self {
            Kind::Write(_) => Some("BEGIN"),
            Kind::Snapshot => Some("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            Kind::Single => None,
        }
    }
}

impl Tx {
    /// Rows.
    pub(in crate::store) async fn query(&self, sql: &str, params: Params<'_>) -> Outcome<Vec<Row>> {
        let statement = self.client.prepare_cached(sql).await?;
        Ok(self.client.query(&statement, params).await?)
    }

    /// A row, if there is one.
    pub(in crate::store) async fn query_opt(&self, sql: &str, params: Params<'_>) -> Outcome<Option<Row>> {
        let statement = self.client.prepare_cached(sql).await?;
        Ok(self.client.query_opt(&statement, params).await?)
    }

    /// The row that is always there.
    pub(in crate::store) async fn query_one(&self, sql: &str, params: Params<'_>) -> Outcome<Row> {
        let statement = self.client.prepare_cached(sql).await?;
        Ok(self.client.query_one(&statement, params).await?)
    }

    /// Says how many rows it touched.
    pub(in crate::store) async fn execute(&self, sql: &str, params: Params<'_>) -> Outcome<u64> {
        let statement = self.client.prepare_cached(sql).await?;
        Ok(self.client.execute(&statement, params).await?)
    }

    /// Prepares statements, for those that are then sent together: only with all of them prepared do they reach the
    /// server in the order in which they are polled.
    pub(in crate::store) async fn prepare<const N: usize>(&self, sql: [&str; N]) -> Outcome<[Statement; N]> {
        let prepared = futures::future::try_join_all(sql.map(|sql| self.client.prepare_cached(sql))).await?;
        // There are as many as were asked for.
        prepared.try_into().map_err(|_| StoreError::Database("a statement is missing".to_owned()).into())
    }

    /// Runs a prepared statement, unless there is nothing to run it for.
    pub(in crate::store) async fn run_if(
        &self,
        needed: bool,
        statement: &Statement,
        params: Params<'_>,
    ) -> Outcome<u64> {
        if needed { Ok(self.client.execute(statement, params).await?) } else { Ok(0) }
    }

    /// Runs a prepared statement for its rows, unless there is nothing to run it for.
    pub(in crate::store) async fn rows_if(
        &self,
        needed: bool,
        statement: &Statement,
        params: Params<'_>,
    ) -> Outcome<Vec<Row>> {
        if needed { Ok(self.client.query(statement, params).await?) } else { Ok(Vec::new()) }
    }

    /// Says that the feed's head is here once this transaction is true.
    pub(in crate::store) fn moves_head(&self, head: i64) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).head = Some(head);
    }

    /// Says that there are other runs to be seen once this transaction is true.
    pub(in crate::store) fn changes_runs(&self) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).runs = true;
    }
}

/// Refuses whoever lost its claim, also of a connection that is forgotten altogether. Holds the connection's row until
/// the end of the transaction: two transactions of one connection never overlap, and a claim, which writes the row, waits
/// until those of the older claim are true or gone.
async fn check(tx: &Tx, fence: Fence) -> Outcome<()> {
    let sql = "SELECT fence FROM connections WHERE pk = $1 FOR NO KEY UPDATE";
    let row = tx.query_opt(sql, &[&fence.connection.0]).await?;
    let newest: Option<i64> = row.map(|row| row.get(0));
    if newest == Some(fence.number) { Ok(()) } else { Err(StoreError::Fenced.into()) }
}

/// How one attempt failed.
struct Failed {
    failure: Failure,
    /// The commit was sent, and the answer to it may be what is missing.
    committing: bool,
}

impl PostgresStore {
    /// Runs `work` in a write transaction and commits it, unless it fails.
    pub(in crate::store) async fn write<D: Send + Sync + 'static, T: Send + 'static>(
        &self,
        data: D,
        work: impl for<'a> Fn(&'a Tx, &'a D) -> BoxFuture<'a, Outcome<T>> + Send + Sync + 'static,
    ) -> Result<T> {
        self.spawn(Kind::Write(None), data, work).await
    }

    /// As [`Self::write`], and only while `fence` is the newest claim of its connection.
    pub(in crate::store) async fn write_fenced<D: Send + Sync + 'static, T: Send + 'static>(
        &self,
        fence: Fence,
        data: D,
        work: impl for<'a> Fn(&'a Tx, &'a D) -> BoxFuture<'a, Outcome<T>> + Send + Sync + 'static,
    ) -> Result<T> {
        self.spawn(Kind::Write(Some(fence)), data, work).await
    }

    /// Runs `work` of several statements on one snapshot of the database.
    pub(in crate::store) async fn read<D: Send + Sync + 'static, T: Send + 'static>(
        &self,
        data: D,
        work: impl for<'a> Fn(&'a Tx, &'a D) -> BoxFuture<'a, Outcome<T>> + Send + Sync + 'static,
    ) -> Result<T> {
        self.spawn(Kind::Snapshot, data, work).await
    }

    /// Runs `work` of one statement.
    pub(in crate::store) async fn single<D: Send + Sync + 'static, T: Send + 'static>(
        &self,
        data: D,
        work: impl for<'a> Fn(&'a Tx, &'a D) -> BoxFuture<'a, Outcome<T>> + Send + Sync + 'static,
    ) -> Result<T> {
        self.spawn(Kind::Single, data, work).await
    }

    async fn spawn<D: Send + Sync + 'static, T: Send + 'static>(
        &self,
        kind: Kind,
        data: D,
        work: impl Work<D, T>,
    ) -> Result<T> {
        let (store, operation) = (self.clone(), operation_of(&work));
        let running = async move {
            let task = tokio::spawn(async move { store.repeat(kind, &data, &work).await }.in_current_span());
            task.await.map_err(|error| StoreError::Database(format!("a transaction panicked: {error}")))?
        };
        let ended = timed(operation, running).await;
        if matches!(kind, Kind::Write(_)) { self.trouble.note(ended) } else { ended }
    }

    async fn repeat<D: Sync, T>(&self, kind: Kind, data: &D, work: &impl Work<D, T>) -> Result<T> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Failed { failure, committing } = match self.attempt(kind, data, work).await {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            let again = failure.lost_a_race() || (failure.is_lost() && !committing);
            if !again || attempt == ATTEMPTS {
                return Err(failure.told());
            }
            // With jitter: those who raced would meet again.
            tokio::time::sleep((PAUSE * 2_u32.pow(attempt - 1)).mul_f64(rand::random())).await;
        }
    }

    async fn attempt<D: Sync, T>(
        &self,
        kind: Kind,
        data: &D,
        work: &impl Work<D, T>,
    ) -> std::result::Result<T, Failed> {
        let before = |failure| Failed { failure, committing: false };
        let client = self.client().await.map_err(before)?;
        let open = Open { tx: Some(Tx { client, news: Mutex::default() }) };
        let Some(tx) = &open.tx else { return Err(before(super::closed().into())) };
        let done = async {
            let begin = async {
                if let Some(begin) = kind.begin() {
                    tx.client.batch_execute(begin).await?;
                }
                Ok(())
            };
            match kind {
                // The statement that checks is on its way together with the one that begins.
                Kind::Write(Some(fence)) => {
                    futures::try_join!(begin, check(tx, fence))?;
                }
                Kind::Write(None) | Kind::Snapshot | Kind::Single => begin.await?,
            }
            work(tx, data).await
        };
        let end = match (done.await, kind) {
            (done, Kind::Single) => done.map_err(before),
            (Ok(value), _) => {
                let committed = tx.client.batch_execute("COMMIT").await;
                committed.map(|()| value).map_err(|error| Failed { failure: error.into(), committing: true })
            }
            (Err(failure), _) => {
                // Where this fails too, the connection is not one to go on with.
                tx.client.batch_execute("ROLLBACK").await.map_err(|error| before(error.into()))?;
                Err(before(failure))
            }
        };
        if end.is_ok() {
            self.tell(*tx.news.lock().unwrap_or_else(PoisonError::into_inner));
        }
        open.give_back();
        end
    }
}

/// Takes the connection out of the pool where its transaction was not ended in order, by a panic for example.
struct Open {
    tx: Option<Tx>,
}

impl Open {
    /// The transaction has ended: its connection may be used again.
    fn give_back(mut self) {
        self.tx.take();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(tx) = self.tx.take() {
            drop(Object::take(tx.client));
        }
    }
}
