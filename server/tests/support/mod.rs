//! What the tests of the whole path share: real processes, a client, and scripts for the scripted connector.
//!
//! [`Server`] is a connectord of its own: a temporary data folder, on PostgreSQL a database, a free port, a connectors folder with the scripted
//! connector in several declarations and the filesystem connector. [`Client`] calls it; its helpers panic where the
//! server refuses, so that a test reads as what it shows. [`Source`] is a connection with its [`Script`]. Nothing here
//! sleeps a guess: whatever is waited for is a run's end, a line of log or a file, within [`DEADLINE`].

mod binaries;
mod client;
mod collector;
mod disk;
mod leaks;
mod person;
pub mod postgres;
mod script;
mod server;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

pub use client::{Client, new_connection, reason, text};
pub use collector::{Collector, Span};
pub use disk::SmallDisk;
pub use leaks::{all_printed, files, leak, needles};
pub use person::Person;
pub use script::{
    Script, Step, checkpoint, complete, content_doc, deletion, doc, fail, in_scope, item_error, more,
    present, raw, unnamed_error,
};
pub use server::{Server, Source, store};

/// A scripted connector with `incremental`, `full_listing` and `fetch_content`.
pub const SCRIPTED: &str = "scripted";
/// The same with `targeted`.
pub const TARGETED: &str = "scripted-targeted";
/// The same with `list` as well: between full pulls it is compared with the source by ids and versions.
pub const COMPARED: &str = "scripted-compared";
/// One that can only list: each of its runs is FULL.
pub const LISTING: &str = "scripted-listing";
/// One that asks for an API key.
pub const KEYED: &str = "scripted-keyed";
/// One that asks for several values.
pub const SEVERAL: &str = "scripted-several";
/// One whose source is a file of changes (`server/tests/ledger`).
pub const LEDGER: &str = "ledger";
/// The real connector.
pub const FILESYSTEM: &str = "filesystem";

/// What is waited for comes within this time, or never: the machine may be busy with other tests.
pub const DEADLINE: Duration = Duration::from_secs(240);

/// The answer, or a failure that says what did not come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

/// Waits until a condition holds that nothing tells of.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Waits until asking brings something.
pub async fn until_async<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Waits until a file exists.
pub async fn until_exists(path: &Path) {
    until(&format!("the file {}", path.display()), || path.exists()).await;
}
