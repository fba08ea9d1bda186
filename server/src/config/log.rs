//! Section `log`: what connectord says on stderr.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::problem::Checks;

/// What connectord says on stderr.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A level (error, warn, info, debug, trace), or directives such as "info,connectord::sync=debug".
    pub filter: String,
    /// For people or for programs.
    pub format: LogFormat,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A line to read.
    #[default]
    Text,
    /// An object on each line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::default() }
    }
}

impl LogConfig {
    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        let parsed = EnvFilter::builder().parse(&self.filter);
        let error = parsed.as_ref().err().map(ToString::to_string).unwrap_or_default();
        checks.require(parsed.is_ok(), "filter", || {
            format!("{:?} is not a filter ({error}); write for example \"info\"", self.filter)
        });
    }
}
