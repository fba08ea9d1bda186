//! Works on one claimed run, and writes down how it ended.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use serde_json::Value;
use superfasttt_proto::connector::v1::{Capabilities, Reason, log_record::Level};
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::error::{ConnectorError, reason_info};
use tokio_util::sync::CancellationToken;

use super::{Scheduler, new_id};
use crate::catalog::{Manifest, apply_defaults, without_secrets};
use crate::clock::{NotBefore, SharedClock};
use crate::store::StoreError;
use crate::store::connections::Connection;
use crate::store::runs::{Claim, RunEnd, RunError, RunOutcome, state};
use crate::store::sync_states::ScopeState;
use crate::sync::normalize::Normalizer;
use crate::sync::outcome::{DEFAULT_PARK, Treatment, backoff, fix, treatment};
use crate::sync::raw_stage::{Keeping, PassedOver};
use crate::sync::renormalize::{InFlight, Renormalizer};
use crate::sync::report::Report;
use crate::sync::run::{Finished, Runner, Stop};
use crate::sync::{RunContext, json};
use crate::telemetry::runs::Watched;

/// A run in which this process crashed so often in a row is not begun again.
const MAX_CRASHES: u32 = 10;
/// How long to wait for a store that failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How often the lines of a run's log are written while nothing else is.
const LOG_EVERY: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Runs, and writes down how it ended.
    pub(super) async fn execute(self: &Arc<Self>, claim: Claim) {
        let (id, fence) = (claim.run.id.clone(), claim.fence);
        let held = self.held.hold(fence);
        let start = claim.run.started_at.unwrap_or(claim.run.created_at);
        let clock: SharedClock = Arc::new(NotBefore { clock: self.clock.clone(), start });
        let report = Arc::new(Report::new(claim.run.clone(), &claim.connection.connector, clock.clone()));
        let _watched = Watched::begin(&claim, report.clone(), clock.clone());
        let _live = self.live.enter(&id, report.clone());
        let context = Arc::new(RunContext {
            store: self.store.clone(),
            fence,
            run: id.clone(),
            capabilities: Capabilities::default(),
            limits: self.limits,
            clock,
            report: report.clone(),
        });
        let failures = claim.connection.failures;
        tracing::info!("run began");
        let done = CancellationToken::new();
        let work = async {
            let result = tokio::select! {
                biased;
                () = held.lost() => Err(Stop::Fenced),
                () = self.drain.cancelled() => Err(Stop::Cancelled),
                result = self.attempt(&context, claim) => result,
            };
            done.cancel();
            result
        };
        let (result, ()) = tokio::join!(work, write_log_until(&done, &context));
        let away = matches!(result, Err(Stop::StoreAway(_)));
        let Some((end, states)) = self.end(&report, failures, result) else {
            self.lost(&context).await;
            return;
        };
        if away {
            // A store may take this run's end and nothing larger: then it would begin again at once, for nothing.
            tokio::select! {
                () = self.drain.cancelled() => {}
                () = tokio::time::sleep(STORE_PAUSE) => {}
            }
        }
        let log = context.log_part();
        // Where the run was cut off a commit may have come through of which nobody here has heard.
        let progress = (end.state != State::Queued).then(|| report.run().progress());
        let outcome = RunOutcome { fence, run: id.clone(), end: end.clone(), progress, states, log };
        // Until it is written the connection takes no other run; when this process goes away, the run is begun again. It
        // gives the claim back, so from now on only the store's answer tells whether it was lost.
        held.ending();
        let mut told = false;
        loop {
            let now = self.clock.now();
            match self.outcomes.write(outcome.clone(), self.live.count() > 1).await {
                Ok(()) => {
                    report.update(|live| {
                        live.state = end.state;
                        live.ended_at = state::has_ended(end.state).then_some(now);
                        live.resume_at = end.resume_at;
                        live.error.clone_from(&end.error);
                        live.held_sweeps.clone_from(&end.held_sweeps);
                    });
                    if end.resume_at.is_some() || end.retry_at.is_some() {
                        self.wake.notify_one();
                    }
                    break;
                }
                Err(StoreError::Fenced) => {
                    self.lost(&context).await;
                    return;
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(%error, "the end of a run could not be written; trying again");
                    }
                    if self.drain.is_cancelled() {
                        return;
                    }
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
        tracing::info!(state = end.state.as_str_name(), "run ended");
    }

    /// The claim is somebody else's: a person cancelled the run, or another replica has taken it over. Or it is nobody's,
    /// because the run's end came through and its answer did not.
    async fn lost(&self, context: &RunContext) {
        let run = match self.store.run(&context.run).await {
            Ok(run) => run,
            Err(error) => {
                tracing::warn!(%error, "run lost its claim and was dropped");
                return;
            }
        };
        let Some(run) = run.filter(|run| state::has_ended(run.state)) else {
            tracing::warn!("run lost its claim and was dropped");
            return;
        };
        if run.state == State::Cancelled {
            context.report.log(Level::Info, "the run was cancelled at its last committed page", []);
            if let Err(error) = context.flush_log().await {
                tracing::warn!(%error, "the last lines of a run's log could not be written");
            }
        }
        tracing::info!(state = run.state.as_str_name(), "run ended");
        context.report.update(|live| *live = run);
    }

    async fn attempt(&self, context: &Arc<RunContext>, claim: Claim) -> Result<Finished, Stop> {
        let Claim { run, connection, states, leftovers, .. } = claim;
        let report = &context.report;
        if connection.disabled {
            return Err(Stop::Cancelled);
        }
        if run.crashes >= MAX_CRASHES {
            let message =
                format!("the server crashed {MAX_CRASHES} times in a row in the middle of this run");
            return Err(ConnectorError::new(Reason::Internal, message).into());
        }
        let manifest = self.manifest(&connection)?;
        report.log(Level::Info, "the run began", [("attempt", run.attempts.to_string())]);
        let settings = self.credentials.settings(&connection).await?;
        let settings = apply_defaults(&manifest, &Value::Object(settings));
        let settings = settings.as_object().map(json::to_struct).unwrap_or_default();
        let context = RunContext { capabilities: capabilities(&manifest), ..RunContext::clone(context) };
        let bytes = (self.in_flight.clone(), self.config.sync.in_flight_bytes.as_usize());
        let stored = (states, leftovers);
        let (connectors, fetcher) = (self.connectors.clone(), self.fetcher.clone());
        let credentials = self.credentials.clone();
        let normalizer = self.normalizer(&manifest, &connection);
        let context = Arc::new(context);
        if run.renormalizes {
            let in_flight = self.renormalizing();
            let mut run = Renormalizer::new(context, connection, connectors, normalizer, in_flight);
            return unless_it_panics(run.run()).await;
        }
        let keeping = connection.keep_raw.then(|| Keeping {
            normalizer,
            passed_over: PassedOver::default(),
            epoch: connection.raw_epoch,
            in_flight: self.renormalizing(),
        });
        let called = (connectors, credentials);
        let runner = Runner::new(context, connection, stored, settings, called, fetcher, bytes);
        let mut runner = runner.keeping_raw(keeping);
        let result = unless_it_panics(runner.run()).await;
        // A store that fails here has failed, or will fail, the run's own writes: nothing more is to be said of it.
        drop(runner.finish_commits().await);
        result
    }

    /// How raw items of a connection are normalized: with settings without secrets.
    pub(crate) fn normalizer(&self, manifest: &Manifest, connection: &Connection) -> Normalizer {
        let settings = apply_defaults(manifest, &Value::Object(connection.settings.clone()));
        let settings = without_secrets(manifest, &settings);
        Normalizer {
            connector: connection.connector.clone(),
            version: manifest.version.clone(),
            settings: settings.as_object().map(json::to_struct).unwrap_or_default(),
            stall_timeout: self.limits.stall_timeout,
        }
    }

    /// The bytes in flight of envelopes that are made of raw items, for all runs and previews together.
    pub(crate) fn renormalizing(&self) -> InFlight {
        let total = self.config.sync.in_flight_bytes.as_usize();
        InFlight { bytes: self.normalized.clone(), total }
    }

    fn manifest(&self, connection: &Connection) -> Result<Arc<Manifest>, ConnectorError> {
        let entry = self.catalog.get(&connection.connector);
        let manifest = entry.and_then(|entry| entry.manifest.clone()).ok_or_else(|| {
            let message =
                format!("there is no connector {:?} in the catalogue any more", connection.connector);
            ConnectorError::new(Reason::NotFound, message)
        })?;
        Ok(manifest)
    }

    /// How the run ends, and the checkpoints to write with that; `None` where it is no longer ours to end. `failures` is
    /// how many runs in a row have failed before.
    fn end(
        &self,
        report: &Report,
        failures: i64,
        result: Result<Finished, Stop>,
    ) -> Option<(RunEnd, Vec<ScopeState>)> {
        let now = self.clock.now();
        let mut end = RunEnd {
            state: State::Succeeded,
            resume_at: None,
            error: None,
            retry_at: None,
            held_sweeps: Vec::new(),
            listed_all: false,
            next_id: new_id(),
        };
        let mut states = Vec::new();
        match result {
            Ok(finished) => {
                let faults = finished.counts.item_errors > 0
                    || !finished.held_sweeps.is_empty()
                    || !finished.scope_errors.is_empty();
                if faults {
                    end.state = State::SucceededWithErrors;
                }
                end.error = finished.scope_errors.first().map(|(scope, error)| {
                    let error = RunError::from(error);
                    RunError { message: format!("scope {scope:?}: {}", error.message), ..error }
                });
                log_end(report, &finished, now);
                end.held_sweeps = finished.held_sweeps;
                end.listed_all = finished.listed_all;
                states = finished.states;
            }
            Err(Stop::Fenced) => return None,
            Err(Stop::Cancelled) if self.drain.is_cancelled() => {
                report.log(
                    Level::Info,
                    "the server stops; the run is gone on with by another, or at its next start",
                    [],
                );
                end.state = State::Queued;
            }
            Err(Stop::Cancelled) => {
                report.log(Level::Info, "the run was cancelled at its last committed page", []);
                end.state = State::Cancelled;
            }
            Err(Stop::StoreAway(why)) => {
                let message = format!("the run goes on when the store is back: {why}");
                // Whoever looks meanwhile sees why nothing happens: the log can only be written afterwards.
                let told = ConnectorError::new(Reason::Internal, message.clone());
                report.update(|live| live.error = Some(RunError::from(&told)));
                report.log(Level::Warn, message, []);
                end.state = State::Queued;
            }
            Err(Stop::Failed(error) | Stop::StoreFailed(error)) => {
                end.error = Some(RunError::from(&error));
                if treatment(error.reason) == Treatment::Park {
                    let pause = error.retry_after.unwrap_or(DEFAULT_PARK);
                    end.state = State::Parked;
                    end.resume_at = Some(now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::hours(1)));
                } else {
                    end.state = State::Failed;
                    end.retry_at = self.retry_at(failures, &error);
                }
                log_failure(report, &error);
            }
        }
        Some((end, states))
    }

    /// When a failed run is tried again before its schedule: only where waiting can help.
    fn retry_at(&self, failures: i64, error: &ConnectorError) -> Option<DateTime<Utc>> {
        if treatment(error.reason) != Treatment::Retry {
            return None;
        }
        let attempt = u32::try_from(failures).unwrap_or(u32::MAX).saturating_add(1);
        let initial = self.limits.retry_backoff_max;
        let pause = backoff(attempt, initial, initial.saturating_mul(64), error);
        TimeDelta::from_std(pause).ok().map(|pause| self.clock.now() + pause)
    }
}

/// Writes the lines of a run's log while it goes on, for those who follow it.
async fn write_log_until(done: &CancellationToken, context: &RunContext) {
    loop {
        tokio::select! {
            biased;
            () = done.cancelled() => return,
            () = context.report.many_lines() => {}
            () = tokio::time::sleep(LOG_EVERY) => {}
        }
        if let Err(error) = context.flush_log().await {
            tracing::warn!(%error, "lines of a run's log could not be written");
        }
    }
}

/// A panic in the engine is this run's failure, and nobody else's.
async fn unless_it_panics(run: impl Future<Output = Result<Finished, Stop>>) -> Result<Finished, Stop> {
    AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|_| {
        let message = "the engine panicked in the middle of this run: the server's log says where";
        Err(ConnectorError::new(Reason::Internal, message).into())
    })
}

/// What the connector declares.
pub(crate) fn capabilities(manifest: &Manifest) -> Capabilities {
    let declared = &manifest.capabilities;
    Capabilities {
        incremental: declared.incremental,
        full_listing: declared.full_listing,
        list: declared.list,
        targeted: declared.targeted,
        discover: declared.discover,
        fetch_content: declared.fetch_content,
        handle_event: declared.handle_event,
        execute: declared.execute,
    }
}

fn log_end(report: &Report, finished: &Finished, now: DateTime<Utc>) {
    let counts = finished.counts;
    let run = report.run();
    let took = run.started_at.map_or(0, |began| (now - began).num_milliseconds());
    let fields = [
        ("documents", (counts.created + counts.updated + counts.unchanged + counts.deleted).to_string()),
        ("duration_ms", took.to_string()),
        ("pulls", run.pulls.to_string()),
        ("created", counts.created.to_string()),
        ("updated", counts.updated.to_string()),
        ("unchanged", counts.unchanged.to_string()),
        ("deleted", counts.deleted.to_string()),
        ("item_errors", counts.item_errors.to_string()),
        ("contents_fetched", counts.contents_fetched.to_string()),
    ];
    report.log(Level::Info, "the run went through", fields);
}

fn log_failure(report: &Report, error: &ConnectorError) {
    let reason = reason_info(error.reason);
    let fields = [
        ("reason", reason.name.to_owned()),
        ("code", error.code.clone()),
        ("actor", reason.actor.as_str().to_owned()),
        ("fix", fix(error.reason).to_owned()),
        ("retry_after_ms", error.retry_after.map(|pause| pause.as_millis().to_string()).unwrap_or_default()),
    ];
    let level = if treatment(error.reason) == Treatment::Park { Level::Info } else { Level::Error };
    report.log(level, error.message.clone(), fields);
}
