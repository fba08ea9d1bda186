//! What holds for every provider: what is sent, how answers are judged, where calls may go, and what is never shown.
#![expect(clippy::unwrap_used, reason = "a panic is the failure report, in helpers too")]

mod egress;
mod failures;
mod replies;
mod requests;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod tls;
