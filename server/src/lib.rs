//! connectord: the control service of superfasttt connectors. The folders follow one sync, step by step; what each
//! holds is told at its top.

pub mod access;
pub mod api;
pub mod catalog;
pub mod chance;
pub mod clock;
pub mod config;
pub mod content;
pub mod credentials;
pub mod documents;
pub mod keys;
pub mod process;
pub mod redact;
pub mod schedule;
pub mod serve;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod vault;
