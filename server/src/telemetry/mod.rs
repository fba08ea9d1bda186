//! What operators watch: metrics for Prometheus, traces for an OTLP collector, and the log.
//!
//! `metrics` is the one table of all metrics; whoever has something to count names its constant there. `runs` has the
//! span and the counters of runs. `scrape` answers `/metrics`: what only the store knows is read then, bounded and kept for a few seconds. `log` puts the layers
//! together, `traces` sends spans to the collector, `traceparent` carries a trace to connectors.

pub mod log;
pub mod metrics;
pub mod operation;
mod own_process;
pub mod runs;
pub mod scrape;
pub mod traceparent;
pub mod traces;
