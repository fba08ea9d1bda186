//! A group of changes that is being committed while the next one is made ready. The next one is planned by what the
//! store will hold once this one is there: that is only known for documents that this one does not touch.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::RunContext;
use super::scopes::Scopes;
use crate::store::StoreError;
use crate::store::documents::Commit;
use crate::store::runs::RunCounts;
use crate::telemetry::metrics::COMMIT_DURATION;
use crate::telemetry::operation::store_outcome;

/// Ids, by their hashes: a clash costs a moment's wait, and saves a copy of each id.
#[derive(Debug, Default)]
pub struct Ids {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl Ids {
    /// The set of these.
    pub fn new<'a>(ids: impl Iterator<Item = &'a str>) -> Self {
        let hasher = RandomState::new();
        let hashes = ids.map(|id| hasher.hash_one(id)).collect();
        Self { hasher, hashes }
    }

    /// Whether this may be one of them.
    pub fn may_hold(&self, id: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one(id))
    }
}

/// How far a run is: what a group moves on.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Where the scopes stand.
    pub scopes: Scopes,
    /// What the run did.
    pub counts: RunCounts,
    /// Failures that count towards the share over which the run fails.
    pub failures: u64,
}

/// A group on its way into the store. Dropped, it is committed or not, as if the process had died.
#[derive(Debug)]
pub struct InFlight {
    /// The documents that it touches.
    pub ids: Ids,
    /// How far the run was before it.
    pub before: Standing,
    task: AbortOnDropHandle<Result<(), StoreError>>,
}

impl InFlight {
    /// Starts to commit. `permits` are given back when that is done, and who watches the run is told.
    pub fn start(
        context: Arc<RunContext>,
        commit: Commit,
        now: DateTime<Utc>,
        ids: Ids,
        before: Standing,
        permits: Vec<Arc<OwnedSemaphorePermit>>,
    ) -> Self {
        let committing = async move {
            let counts = commit.progress.counts;
            let began = Instant::now();
            let committed = context.store.commit(context.fence, commit, now).await;
            COMMIT_DURATION.record([context.report.connector(), store_outcome(&committed)], began.elapsed());
            committed?;
            drop(permits);
            context.report.counts(counts);
            Ok(())
        };
        let task = tokio::spawn(committing.instrument(tracing::debug_span!("sync.run.commit")));
        Self { ids, before, task: AbortOnDropHandle::new(task) }
    }

    /// Waits until it is there. May be dropped and called again.
    ///
    /// # Errors
    /// Where the store refused it: nothing of it is there.
    pub async fn done(&mut self) -> Result<(), StoreError> {
        (&mut self.task)
            .await
            .unwrap_or_else(|error| Err(StoreError::Database(format!("a commit panicked: {error}"))))
    }
}
