//! Runs: executions of a sync, and their logs.

pub(in crate::store) mod columns;
pub mod fair;
pub(in crate::store) mod postgres;
pub mod sqlite;
pub mod state;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use superfasttt_proto::connector::v1::{PullMode, Reason, log_record::Level};
use superfasttt_proto::control::v1::run::{State, Trigger};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::watch;

use super::connections::Connection;
use super::sync_states::ScopeState;
use super::wanted::Leftovers;
use super::{ConnectionKey, Fence, Listed, Result};
use crate::redact;
use fair::{ClaimLimits, LaneKey};

/// A run at which [`RunStore::trim_surplus_runs`] has looked. The default lies before all.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookedAt {
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// Its id.
    pub id: String,
}

/// What [`RunStore::trim_surplus_runs`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surplus {
    /// Behind which run it is to go on.
    pub looked_at: LookedAt,
    /// How many runs it removed.
    pub removed: u64,
    /// There is more to look at.
    pub more: bool,
}

impl Surplus {
    /// After a look behind `after` up to `last`. As many removals as there may be are perhaps not all: it looks once more.
    pub(super) fn new(
        after: LookedAt,
        last: Option<(DateTime<Utc>, &str)>,
        removed: usize,
        limit: usize,
    ) -> Self {
        let looked_at = match last {
            Some((ended_at, id)) if removed < limit => LookedAt { ended_at, id: id.to_owned() },
            Some(_) | None => after,
        };
        Self { looked_at, removed: removed as u64, more: last.is_some() }
    }
}

/// What [`RunStore::queue_due_runs`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DueRuns {
    /// How many runs were queued.
    pub queued: u64,
    /// As many connections were due as were to be looked at: there may be more.
    pub more: bool,
}

/// A run as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The server's id; ids are in order of creation.
    pub id: String,
    /// Whose run.
    pub connection: ConnectionKey,
    /// The server's id of the connection.
    pub connection_id: String,
    /// Where it stands.
    pub state: State,
    /// Why it began.
    pub trigger: Trigger,
    /// What is asked of it.
    pub work: Work,
    /// What it brings, once that is decided.
    pub mode: PullMode,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When work on it first began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Until when it is parked.
    pub resume_at: Option<DateTime<Utc>>,
    /// How many pulls it took.
    pub pulls: u32,
    /// How often it was begun.
    pub attempts: u32,
    /// How often the server crashed in the middle of it since it last stopped in order.
    pub crashes: u32,
    /// What it did.
    pub counts: RunCounts,
    /// Why it failed or waits.
    pub error: Option<RunError>,
    /// Deletions that wait for a person.
    pub held_sweeps: Vec<HeldSweep>,
    /// It is no sync: it makes documents anew of kept raw items.
    pub renormalizes: bool,
    /// The last id that it has done, where it does; empty for none.
    pub renormalized_to: String,
}

/// What is asked of a run. Each does what those before it do as well, so that of two wishes the greater one is enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Only what is wanted by id.
    Items = 1,
    /// What changed since the last run.
    #[default]
    Changes = 2,
    /// A comparison with everything that the source has: by ids and versions, where the connector can.
    Reconcile = 3,
    /// A listing of everything, whatever the connector can.
    Full = 4,
}

impl Work {
    /// A stored one.
    pub fn from_number(number: i32) -> Self {
        [Work::Items, Work::Reconcile, Work::Full]
            .into_iter()
            .find(|work| *work as i32 == number)
            .unwrap_or_default()
    }
}

/// What a run did. The names are those of `control.v1.RunCounts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is explained in sync.proto")]
pub struct RunCounts {
    pub changes: u64,
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub deleted: u64,
    pub item_errors: u64,
    pub contents_fetched: u64,
    pub content_bytes: u64,
    pub text_bytes: u64,
    pub contents_without_text: u64,
    pub pages: u64,
    pub message_bytes: u64,
}

/// How far a run is, as it is written with each of its commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunProgress {
    /// What it brings. Not decided yet: what is stored stays.
    pub mode: PullMode,
    /// How many pulls it took.
    pub pulls: u32,
    /// What it did.
    pub counts: RunCounts,
}

impl Run {
    /// How far it is.
    pub fn progress(&self) -> RunProgress {
        RunProgress { mode: self.mode, pulls: self.pulls, counts: self.counts }
    }
}

/// Why a run failed or waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunError {
    /// The name of the reason.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// The connector's own code; empty for none.
    pub code: String,
}

impl RunError {
    /// The error as the engine decides by it.
    pub fn reason(&self) -> Reason {
        superfasttt_proto::error::reason_by_name(&self.reason).unwrap_or(Reason::Internal)
    }
}

impl From<&ConnectorError> for RunError {
    fn from(error: &ConnectorError) -> Self {
        Self {
            reason: superfasttt_proto::error::reason_info(error.reason).name.to_owned(),
            message: redact::text(&error.message).into_owned(),
            code: redact::text(&error.code).into_owned(),
        }
    }
}

/// Deletions that wait for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldSweep {
    /// In which scope.
    pub scope: String,
    /// How many documents would be deleted.
    pub absent: u64,
    /// Of how many.
    pub total: u64,
    /// Why it is held.
    pub message: String,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// A line of a run's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// When.
    pub time: DateTime<Utc>,
    /// How much it matters.
    pub level: Level,
    /// Who says it: "engine", "connector" or "stderr".
    pub origin: &'static str,
    /// What is said.
    pub message: String,
    /// Facts for a program.
    pub fields: BTreeMap<String, String>,
}

/// A stored line and its number in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLogLine {
    /// Counts up from 1.
    pub seq: i64,
    /// The line.
    pub line: LogLine,
}

/// How a run ends, or pauses.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// The state that it takes: an end, parked, or queued again.
    pub state: State,
    /// Until when it is parked.
    pub resume_at: Option<DateTime<Utc>>,
    /// Why it failed or waits.
    pub error: Option<RunError>,
    /// When a connection with a schedule is due at the latest; an earlier time stays. `None`: as its schedule says.
    pub retry_at: Option<DateTime<Utc>>,
    /// Deletions that wait for a person.
    pub held_sweeps: Vec<HeldSweep>,
    /// Everything was listed.
    pub listed_all: bool,
    /// The id of the run that follows, where one was asked for meanwhile.
    pub next_id: String,
}

/// A run's last write: how it ends or pauses, and what of it was not written yet.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The claim, which ends with this.
    pub fence: Fence,
    /// The run's id.
    pub run: String,
    /// How it ends, or pauses.
    pub end: RunEnd,
    /// How far it came. `None`: as its commits said.
    pub progress: Option<RunProgress>,
    /// Checkpoints that came with no change, and so were not worth a commit of their own.
    pub states: Vec<ScopeState>,
    /// The last lines of its log.
    pub log: LogPart,
}

/// Lines for a run's log.
#[derive(Clone, Debug, Default)]
pub struct LogPart {
    /// In order.
    pub lines: Vec<LogLine>,
    /// Lines that came too fast and were not kept.
    pub dropped: u64,
    /// How many lines a run's log may hold; what is over is counted and dropped.
    pub max: u64,
}

/// What was asked of a new run, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Queued {
    /// It waits for a worker.
    New(Run),
    /// One was queued or parked already, and now does what was asked.
    Existing(Run),
    /// One is under way that may have passed what was asked for, or a re-normalization is queued or under way; another
    /// one follows it.
    Follows(Run),
}

/// What a replica asks for when it has free places.
#[derive(Clone, Debug, Default)]
pub struct Claiming {
    /// The replica.
    pub holder: String,
    /// How long it may be silent before others take over.
    pub lease: Duration,
    /// How many runs at most.
    pub places: usize,
    /// What may be under way at once, over all replicas.
    pub limits: ClaimLimits,
    /// Where the look at what waits begins: behind this lane. `None`: at the first.
    pub after: Option<LaneKey>,
}

/// What a replica got.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// The runs, now its own.
    pub claims: Vec<Claim>,
    /// Behind which lane the next look begins. `None`: nothing waits.
    pub after: Option<LaneKey>,
}

/// A run that is now the caller's, with everything that it needs to begin.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The run, marked as running.
    pub run: Run,
    /// The right to write.
    pub fence: Fence,
    /// Whose run.
    pub connection: Connection,
    /// Where its scopes stand, ordered by scope.
    pub states: Vec<ScopeState>,
    /// What else earlier runs left.
    pub leftovers: Leftovers,
}

/// How many organisations and connectors one look at what waits goes through, for so many places: more than there are
/// places, because some may be at their limits. The next look begins behind them.
pub fn lanes_in_a_look(places: usize) -> usize {
    places.saturating_mul(2).clamp(16, 256)
}

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only of this connection.
    pub connection: Option<ConnectionKey>,
    /// Only of this organisation; empty for all.
    pub organization: String,
}

/// What the store does with runs.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Says each time that runs were queued, cancelled or reset, here or (where the store is shared) by another
    /// replica. A change may also be missed: whoever follows looks at a clock as well.
    fn run_changes(&self) -> watch::Receiver<u64>;

    /// Queues a run, unless one is queued, running or parked for the connection. A queued one takes on `work`; a
    /// parked one is queued again; behind a running one that does less than is asked, or may have passed what a webhook
    /// hints at, one more follows.
    ///
    /// # Errors
    /// `Missing("connection")`, also where it is being deleted.
    async fn queue_run(
        &self,
        id: String,
        connection: ConnectionKey,
        trigger: Trigger,
        work: Work,
        now: DateTime<Utc>,
    ) -> Result<Queued>;

    /// Queues a re-normalization, unless a run of either kind is queued, running or parked for the connection.
    ///
    /// # Errors
    /// `Missing("connection")`, also where it is being deleted.
    async fn queue_renormalization(
        &self,
        id: String,
        connection: ConnectionKey,
        now: DateTime<Utc>,
    ) -> Result<Queued>;

    /// Queues a run for up to `limit` connections that are due, the longest overdue first (ids come from `new_id`),
    /// says when each is due again, and queues again each parked run whose time has come. A connection whose run is
    /// under way is passed over, or gets one more afterwards, as its schedule says.
    async fn queue_due_runs(
        &self,
        new_id: fn() -> String,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<DueRuns>;

    /// Corrects what was written while a clock showed later times than `now`: connections behind `after`, up to `limit`, are
    /// due when their schedules say now, and parked runs go on. Says behind which connection to go on; `None` at the end.
    async fn turn_back(
        &self,
        after: ConnectionKey,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Option<ConnectionKey>>;

    /// Takes queued runs by [`fair::choose`], claims their connections and marks them running. A connection that is
    /// being deleted is left to its deletion, whose claim would end.
    async fn claim_runs(&self, claiming: Claiming, now: DateTime<Utc>) -> Result<Claims>;

    /// Renews the leases of these claims. Returns the claims that are no longer the caller's.
    async fn renew_leases(
        &self,
        fences: Vec<Fence>,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<Fence>>;

    /// Those of these claims that are no longer the caller's.
    async fn lost_claims(&self, fences: Vec<Fence>) -> Result<Vec<Fence>>;

    /// Ends claims whose lease ran out (`everyone`: all claims, for the start of a store's only replica) and queues
    /// their runs again. Says how many runs.
    async fn take_over(&self, everyone: bool, now: DateTime<Utc>) -> Result<u64>;

    /// When something is next due: a schedule, or the end of a pause.
    async fn next_due(&self) -> Result<Option<DateTime<Utc>>>;

    /// Ends or pauses runs, each by itself and all in one transaction, ends their claims, and sets what the connections
    /// show of them: of a sync also when it last went through and when it is due again, on which a re-normalization has no
    /// bearing. The answers are in the order of the outcomes.
    ///
    /// # Errors
    /// For all: the database failed and nothing was written. For one: `Fenced`, `Missing("run")`, `Illegal`.
    async fn end_runs(&self, outcomes: Vec<RunOutcome>, now: DateTime<Utc>) -> Result<Vec<Result<()>>>;

    /// Cancels a run in whatever state, and ends its claim: whoever works on it can write no more. Says whether it was
    /// still to be cancelled.
    async fn cancel_run(&self, id: &str, now: DateTime<Utc>) -> Result<bool>;

    /// Gets one run.
    async fn run(&self, id: &str) -> Result<Option<Run>>;

    /// The connection's run that is queued, running or parked.
    async fn active_run(&self, connection: ConnectionKey) -> Result<Option<Run>>;

    /// Lists runs, newest first, those with an id before `before`.
    async fn runs(&self, filter: RunFilter, before: Option<String>, limit: usize) -> Result<Listed<Run>>;

    /// Appends to a run's log.
    async fn append_log(&self, run: &str, part: LogPart) -> Result<()>;

    /// Lists a run's log from after line `after`; says too how many lines were dropped.
    async fn run_log(
        &self,
        run: &str,
        min_level: Level,
        after: i64,
        limit: usize,
    ) -> Result<(Listed<StoredLogLine, i64>, u64)>;

    /// Removes up to `limit` runs that ended before `before`, with their logs. Says how many.
    async fn trim_runs(&self, before: DateTime<Utc>, limit: usize) -> Result<u64>;

    /// Looks at up to `limit` runs, in the order of their ends behind `after`, and removes of their connections what has
    /// ended and is not among the newest `keep`, with its logs; `limit` runs at most. What is looked at grows with what
    /// ran, and not with what is kept.
    async fn trim_surplus_runs(&self, keep: usize, after: LookedAt, limit: usize) -> Result<Surplus>;
}
