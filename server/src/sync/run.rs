//! One run from its claim to its end: decides what to pull, pulls until every scope is caught up, sweeps, and says how
//! it went.

use std::sync::Arc;

use prost_types::Struct;
use ring::digest::{SHA256, digest};
use superfasttt_proto::connector::v1::{PullMode, Reason, log_record::Level};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::commit::{Committer, unanswered};
use super::outcome::{Treatment, treatment};
use super::port::{Connectors, Session};
use super::scopes::Scopes;
use super::{RunContext, json, sweep};
use crate::content::{ContentTotals, Fetcher, Suspects};
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::documents::Commit;
use crate::store::item_errors::Shield;
use crate::store::runs::{HeldSweep, RunCounts};
use crate::store::sync_states::{Listing, ScopeState};

/// Ids in one targeted pull.
const TARGETED_IDS: usize = 1000;

/// Why a run cannot go on.
#[derive(Debug)]
pub enum Stop {
    /// A person, or the end of the process, stopped it.
    Cancelled,
    /// It failed; what was committed stays.
    Failed(ConnectorError),
    /// Another claim was made: nothing may be written any more.
    Fenced,
    /// The store is away: the run goes on when it is back. It says why.
    StoreAway(String),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Stop::Fenced,
            error @ StoreError::Unavailable(_) => Stop::StoreAway(error.to_string()),
            error => Stop::Failed(ConnectorError::new(Reason::Internal, format!("the store: {error}"))),
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
}

/// A session, whose process is listened to for as long as it is used.
pub(super) struct OpenSession {
    pub(super) session: Arc<dyn Session>,
    pub(super) _stderr: AbortOnDropHandle<()>,
}

impl Runner {
    /// Gets ready to go on from what is stored: where the scopes stand, and whether item errors do. `settings` are those
    /// that the connector is given, defaults filled in.
    pub fn new(
        context: Arc<RunContext>,
        connection: Connection,
        (states, errors_stand): (Vec<ScopeState>, bool),
        settings: Struct,
        connectors: Arc<dyn Connectors>,
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
            errors_stand,
            connection.connector.clone(),
        );
        let scope_errors = Vec::new();
        Self {
            context,
            connection,
            settings,
            connectors,
            session: None,
            fetcher,
            in_flight,
            in_flight_bytes,
            totals,
            suspects: Arc::default(),
            committer,
            scope_errors,
        }
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
        // What the person set, not what a newer manifest fills in.
        let set = prost::Message::encode_to_vec(&json::to_struct(&self.connection.settings));
        let hash = digest(&SHA256, &set).as_ref().to_vec();
        let settings_changed = self.connection.synced_settings.as_ref().is_some_and(|synced| *synced != hash);
        let run = self.context.report.run();
        let incremental = self.context.capabilities.incremental;
        let never_listed = self.committer.scopes.all().next().is_none();
        let mut listed_all = false;
        if settings_changed || run.full || never_listed || !incremental {
            let resumed = self.list_all(settings_changed, hash).await?;
            if resumed && !incremental {
                // The first part of the listing is from before this run: what changed there since is seen only by a
                // fresh one, for a source that cannot tell changes.
                self.sweep_complete(&mut Vec::new()).await?;
                let fields = [];
                self.context.report.log(
                    Level::Info,
                    "the listing that was cut off is done; now a fresh one",
                    fields,
                );
                self.begin_listings(Vec::new(), false, None).await?;
                self.pull_until_done(PullMode::Full, Vec::new()).await?;
            }
            listed_all = true;
        } else {
            let scopes = self.committer.scopes.names(|state| {
                state.listing == Listing::UnderWay
                    || (state.listing == Listing::None && state.cursor.is_none())
            });
            if !scopes.is_empty() {
                self.list_scopes(scopes).await?;
            }
            self.pull_until_done(PullMode::Incremental, Vec::new()).await?;
            let invalid = self.committer.scopes.names(|state| state.listing == Listing::UnderWay);
            if !invalid.is_empty() {
                self.list_scopes(invalid).await?;
                // The invalid cursor may have cut off the other scopes.
                self.pull_until_done(PullMode::Incremental, Vec::new()).await?;
            }
        }
        self.ask_for_wanted().await?;
        let mut held_sweeps = Vec::new();
        self.sweep_complete(&mut held_sweeps).await?;
        let scope_errors = std::mem::take(&mut self.scope_errors);
        let states = self.committer.take_unsaved();
        Ok(Finished { counts: self.committer.counts, held_sweeps, scope_errors, listed_all, states })
    }

    /// Lists every scope. Says whether a listing of an earlier run was gone on with.
    async fn list_all(&mut self, settings_changed: bool, hash: Vec<u8>) -> Result<bool, Stop> {
        let resumes =
            |state: &ScopeState| state.listing == Listing::UnderWay && state.listing_cursor.is_some();
        // One that this run began itself, before it was parked or cut off, is as fresh as the run.
        let began = self.context.report.run().started_at;
        let earlier = |state: &ScopeState| state.listing_started_at < began;
        let resumed =
            !settings_changed && self.committer.scopes.all().any(|state| resumes(state) && earlier(state));
        // Nor is one that this run has completed and not swept yet listed again: where the source allows only so much at
        // a time, the run would never come to the scopes behind it.
        let done = |state: &ScopeState| state.listing == Listing::Complete && !earlier(state);
        let begin = self.committer.scopes.names(|state| settings_changed || !(resumes(state) || done(state)));
        // Scopes of a person's former settings stay listings of a person's change until they are complete.
        self.begin_listings(begin, settings_changed, Some(hash)).await?;
        self.pull_until_done(PullMode::Full, Vec::new()).await?;
        Ok(resumed)
    }

    /// Lists these scopes only: begins those whose listing is not under way yet.
    async fn list_scopes(&mut self, scopes: Vec<String>) -> Result<(), Stop> {
        let begin = scopes
            .iter()
            .filter(|scope| {
                self.committer.scopes.get(scope).is_none_or(|state| state.listing_cursor.is_none())
            })
            .cloned()
            .collect::<Vec<_>>();
        if !begin.is_empty() {
            let states = self.committer.scopes.begin_listing(&begin, false, self.context.clock.now());
            self.context.store.save_sync_states(self.context.fence, states, None).await?;
        }
        self.pull_until_done(PullMode::Full, scopes).await
    }

    /// Begins listings of these scopes (all, where empty and without `hash`), and keeps what settings they are of.
    async fn begin_listings(
        &mut self,
        scopes: Vec<String>,
        for_settings: bool,
        hash: Option<Vec<u8>>,
    ) -> Result<(), Stop> {
        let scopes = if hash.is_none() { self.committer.scopes.names(|_| true) } else { scopes };
        let states = self.committer.scopes.begin_listing(&scopes, for_settings, self.context.clock.now());
        self.context.store.save_sync_states(self.context.fence, states, hash).await?;
        Ok(())
    }

    /// Asks for items that were only said to be present at a version that is not stored.
    async fn ask_for_wanted(&mut self) -> Result<(), Stop> {
        let wanted = std::mem::take(&mut self.committer.wanted);
        for batch in wanted.chunks(TARGETED_IDS) {
            self.ask_for(batch).await?;
        }
        Ok(())
    }

    /// A targeted pull. An item that is not answered is an item error.
    async fn ask_for(&mut self, wanted: &[(String, String)]) -> Result<(), Stop> {
        let mut attempt = 0;
        let outcome = loop {
            let ids = wanted.iter().map(|(_, id)| id.clone()).collect();
            let outcome = self.pull(PullMode::Targeted, Vec::new(), ids).await?;
            let Some(error) = &outcome.cut else { break outcome };
            attempt += 1;
            if treatment(error.reason) != Treatment::Retry || attempt > self.context.limits.retry_attempts {
                return Err(error.clone().into());
            }
            let error = error.clone();
            self.pause(attempt, &error).await?;
        };
        let missing = wanted.iter().filter(|(_, id)| !outcome.answered.contains(id));
        let errors: Vec<_> = missing.map(|(scope, id)| unanswered(scope, id.clone())).collect();
        if errors.is_empty() {
            return Ok(());
        }
        self.committer.counts.item_errors += errors.len() as u64;
        self.committer.log_errors(&errors);
        let shields = errors.iter().map(|error| Shield {
            scope: error.scope.clone(),
            target: error.target.clone(),
            with_descendants: false,
        });
        let commit = Commit {
            run: self.context.run.clone(),
            progress: self.committer.progress(),
            shields: shields.collect(),
            item_errors: errors,
            ..Commit::default()
        };
        self.context.store.commit(self.context.fence, commit, self.context.clock.now()).await?;
        Ok(())
    }

    /// Sweeps every scope whose listing is complete.
    async fn sweep_complete(&mut self, held_sweeps: &mut Vec<HeldSweep>) -> Result<(), Stop> {
        let complete = self.committer.scopes.names(|state| state.listing == Listing::Complete);
        for scope in complete {
            let Some(state) = self.committer.scopes.get(&scope).cloned() else { continue };
            if self.context.capabilities.targeted {
                let generation = sweep::would_delete(&self.context, &state).await?;
                self.confirm_absent(&scope, generation).await?;
            }
            let Some(state) = self.committer.scopes.get(&scope).cloned() else { continue };
            let swept = sweep::sweep(&self.context, state, &mut self.committer.counts).await?;
            self.committer.scopes.put(swept.state);
            held_sweeps.extend(swept.held);
        }
        Ok(())
    }

    /// Asks the source for what its listing did not name, before it counts as gone.
    async fn confirm_absent(&mut self, scope: &str, generation: i64) -> Result<(), Stop> {
        let mut after = String::new();
        loop {
            let (store, key) = (&self.context.store, self.connection.key);
            let absent = store.absent(key, scope, generation, &after, TARGETED_IDS).await?;
            let Some(last) = absent.last() else { return Ok(()) };
            last.id.clone_into(&mut after);
            let ids: Vec<_> = absent.into_iter().map(|document| (scope.to_owned(), document.id)).collect();
            self.ask_for(&ids).await?;
        }
    }
}
