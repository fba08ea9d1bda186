//! The log on stderr, without the secrets that are in use, and beside it, where a collector is named, the spans that go there.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::traces::{self, Traces, TracesError};
use crate::config::{LogConfig, LogFormat, TelemetryConfig};
use crate::redact;

/// Begins to log, and to send traces. Call it once, inside of the runtime.
///
/// # Errors
/// The collector's address cannot be used.
pub fn start(log: &LogConfig, telemetry: &TelemetryConfig) -> Result<Option<Traces>, TracesError> {
    // `Config::load` has checked the filter.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_default();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(redact::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let (layer, traces) = traces::start(telemetry)?.unzip();
    // Each has a filter of its own: what is traced does not depend on what is logged.
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(layer).init();
    Ok(traces)
}
