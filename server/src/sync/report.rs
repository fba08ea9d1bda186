//! What a run tells while it goes: its live state for those who watch, and its log.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use superfasttt_proto::connector::v1::{LogRecord, Progress, log_record::Level};
use tokio::sync::{Notify, watch};

use super::change::cut;
use super::port::StderrLine;
use crate::clock::SharedClock;
use crate::redact;
use crate::store::runs::{LogLine, Run, RunCounts};
use crate::telemetry;

/// Lines that wait to be written; more are counted.
const MAX_WAITING_LINES: usize = 1_000;
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
const MAX_FIELDS: usize = 32;

/// A run as it is at this moment.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveRun {
    /// The run.
    pub run: Run,
    /// What the connector says of how far it is.
    pub progress: Option<Progress>,
}

/// The voice of one run.
#[derive(Debug)]
pub struct Report {
    live: watch::Sender<LiveRun>,
    /// Lines that wait to be written, and how many there was no room for.
    lines: Mutex<(Vec<LogLine>, u64)>,
    /// Many lines wait.
    many: Notify,
    /// The connector's id.
    connector: String,
    clock: SharedClock,
}

impl Report {
    /// Begins to tell of a run of this connector.
    pub fn new(run: Run, connector: &str, clock: SharedClock) -> Self {
        let live = watch::Sender::new(LiveRun { run, progress: None });
        Self { live, lines: Mutex::default(), many: Notify::new(), connector: connector.to_owned(), clock }
    }

    /// The connector's id.
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// The run as it is now.
    pub fn run(&self) -> Run {
        self.live.borrow().run.clone()
    }

    /// Follows the run.
    pub fn watch(&self) -> watch::Receiver<LiveRun> {
        self.live.subscribe()
    }

    /// Tells a change of the run.
    pub fn update(&self, change: impl FnOnce(&mut Run)) {
        self.live.send_modify(|live| change(&mut live.run));
    }

    /// Tells what was done so far.
    pub fn counts(&self, counts: RunCounts) {
        self.update(|run| {
            telemetry::runs::moved_on(&self.connector, &run.counts, &counts);
            run.counts = counts;
        });
    }

    /// Tells how far the connector is.
    pub fn progress(&self, mut progress: Progress) {
        progress.message = cut(redact::string(progress.message), MAX_MESSAGE_BYTES);
        self.live.send_modify(|live| live.progress = Some(progress));
    }

    /// A line of the connector's.
    pub fn connector_log(&self, record: LogRecord) {
        let level = match record.level() {
            Level::Unspecified => Level::Info,
            level => level,
        };
        let fields = record.fields.into_iter().take(MAX_FIELDS);
        let fields =
            fields.map(|(name, value)| (cut(redact::string(name), 256), cut(redact::string(value), 1024)));
        let fields = fields.collect();
        self.push(level, "connector", record.message, fields);
    }

    /// A line that the connector's process wrote to stderr.
    pub fn stderr(&self, line: StderrLine) {
        self.push(line.level, "stderr", line.text, BTreeMap::new());
    }

    /// A line of the engine's.
    pub fn log<const N: usize>(&self, level: Level, message: impl Into<String>, fields: [(&str, String); N]) {
        let fields =
            fields.into_iter().map(|(name, value)| (name.to_owned(), redact::string(value))).collect();
        self.push(level, "engine", message.into(), fields);
    }

    /// Takes the lines that wait to be written, and how many came too fast to be kept.
    pub fn take_lines(&self) -> (Vec<LogLine>, u64) {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until many lines wait to be written.
    pub async fn many_lines(&self) {
        self.many.notified().await;
    }

    fn push(&self, level: Level, origin: &'static str, message: String, fields: BTreeMap<String, String>) {
        let line = LogLine {
            time: self.clock.now(),
            level,
            origin,
            message: cut(redact::string(message), MAX_MESSAGE_BYTES),
            fields,
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.0.len() < MAX_WAITING_LINES {
            lines.0.push(line);
            if lines.0.len() == MAX_WAITING_LINES / 2 {
                self.many.notify_one();
            }
        } else {
            lines.1 += 1;
        }
    }
}

/// The runs of this process that are under way.
#[derive(Debug, Default)]
pub struct LiveRuns {
    reports: Mutex<HashMap<String, Arc<Report>>>,
}

impl LiveRuns {
    /// Adds a run until the guard is dropped.
    pub fn enter(self: &Arc<Self>, id: &str, report: Arc<Report>) -> LiveGuard {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), report);
        LiveGuard { runs: self.clone(), id: id.to_owned() }
    }

    /// A run that is under way here.
    pub fn get(&self, id: &str) -> Option<Arc<Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Keeps a run among the live ones.
#[derive(Debug)]
pub struct LiveGuard {
    runs: Arc<LiveRuns>,
    id: String,
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        self.runs.reports.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
