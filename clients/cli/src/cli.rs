//! The command line as a whole: what goes before every command, and which command goes to which file.

use std::fmt;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::client::{Client, Target};
use crate::commands::{
    approve, audit, completions, conformance, connections, connectors, consumers, credentials, dev,
    documents, errors, new, oauth_apps, runs, state, status, sync, tokens,
};
use crate::context::Context;
use crate::error::Result;
use crate::output::{Format, Output};

const EXAMPLES: &str = "\
Examples:
  connectorctl status                              is the server there, and how does it do
  connectorctl connectors list                     which kinds of sources there are
  connectorctl connections create --connector filesystem --name docs --set root=./docs
  connectorctl sync docs --wait                    bring everything that is in it
  connectorctl documents list --connection docs    see what came
  connectorctl --output json documents watch --content | your-program

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 usage.";

/// Manage superfasttt connectors: connections, syncs and the documents that they bring.
#[derive(Debug, Parser)]
#[command(name = "connectorctl", version, after_help = EXAMPLES, subcommand_required = true)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    /// Where connectord listens: http://HOST:PORT, https://HOST:PORT or unix:///PATH
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "CONNECTORCTL_SERVER",
        help_heading = "Global options"
    )]
    #[arg(default_value = "http://127.0.0.1:7070")]
    pub server: String,

    /// The bearer token that the server asks for; better given in the environment than here
    #[arg(long, global = true, value_name = "TOKEN", env = "CONNECTORCTL_TOKEN", hide_env_values = true)]
    #[arg(help_heading = "Global options")]
    pub token: Option<Secret>,

    /// Certificates to trust for https, PEM. Without it: those that the system trusts
    #[arg(
        long,
        alias = "ca",
        global = true,
        value_name = "FILE",
        env = "CONNECTORCTL_CA_FILE",
        help_heading = "Global options"
    )]
    pub ca_file: Option<PathBuf>,

    /// The certificate to show to a server that asks for one, PEM
    #[arg(long, global = true, value_name = "FILE", env = "CONNECTORCTL_CLIENT_CERT")]
    #[arg(help_heading = "Global options", requires = "client_key")]
    pub client_cert: Option<PathBuf>,

    /// Its private key, PEM
    #[arg(long, global = true, value_name = "FILE", env = "CONNECTORCTL_CLIENT_KEY")]
    #[arg(help_heading = "Global options", requires = "client_cert")]
    pub client_key: Option<PathBuf>,

    /// The organisation in which names are looked up ("default" when not given), and that lists are narrowed to
    #[arg(long, global = true, value_name = "NAME", env = "CONNECTORCTL_ORGANIZATION")]
    #[arg(help_heading = "Global options")]
    pub organization: Option<String>,

    /// Tables for people, or proto JSON for programs: one object, or one per line for lists and streams
    #[arg(long, short, global = true, value_enum, default_value_t, help_heading = "Global options")]
    pub output: Format,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A value that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The value itself; `None` where it is empty, as an unset variable in a script gives it.
    pub fn reveal(&self) -> Option<&str> {
        Some(self.0.trim()).filter(|token| !token.is_empty())
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("REDACTED")
    }
}

/// Every group of commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The kinds of sources that the server knows
    #[command(subcommand, visible_alias = "connector")]
    Connectors(connectors::Command),
    /// The configured uses of connectors: make, change, test, pause and delete them
    #[command(subcommand, visible_alias = "connection")]
    Connections(connections::Command),
    /// What connections authenticate with: connect accounts, enter keys, see how they do
    #[command(subcommand, visible_alias = "credential")]
    Credentials(credentials::Command),
    /// The applications that providers know this installation by
    #[command(subcommand, visible_alias = "oauth-app")]
    OauthApps(oauth_apps::Command),
    /// Ask for a sync of a connection now
    Sync(sync::Args),
    /// The syncs that are under way and that were: state, logs, errors
    #[command(subcommand, visible_alias = "run")]
    Runs(runs::Command),
    /// The items that could not be read: list them, try them again
    #[command(subcommand, visible_alias = "error")]
    Errors(errors::Command),
    /// The documents that the connections brought, and the feed of their changes
    #[command(subcommand, visible_alias = "document")]
    Documents(documents::Command),
    /// Where each part of a connection's source stands
    #[command(subcommand)]
    State(state::Command),
    /// Let held deletions happen
    Approve(approve::Args),
    /// The named readers of the feed
    #[command(subcommand, visible_alias = "consumer")]
    Consumers(consumers::Command),
    /// What opens the control API: make tokens that may do little, and revoke them
    #[command(subcommand, visible_alias = "token")]
    Tokens(tokens::Command),
    /// Who did what, when and from where
    #[command(subcommand)]
    Audit(audit::Command),
    /// Say what the server is and how it does
    Status(status::Args),
    /// Make the folder of a new connector, which works as it is; no server is needed
    New(new::Args),
    /// Pull from the connector in a folder, and see what comes; no server is needed
    Dev(Box<dev::Args>),
    /// Prove a connector, in any language, against the contract; no server is needed
    Conformance(Box<conformance::Args>),
    /// Write a completion script for a shell
    Completions(completions::Args),
}

/// Does what the command line asks for.
pub async fn run(cli: Cli) -> Result<()> {
    let mut out = Output::stdout(cli.output);
    if let Command::Completions(args) = &cli.command {
        return completions::run(args, &mut out);
    }
    let identity = cli.client_cert.zip(cli.client_key);
    let command = match cli.command {
        Command::Conformance(args) => {
            let trust = conformance::Trust { ca_file: cli.ca_file, identity };
            return conformance::run(*args, &trust, &mut out).await;
        }
        Command::New(args) => return new::run(&args, &mut out),
        Command::Dev(args) => return dev::run(*args, &mut out).await,
        command => command,
    };
    let target = Target {
        server: cli.server,
        token: cli.token.as_ref().and_then(Secret::reveal).map(str::to_owned),
        ca_file: cli.ca_file,
        identity,
    };
    let client = Client::connect(&target).await?;
    let mut context = Context { client, out, organization: cli.organization.filter(|name| !name.is_empty()) };
    match command {
        Command::Connectors(command) => connectors::run(&mut context, command).await,
        Command::Connections(command) => connections::run(&mut context, command).await,
        Command::Credentials(command) => credentials::run(&mut context, command).await,
        Command::OauthApps(command) => oauth_apps::run(&mut context, command).await,
        Command::Sync(args) => sync::run(&mut context, args).await,
        Command::Runs(command) => runs::run(&mut context, command).await,
        Command::Errors(command) => errors::run(&mut context, command).await,
        Command::Documents(command) => documents::run(&mut context, command).await,
        Command::State(command) => state::run(&mut context, command).await,
        Command::Approve(args) => approve::run(&mut context, args).await,
        Command::Consumers(command) => consumers::run(&mut context, command).await,
        Command::Tokens(command) => tokens::run(&mut context, command).await,
        Command::Audit(command) => audit::run(&mut context, command).await,
        Command::Status(args) => status::run(&mut context, args).await,
        // Handled before the server was asked for.
        Command::Completions(_) | Command::New(_) | Command::Dev(_) | Command::Conformance(_) => Ok(()),
    }?;
    context.out.flush()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_token_is_never_printed() {
        let cli = Cli::parse_from(["connectorctl", "--token", "hunter2", "status"]);
        let printed = format!("{cli:?}");
        assert!(printed.contains("REDACTED"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn an_empty_token_is_none() {
        assert_eq!(Secret::from("  ").reveal(), None);
        assert_eq!(Secret::from("t").reveal(), Some("t"));
    }
}
