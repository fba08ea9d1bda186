//! The one writer of a SQLite database, on a thread of its own. Writes that wait while a transaction goes on go into the
//! next one together, each in a savepoint: a thousand small writes cost a few waits for the disk and not a thousand.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::sqlite::{answered, closed};
use super::sqlite_checkpoints::Checkpoints;
use super::{Result, StoreError};

/// Writes in one transaction, and how long it may gather more.
const MAX_JOBS: usize = 256;
const MAX_TIME: Duration = Duration::from_millis(10);

/// What follows when it is known whether the transaction is there.
type Then = Box<dyn FnOnce(Result<()>) + Send>;

/// Writes within a transaction; says whether what it wrote may stay.
type Job = Box<dyn FnOnce(Result<&Transaction<'_>>) -> (bool, Then) + Send>;

/// What the thread is told.
enum Order {
    Write(Job),
    /// Close the connection, and say so.
    Close(oneshot::Sender<()>),
}

/// The writer. Its thread ends when it is closed, or when the last of these is gone.
#[derive(Clone)]
pub(super) struct Writer {
    orders: Sender<Order>,
}

impl Writer {
    /// Writes through this connection; `log` is another one, for checkpoints.
    pub(super) fn new(connection: Connection, log: Connection) -> io::Result<Self> {
        let (orders, taken) = channel();
        let checkpoints = Checkpoints::new(log)?;
        let serve = move || serve(connection, checkpoints, &taken);
        std::thread::Builder::new().name("sqlite-writer".into()).spawn(serve)?;
        Ok(Self { orders })
    }

    /// Runs `work` in a transaction, and `then` right after its commit. Once begun, both happen even when the caller
    /// stops waiting.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
        then: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            // A caller that left before its turn wants nothing any more.
            let left = || Err(StoreError::Database("the write was given up".to_owned()));
            let value = if reply.is_closed() { left() } else { transaction.and_then(work) };
            let stays = value.is_ok();
            let done: Then = Box::new(move |committed| {
                let value = value.and_then(|value| committed.map(|()| value));
                if let Ok(value) = &value {
                    then(value);
                }
                // The caller may have left.
                drop(reply.send(value));
            });
            (stays, done)
        });
        self.orders.send(Order::Write(job)).map_err(|_| closed())?;
        answered(answer).await.ok_or_else(|| StoreError::Database("a write panicked".to_owned()))?
    }

    /// Closes the connection. What waits before it is written.
    pub(super) async fn close(&self) {
        let (closed, answer) = oneshot::channel();
        if self.orders.send(Order::Close(closed)).is_ok() {
            answered(answer).await;
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Writes what is ordered until the end.
fn serve(mut connection: Connection, mut checkpoints: Checkpoints, orders: &Receiver<Order>) {
    let mut next = None;
    while let Some(order) = next.take().or_else(|| orders.recv().ok()) {
        match order {
            Order::Write(job) => {
                next = write_all(&mut connection, job, orders);
                checkpoints.after_commit(&connection);
            }
            Order::Close(told) => {
                checkpoints.end();
                drop(connection);
                if let Ok(Order::Write(job)) = orders.try_recv() {
                    refuse_all(job, orders, &closed());
                }
                // Whoever closes may have left.
                let _ = told.send(());
                return;
            }
        }
    }
}

/// Writes a job and what waits behind it, in one transaction. Returns an order that is no write, if there was one.
fn write_all(connection: &mut Connection, first: Job, orders: &Receiver<Order>) -> Option<Order> {
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => return refuse_all(first, orders, &error.into()),
    };
    // The first needs no savepoint, which would cost a copy of each page that it changes: nothing is before it.
    let mut done = match catch_unwind(AssertUnwindSafe(|| first(Ok(&transaction)))) {
        Ok((true, then)) => vec![then],
        Ok((false, then)) => {
            drop(transaction);
            then(Ok(()));
            return None;
        }
        Err(_) => return None,
    };
    let began = Instant::now();
    let mut next = None;
    // Where the disk is full SQLite may give up the whole transaction. What would be written then has none around it.
    while done.len() < MAX_JOBS && began.elapsed() < MAX_TIME && !transaction.is_autocommit() {
        let job = match orders.try_recv() {
            Ok(Order::Write(job)) => job,
            Ok(other) => {
                next = Some(other);
                break;
            }
            Err(_) => break,
        };
        match catch_unwind(AssertUnwindSafe(|| within_savepoint(&transaction, job))) {
            Ok(then) => done.push(then),
            // Its caller hears of it, because the job is gone with the way to answer. Without the savepoint there is
            // nothing to go back to, and the commit fails.
            Err(_) => drop(transaction.execute_batch("ROLLBACK TO job; RELEASE job")),
        }
    }
    let committed = if transaction.is_autocommit() {
        let lost = "another write found no room, and those beside it were given up with it";
        Err(StoreError::Unavailable(lost.to_owned()))
    } else {
        transaction.commit().map_err(StoreError::from)
    };
    for then in done {
        then(committed.clone());
    }
    next
}

/// No transaction can begin: each would wait as long for that. Returns an order that is no write, if there was one.
fn refuse_all(first: Job, orders: &Receiver<Order>, error: &StoreError) -> Option<Order> {
    let mut job = first;
    loop {
        job(Err(error.clone())).1(Ok(()));
        match orders.try_recv() {
            Ok(Order::Write(next)) => job = next,
            other => return other.ok(),
        }
    }
}

/// Runs one job; what it wrote goes away when it fails.
fn within_savepoint(transaction: &Transaction<'_>, job: Job) -> Then {
    let run = |sql| transaction.prepare_cached(sql)?.execute([]);
    if let Err(error) = run("SAVEPOINT job") {
        return job(Err(error.into())).1;
    }
    let (stays, then) = job(Ok(transaction));
    let ended = if stays { Ok(0) } else { run("ROLLBACK TO job") };
    match ended.and_then(|_| run("RELEASE job")) {
        Ok(_) => then,
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
        Arc::new(Writer::new(connection, Connection::open_in_memory().unwrap()).unwrap())
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
    async fn where_there_is_no_room_everybody_is_told_to_try_again_and_nothing_is_half_there() {
        let writer = writer();
        let limit = |pages: i64| {
            let limit = move |tx: &Transaction<'_>| Ok(tx.pragma_update(None, "max_page_count", pages)?);
            writer.write(limit, |()| {})
        };
        limit(10).await.unwrap();
        let (go, held) = hold(&writer);
        tokio::task::yield_now().await;
        let large = |tx: &Transaction<'_>| {
            tx.execute_batch("CREATE TABLE large (data)")?;
            Ok(tx.execute("INSERT INTO large VALUES (zeroblob(1000000))", [])?)
        };
        let (two, large, three) = tokio::join!(insert(&writer, 2), writer.write(large, |_| {}), async {
            let three = insert(&writer, 3);
            go.send(()).unwrap();
            three.await
        });
        assert!(
            matches!(&large, Err(StoreError::Unavailable(text)) if text.contains("make room")),
            "{large:?}"
        );
        assert!(matches!(two, Err(StoreError::Unavailable(_))), "{two:?}");
        assert!(matches!(held.await.unwrap(), Err(StoreError::Unavailable(_))));
        three.expect("it came after that, in a transaction of its own");
        limit(1000).await.unwrap();
        insert(&writer, 2).await.unwrap();
        assert_eq!(numbers(&writer).await, [2, 3]);
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
