//! Pulls for a run until every scope is caught up, whatever cuts it off in between: what to do about a cut, and one call
//! of Pull with its reader, content stage and commits at work at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{PullMode, PullRequest, Reason, log_record::Level};
use superfasttt_proto::error::{ConnectorError, reason_info};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::commit::PullOutcome;
use super::outcome::{Treatment, backoff, treatment};
use super::port::Session;
use super::pull::{self, Reading};
use super::raw_stage::{self, RawStage};
use super::report::Report;
use super::run::{OpenSession, Runner, Stop, listen};
use super::scopes::Group;
use crate::content::{self, Source};
use crate::schedule::times;
use crate::store::connections::{Connection, Schedule};
use crate::store::runs::RunCounts;
use crate::store::sync_states::{Listing, ListingMode};
use crate::telemetry;

/// Parts between the stream and the content stage, and between that and the commits.
const PARTS_AHEAD: usize = 12;
/// The states in one pull: well under the 4 MiB of a message.
const MAX_STATES_BYTES: usize = 3 * 1024 * 1024;

impl Runner {
    /// Pulls until every scope is caught up. States that are too large for one message are given in several pulls of
    /// some of the scopes each.
    pub(super) async fn pull_until_done(&mut self, mode: PullMode, scopes: Vec<String>) -> Result<(), Stop> {
        for group in self.committer.scopes.groups(mode, scopes, MAX_STATES_BYTES) {
            self.pull_group(mode, group).await?;
        }
        Ok(())
    }

    /// Pulls until these scopes are caught up, whatever cuts it off in between.
    async fn pull_group(&mut self, mode: PullMode, group: Group) -> Result<(), Stop> {
        let limits = self.context.limits;
        let mut attempt = 0;
        let mut stuck = 0;
        let mut listed_again = 0;
        let mut first = true;
        loop {
            if !std::mem::take(&mut first) {
                self.list_anew(mode, &group).await?;
            }
            let outcome = self.pull(mode, &group, Vec::new()).await?;
            if outcome.progressed {
                attempt = 0;
                stuck = 0;
            } else if outcome.received {
                stuck += 1;
            }
            let PullOutcome { cut, has_more, scope_errors, yielded, progressed, .. } = outcome;
            let listed_anew = self.settle(mode, cut.as_ref(), scope_errors).await?;
            if yielded {
                Box::pin(self.go_between()).await?;
                continue;
            }
            let Some(error) = cut.or(listed_anew) else {
                self.authentication.taken();
                if has_more.is_empty() {
                    break;
                }
                if stuck >= 2 {
                    return Err(no_progress("it wants another pull each time").into());
                }
                continue;
            };
            let Some(error) = self.renew(error, progressed).await else { continue };
            match treatment(error.reason) {
                // The caller lists what the source has refused.
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
        if matches!(mode, PullMode::Full | PullMode::List) {
            self.close_unproven(mode, &group).await?;
        }
        Ok(())
    }

    /// Lets what is due go before a long listing, which is gone on with afterwards: changes of the scopes that have a
    /// cursor, and what is wanted by id meanwhile.
    async fn go_between(&mut self) -> Result<(), Stop> {
        let message = "changes are due: the listing waits for them, and goes on where it was";
        self.context.report.log(Level::Info, message, []);
        let scopes = self.committer.scopes.names(|state| state.cursor.is_some());
        self.pull_until_done(PullMode::Incremental, scopes).await?;
        // A cursor that is refused now is replaced by what is being listed, or refused again behind it.
        self.refused = None;
        let leftovers = self.context.store.leftovers(self.connection.key).await?;
        self.committer.wanted_stand |= leftovers.wanted;
        self.ask_for_wanted().await?;
        self.context.report.update(|run| run.mode = PullMode::Full);
        Ok(())
    }

    /// When a listing that begins now has to let others go first: when the connection is due again. Never where there is
    /// nothing that could go first.
    fn yields_at(&self, mode: PullMode) -> Option<DateTime<Utc>> {
        let changes = self.context.capabilities.incremental
            && self.committer.scopes.all().any(|state| state.cursor.is_some());
        if mode != PullMode::Full || !changes {
            return None;
        }
        let Connection { id, schedule, last_full_at, .. } = &self.connection;
        // Planned runs are whole ones: this is one already.
        let schedule = Schedule { planned_at: None, ..schedule.clone() };
        times::next(id, &schedule, *last_full_at, self.context.clock.now()).map(|due| due.at)
    }

    /// A listing that was cut off before its first checkpoint begins from nothing again, and so with a new number: what
    /// its first attempt saw proves nothing about what is there now.
    async fn list_anew(&mut self, mode: PullMode, group: &Group) -> Result<(), Stop> {
        let kind = match mode {
            PullMode::Full => ListingMode::Full,
            PullMode::List => ListingMode::List,
            PullMode::Unspecified | PullMode::Incremental | PullMode::Targeted => return Ok(()),
        };
        let from_nothing = self.committer.scopes.names(|state| {
            state.listing == Listing::UnderWay
                && state.listing_mode == kind
                && state.listing_cursor.is_none()
                && group.holds(&state.scope)
        });
        self.begin_listings(from_nothing, kind, false, None).await
    }

    /// Whether a failed call is to be made again at once, with a new credential: `None`. Else why not.
    pub(super) async fn renew(&mut self, error: ConnectorError, progressed: bool) -> Option<ConnectorError> {
        if progressed {
            self.authentication.taken();
        }
        let ended = error.message.clone();
        match self.authentication.after(&self.connection, error).await {
            Ok(()) => {
                let message = format!("the source says that the access has ended ({ended}): it is renewed");
                self.context.report.log(Level::Info, message, []);
                None
            }
            Err(error) => Some(error),
        }
    }

    /// Waits before the next attempt.
    pub(super) async fn pause(&mut self, attempt: u32, error: &ConnectorError) -> Result<(), Stop> {
        let limits = self.context.limits;
        let pause = backoff(attempt, limits.retry_backoff_initial, limits.retry_backoff_max, error);
        let fields = [
            ("reason", reason_info(error.reason).name.to_owned()),
            ("attempt", attempt.to_string()),
            ("pause_ms", pause.as_millis().to_string()),
        ];
        self.context.report.log(Level::Warn, format!("the pull was cut off: {}", error.message), fields);
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Takes note of scopes that stopped. Where the source no longer takes a cursor, the error that said so is returned:
    /// of a listing, which is begun anew; of changes, whose scopes are then listed in full ([`Self::refused`]).
    async fn settle(
        &mut self,
        mode: PullMode,
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
        if let Some(error) = &said {
            let invalid: Vec<String> = invalid.into_iter().collect();
            let fields = [("scopes", invalid.join(", "))];
            self.context.report.log(
                Level::Warn,
                "the source no longer takes a cursor: listing in full",
                fields,
            );
            match mode {
                PullMode::Full => self.begin_listings(invalid, ListingMode::Full, false, None).await?,
                PullMode::List => self.begin_listings(invalid, ListingMode::List, false, None).await?,
                _ => {
                    let (scopes, _) = self.refused.get_or_insert_with(|| (Vec::new(), error.clone()));
                    scopes.extend(invalid);
                    // The scopes that nothing was said of are caught up, unless the whole pull was cut off.
                    return Ok(None);
                }
            }
        }
        Ok(said)
    }

    /// A listing that ended without proof of being complete is over: nothing is swept by it. One that a scope error
    /// stopped is resumed by the next run.
    async fn close_unproven(&mut self, mode: PullMode, group: &Group) -> Result<(), Stop> {
        let kind = if mode == PullMode::List { ListingMode::List } else { ListingMode::Full };
        let stopped: BTreeSet<&String> = self.scope_errors.iter().map(|(scope, _)| scope).collect();
        let open = self.committer.scopes.names(|state| {
            state.listing == Listing::UnderWay
                && state.listing_mode == kind
                && group.holds(&state.scope)
                && !stopped.contains(&state.scope)
        });
        for scope in open {
            let Some(mut state) = self.committer.scopes.get(&scope).cloned() else { continue };
            state.listing = Listing::None;
            let end = state.listing_cursor.take();
            if !self.context.capabilities.full_listing && kind == ListingMode::Full {
                // Such a source can never say that its listing is complete; changes go on from where it ended.
                state.cursor = end.or(state.cursor);
            }
            self.context.store.save_sync_states(self.context.fence, vec![state.clone()], None).await?;
            self.committer.scopes.put(state);
            let fields = [("scope", scope)];
            let message =
                "the listing ended without saying that it is complete: nothing is deleted for being absent";
            self.context.report.log(Level::Info, message, fields);
        }
        Ok(())
    }

    /// One call of Pull, within its span.
    pub(super) async fn pull(
        &mut self,
        mode: PullMode,
        group: &Group,
        ids: Vec<String>,
    ) -> Result<PullOutcome, Stop> {
        let span = telemetry::runs::pull_span(mode);
        let outcome = self.pull_through(mode, group, ids).instrument(span.clone()).await;
        telemetry::runs::pulled(&span, &self.connection.connector, mode, &outcome);
        outcome
    }

    /// Reader, content stage and commits at once.
    async fn pull_through(
        &mut self,
        mode: PullMode,
        group: &Group,
        ids: Vec<String>,
    ) -> Result<PullOutcome, Stop> {
        let context = self.context.clone();
        context.report.update(|run| {
            run.pulls += 1;
            if mode != PullMode::Targeted {
                run.mode = mode;
            }
        });
        let credential = match self.authentication.credential(&self.connection).await {
            Ok(credential) => credential,
            Err(error) => return Ok(PullOutcome { cut: Some(error), ..PullOutcome::default() }),
        };
        let request = PullRequest {
            settings: Some(self.settings.clone()),
            credential: credential.clone(),
            mode: mode.into(),
            scopes: group.scopes.iter().cloned().collect(),
            except_scopes: group.except.iter().cloned().collect(),
            known_scopes: self.committer.scopes.known(mode, group),
            states: self.committer.scopes.for_pull(mode, group),
            ids: ids.clone(),
            contract_revision: CONTRACT_REVISION,
            want_raw: self.keeping.is_some(),
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
            group: group.clone(),
            ids: ids.into_iter().collect(),
            want_raw: self.keeping.is_some(),
            full_listing: context.capabilities.full_listing,
            stall_timeout: context.limits.stall_timeout,
            in_flight: self.in_flight.clone(),
            in_flight_bytes: self.in_flight_bytes,
            mostly_known: self.committer.mostly_known(),
        };
        let raw_stage = self.keeping.clone().map(|keeping| RawStage {
            keeping,
            session: session.clone(),
            connectors: self.connectors.clone(),
            connection: self.connection.clone(),
            pauses: (context.limits.retry_backoff_initial, context.limits.retry_backoff_max),
            crashes: 0,
            one_by_one: false,
        });
        let source = Source {
            session,
            settings: self.settings.clone(),
            credential,
            totals: self.totals.clone(),
            suspects: self.suspects.clone(),
            no_room: Arc::default(),
        };
        let no_room = source.no_room.clone();
        let (parts, mut staged) = mpsc::channel(PARTS_AHEAD);
        let (ready, pending) = mpsc::channel(PARTS_AHEAD);
        let _reader = AbortOnDropHandle::new(tokio::spawn(
            pull::read(reading, messages, context.report.clone(), parts).in_current_span(),
        ));
        let _raw_stage = raw_stage.map(|stage| {
            let (normalized, parts) = mpsc::channel(PARTS_AHEAD);
            let raw = std::mem::replace(&mut staged, parts);
            let normalizing = raw_stage::stage(stage, raw, normalized).in_current_span();
            AbortOnDropHandle::new(tokio::spawn(normalizing))
        });
        let stage = AbortOnDropHandle::new(tokio::spawn(
            content::stage(
                context.store.clone(),
                context.fence.connection,
                self.fetcher.clone(),
                source,
                staged,
                ready,
            )
            .in_current_span(),
        ));
        self.committer.yields_at = self.yields_at(mode);
        let (before, began) = (self.committer.counts, Instant::now());
        let outcome = self.committer.run(mode, pending).await;
        log_pull(&context.report, mode, before, self.committer.counts, began.elapsed());
        if !matches!(&outcome, Ok(PullOutcome { cut: None, .. })) {
            self.session = None;
        }
        if let (Ok(PullOutcome { cut: Some(_), .. }), Some(full)) = (&outcome, no_room.get()) {
            return Err(Stop::StoreAway(full.clone()));
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
        let session = match self.connectors.open(&self.connection).await {
            // Its process has crashed and is started again in a moment: nothing was tried yet, so that is no attempt.
            Err(ConnectorError { reason: Reason::ConnectorCrashed, retry_after: Some(pause), .. })
                if pause <= self.context.limits.retry_backoff_max =>
            {
                tokio::time::sleep(pause).await;
                self.connectors.open(&self.connection).await?
            }
            opened => opened?,
        };
        let _stderr = listen(&session, &self.context.report);
        self.session = Some(OpenSession { session: session.clone(), _stderr });
        Ok(session)
    }
}

/// Says what a pull brought, where it brought something.
fn log_pull(report: &Report, mode: PullMode, before: RunCounts, after: RunCounts, took: Duration) {
    let changes = after.changes - before.changes;
    if changes == 0 {
        return;
    }
    let documents = |counts: RunCounts| counts.created + counts.updated + counts.unchanged + counts.deleted;
    let fields = [
        ("mode", mode.as_str_name().trim_start_matches("PULL_MODE_").to_owned()),
        ("changes", changes.to_string()),
        ("documents", (documents(after) - documents(before)).to_string()),
        ("item_errors", (after.item_errors - before.item_errors).to_string()),
        ("contents_fetched", (after.contents_fetched - before.contents_fetched).to_string()),
        ("pages", (after.pages - before.pages).to_string()),
        ("duration_ms", took.as_millis().to_string()),
    ];
    report.log(Level::Info, "a pull ended", fields);
}

fn no_progress(last: &str) -> ConnectorError {
    let message = format!("two pulls in a row ended without a new checkpoint; the last one: {last}");
    ConnectorError::new(Reason::NoProgress, message)
}
