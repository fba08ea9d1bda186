//! The command line of connectord.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// connectord runs connectors, syncs what they bring and serves it as a feed of documents.
///
/// Without a subcommand it serves until it is stopped: the control API on 127.0.0.1:7070. Ctrl-C or SIGTERM stops it
/// cleanly; a second one at once.
///
/// Each value comes from the last of these that gives it: the defaults; connectord.toml in the current folder, or
/// the file named by --config; environment variables CONNECTORD_SECTION__KEY (for example
/// CONNECTORD_SYNC__MAX_CONCURRENT_RUNS=4); the arguments.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "connectord",
    version,
    after_help = "Examples:\n  \
        connectord                                      serve with ./connectors and ./data\n  \
        connectord --data-dir /var/lib/connectord       keep the state there\n  \
        connectord config default > connectord.toml     begin a configuration of your own\n  \
        connectord config check                         say all that is wrong with it\n  \
        connectord keys rotate --generate               seal all secrets with a new key"
)]
pub struct Args {
    /// The configuration file [default: connectord.toml, if it is there]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Where the database is kept; made if it is not there [default: data]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,

    /// Where the connectors are, one folder for each [default: connectors]
    #[arg(long, value_name = "DIR", global = true)]
    pub connectors_dir: Option<PathBuf>,

    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),

    /// Make, look at and change the keys that secrets are sealed with
    #[command(subcommand)]
    Keys(KeysCommand),

    /// Turn documents into text, as a worker of a running connectord
    #[command(hide = true)]
    ExtractWorker,
}

/// What to do with the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Say whether it can be used, and all that is wrong with it
    Check,
    /// Print the commented default file
    Default,
}

/// What to do with the keys of the vault (docs/vault.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum KeysCommand {
    /// Print a new key
    Generate,
    /// Say how many secrets each key seals
    Status,
    /// Seal all secrets with the newest key, also while servers run; again, it goes on where it was
    Rotate {
        /// First put a new key in front of the key file
        #[arg(long)]
        generate: bool,
    },
}
