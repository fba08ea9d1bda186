//! The one table of metrics: names, kinds, labels and help. `describe_*` is called from it, and tests hold the
//! documentation, the dashboard and the alert rules against it.
//!
//! Labels are few and have few values: a connector's id, a reason, an outcome, an operation. Ids of connections, runs
//! and documents, and names of organisations, are never labels. Values come in the order of the labels.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Label, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations, counted by how long they were.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        })
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// `connectord_<name>_<unit>[_total]`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

/// Counts something, with `N` labels.
#[derive(Clone, Copy, Debug)]
pub struct Counter<const N: usize>(Metric, [&'static str; N]);

/// Shows how much of something there is, with `N` labels.
#[derive(Clone, Copy, Debug)]
pub struct Gauge<const N: usize>(Metric, [&'static str; N]);

/// Counts durations, with `N` labels.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<const N: usize>(Metric, [&'static str; N]);

impl<const N: usize> Counter<N> {
    /// Adds `count` for these values of the labels.
    pub fn add(&self, values: [&str; N], count: u64) {
        metrics::counter!(self.0.name, labels(self.1, values)).increment(count);
    }
}

impl<const N: usize> Gauge<N> {
    /// Shows `value` for these values of the labels.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats, and exact up to 2^53")]
    pub fn set(&self, values: [&str; N], value: u64) {
        self.set_float(values, value as f64);
    }

    /// As [`Self::set`], for what is no whole number.
    pub fn set_float(&self, values: [&str; N], value: f64) {
        metrics::gauge!(self.0.name, labels(self.1, values)).set(value);
    }

    /// Shows one more for as long as the guard lives.
    #[must_use = "it is shown for as long as the guard lives"]
    pub fn enter(&self, values: [&str; N]) -> GaugeGuard {
        let gauge = metrics::gauge!(self.0.name, labels(self.1, values));
        gauge.increment(1.0);
        GaugeGuard(gauge)
    }
}

impl<const N: usize> Histogram<N> {
    /// Counts a duration for these values of the labels.
    pub fn record(&self, values: [&str; N], duration: Duration) {
        metrics::histogram!(self.0.name, labels(self.1, values)).record(duration);
    }
}

/// Keeps a gauge one higher.
pub struct GaugeGuard(metrics::Gauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl fmt::Debug for GaugeGuard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GaugeGuard")
    }
}

fn labels<const N: usize>(names: [&'static str; N], values: [&str; N]) -> Vec<Label> {
    names.into_iter().zip(values).map(|(name, value)| Label::new(name, value.to_owned())).collect()
}

/// Writes a constant for each row, and the table of all rows.
macro_rules! table {
    ($($constant:ident: $kind:ident [$($label:literal),*] $name:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: $kind<{ <[&str]>::len(&[$($label),*]) }> = $kind(
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help },
                [$($label),*],
            );
        )*

        /// All metrics.
        pub const TABLE: &[Metric] = &[$($constant.0),*];
    };
}

table! {
    RUNS_STARTED: Counter ["connector", "trigger"] "connectord_runs_started_total",
        "Runs that this process began to work on; one that was parked or handed over is counted again.";
    RUNS_ENDED: Counter ["connector", "outcome"] "connectord_runs_ended_total",
        "Runs that this process ended. outcome: succeeded, succeeded_with_errors, failed, cancelled, parked, queued (handed back at a stop), lost (its lease was taken over, or its end could not be written).";
    RUN_FAILURES: Counter ["connector", "reason"] "connectord_run_failures_total",
        "Failed runs by reason, as in docs/errors.";
    RUN_DURATION: Histogram ["connector", "outcome"] "connectord_run_duration_seconds",
        "How long this process worked on a run, from its claim to its end or pause.";
    RUNS_IN_PROGRESS: Gauge ["connector"] "connectord_runs_in_progress",
        "Runs that this process works on now.";
    RUNS_QUEUED: Gauge [] "connectord_runs_queued",
        "Runs that wait for a worker, in the whole installation.";
    RUNS_QUEUED_OLDEST_AGE: Gauge [] "connectord_runs_queued_oldest_age_seconds",
        "How long the oldest queued run has waited, in the whole installation. 0: none waits.";
    RUNS_PARKED: Gauge [] "connectord_runs_parked",
        "Runs that wait until their source allows them to go on, in the whole installation.";
    CONNECTIONS_DUE: Gauge [] "connectord_connections_due",
        "Connections whose next run is due and not queued yet, in the whole installation.";
    LAST_SUCCESS: Gauge ["connector"] "connectord_connector_last_success_timestamp_seconds",
        "When a run of the connector last went through in this process, in Unix time. Absent: none has since the start.";
    DOCUMENTS: Counter ["connector", "outcome"] "connectord_documents_total",
        "Documents in committed changes. outcome: created, updated, deleted, unchanged.";
    ITEM_ERRORS: Counter ["connector", "reason"] "connectord_item_errors_total",
        "Items that could not be read, by reason, each time that they could not.";
    PULLS: Counter ["connector", "mode", "outcome"] "connectord_pulls_total",
        "Calls of Pull. mode: incremental, full, list, targeted. outcome: ok, or the reason that cut it off.";
    PULL_PAGES: Counter ["connector"] "connectord_pull_pages_total",
        "Pages that were committed.";
    PULL_BYTES: Counter ["connector"] "connectord_pull_bytes_total",
        "Bytes of committed pages as they came over the wire.";
    COMMIT_DURATION: Histogram ["connector", "outcome"] "connectord_commit_duration_seconds",
        "How long the commit of a group of changes took; its count is the number of commits. outcome: ok, fenced (another claim was made), failed.";
    SWEEPS_HELD: Counter ["connector"] "connectord_sweeps_held_total",
        "Sweeps that wait for a person to approve their deletions.";
    CONTENTS: Counter ["connector"] "connectord_contents_fetched_total",
        "Times that the content of a document was fetched.";
    CONTENTS_WITHOUT_TEXT: Counter ["connector"] "connectord_contents_without_text_total",
        "Contents that hold no text, or none that can be read.";
    CONTENT_BYTES: Counter ["connector"] "connectord_content_bytes_total",
        "Bytes of content that were fetched.";
    CONTENT_TEXT_BYTES: Counter ["connector"] "connectord_content_text_bytes_total",
        "Bytes of text that were extracted from content.";
    CONTENT_DURATION: Histogram ["step", "outcome"] "connectord_content_duration_seconds",
        "How long a document's content took. step: fetch (from the source), extract (its text). outcome: ok, failed.";
    LEASES_HELD: Gauge [] "connectord_leases_held",
        "Connections that this process holds a lease on.";
    LEASE_RENEWALS: Counter ["outcome"] "connectord_lease_renewals_total",
        "Leases that were to be renewed. outcome: ok, lost (somebody else's by then), failed (the store could not be asked).";
    LEASES_LOST: Counter [] "connectord_leases_lost_total",
        "Leases that this process lost while it worked: taken over by another, or the run was cancelled by a person.";
    RUNS_TAKEN_OVER: Counter [] "connectord_runs_taken_over_total",
        "Runs of others that this process queued again because their lease had ended, also at its start.";
    FEED_HEAD: Gauge [] "connectord_feed_head_offset",
        "The newest offset of the feed.";
    CONSUMER_LAG: Gauge ["consumer"] "connectord_feed_consumer_lag_entries",
        "Entries that lie before a consumer. Of the first 100 consumers by name.";
    CONSUMER_LAG_SECONDS: Gauge ["consumer"] "connectord_feed_consumer_lag_seconds",
        "How long the first entry that a consumer has not committed has been in the feed. 0: it is caught up. Of the first 100 consumers by name.";
    CONNECTOR_ENABLED: Gauge ["connector"] "connectord_connector_enabled",
        "1: the connector may be used. 0: an administrator disabled it.";
    CONNECTOR_HEALTHY: Gauge ["connector"] "connectord_connector_healthy",
        "1: its processes, or the connector that runs elsewhere, answer SERVING. 0: at least one does not, or crashed and waits. Absent: nothing runs.";
    CONNECTOR_PROCESSES: Gauge ["connector", "state"] "connectord_connector_processes",
        "Processes of the connector. state: starting, ready, backoff, failed, stopped.";
    CONNECTOR_RESIDENT: Gauge ["connector"] "connectord_connector_resident_memory_bytes",
        "Memory of the connector's processes and their children.";
    CONNECTOR_RESTARTS: Counter ["connector"] "connectord_connector_restarts_total",
        "Processes that were started again after they failed.";
    CONNECTOR_FAILURES: Counter ["connector", "cause"] "connectord_connector_failures_total",
        "Processes that ended as they should not. cause: crashed, memory (over its limit), unhealthy (did not answer), not_started.";
    HEALTH_CHECKS: Counter ["connector", "outcome"] "connectord_connector_health_checks_total",
        "Health checks. outcome: serving, not_serving, failed.";
    AUTHORIZATIONS: Counter ["connector", "outcome"] "connectord_authorizations_total",
        "Answers that came to an authorization of an account and were worked on. outcome: connected, other_account (waits for a person to confirm it), denied (the person did not agree), provider_error, no_access (the code brought nothing), failed (something here is at fault).";
    CREDENTIAL_REFRESHES: Counter ["connector", "outcome"] "connectord_credential_refreshes_total",
        "Times that an access token was to be renewed. outcome: ok, refused (a person has to connect again), misconfigured (the OAuth app or the manifest is wrong), unclear (tried again later), not_asked (there is no OAuth app, or something here is at fault).";
    STORE_DURATION: Histogram ["operation", "outcome"] "connectord_store_operation_duration_seconds",
        "How long an operation of the store took, waiting for its turn included; its count is the number of operations. outcome: ok, refused (fenced, taken, missing, in conflict), failed.";
    STORE_UP: Gauge [] "connectord_store_up",
        "1: what is read of the store for this page could be read. 0: it could not, and the gauges of the whole installation are from before.";
    AUDIT_EVENTS_LOST: Counter [] "connectord_audit_events_lost_total",
        "Events that are not in the audit log: it could not be written, or too many different ones came at a time.";
    TRACE_EXPORTS: Counter ["outcome"] "connectord_trace_exports_total",
        "Batches of spans that were sent to the collector. outcome: ok, failed. Only with telemetry.otlp_endpoint.";
    BUILD_INFO: Gauge ["version", "store"] "connectord_build_info",
        "Always 1: the version, and what the store is.";
    UPTIME: Gauge [] "connectord_process_uptime_seconds",
        "How long this process has been up.";
    RESIDENT: Gauge [] "connectord_process_resident_memory_bytes",
        "Memory of connectord itself.";
    CPU: Gauge [] "connectord_process_cpu_seconds",
        "Processor time of connectord itself.";
    OPEN_FILES: Gauge [] "connectord_process_open_files",
        "Files and sockets that connectord has open.";
}

/// Upper bounds of the histograms' buckets, in seconds: operations of the store and content, which are short, and runs,
/// which may take days.
const SHORT_BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
const RUN_BUCKETS: [f64; 12] =
    [0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 172_800.0];

static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to collect, once in a process; what is counted before is lost.
///
/// # Errors
/// Something else in this process collects already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    if let Some(installed) = INSTALLED.get() {
        return Ok(installed.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets(&SHORT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(RUN_DURATION.0.name.to_owned()), &RUN_BUCKETS)?
        .install_recorder()?;
    describe();
    Ok(INSTALLED.get_or_init(|| handle).clone())
}

fn describe() {
    for Metric { name, kind, help, .. } in TABLE {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, Unit::Seconds, *help),
        }
    }
}
