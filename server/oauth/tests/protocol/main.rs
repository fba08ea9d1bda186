//! What holds for every provider: what is sent, how answers are judged, where calls may go, and what is never shown.

mod egress;
mod failures;
mod replies;
mod requests;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod tls;
