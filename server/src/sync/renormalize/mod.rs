//! Re-normalization: documents are made anew of the raw items that are kept, without the source. `renew` asks the
//! connector about a batch of them, `run` makes true what comes of it, `preview` only tells.

mod preview;
mod renew;
mod run;

pub use preview::{Difference, DifferenceKind, Preview, PreviewError, Totals};
pub use run::Renormalizer;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Raw items in one batch.
const BATCH_ITEMS: usize = 200;
/// Their data in one batch, but for the last one.
const BATCH_BYTES: usize = 1024 * 1024;
/// Envelopes of one batch, but for the last one: what comes after it is asked for again.
const BATCH_ENVELOPES: usize = 4 * 1024 * 1024;
/// What a batch may hold at once, in bytes in flight: items, envelopes, and both as messages and as they are written.
const BATCH_IN_FLIGHT: usize = 16 * 1024 * 1024;

/// The bytes in flight that a batch takes.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// For all runs together.
    pub bytes: Arc<Semaphore>,
    /// How many there are.
    pub total: usize,
}

impl InFlight {
    /// Waits until there is room for a batch.
    async fn batch(&self) -> OwnedSemaphorePermit {
        let bytes = BATCH_IN_FLIGHT.min(self.total) as u32;
        self.bytes.clone().acquire_many_owned(bytes).await.expect("it is never closed")
    }
}
