//! The program of a connector: what connectord starts, and a tool for its author.

mod connection;
mod cursors;
mod info;
mod output;
mod pull;
mod test;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::connector::Connector;
use crate::log;
use crate::program::connection::ConnectionOptions;
use crate::program::output::Output;
use crate::program::pull::PullOptions;
use crate::serve::{self, ServeError};

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// A connector. connectord starts it without arguments; the commands are for its author.
#[derive(Parser)]
#[command(name = "connector", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// What connectord calls; the same as no command
    Serve,
    /// The manifest, what is served, what is wrong with it
    Info(OutputOptions),
    /// Try a connection: each check, with what to do
    Test {
        #[command(flatten)]
        connection: ConnectionOptions,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Pull in this process: the documents, item errors, and at the end counts and cursors
    Pull {
        #[command(flatten)]
        connection: ConnectionOptions,
        #[command(flatten)]
        pull: PullOptions,
        #[command(flatten)]
        output: OutputOptions,
    },
}

#[derive(Args)]
struct OutputOptions {
    /// A line of JSON for each
    #[arg(long)]
    json: bool,
}

/// How a command ended that did not do what it was asked to.
enum Failure {
    /// What was given cannot be used.
    Usage(String),
    Failed(String),
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::StartedByHand(_) => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The whole `main` of a connector. Without arguments it reads the environment, logs to stderr and serves until SIGTERM or
/// SIGINT; `--help` tells the commands for its author.
///
/// ```no_run
/// # use superfasttt_connector::{Connector, serve};
/// # fn main_of<C: Connector>(my_connector: C) -> std::process::ExitCode {
/// serve(my_connector)
/// # }
/// ```
pub fn serve<C: Connector>(connector: C) -> ExitCode {
    let done = match Arguments::parse().command {
        None | Some(Command::Serve) => serve::serve_from_env(connector).map_err(Failure::from),
        Some(command) => {
            log::to_stderr();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run(connector, command)))
        }
    };
    let (word, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(word)) => (word, USAGE),
        Err(Failure::Failed(word)) => (word, FAILED),
    };
    #[expect(clippy::print_stderr, reason = "the program's last word, to whoever started it")]
    {
        eprintln!("{word}");
    }
    ExitCode::from(code)
}

async fn run<C: Connector>(connector: C, command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve => Ok(()),
        Command::Info(output) => info::info(&connector, &Output::new(output.json)),
        Command::Test { connection, output } => {
            test::test(connector, &connection, &Output::new(output.json)).await
        }
        Command::Pull { connection, pull, output } => {
            pull::pull(connector, &connection, &pull, &Output::new(output.json)).await
        }
    }
}
