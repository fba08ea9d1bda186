//! What a history happens in: the one generator that decides whatever is open, the weather (which faults how often), the
//! sources, the store behind everybody, what was seen, and the trace that a person reads when something was wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::source::Source;
use super::vault::Tokens;
use super::watcher::Watcher;
use crate::store::memory::MemoryStore;

/// How often things go wrong: the share of calls, or of messages, that each befalls.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// A call to the store fails, and nothing was done.
    pub store_fails: f64,
    /// It fails, and was done.
    pub store_loses_reply: f64,
    /// It is done twice, and the second answer is given.
    pub store_repeats: f64,
    /// It takes a while.
    pub store_is_slow: f64,
    /// The replica dies before or after it.
    pub replica_dies: f64,
    /// The vault, or the provider behind it, has no token to give.
    pub vault_fails: f64,
    /// The source takes a token no longer.
    pub tokens_end: f64,
    /// A stream is cut, or a call to a connector fails.
    pub source_fails: f64,
    /// The source asks for a pause.
    pub throttles: f64,
    /// The source takes a cursor no longer.
    pub forgets_cursors: f64,
    /// A connector breaks the contract.
    pub bad_pages: f64,
    /// A connector falls silent.
    pub stalls: f64,
    /// Something of the source cannot be read, and nobody can name it.
    pub unnamed_errors: f64,
    /// A connector ends its pull at a checkpoint before it is done.
    pub ends_early: f64,
    /// A page comes twice.
    pub repeats_pages: f64,
    /// The source changes while it is read.
    pub changes_meanwhile: f64,
    /// A message takes a while.
    pub source_is_slow: f64,
    /// A listing leaves things out; it may say that it is complete all the same.
    pub lies: f64,
    /// A connector sends the same pages for ever.
    pub circles: f64,
    /// An id that was asked for gets no answer.
    pub leaves_unanswered: f64,
    /// Normalize makes nothing of a raw item.
    pub refuses_raw: f64,
}

impl Weather {
    /// The weather of one history: of each fault, none, a little or much.
    pub(super) fn new(chance: &mut StdRng) -> Self {
        let mut some = |most: f64| match chance.random_range(0..3_u32) {
            0 => 0.0,
            1 => most / 6.0,
            _ => most,
        };
        Self {
            store_fails: some(0.03),
            store_loses_reply: some(0.03),
            store_repeats: some(0.02),
            store_is_slow: some(0.2),
            replica_dies: some(0.004),
            vault_fails: some(0.03),
            tokens_end: some(0.03),
            source_fails: some(0.05),
            throttles: some(0.03),
            forgets_cursors: some(0.03),
            bad_pages: some(0.01),
            stalls: some(0.005),
            unnamed_errors: some(0.02),
            ends_early: some(0.15),
            repeats_pages: some(0.1),
            changes_meanwhile: some(0.15),
            source_is_slow: some(0.3),
            lies: some(0.3),
            circles: some(0.02),
            leaves_unanswered: some(0.1),
            refuses_raw: some(0.05),
        }
    }
}

/// What happened, in order.
#[derive(Debug, Default)]
pub(super) struct Trace {
    lines: Vec<String>,
    hash: DefaultHasher,
}

/// Where a history happens.
#[derive(Debug)]
pub(super) struct World {
    pub store: MemoryStore,
    pub weather: Mutex<Weather>,
    pub sources: Mutex<BTreeMap<String, Source>>,
    pub watcher: Mutex<Watcher>,
    pub tokens: Tokens,
    chance: Mutex<StdRng>,
    trace: Mutex<Trace>,
    wrong: Mutex<Option<String>>,
    /// The store answers nobody before then.
    down_until: Mutex<Instant>,
    began: Instant,
    /// A call that was done is being done once more: entries of the feed come twice.
    pub repeats: AtomicBool,
    /// Each call to the store is part of the trace.
    pub tells_calls: bool,
}

impl World {
    pub(super) fn new(seed: u64, shared: bool) -> Arc<Self> {
        Arc::new(Self {
            store: MemoryStore::new(shared),
            weather: Mutex::default(),
            sources: Mutex::default(),
            watcher: Mutex::default(),
            tokens: Tokens::default(),
            chance: Mutex::new(StdRng::seed_from_u64(seed)),
            trace: Mutex::default(),
            wrong: Mutex::default(),
            down_until: Mutex::new(Instant::now()),
            began: Instant::now(),
            repeats: AtomicBool::new(false),
            tells_calls: std::env::var_os("SIMULATION_CALLS").is_some(),
        })
    }

    /// Asks the generator.
    pub(super) fn choose<T>(&self, ask: impl FnOnce(&mut StdRng) -> T) -> T {
        ask(&mut lock(&self.chance))
    }

    /// Whether something of this share happens now.
    pub(super) fn happens(&self, share: impl FnOnce(&Weather) -> f64) -> bool {
        let share = share(&lock(&self.weather));
        share > 0.0 && self.choose(|chance| chance.random_bool(share))
    }

    /// A length of time, up to `most`; short ones are likelier.
    pub(super) fn while_up_to(&self, most: Duration) -> Duration {
        self.choose(|chance| most.mul_f64(chance.random::<f64>().powi(2)))
    }

    /// The store answers nobody for so long.
    pub(super) fn take_store_down(&self, time: Duration) {
        *lock(&self.down_until) = Instant::now() + time;
    }

    pub(super) fn store_is_down(&self) -> bool {
        Instant::now() < *lock(&self.down_until)
    }

    /// All is well from here on.
    pub(super) fn heal(&self) {
        *lock(&self.weather) = Weather::default();
        *lock(&self.down_until) = Instant::now();
    }

    /// A line of the trace.
    pub(super) fn tell(&self, line: impl std::fmt::Display) {
        let mut told = String::with_capacity(80);
        let _ = write!(told, "[{:9.3}] {line}", self.began.elapsed().as_secs_f64());
        let mut trace = lock(&self.trace);
        trace.hash.write(told.as_bytes());
        trace.lines.push(told);
    }

    /// An invariant does not hold. The first one counts: the others may follow from it.
    pub(super) fn accuse(&self, what: impl Into<String>) {
        let what = what.into();
        self.tell(format_args!("WRONG: {what}"));
        lock(&self.wrong).get_or_insert(what);
    }

    pub(super) fn wrong(&self) -> Option<String> {
        lock(&self.wrong).clone()
    }

    /// The hash of all that happened.
    pub(super) fn hash(&self) -> u64 {
        lock(&self.trace).hash.finish()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        lock(&self.trace).lines.clone()
    }
}

/// Nothing in a history panics with a lock in hand and goes on.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
