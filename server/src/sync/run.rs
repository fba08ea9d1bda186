//! One run from its claim to its end: decides what to pull, pulls until every scope is caught up, sweeps, and says how
//! it went.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use prost_types::Struct;
use ring::digest::{SHA256, digest};
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{PullMode, PullRequest, Reason, log_record::Level};
use superfasttt_proto::error::{ConnectorError, reason_info};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::commit::{Committer, PullOutcome, unanswered};
use super::outcome::{Treatment, backoff, treatment};
use super::port::{Connectors, Session};
use super::pull::{self, Reading};
use super::scopes::Scopes;
use super::{RunContext, json, sweep};
use crate::content::{self, ContentTotals, Fetcher, Source, Suspects};
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::documents::Commit;
use crate::store::item_errors::Shield;
use crate::store::runs::{HeldSweep, RunCounts};
use crate::store::sync_states::{Listing, ScopeState};

/// Parts between the stream and the content stage, and between that and the commits.
const PARTS_AHEAD: usize = 12;
/// The states in one pull: well under the 4 MiB of a message.
const MAX_STATES_BYTES: usize = 3 * 1024 * 1024;
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
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Stop::Fenced,
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
}

/// One run at work.
pub struct Runner {
    context: Arc<RunContext>,
    connection: Connection,
    settings: Struct,
    connectors: Arc<dyn Connectors>,
    /// Opened when it is needed, and again after a pull was cut off: the process behind it may be gone.
    session: Option<OpenSession>,
    fetcher: Arc<Fetcher>,
    in_flight: Arc<Semaphore>,
    in_flight_bytes: usize,
    totals: Arc<ContentTotals>,
    suspects: Arc<Suspects>,
    committer: Committer,
    scope_errors: Vec<(String, ConnectorError)>,
}

/// A session, whose process is listened to for as long as it is used.
struct OpenSession {
    session: Arc<dyn Session>,
    _stderr: AbortOnDropHandle<()>,
}

impl Runner {
    /// Gets ready to go on from what is stored. `settings` are those that the connector is given, defaults filled in.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn new(
        context: RunContext,
        connection: Connection,
        settings: Struct,
        connectors: Arc<dyn Connectors>,
        fetcher: Arc<Fetcher>,
        (in_flight, in_flight_bytes): (Arc<Semaphore>, usize),
    ) -> Result<Self, StoreError> {
        let context = Arc::new(context);
        let scopes = Scopes::new(context.store.sync_states(connection.key).await?);
        let errors_stand = context.store.count_item_errors(connection.key).await? > 0;
        let counts = context.report.run().counts;
        let totals = Arc::new(ContentTotals::default());
        totals.restore(&counts);
        let committer = Committer::new(
            context.clone(),
            totals.clone(),
            scopes,
            counts,
            errors_stand,
            connection.connector.clone(),
        );
        let scope_errors = Vec::new();
        Ok(Self {
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
        })
    }

    /// What the run did so far.
    pub fn counts(&self) -> RunCounts {
        self.committer.counts
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
        Ok(Finished { counts: self.committer.counts, held_sweeps, scope_errors, listed_all })
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

    /// Pulls until every scope is caught up. States that are too large for one message are given in several pulls of
    /// some of the scopes each.
    async fn pull_until_done(&mut self, mode: PullMode, scopes: Vec<String>) -> Result<(), Stop> {
        for group in self.committer.scopes.groups(mode, scopes, MAX_STATES_BYTES) {
            self.pull_group(mode, group).await?;
        }
        Ok(())
    }

    /// Pulls until these scopes (all, where empty) are caught up, whatever cuts it off in between.
    async fn pull_group(&mut self, mode: PullMode, scopes: Vec<String>) -> Result<(), Stop> {
        let limits = self.context.limits;
        let mut attempt = 0;
        let mut stuck = 0;
        let mut listed_again = 0;
        loop {
            let outcome = self.pull(mode, scopes.clone(), Vec::new()).await?;
            if outcome.progressed {
                attempt = 0;
                stuck = 0;
            } else if outcome.received {
                stuck += 1;
            }
            let PullOutcome { cut, has_more, scope_errors, .. } = outcome;
            let listed_anew = self.settle(cut.as_ref(), scope_errors).await?;
            let Some(error) = cut.or_else(|| listed_anew.filter(|_| mode == PullMode::Full)) else {
                if has_more.is_empty() {
                    break;
                }
                if stuck >= 2 {
                    return Err(no_progress("it wants another pull each time").into());
                }
                continue;
            };
            match treatment(error.reason) {
                // The caller lists what `settle` has reset.
                Treatment::ListAgain if mode == PullMode::Incremental => break,
                // Progress does not count here: it is lost each time.
                Treatment::ListAgain if listed_again >= limits.retry_attempts => return Err(error.into()),
                Treatment::ListAgain => listed_again += 1,
                Treatment::Retry => {}
                Treatment::Park | Treatment::Fail => return Err(error.into()),
            }
            if stuck >= 2 {
                return Err(no_progress(&error.message).into());
            }
            attempt += 1;
            if attempt > limits.retry_attempts {
                return Err(error.into());
            }
            self.pause(attempt, &error).await?;
        }
        if mode == PullMode::Full {
            self.close_unproven(&scopes).await?;
        }
        Ok(())
    }

    /// Waits before the next attempt.
    async fn pause(&mut self, attempt: u32, error: &ConnectorError) -> Result<(), Stop> {
        let limits = self.context.limits;
        let pause = backoff(attempt, limits.retry_backoff_initial, limits.retry_backoff_max, error);
        let fields = [
            ("reason", reason_info(error.reason).name.to_owned()),
            ("attempt", attempt.to_string()),
            ("pause_ms", pause.as_millis().to_string()),
        ];
        self.context.report.log(Level::Warn, format!("the pull was cut off: {}", error.message), fields);
        self.context.flush_log().await?;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Takes note of scopes that stopped. A cursor that the source no longer takes is dropped and a listing of its scope
    /// begun; then the error that said so is returned.
    async fn settle(
        &mut self,
        cut: Option<&ConnectorError>,
        scope_errors: Vec<(String, ConnectorError)>,
    ) -> Result<Option<ConnectorError>, Stop> {
        let mut invalid = BTreeSet::new();
        let mut said = None;
        for (scope, error) in scope_errors {
            if error.reason == Reason::CursorInvalid {
                invalid.insert(scope);
                said = Some(error);
                continue;
            }
            let fields = [("scope", scope.clone()), ("reason", reason_info(error.reason).name.to_owned())];
            self.context.report.log(
                Level::Warn,
                format!("a scope could not be read: {}", error.message),
                fields,
            );
            self.scope_errors.retain(|(known, _)| *known != scope);
            self.scope_errors.push((scope, error));
        }
        if let Some(cut) = cut.filter(|cut| cut.reason == Reason::CursorInvalid) {
            match cut.metadata.get("scope") {
                Some(scope) => invalid.extend([scope.clone()]),
                None => invalid.extend(self.committer.scopes.names(|_| true)),
            }
            said = Some(cut.clone());
        }
        if !invalid.is_empty() {
            let invalid: Vec<String> = invalid.into_iter().collect();
            let fields = [("scopes", invalid.join(", "))];
            self.context.report.log(
                Level::Warn,
                "the source no longer takes a cursor: listing in full",
                fields,
            );
            let states = self.committer.scopes.begin_listing(&invalid, false, self.context.clock.now());
            self.context.store.save_sync_states(self.context.fence, states, None).await?;
        }
        Ok(said)
    }

    /// A listing that ended without proof of being complete is over: nothing is swept by it. One that a scope error
    /// stopped is resumed by the next run.
    async fn close_unproven(&mut self, scopes: &[String]) -> Result<(), Stop> {
        let stopped: BTreeSet<&String> = self.scope_errors.iter().map(|(scope, _)| scope).collect();
        let open = self.committer.scopes.names(|state| {
            state.listing == Listing::UnderWay
                && (scopes.is_empty() || scopes.contains(&state.scope))
                && !stopped.contains(&state.scope)
        });
        for scope in open {
            let Some(mut state) = self.committer.scopes.get(&scope).cloned() else { continue };
            state.listing = Listing::None;
            let end = state.listing_cursor.take();
            if !self.context.capabilities.full_listing {
                // Such a source can never say that its listing is complete; changes go on from where it ended.
                state.cursor = end.or(state.cursor);
            }
            self.context.store.end_listing(self.context.fence, state.clone(), false).await?;
            self.committer.scopes.put(state);
            let fields = [("scope", scope)];
            let message =
                "the listing ended without saying that it is complete: nothing is deleted for being absent";
            self.context.report.log(Level::Info, message, fields);
        }
        Ok(())
    }

    /// One call of Pull: reader, content stage and commits at once.
    async fn pull(
        &mut self,
        mode: PullMode,
        scopes: Vec<String>,
        ids: Vec<String>,
    ) -> Result<PullOutcome, Stop> {
        let context = self.context.clone();
        context.store.begin_pull(context.fence, &context.run, mode).await?;
        context.report.update(|run| {
            run.pulls += 1;
            if mode != PullMode::Targeted {
                run.mode = mode;
            }
        });
        let request = PullRequest {
            settings: Some(self.settings.clone()),
            credential: None,
            mode: mode.into(),
            scopes: scopes.clone(),
            states: self.committer.scopes.for_pull(mode, &scopes),
            ids,
            contract_revision: CONTRACT_REVISION,
            want_raw: false,
            limits: None,
        };
        let begun = match self.session().await {
            Ok(session) => session.pull(request).await.map(|messages| (session, messages)),
            Err(error) => Err(error),
        };
        let (session, messages) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.session = None;
                return Ok(PullOutcome { cut: Some(error), ..PullOutcome::default() });
            }
        };
        let reading = Reading {
            connector: self.connection.connector.clone(),
            mode,
            scopes,
            full_listing: context.capabilities.full_listing,
            stall_timeout: context.limits.stall_timeout,
            in_flight: self.in_flight.clone(),
            in_flight_bytes: self.in_flight_bytes,
            mostly_known: self.committer.mostly_known(),
        };
        let source = Source {
            session,
            settings: self.settings.clone(),
            credential: None,
            totals: self.totals.clone(),
            suspects: self.suspects.clone(),
        };
        let (parts, staged) = mpsc::channel(PARTS_AHEAD);
        let (ready, pending) = mpsc::channel(PARTS_AHEAD);
        let _reader = AbortOnDropHandle::new(tokio::spawn(pull::read(
            reading,
            messages,
            context.report.clone(),
            parts,
        )));
        let stage = AbortOnDropHandle::new(tokio::spawn(content::stage(
            context.store.clone(),
            context.fence.connection,
            self.fetcher.clone(),
            source,
            staged,
            ready,
        )));
        let outcome = self.committer.run(mode, pending).await;
        self.context.flush_log().await?;
        if !matches!(&outcome, Ok(PullOutcome { cut: None, .. })) {
            self.session = None;
        }
        match outcome {
            // The channel closed without an end: the stage failed, and knows why.
            Err(Stop::Cancelled) => match stage.await {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(())) | Err(_) => {
                    Err(ConnectorError::new(Reason::Internal, "the pull's tasks failed").into())
                }
            },
            outcome => outcome,
        }
    }

    /// The connector, found or started.
    async fn session(&mut self) -> Result<Arc<dyn Session>, ConnectorError> {
        if let Some(open) = &self.session {
            return Ok(open.session.clone());
        }
        let session = self.connectors.open(&self.connection).await?;
        let report = self.context.report.clone();
        let lines = session.stderr().for_each(move |line| {
            report.stderr(line);
            std::future::ready(())
        });
        let _stderr = AbortOnDropHandle::new(tokio::spawn(lines));
        self.session = Some(OpenSession { session: session.clone(), _stderr });
        Ok(session)
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
        let shields = errors.iter().map(|error| Shield {
            scope: error.scope.clone(),
            target: error.target.clone(),
            with_descendants: false,
        });
        let commit = Commit {
            run: self.context.run.clone(),
            counts: self.committer.counts,
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
        Ok(self.context.flush_log().await?)
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

fn no_progress(last: &str) -> ConnectorError {
    let message = format!("two pulls in a row ended without a new checkpoint; the last one: {last}");
    ConnectorError::new(Reason::NoProgress, message)
}
