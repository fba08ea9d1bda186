//! The readers of a SQLite database: a few connections, each on a thread of its own. Reads take microseconds and come by the
//! thousand, so threads that stay are cheaper than any that are lent.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rusqlite::{Connection, Transaction};
use tokio::sync::oneshot;

use super::sqlite::{answered, closed};
use super::{Result, StoreError};

/// Reads from a snapshot, and answers.
type Job = Box<dyn FnOnce(Result<&Transaction<'_>>) + Send>;

/// What one of the threads is told.
enum Order {
    Read(Job),
    /// Close the connection, and say so.
    Close(oneshot::Sender<()>),
}

/// The readers. Their threads end when they are closed, or when the last of these is gone.
#[derive(Clone)]
pub(super) struct Readers {
    orders: Sender<Order>,
    count: usize,
}

impl Readers {
    /// Reads through these connections, so many at a time.
    pub(super) fn new(connections: Vec<Connection>) -> io::Result<Self> {
        let (orders, taken) = unbounded();
        let count = connections.len();
        for connection in connections {
            let taken = taken.clone();
            std::thread::Builder::new()
                .name("sqlite-reader".into())
                .spawn(move || serve(connection, &taken))?;
        }
        Ok(Self { orders, count })
    }

    /// Runs `work` on a snapshot of the database.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |snapshot| {
            // A caller that left before its turn wants nothing any more; one that leaves now may.
            if !reply.is_closed() {
                drop(reply.send(snapshot.and_then(work)));
            }
        });
        self.orders.send(Order::Read(job)).map_err(|_| closed())?;
        answered(answer).await.ok_or_else(|| StoreError::Database("a read panicked".to_owned()))?
    }

    /// Closes the connections. What waits before it is read.
    pub(super) async fn close(&self) {
        let mut closing = Vec::new();
        for _ in 0..self.count {
            let (closed, answer) = oneshot::channel();
            // Where nobody takes it they are closed already.
            if self.orders.send(Order::Close(closed)).is_ok() {
                closing.push(answer);
            }
        }
        for answer in closing {
            answered(answer).await;
        }
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Readers").finish_non_exhaustive()
    }
}

/// Reads what is ordered until the end.
fn serve(mut connection: Connection, orders: &Receiver<Order>) {
    for order in orders {
        match order {
            Order::Read(job) => {
                // Its caller hears of a panic, because the job is gone with the way to answer.
                let _ = catch_unwind(AssertUnwindSafe(|| match connection.transaction() {
                    Ok(snapshot) => job(Ok(&snapshot)),
                    Err(error) => job(Err(error.into())),
                }));
            }
            Order::Close(told) => {
                drop(connection);
                // Whoever closes may have left.
                let _ = told.send(());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readers() -> Readers {
        Readers::new(vec![Connection::open_in_memory().unwrap()]).unwrap()
    }

    #[tokio::test]
    async fn a_read_that_panics_is_an_error_and_the_reader_goes_on() {
        let readers = readers();
        let answer = readers.read(|_| -> Result<()> { panic!("as the test wants it") }).await;
        assert!(matches!(answer, Err(StoreError::Database(_))), "{answer:?}");
        assert_eq!(readers.read(|_| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_waits_is_read_before_the_end_and_nothing_after() {
        let readers = readers();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let reading = tokio::spawn({
            let readers = readers.clone();
            async move { readers.read(move |_| Ok(wait.recv().is_ok())).await }
        });
        tokio::task::yield_now().await;
        let mut closing = Box::pin(readers.close());
        assert!(futures::poll!(&mut closing).is_pending());
        go.send(()).unwrap();
        closing.await;
        assert!(reading.await.unwrap().unwrap());
        assert!(readers.read(|_| Ok(7)).await.is_err());
        readers.close().await;
    }
}
