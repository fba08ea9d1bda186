//! The real binary against a server with canned answers: what people type, and what they and their programs see.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report, in the helpers of tests too")]

mod access;
mod conformance;
mod connections;
mod credentials;
mod dev;
mod documents;
mod errors;
mod fake;
mod new;
mod renormalize;
mod runs;
mod support;
mod sync_wait;
mod tls;
mod watch;
