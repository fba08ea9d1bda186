//! How runs end, written in batches: whoever comes while one batch is being written goes into the next.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::GATHER;
use crate::clock::SharedClock;
use crate::store::runs::RunOutcome;
use crate::store::{Result, Store, StoreError};

/// Outcomes in one transaction.
const BATCH: usize = 256;

/// The outcomes that wait to be written.
pub(super) struct Outcomes {
    store: Arc<dyn Store>,
    clock: SharedClock,
    waiting: Mutex<Vec<Waiting>>,
    /// Held by who writes, for everybody who waits.
    turn: tokio::sync::Mutex<()>,
}

/// An outcome, and who waits for it to be there.
type Waiting = (RunOutcome, oneshot::Sender<Result<()>>);

impl Outcomes {
    pub(super) fn new(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self { store, clock, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Writes an outcome.
    ///
    /// # Errors
    /// As [`crate::store::runs::RunStore::end_runs`].
    pub(super) async fn write(&self, outcome: RunOutcome) -> Result<()> {
        let (reply, mut answer) = oneshot::channel();
        self.waiting().push((outcome, reply));
        loop {
            let turn = self.turn.lock().await;
            // Somebody before may have written it already.
            if let Ok(written) = answer.try_recv() {
                return written;
            }
            // A transaction costs more than an outcome: those who come a moment later go along.
            tokio::time::sleep(GATHER).await;
            let batch: Vec<Waiting> = {
                let mut waiting = self.waiting();
                let count = waiting.len().min(BATCH);
                waiting.drain(..count).collect()
            };
            if batch.is_empty() {
                // It was in a batch whose writer went away: nobody knows what became of it.
                let lost = "the outcome's batch was given up";
                return answer.await.unwrap_or_else(|_| Err(StoreError::Database(lost.to_owned())));
            }
            let (outcomes, replies): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let written = self.store.end_runs(outcomes, self.clock.now()).await;
            drop(turn);
            match written {
                Ok(written) => {
                    // Who has gone away needs no answer.
                    replies.into_iter().zip(written).for_each(|(reply, written)| drop(reply.send(written)));
                }
                Err(error) => {
                    replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
                }
            }
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
