//! Whether connectors answer: each process, and each connector that runs elsewhere, is asked with `grpc.health.v1` once
//! an interval, and sooner again after it failed to answer. A process that fails three times in a row is ended, and
//! started again by its next use as after a crash. Asking is no use: it keeps no idle process up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::channel::{self, BearerToken};
use super::host::Inner;
use super::running::{Running, StopCause};
use super::start::{FileStamp, file_stamps};
use super::status::{ProcessState, ProcessStatus};
use crate::catalog::{ConnectorEntry, Endpoint, Runnable};
use crate::telemetry::metrics::HEALTH_CHECKS;

/// How long an answer may take, and how soon one that did not come is asked for again.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// So many failures in a row end a process: one may be busy for once.
const MAX_FAILURES: u32 = 3;

/// How many are asked at once.
const AT_ONCE: usize = 16;

/// How a connector does as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorHealth {
    /// How it does.
    pub state: HealthState,
    /// Since when; `None` where that is not known.
    pub since: Option<DateTime<Utc>>,
    /// When it was last asked.
    pub checked_at: Option<DateTime<Utc>>,
    /// What was wrong last, also where it is well again.
    pub last_error: Option<String>,
}

/// How a connector does as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// Nothing has needed it yet, or it was not asked yet.
    NotStarted,
    /// Nothing needs it now.
    Stopped,
    /// Everything that runs of it answers.
    Healthy,
    /// Something of it does not answer, crashed, or does not start.
    Unhealthy,
}

/// What asking one target has brought.
#[derive(Debug)]
pub(super) struct Checks(Mutex<Checked>);

/// What asking one target has brought.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// Failures in a row.
    pub(super) failures: u32,
    /// Since when it does as it does.
    pub(super) since: DateTime<Utc>,
    /// When it was last asked.
    pub(super) at: DateTime<Utc>,
    /// Why it last failed.
    pub(super) last_error: Option<String>,
    asked: Instant,
}

impl Checks {
    /// Of something that has answered now.
    pub(super) fn answered(now: DateTime<Utc>) -> Self {
        Self(Mutex::new(Checked {
            failures: 0,
            since: now,
            at: now,
            last_error: None,
            asked: Instant::now(),
        }))
    }

    pub(super) fn now(&self) -> Checked {
        self.checked().clone()
    }

    fn checked(&self) -> MutexGuard<'_, Checked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, interval: Duration) -> bool {
        let checked = self.checked();
        checked.failures > 0 || checked.asked.elapsed() >= interval
    }

    /// Takes note of an answer; returns how often in a row it was not the right one.
    fn note(&self, answer: Result<(), String>, now: DateTime<Utc>) -> u32 {
        let mut checked = self.checked();
        if (checked.failures > 0) == answer.is_ok() {
            checked.since = now;
        }
        checked.failures = if answer.is_ok() { 0 } else { checked.failures + 1 };
        checked.last_error = answer.err().or_else(|| checked.last_error.take());
        (checked.at, checked.asked) = (now, Instant::now());
        checked.failures
    }
}

/// The connectors that run elsewhere, by id.
#[derive(Debug, Default)]
pub(super) struct Remotes(Mutex<HashMap<String, Arc<Remote>>>);

#[derive(Debug)]
struct Remote {
    endpoint: Endpoint,
    /// Of the files that the channel was made with: another stamp, another channel.
    files: Vec<FileStamp>,
    channel: Result<(Channel, BearerToken), String>,
    /// `None`: not asked yet.
    checks: Mutex<Option<Arc<Checks>>>,
}

impl Remotes {
    /// What is known of one; `None` where it was not asked yet.
    pub(super) fn checked(&self, connector_id: &str) -> Option<Checked> {
        let remotes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let checks = remotes.get(connector_id)?.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.as_ref().map(|checks| checks.now())
    }

    /// Those of the catalogue as it is now.
    fn follow(&self, entries: &[Arc<ConnectorEntry>]) -> Vec<(String, Arc<Remote>)> {
        let mut remotes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoints = entries.iter().filter_map(|entry| match &entry.runnable {
            Runnable::Endpoint(endpoint) => Some((entry.id.clone(), endpoint)),
            Runnable::Command(_) | Runnable::NotRunnable(_) => None,
        });
        let mut now = HashMap::new();
        for (id, endpoint) in endpoints {
            let files = file_stamps(endpoint.files());
            let remote = match remotes.remove(&id) {
                Some(remote) if remote.endpoint == *endpoint && remote.files == files => remote,
                _ => Arc::new(Remote {
                    endpoint: endpoint.clone(),
                    files,
                    channel: channel::remote(endpoint),
                    checks: Mutex::default(),
                }),
            };
            now.insert(id, remote);
        }
        *remotes = now;
        remotes.iter().map(|(id, remote)| (id.clone(), remote.clone())).collect()
    }
}

impl Remote {
    fn is_due(&self, interval: Duration) -> bool {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.as_ref().is_none_or(|checks| checks.is_due(interval))
    }

    fn note(&self, answer: Result<(), String>, now: DateTime<Utc>) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.get_or_insert_with(|| Arc::new(Checks::answered(now))).note(answer, now);
    }
}

/// Asks for as long as there is a host.
pub(super) async fn check(host: Weak<Inner>, interval: Duration) {
    loop {
        tokio::time::sleep(interval.min(ANSWER_WITHIN)).await;
        let Some(host) = host.upgrade() else { return };
        host.check_health(interval).await;
    }
}

impl Inner {
    async fn check_health(&self, interval: Duration) {
        let within = interval.min(ANSWER_WITHIN);
        let running = self.slots().into_iter().filter_map(|slot| slot.running());
        let due = running.filter(|running| running.process.is_some() && running.checks.is_due(interval));
        futures::stream::iter(due)
            .for_each_concurrent(AT_ONCE, |running| async move {
                let answer = ask(&running.connector_id, &running.channel, &running.token, within).await;
                self.judge(&running, answer);
            })
            .await;

        let mut entries = self.catalog.list();
        entries.retain(|entry| !self.catalog.is_disabled(&entry.id));
        let remotes = self.remotes.follow(&entries);
        let due = remotes.into_iter().filter(|(_, remote)| remote.is_due(interval));
        futures::stream::iter(due)
            .for_each_concurrent(AT_ONCE, |(id, remote)| async move {
                let answer = match &remote.channel {
                    Ok((channel, token)) => ask(&id, channel, token, within).await,
                    Err(error) => Err(error.clone()),
                };
                if let Err(error) = &answer {
                    tracing::warn!(connector.id = %id, address = remote.endpoint.url, "connector is not healthy: {error}");
                }
                remote.note(answer, self.starter.clock.now());
            })
            .await;
    }

    fn judge(&self, running: &Arc<Running>, answer: Result<(), String>) {
        // It may have ended meanwhile, which is told by itself.
        if running.has_ended() {
            return;
        }
        let told = answer.clone();
        let failures = running.checks.note(answer, self.starter.clock.now());
        if let Err(error) = told {
            let pid = running.process.as_ref().map(|process| process.pid);
            tracing::warn!(connector.id = %running.connector_id, process.pid = pid, failures, "connector is not healthy: {error}");
        }
        if failures >= MAX_FAILURES {
            running.stop(StopCause::Unhealthy);
        }
    }
}

async fn ask(id: &str, channel: &Channel, token: &BearerToken, within: Duration) -> Result<(), String> {
    let answer = match tokio::time::timeout(within, channel::is_serving(channel, token)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(("not_serving", "it answers that it is not serving".to_owned())),
        Ok(Err(status)) => Err((
            "failed",
            format!("it answered grpc.health.v1 with {:?}: {}", status.code(), status.message()),
        )),
        Err(_) => {
            let waited = humantime::format_duration(within);
            Err(("failed", format!("it did not answer grpc.health.v1 within {waited}")))
        }
    };
    let outcome = answer.as_ref().err().map_or("serving", |(outcome, _)| *outcome);
    HEALTH_CHECKS.add([id, outcome], 1);
    answer.map_err(|(_, message)| message)
}

/// What the processes of a connector come to.
pub(super) fn of_processes(processes: &[ProcessStatus]) -> ConnectorHealth {
    let is_ill = |process: &&ProcessStatus| {
        process.unhealthy || matches!(process.state, ProcessState::Backoff | ProcessState::Failed)
    };
    let ill = processes.iter().filter(is_ill).min_by_key(|process| process.since);
    let ready = || processes.iter().filter(|process| process.state == ProcessState::Ready);
    let (state, shown) = match ill {
        Some(ill) => (HealthState::Unhealthy, Some(ill)),
        None if ready().next().is_some() => {
            (HealthState::Healthy, ready().min_by_key(|process| process.since))
        }
        None if processes.iter().any(|process| process.state == ProcessState::Stopped) => {
            (HealthState::Stopped, processes.iter().max_by_key(|process| process.since))
        }
        None => (HealthState::NotStarted, None),
    };
    let newest_error = || {
        let with_error = processes.iter().filter(|process| process.last_error.is_some());
        with_error.max_by_key(|process| process.since).and_then(|process| process.last_error.clone())
    };
    ConnectorHealth {
        state,
        since: shown.map(|process| process.since),
        checked_at: processes.iter().filter_map(|process| process.checked_at).max(),
        last_error: ill.and_then(|process| process.last_error.clone()).or_else(newest_error),
    }
}

/// What a connector that runs elsewhere has answered.
pub(super) fn of_remote(checked: Option<Checked>) -> ConnectorHealth {
    let Some(checked) = checked else {
        return ConnectorHealth {
            state: HealthState::NotStarted,
            since: None,
            checked_at: None,
            last_error: None,
        };
    };
    ConnectorHealth {
        state: if checked.failures > 0 { HealthState::Unhealthy } else { HealthState::Healthy },
        since: Some(checked.since),
        checked_at: Some(checked.at),
        last_error: checked.last_error,
    }
}
