//! Takes down what was done. What comes one at a time, a change, is written before it is answered. What may come a thousand
//! times a second, a use of a credential or a call that is denied, is counted here and written every few seconds: the same
//! by the same is one row with a number. What is counted is bounded: whatever finds no room is itself counted, told in the
//! log, and never waited for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Caller;
use super::caller::Note;
use crate::clock::SharedClock;
use crate::store::Store;
use crate::store::audit::{Actor, AuditEvent, Detail};
use crate::store::connections::Connection;
use crate::telemetry::metrics;

/// How often what was counted is written.
const EVERY: Duration = Duration::from_secs(5);
/// How many different things are counted at a time. A row is some 300 bytes.
pub(super) const MAX_COUNTED: usize = 20_000;
/// Rows in one transaction.
const BATCH: usize = 1000;
/// How often what is old is removed, and how much in one transaction.
const TRIM_EVERY: Duration = Duration::from_secs(3600);
const TRIM_BATCH: usize = 1000;

/// What a credential was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A run read the source.
    Run,
    /// A person tried the connection.
    Test,
    /// A person looked for resources.
    Discover,
    /// Something that the source sent was verified.
    Event,
    /// An action was executed.
    Action,
    /// A new access token was got with it.
    Refresh,
    /// It was withdrawn at the provider.
    Revoke,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Purpose::Run => "run",
            Purpose::Test => "test",
            Purpose::Discover => "discover",
            Purpose::Event => "event",
            Purpose::Action => "action",
            Purpose::Refresh => "refresh",
            Purpose::Revoke => "revoke",
        }
    }
}

/// A use of a credential.
#[derive(Clone, Copy, Debug)]
pub struct CredentialUse<'a> {
    /// Whose credential.
    pub connection: &'a Connection,
    /// What for.
    pub purpose: Purpose,
    /// The run that it was for; empty: none.
    pub run: &'a str,
    /// Whether it was there to be used.
    pub found: bool,
}

/// The audit log of this process. Clones are the same.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    clock: SharedClock,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    events: HashMap<Key, Count>,
    dropped: u64,
}

/// What is one row while it comes again.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    actor: Actor,
    organization: String,
    action: String,
    target: String,
    outcome: String,
    detail: Detail,
}

struct Count {
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    count: u64,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Audit").finish_non_exhaustive()
    }
}

impl Audit {
    /// The audit log in this store. [`Self::run`] has to be running for what is counted to be written.
    pub fn new(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self(Arc::new(Inner { store, clock, counted: Mutex::default() }))
    }

    /// A credential was used. It costs a look into a map; it is never waited for and never fails.
    pub fn credential_used(&self, used: CredentialUse<'_>) {
        let detail = Detail {
            purpose: used.purpose.as_str().to_owned(),
            run: used.run.to_owned(),
            name: used.connection.name.clone(),
            ..Detail::default()
        };
        self.count(Key {
            actor: of_connectord(),
            organization: used.connection.organization.clone(),
            action: "credential.use".to_owned(),
            target: format!("connection/{}", used.connection.id),
            outcome: if used.found { "OK" } else { "FAILED_PRECONDITION" }.to_owned(),
            detail,
        });
    }

    /// Something was done to a connection that no rpc did, such as by an answer of a provider that came in. `from` is the
    /// address of who brought it; empty: connectord did it by itself. Waits until it is written.
    pub async fn done_to(&self, connection: &Connection, action: &'static str, outcome: &str, from: &str) {
        let now = self.0.clock.now();
        let event = AuditEvent {
            actor: Actor { address: from.to_owned(), ..of_connectord() },
            organization: connection.organization.clone(),
            action: action.to_owned(),
            target: format!("connection/{}", connection.id),
            outcome: outcome.to_owned(),
            detail: Detail { name: connection.name.clone(), ..Detail::default() },
            first_at: now,
            last_at: now,
            count: 1,
        };
        self.write(event).await;
    }

    /// A call was answered. Waits until it is written.
    pub(crate) async fn called(&self, caller: &Caller, action: &str, outcome: &str) {
        let now = self.0.clock.now();
        let Key { actor, organization, action, target, outcome, detail } = key(caller, action, outcome);
        let (first_at, last_at, count) = (now, now, 1);
        self.write(AuditEvent {
            actor,
            organization,
            action,
            target,
            outcome,
            detail,
            first_at,
            last_at,
            count,
        })
        .await;
    }

    /// A call was answered, or given up by its caller. It is written with others.
    pub(crate) fn counted(&self, caller: &Caller, action: &str, outcome: &str) {
        self.count(key(caller, action, outcome));
    }

    /// Somebody was turned away who is not known, or not well enough. It is written with others.
    pub(crate) fn turned_away(&self, actor: Actor, action: &str, outcome: &str, reason: &str) {
        self.count(Key {
            actor,
            organization: String::new(),
            action: action.to_owned(),
            target: String::new(),
            outcome: outcome.to_owned(),
            detail: Detail { reason: reason.to_owned(), ..Detail::default() },
        });
    }

    async fn write(&self, event: AuditEvent) {
        if let Err(error) = self.0.store.append_audit(vec![event]).await {
            // What was done was done: its answer is not held back for this.
            metrics::AUDIT_EVENTS_LOST.add([], 1);
            tracing::error!(%error, "an event could not be written to the audit log");
        }
    }

    fn count(&self, key: Key) {
        let now = self.0.clock.now();
        let mut counted = self.counting();
        let full = counted.events.len() >= MAX_COUNTED;
        match counted.events.get_mut(&key) {
            Some(count) => {
                count.last_at = now.max(count.last_at);
                count.count += 1;
            }
            None if full => counted.dropped += 1,
            None => drop(counted.events.insert(key, Count { first_at: now, last_at: now, count: 1 })),
        }
    }

    fn counting(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was counted. What cannot be written stays for the next time.
    pub async fn flush(&self) {
        let Counted { events, dropped } = std::mem::take(&mut *self.counting());
        // Also nothing, so that it is shown.
        metrics::AUDIT_EVENTS_LOST.add([], dropped);
        if dropped > 0 {
            tracing::warn!(dropped, "the audit log has no room for more different events at a time");
        }
        let mut left: Vec<(Key, Count)> = events.into_iter().collect();
        left.sort_unstable_by_key(|(_, count)| count.first_at);
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(BATCH));
            let rows = left.iter().map(|(key, count)| row(key, count)).collect();
            if let Err(error) = self.0.store.append_audit(rows).await {
                tracing::error!(%error, events = left.len() + rest.len(), "the audit log waits for the store");
                left.extend(rest);
                self.put_back(left);
                return;
            }
            left = rest;
        }
    }

    fn put_back(&self, left: Vec<(Key, Count)>) {
        let mut counted = self.counting();
        for (key, before) in left {
            let full = counted.events.len() >= MAX_COUNTED;
            match counted.events.get_mut(&key) {
                Some(count) => {
                    count.first_at = before.first_at;
                    count.count += before.count;
                }
                None if full => counted.dropped += 1,
                None => drop(counted.events.insert(key, before)),
            }
        }
    }

    /// Writes what is counted and removes what is older than `retention`, until `shutdown`; then once more.
    pub async fn run(self, retention: Duration, shutdown: CancellationToken) {
        let mut flushes = tokio::time::interval(EVERY);
        let mut trims = tokio::time::interval(TRIM_EVERY);
        flushes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        trims.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = flushes.tick() => self.flush().await,
                _ = trims.tick() => self.trim(retention).await,
            }
        }
        self.flush().await;
    }

    async fn trim(&self, retention: Duration) {
        let age = TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX);
        let Some(before) = self.0.clock.now().checked_sub_signed(age) else { return };
        loop {
            match self.0.store.trim_audit(before, TRIM_BATCH).await {
                Ok(removed) if removed == TRIM_BATCH as u64 => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, "the audit log could not be trimmed; it is tried again in an hour");
                    return;
                }
            }
        }
    }
}

fn of_connectord() -> Actor {
    Actor { name: "connectord".to_owned(), ..Actor::default() }
}

fn key(caller: &Caller, action: &str, outcome: &str) -> Key {
    let Note { organization, target, detail } = caller.noted();
    Key {
        actor: caller.actor().clone(),
        organization: organization.unwrap_or_else(|| caller.organization().to_owned()),
        action: action.to_owned(),
        target,
        outcome: outcome.to_owned(),
        detail,
    }
}

fn row(key: &Key, count: &Count) -> AuditEvent {
    let Key { actor, organization, action, target, outcome, detail } = key.clone();
    let Count { first_at, last_at, count } = *count;
    AuditEvent { actor, organization, action, target, outcome, detail, first_at, last_at, count }
}
