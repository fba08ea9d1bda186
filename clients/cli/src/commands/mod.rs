//! One file per group of commands: its arguments, what it asks the server, and how the answer is shown.

pub mod approve;
pub mod audit;
pub mod completions;
pub mod conformance;
pub mod connections;
pub mod connectors;
pub mod consumers;
pub mod credentials;
pub mod dev;
pub mod documents;
pub mod errors;
pub mod item_errors;
pub mod new;
pub mod oauth_apps;
pub mod run_logs;
pub mod runs;
pub mod state;
pub mod status;
pub mod sync;
pub mod tokens;
pub mod watch;
