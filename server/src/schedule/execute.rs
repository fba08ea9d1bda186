//! Works on one claimed run, and writes down how it ended.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;
use superfasttt_proto::connector::v1::{Capabilities, Reason, log_record::Level};
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::error::{ConnectorError, reason_info};
use tokio_util::sync::CancellationToken;

use super::Scheduler;
use crate::catalog::{AuthKind, Manifest, apply_defaults};
use crate::store::connections::Connection;
use crate::store::runs::{Run, RunEnd, RunError};
use crate::store::{Fence, StoreError};
use crate::sync::outcome::{DEFAULT_PARK, Treatment, backoff, fix, treatment};
use crate::sync::report::Report;
use crate::sync::run::{Finished, Runner, Stop};
use crate::sync::{RunContext, json};

/// A run in which this process crashed so often in a row is not begun again.
const MAX_CRASHES: u32 = 10;
/// How long to wait for a store that failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Runs, and writes down how it ended.
    pub(super) async fn execute(self: &Arc<Self>, run: Run, fence: Fence, stop: CancellationToken) {
        let id = run.id.clone();
        let connection_id = run.connection_id.clone();
        let report = Arc::new(Report::new(run, self.clock.clone()));
        let _live = self.live.enter(&id, report.clone());
        tracing::info!(run = %id, connection = %connection_id, "run began");
        let result = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Stop::Cancelled),
            result = self.attempt(&report, fence) => result,
        };
        let end = match self.end(&report, fence, result).await {
            Ok(Some(end)) => end,
            Ok(None) => {
                tracing::warn!(run = %id, connection = %connection_id, "run lost its claim and was dropped");
                return;
            }
            Err(error) => {
                tracing::error!(run = %id, %error, "the end of a run could not be prepared");
                return;
            }
        };
        let state = end.state;
        self.write_log(&report, &id).await;
        // Until it is written the connection takes no other run; the next start would go on with this one.
        loop {
            match self.store.end_run(fence, &id, end.clone(), self.clock.now()).await {
                Ok(run) => {
                    report.update(|live| *live = run);
                    break;
                }
                Err(StoreError::Fenced) => return,
                Err(error) => {
                    tracing::error!(run = %id, %error, "the end of a run could not be written; trying again");
                    if self.drain.is_cancelled() {
                        return;
                    }
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
        tracing::info!(run = %id, connection = %connection_id, state = state.as_str_name(), "run ended");
    }

    async fn attempt(&self, report: &Arc<Report>, fence: Fence) -> Result<Finished, Stop> {
        let run = report.run();
        let connection = self.store.connection_by_key(fence.connection).await?.ok_or(Stop::Cancelled)?;
        if connection.disabled || connection.deleting_at.is_some() {
            return Err(Stop::Cancelled);
        }
        if run.crashes >= MAX_CRASHES {
            let message =
                format!("the server crashed {MAX_CRASHES} times in a row in the middle of this run");
            return Err(ConnectorError::new(Reason::Internal, message).into());
        }
        let manifest = self.manifest(&connection)?;
        report.log(Level::Info, "the run began", [("attempt", run.attempts.to_string())]);
        let settings = apply_defaults(&manifest, &Value::Object(connection.settings.clone()));
        let settings = json::to_struct(settings.as_object().unwrap_or(&connection.settings));
        let context = RunContext {
            store: self.store.clone(),
            fence,
            run: run.id,
            capabilities: capabilities(&manifest),
            limits: self.limits,
            clock: self.clock.clone(),
            report: report.clone(),
        };
        let bytes = (self.in_flight.clone(), self.config.sync.in_flight_bytes.as_usize());
        let mut runner =
            Runner::new(context, connection, settings, self.connectors.clone(), self.fetcher.clone(), bytes)
                .await?;
        runner.run().await
    }

    fn manifest(&self, connection: &Connection) -> Result<Arc<Manifest>, ConnectorError> {
        let entry = self.catalog.get(&connection.connector);
        let manifest = entry.and_then(|entry| entry.manifest.clone()).ok_or_else(|| {
            let message =
                format!("there is no connector {:?} in the catalogue any more", connection.connector);
            ConnectorError::new(Reason::NotFound, message)
        })?;
        if manifest.auth.kind != AuthKind::None {
            let message = "the connector needs a credential, and none is set";
            return Err(ConnectorError::new(Reason::CredentialRevoked, message));
        }
        Ok(manifest)
    }

    /// How the run ends; `None` where it is no longer ours to end.
    async fn end(
        &self,
        report: &Report,
        fence: Fence,
        result: Result<Finished, Stop>,
    ) -> Result<Option<RunEnd>, StoreError> {
        let now = self.clock.now();
        let mut end = RunEnd {
            state: State::Succeeded,
            resume_at: None,
            error: None,
            retry_at: None,
            held_sweeps: Vec::new(),
            listed_all: false,
        };
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
                log_end(report, &finished);
                end.held_sweeps = finished.held_sweeps;
                end.listed_all = finished.listed_all;
            }
            Err(Stop::Fenced) => return Ok(None),
            Err(Stop::Cancelled) if self.drain.is_cancelled() => {
                report.log(Level::Info, "the server stops; the run is gone on with at its next start", []);
                end.state = State::Queued;
            }
            Err(Stop::Cancelled) => {
                report.log(Level::Info, "the run was cancelled at its last committed page", []);
                end.state = State::Cancelled;
            }
            Err(Stop::Failed(error)) => {
                end.error = Some(RunError::from(&error));
                if treatment(error.reason) == Treatment::Park {
                    let pause = error.retry_after.unwrap_or(DEFAULT_PARK);
                    end.state = State::Parked;
                    end.resume_at = Some(now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::hours(1)));
                } else {
                    end.state = State::Failed;
                    end.retry_at = self.retry_at(fence, &error).await?;
                }
                log_failure(report, &error);
            }
        }
        Ok(Some(end))
    }

    /// When a failed run is tried again before its schedule: only where waiting can help.
    async fn retry_at(
        &self,
        fence: Fence,
        error: &ConnectorError,
    ) -> Result<Option<chrono::DateTime<chrono::Utc>>, StoreError> {
        if treatment(error.reason) != Treatment::Retry {
            return Ok(None);
        }
        let failures =
            self.store.connection_by_key(fence.connection).await?.map_or(0, |found| found.failures);
        let attempt = u32::try_from(failures).unwrap_or(u32::MAX).saturating_add(1);
        let initial = self.limits.retry_backoff_max;
        let pause = backoff(attempt, initial, initial.saturating_mul(64), error);
        Ok(TimeDelta::from_std(pause).ok().map(|pause| self.clock.now() + pause))
    }

    async fn write_log(&self, report: &Report, run: &str) {
        let lines = report.take_lines();
        if let Err(error) = self.store.append_log(run, lines, self.limits.log_max_records).await {
            tracing::warn!(run, %error, "the last lines of a run's log could not be written");
        }
    }
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

fn log_end(report: &Report, finished: &Finished) {
    let counts = finished.counts;
    let fields = [
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
    ];
    let level = if treatment(error.reason) == Treatment::Park { Level::Info } else { Level::Error };
    report.log(level, error.message.clone(), fields);
}
