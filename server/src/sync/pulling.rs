//! Pulls for a run until every scope is caught up, whatever cuts it off in between: what to do about a cut, and one call
//! of Pull with its reader, content stage and commits at work at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{PullMode, PullRequest, Reason, log_record::Level};
use superfasttt_proto::error::{ConnectorError, reason_info};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::commit::PullOutcome;
use super::outcome::{Treatment, backoff, treatment};
use super::port::Session;
use super::pull::{self, Reading};
use super::run::{OpenSession, Runner, Stop};
use crate::content::{self, Source};
use crate::store::sync_states::Listing;
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

    /// One call of Pull, within its span.
    pub(super) async fn pull(
        &mut self,
        mode: PullMode,
        scopes: Vec<String>,
        ids: Vec<String>,
    ) -> Result<PullOutcome, Stop> {
        let span = telemetry::runs::pull_span(mode);
        let outcome = self.pull_through(mode, scopes, ids).instrument(span.clone()).await;
        telemetry::runs::pulled(&span, &self.connection.connector, mode, &outcome);
        outcome
    }

    /// Reader, content stage and commits at once.
    async fn pull_through(
        &mut self,
        mode: PullMode,
        scopes: Vec<String>,
        ids: Vec<String>,
    ) -> Result<PullOutcome, Stop> {
        let context = self.context.clone();
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
        let _reader = AbortOnDropHandle::new(tokio::spawn(
            pull::read(reading, messages, context.report.clone(), parts).in_current_span(),
        ));
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
        let outcome = self.committer.run(mode, pending).await;
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
}

fn no_progress(last: &str) -> ConnectorError {
    let message = format!("two pulls in a row ended without a new checkpoint; the last one: {last}");
    ConnectorError::new(Reason::NoProgress, message)
}
