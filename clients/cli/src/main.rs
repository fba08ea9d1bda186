//! `connectorctl`: the command line of superfasttt connectors.
//!
//! It speaks the control API of connectord, so whatever it does a program can do too; `new`, `dev` and `conformance` are for
//! authors of connectors and need no server. Data goes to stdout, as tables for people or proto JSON for programs; everything else goes to stderr. Exit codes: 0 done,
//! 1 failed, 2 usage.
//!
//! Each group of commands is one file under `commands`, its arguments beside its code. `client` reaches the
//! server, `resolve` finds connections and runs by the names that people use, `output` prints, `error` says what
//! went wrong and who must act. `scaffold` makes folders of new connectors, `dev` pulls from one.

mod cli;
mod client;
mod commands;
mod context;
mod dev;
mod error;
mod fernet;
mod local_input;
mod output;
mod pages;
mod resolve;
mod run_view;
mod scaffold;
mod schedule;
mod secret_input;
mod settings;
mod trust;
mod watch_run;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::error::report;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let server = cli.server.clone();
    // One thread is enough: the work is waiting for one server.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error.into(), &server),
    };
    match runtime.block_on(cli::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error, &server),
    }
}
