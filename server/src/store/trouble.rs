//! Whether a store can be written. A full disk or a database that went away shows in many places at once, each with its own
//! words; here it is told once when it begins and once when it is over, and probes can ask for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Result, StoreError};

/// How long nothing may have failed before it counts as over: a write that has nothing to write goes through on a full
/// disk too.
const QUIET: Duration = Duration::from_secs(5);

/// When a write last failed because the store was away, where that is not over. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Instant>>>);

impl Trouble {
    /// Takes note of how a write ended.
    pub(super) fn note<T>(&self, written: Result<T>) -> Result<T> {
        let mut failed_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &written {
            Err(error @ StoreError::Unavailable(_)) => {
                if failed_at.replace(Instant::now()).is_none() {
                    tracing::error!(%error, "the store cannot be written; runs wait, and go on by themselves when it can");
                }
            }
            Ok(_) if failed_at.is_some_and(|at| at.elapsed() > QUIET) => {
                *failed_at = None;
                tracing::info!("the store can be written again");
            }
            Ok(_) | Err(_) => {}
        }
        written
    }

    /// Whether it goes on.
    pub(super) fn goes_on(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_over_once_writes_go_through_and_none_failed_for_a_while() {
        let trouble = Trouble::default();
        let away = || Err::<(), _>(StoreError::Unavailable("away".to_owned()));
        assert!(trouble.note(Ok(1)).is_ok() && !trouble.goes_on());
        let refused = Err::<(), _>(StoreError::Fenced);
        assert!(trouble.note(refused).is_err() && !trouble.goes_on(), "what is refused is no fault");
        assert!(trouble.note(away()).is_err() && trouble.goes_on());
        tokio::time::advance(QUIET * 2).await;
        assert!(trouble.note(away()).is_err());
        tokio::time::advance(QUIET / 2).await;
        trouble.note(Ok(())).unwrap();
        assert!(trouble.goes_on(), "it may have had nothing to write");
        tokio::time::advance(QUIET).await;
        assert!(trouble.goes_on(), "nobody tried");
        trouble.note(Ok(())).unwrap();
        assert!(!trouble.goes_on());
    }
}
