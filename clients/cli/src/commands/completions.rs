//! `completions`: what a shell needs to complete commands and options.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::Result;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  connectorctl completions bash > ~/.local/share/bash-completion/completions/connectorctl
  connectorctl completions zsh > ~/.zfunc/_connectorctl
  connectorctl completions fish > ~/.config/fish/completions/connectorctl.fish";

/// Which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell to write for
    shell: Shell,
}

/// Writes the script to stdout. No server is needed.
pub fn run(args: &Args, out: &mut Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "connectorctl", &mut script);
    out.script(&script)?;
    out.flush()
}
