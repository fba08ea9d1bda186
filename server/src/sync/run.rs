//! One run from its claim to its end: decides what to pull, pulls until every scope is caught up, sweeps, and says how
//! it went.

use std::sync::Arc;

use futures::StreamExt;

use prost_types::Struct;
use superfasttt_proto::connector::v1::{PullMode, Reason};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::RunContext;
use super::authentication::Authentication;
use super::commit::Committer;
use super::port::{Connectors, CredentialSource, Session};
use super::raw_stage::Keeping;
use super::report::Report;
use super::scopes::Scopes;
use super::synced::Synced;
use crate::content::{ContentTotals, Fetcher, Suspects};
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::runs::{HeldSweep, RunCounts, Work};
use crate::store::sync_states::ScopeState;
use crate::store::wanted::Leftovers;

/// Why a run cannot go on.
#[derive(Debug)]
pub enum Stop {
    /// A person, or the end of the process, stopped it.
    Cancelled,
    /// It failed; what was committed stays.
    Failed(ConnectorError),
    /// So did the store, which is there: nothing is said of the source or its connector.
    StoreFailed(ConnectorError),
    /// Another claim was made: nothing may be written any more.
    Fenced,
    /// The store is away, or has no room for content: the run goes on when it is back. It says why.
    StoreAway(String),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Stop::Fenced,
            error @ StoreError::Unavailable(_) => Stop::StoreAway(error.to_string()),
            error => Stop::StoreFailed(ConnectorError::new(Reason::Internal, format!("the store: {error}"))),
        }
    }
}

impl From<ConnectorError> for Stop {
    fn from(error: ConnectorError) -> Self {
        Stop::Failed(error)
    }
}

/// What a run brought, where it went through.
#[derive(Debug)]
pub struct Finished {
    /// What it did.
    pub counts: RunCounts,
    /// Deletions that wait for a person.
    pub held_sweeps: Vec<HeldSweep>,
    /// Scopes that stopped, and why.
    pub scope_errors: Vec<(String, ConnectorError)>,
    /// Everything was listed.
    pub listed_all: bool,
    /// Where scopes stand that nothing was committed with.
    pub states: Vec<ScopeState>,
}

/// One run at work.
pub struct Runner {
    pub(super) context: Arc<RunContext>,
    pub(super) connection: Connection,
    pub(super) settings: Struct,
    pub(super) authentication: Authentication,
    pub(super) connectors: Arc<dyn Connectors>,
    /// Opened when it is needed, and again after a pull was cut off: the process behind it may be gone.
    pub(super) session: Option<OpenSession>,
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) in_flight_bytes: usize,
    pub(super) totals: Arc<ContentTotals>,
    pub(super) suspects: Arc<Suspects>,
    pub(super) committer: Committer,
    pub(super) scope_errors: Vec<(String, ConnectorError)>,
    /// Scopes whose cursors the source no longer takes, and what it said.
    pub(super) refused: Option<(Vec<String>, ConnectorError)>,
    /// How raw items are kept; `None`: they are not.
    pub(super) keeping: Option<Keeping>,
}

/// A session, whose process is listened to for as long as it is used.
pub(super) struct OpenSession {
    pub(super) session: Arc<dyn Session>,
    pub(super) _stderr: AbortOnDropHandle<()>,
}

/// Puts what a session's process writes to stderr into a run's log.
pub(super) fn listen(session: &Arc<dyn Session>, report: &Arc<Report>) -> AbortOnDropHandle<()> {
    let report = report.clone();
    let lines = session.stderr().for_each(move |line| {
        report.stderr(line);
        std::future::ready(())
    });
    AbortOnDropHandle::new(tokio::spawn(lines))
}

impl Runner {
    /// Gets ready to go on from what is stored: where the scopes stand, and what else is left of earlier runs. `settings` are those
    /// that the connector is given, defaults filled in.
    pub fn new(
        context: Arc<RunContext>,
        connection: Connection,
        (states, leftovers): (Vec<ScopeState>, Leftovers),
        settings: Struct,
        (connectors, credentials): (Arc<dyn Connectors>, Arc<dyn CredentialSource>),
        fetcher: Arc<Fetcher>,
        (in_flight, in_flight_bytes): (Arc<Semaphore>, usize),
    ) -> Self {
        let counts = context.report.run().counts;
        let totals = Arc::new(ContentTotals::default());
        totals.restore(&counts);
        let committer = Committer::new(
            context.clone(),
            totals.clone(),
            Scopes::new(states),
            counts,
            leftovers,
            connection.connector.clone(),
        );
        let scope_errors = Vec::new();
        let authentication = Authentication::for_run(credentials, context.run.clone());
        Self {
            context,
            connection,
            settings,
            authentication,
            connectors,
            session: None,
            fetcher,
            in_flight,
            in_flight_bytes,
            totals,
            suspects: Arc::default(),
            committer,
            scope_errors,
            refused: None,
            keeping: None,
        }
    }

    /// Lets raw items be asked for, and kept.
    #[must_use]
    pub fn keeping_raw(mut self, keeping: Option<Keeping>) -> Self {
        self.committer.keeps_raw = keeping.is_some();
        self.keeping = keeping;
        self
    }

    /// What the run did so far.
    pub fn counts(&self) -> RunCounts {
        self.committer.counts
    }

    /// Waits until what is being committed is there, or has failed, and writes the checkpoints that wait: of a run that
    /// failed the store has everything that it had read.
    ///
    /// # Errors
    /// Where the store fails; then what was read is asked for again.
    pub async fn finish_commits(&mut self) -> Result<(), StoreError> {
        self.committer.settle().await?;
        let states = self.committer.take_unsaved();
        if states.is_empty() {
            return Ok(());
        }
        self.context.store.save_sync_states(self.context.fence, states, None).await
    }

    /// Runs to the end. May be dropped at any point.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn run(&mut self) -> Result<Finished, Stop> {
        let synced = Synced::of(&self.connection);
        let anew = synced.settings_changed || synced.raw_missing;
        let work = self.context.report.run().work;
        let can = self.context.capabilities;
        let never_listed = self.committer.scopes.all().next().is_none();
        let everything = anew || never_listed || !can.incremental;
        let mut listed_all = false;
        if work == Work::Items {
            self.context.report.update(|run| run.mode = PullMode::Targeted);
        } else {
            // A crash came between the page that named them and the end of its run.
            if !everything {
                self.ask_for_wanted().await?;
            }
            match work {
                _ if everything => self.list_everything(anew, synced).await?,
                Work::Full => self.list_everything(false, synced).await?,
                Work::Reconcile if can.list && can.targeted && can.full_listing => self.reconcile().await?,
                Work::Reconcile => self.list_everything(false, synced).await?,
                Work::Changes | Work::Items => self.take_changes().await?,
            }
            listed_all = everything || work >= Work::Reconcile;
        }
        self.ask_for_wanted().await?;
        let mut held_sweeps = Vec::new();
        if work != Work::Items {
            self.sweep_complete(&mut held_sweeps).await?;
        }
        let scope_errors = std::mem::take(&mut self.scope_errors);
        let states = self.committer.take_unsaved();
        Ok(Finished { counts: self.committer.counts, held_sweeps, scope_errors, listed_all, states })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_does_wrong_is_never_taken_for_what_the_connector_did() {
        // An item that is asked for alone is given up where its connector fails, and only there (`asking`).
        for error in [StoreError::Database("corrupt".to_owned()), StoreError::Conflict("document")] {
            assert!(matches!(Stop::from(error), Stop::StoreFailed(_)));
        }
        assert!(matches!(Stop::from(StoreError::Unavailable("away".to_owned())), Stop::StoreAway(_)));
        assert!(matches!(Stop::from(StoreError::Fenced), Stop::Fenced));
    }
}
