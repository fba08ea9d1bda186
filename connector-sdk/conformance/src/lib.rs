//! The conformance kit: drives a connector over the wire, in any language, and says whether it keeps the contract.
//!
//! [`run`] tries the [`checks`] one after another against a [`Workbench`] and makes a [`Report`]. A check asks the connector
//! what connectord would ask of it on a bad day, and compares the answers with a small model of what connectord would
//! then hold. To add one, write a function in a file under `checks/`, name it in `checks/mod.rs` and in
//! `docs/conformance.md`, and break it on purpose in `wrong/`: a test holds the three together.
//!
//! - `program`, `process`, `wire`: starting a connector as connectord does, and calling it
//! - `plan`, `credential`, `source`, `proxy`: what it reads, by `conformance.json` in its folder
//! - `pull`, `model`, `sync`: pulls, and what an engine that commits them holds
//! - `local`: the same start for a tool that an author works with
//! - `checks`, `outcome`, `report`, `junit`: what is tried, and how it is told

mod canary;
pub mod checks;
mod credential;
mod junit;
mod local;
mod manifest;
mod model;
mod outcome;
mod output;
mod plan;
mod process;
mod proxy;
mod pull;
mod report;
mod run;
mod schemas;
mod source;
mod sync;
mod target;
mod wire;
mod workbench;

pub use self::local::{Local, Running};
pub use self::manifest::Manifest;
pub use self::outcome::{Finding, Outcome};
pub use self::output::Stream;
pub use self::report::{CheckReport, Report};
pub use self::run::{Options, run};
pub use self::target::{Endpoint, Target, TargetError};
pub use self::wire::Client;
pub use self::workbench::Workbench;
pub use superfasttt_conformance_proof::Level;
