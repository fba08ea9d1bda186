//! What people see of a connector's processes.

use chrono::{DateTime, Utc};

/// One process of a connector, or the place of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessStatus {
    /// The connector.
    pub connector_id: String,
    /// The organisation that it works for; `None`: all of them.
    pub organization: Option<String>,
    /// The connection that it works for; `None`: all of the organisation's.
    pub connection: Option<String>,
    /// How it does.
    pub state: ProcessState,
    /// It runs, and did not answer its last health check.
    pub unhealthy: bool,
    /// Since when it does as it does.
    pub since: DateTime<Utc>,
    /// When its health was last asked for; `None` while there is no process.
    pub checked_at: Option<DateTime<Utc>>,
    /// The process id; `None` while there is no process here.
    pub pid: Option<u32>,
    /// When it was started; `None` while there is no process.
    pub started_at: Option<DateTime<Utc>>,
    /// How often it was started again after it failed.
    pub restarts: u64,
    /// Why it last failed, or did not answer; `None`: it never did.
    pub last_error: Option<String>,
    /// How much memory it and its children use, as last measured; 0: not measured.
    pub resident_bytes: u64,
}

/// How a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessState {
    /// Started, and not ready yet.
    Starting,
    /// Serving calls.
    Ready,
    /// Crashed; the next use starts it again after a pause.
    Backoff,
    /// Not needed at the moment.
    #[default]
    Stopped,
    /// It could not be started; the next use tries again after a pause.
    Failed,
}

impl ProcessState {
    /// The word for tables and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            ProcessState::Starting => "starting",
            ProcessState::Ready => "ready",
            ProcessState::Backoff => "backoff",
            ProcessState::Stopped => "stopped",
            ProcessState::Failed => "failed",
        }
    }
}
