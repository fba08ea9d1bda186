//! Runs: executions of a sync, and their logs.

pub mod sqlite;

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use superfasttt_proto::connector::v1::{PullMode, Reason, log_record::Level};
use superfasttt_proto::control::v1::run::{State, Trigger};
use superfasttt_proto::error::ConnectorError;

use super::{ConnectionKey, Fence, Listed, Result};

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
    /// Everything was asked for.
    pub full: bool,
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
            message: error.message.clone(),
            code: error.code.clone(),
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
}

/// What was asked of a new run, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Queued {
    /// It waits for a worker.
    New(Run),
    /// One was under way already.
    Existing(Run),
}

/// What the store does with runs.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Queues a run, unless one is queued, running or parked for the connection. A queued one takes on `full`; a
    /// parked one is queued again.
    ///
    /// # Errors
    /// `Missing("connection")`, also where it is being deleted.
    async fn queue_run(
        &self,
        id: String,
        connection: ConnectionKey,
        trigger: Trigger,
        full: bool,
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

    /// Queues a run for each connection that is due (ids come from `new_id`), and again each parked run whose time
    /// has come. Says how many.
    async fn queue_due_runs(&self, new_id: fn() -> String, now: DateTime<Utc>) -> Result<u64>;

    /// Takes the oldest queued run, claims its connection and marks it running. A connection that is being deleted is
    /// left to its deletion, whose claim would end.
    async fn claim_run(&self, now: DateTime<Utc>) -> Result<Option<(Run, Fence)>>;

    /// When something is next due: a schedule, or the end of a pause.
    async fn next_due(&self) -> Result<Option<DateTime<Utc>>>;

    /// Queues again every run that is marked running: for the start of a store's only replica. Says how many.
    async fn requeue_running(&self) -> Result<u64>;

    /// Decides the mode, and counts one more pull.
    async fn begin_pull(&self, fence: Fence, run: &str, mode: PullMode) -> Result<()>;

    /// Ends or pauses a run, and sets what the connection shows of it: of a sync also when it last went through and when
    /// it is due again, on which a re-normalization has no bearing.
    ///
    /// # Errors
    /// `Missing("run")`.
    async fn end_run(&self, fence: Fence, run: &str, end: RunEnd, now: DateTime<Utc>) -> Result<Run>;

    /// Ends a run that nobody works on (queued or parked). Says whether there was one to end.
    async fn cancel_waiting_run(&self, id: &str, now: DateTime<Utc>) -> Result<bool>;

    /// Gets one run.
    async fn run(&self, id: &str) -> Result<Option<Run>>;

    /// The connection's run that is queued, running or parked.
    async fn active_run(&self, connection: ConnectionKey) -> Result<Option<Run>>;

    /// Lists runs, newest first, those with an id before `before`.
    async fn runs(
        &self,
        connection: Option<ConnectionKey>,
        before: Option<String>,
        limit: usize,
    ) -> Result<Listed<Run>>;

    /// Appends to a run's log, up to `max` lines in all; what is over is counted and dropped.
    async fn append_log(&self, run: &str, lines: Vec<LogLine>, max: u64) -> Result<()>;

    /// Lists a run's log from after line `after`; says too how many lines were dropped.
    async fn run_log(
        &self,
        run: &str,
        min_level: Level,
        after: i64,
        limit: usize,
    ) -> Result<(Listed<StoredLogLine, i64>, u64)>;

    /// Removes ended runs, with their logs: all but the newest `keep` of each connection, and those that ended
    /// before `before`.
    async fn trim_runs(&self, keep: usize, before: DateTime<Utc>) -> Result<u64>;
}
