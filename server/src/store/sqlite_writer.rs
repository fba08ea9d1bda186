//! The one writer of a SQLite database, on a thread of its own. Writes that wait when a transaction ends go into the
//! next one together, each in a savepoint: a thousand small writes cost a few waits for the disk and not a thousand.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use super::sqlite::closed;
use super::{Result, StoreError};

/// Writes in one transaction, and how long it may gather more.
const MAX_JOBS: usize = 256;
const MAX_TIME: Duration = Duration::from_millis(10);

/// What follows when it is known whether the transaction is there.
type Then = Box<dyn FnOnce(Result<()>) + Send>;

/// Writes within a transaction; says whether what it wrote may stay.
type Job = Box<dyn FnOnce(Result<&Transaction<'_>>) -> (bool, Then) + Send>;

/// The writer's front.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::UnboundedSender<Job>>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection) -> Result<Self> {
        let (jobs, waiting) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                work(connection, waiting);
                // Nobody may wait for it.
                let _ = end.send(());
            })
            .map_err(|error| StoreError::Database(format!("the writer could not be started: {error}")))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), ended: Mutex::new(Some(ended)) })
    }

    /// Runs `work` in a transaction, and `then` right after its commit. Both happen even when the caller stops waiting.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let value = transaction.and_then(work);
            let stays = value.is_ok();
            let done: Then = Box::new(move |committed| {
                let value = value.and_then(|value| committed.map(|()| value));
                if let Ok(value) = &value {
                    then(value);
                }
                // The caller may have left.
                let _ = reply.send(value);
            });
            (stays, done)
        });
        self.jobs.lock().await.as_ref().ok_or_else(closed)?.send(job).map_err(|_| closed())?;
        answer.await.map_err(|_| StoreError::Database("a write panicked".to_owned()))?
    }

    /// Writes what waits and closes the connection.
    pub(super) async fn close(&self) {
        self.jobs.lock().await.take();
        if let Some(ended) = self.ended.lock().await.take() {
            // An error means that the thread is gone: what was to be waited for.
            let _ = ended.await;
        }
    }
}

fn work(mut connection: Connection, mut waiting: mpsc::UnboundedReceiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
            Ok(transaction) => transaction,
            Err(error) => {
                let (_, then) = first(Err(error.into()));
                then(Ok(()));
                continue;
            }
        };
        let began = Instant::now();
        let mut done = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match catch_unwind(AssertUnwindSafe(|| within_savepoint(&transaction, job))) {
                Ok(then) => done.push(then),
                Err(_) => {
                    // Its caller hears of it, because the job is gone with the way to answer.
                    let _ = transaction.execute_batch("ROLLBACK TO job; RELEASE job");
                }
            }
            let room = done.len() < MAX_JOBS && began.elapsed() < MAX_TIME;
            next = if room { waiting.try_recv().ok() } else { None };
        }
        let committed = transaction.commit().map_err(StoreError::from);
        for then in done {
            then(committed.clone());
        }
    }
}

/// Runs one job; what it wrote goes away when it fails.
fn within_savepoint(transaction: &Transaction<'_>, job: Job) -> Then {
    if let Err(error) = transaction.execute_batch("SAVEPOINT job") {
        return job(Err(error.into())).1;
    }
    let (stays, then) = job(Ok(transaction));
    let end = if stays { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    match transaction.execute_batch(end) {
        Ok(()) => then,
        // A full disk ends the whole transaction by itself: then nothing of it may count as written.
        Err(error) => {
            let error = StoreError::from(error);
            Box::new(move |_| then(Err(error)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    fn writer() -> Arc<Writer> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE numbers (number INTEGER PRIMARY KEY)").unwrap();
        Arc::new(Writer::start(connection).unwrap())
    }

    async fn insert(writer: &Writer, number: i64) -> Result<()> {
        writer
            .write(
                move |tx| {
                    tx.execute("INSERT INTO numbers VALUES (?1)", [number])?;
                    Ok(())
                },
                |_| {},
            )
            .await
    }

    async fn numbers(writer: &Writer) -> Vec<i64> {
        let read = |tx: &Transaction<'_>| {
            let mut statement = tx.prepare("SELECT number FROM numbers ORDER BY number")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        };
        writer.write(read, |_| {}).await.unwrap()
    }

    /// Holds the writer up, so that what comes next goes into one transaction.
    fn hold(writer: &Arc<Writer>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
        let (go, wait) = mpsc::channel::<()>();
        let writer = writer.clone();
        let held = tokio::spawn(async move {
            let pause = move |_: &Transaction<'_>| {
                let _ = wait.recv();
                Ok(())
            };
            writer.write(pause, |()| {}).await
        });
        (go, held)
    }

    #[tokio::test]
    async fn one_failing_write_leaves_those_beside_it() {
        let writer = writer();
        insert(&writer, 1).await.unwrap();
        let (go, held) = hold(&writer);
        tokio::task::yield_now().await;
        let (two, again, three) = tokio::join!(insert(&writer, 2), insert(&writer, 1), async {
            let three = insert(&writer, 3);
            go.send(()).unwrap();
            three.await
        });
        held.await.unwrap().unwrap();
        assert!(two.is_ok() && three.is_ok());
        assert!(matches!(again, Err(StoreError::Database(_))), "{again:?}");
        assert_eq!(numbers(&writer).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_write_that_panics_leaves_nothing_and_the_writer_at_work() {
        let writer = writer();
        let panics = |tx: &Transaction<'_>| -> Result<()> {
            tx.execute("INSERT INTO numbers VALUES (7)", [])?;
            panic!("as the test wants it");
        };
        let answer = writer.write(panics, |()| {}).await;
        assert!(matches!(answer, Err(StoreError::Database(_))), "{answer:?}");
        insert(&writer, 8).await.unwrap();
        assert_eq!(numbers(&writer).await, [8]);
    }

    #[tokio::test]
    async fn what_waits_is_written_before_the_end_and_nothing_after() {
        let writer = writer();
        let (go, held) = hold(&writer);
        tokio::task::yield_now().await;
        let waiting = {
            let writer = writer.clone();
            tokio::spawn(async move { insert(&writer, 1).await })
        };
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        writer.close().await;
        held.await.unwrap().unwrap();
        waiting.await.unwrap().unwrap();
        assert!(insert(&writer, 2).await.is_err());
    }
}
