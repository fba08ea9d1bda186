//! What every command works with.

use crate::client::Client;
use crate::error::{Error, Result};
use crate::output::{Output, note};

/// What every command works with: the server, the place to print to, and the organisation that was asked for.
pub struct Context {
    /// The way to the server.
    pub client: Client,
    /// Where data goes.
    pub out: Output,
    /// The organisation as it was given; `None`: names are looked up in "default", lists show all.
    pub organization: Option<String>,
}

impl Context {
    /// The organisation for a request in which empty means what the server makes of it ("default" where a name
    /// is looked up, all where things are listed).
    pub fn organization(&self) -> String {
        self.organization.clone().unwrap_or_default()
    }

    /// Asks the person at the terminal before something that cannot be undone. A program is not asked: what it
    /// calls is what it means.
    ///
    /// # Errors
    ///
    /// The answer was not yes.
    pub fn confirm(&self, question: &str, assume_yes: bool) -> Result<()> {
        use std::io::IsTerminal as _;
        if assume_yes || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Ok(());
        }
        note(&format!("{question} Type \"yes\" to go on:"));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        match answer.trim() {
            "y" | "yes" => Ok(()),
            _ => Err(Error::Failed("nothing was done".to_owned())),
        }
    }
}
