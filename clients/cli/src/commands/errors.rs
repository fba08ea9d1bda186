//! `errors`: items of a connection that could not be read: listed, and tried again.

use superfasttt_proto::control::v1::{RetryItemErrorsRequest, RetryItemErrorsResponse};

use crate::commands::{item_errors, sync};
use crate::context::Context;
use crate::error::Result;
use crate::output::{human, note};
use crate::resolve::connection_id;

const EXAMPLES: &str = "\
Examples:
  connectorctl errors list docs
  connectorctl errors list docs --reason access-denied
  connectorctl errors retry docs --wait            ask the source for all of them again
  connectorctl errors retry docs 17 23             only for these, by the id that the list shows";

/// What to do with item errors.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List items that could not be read and have not been since, newest first
    #[command(visible_alias = "ls")]
    List(item_errors::Args),
    /// Ask the source again for items that could not be read
    Retry(Retry),
}

/// Which items to try again.
#[derive(Debug, clap::Args)]
pub struct Retry {
    /// The connection's name or id
    connection: String,
    /// Only these errors, by id; none: all of the connection
    ids: Vec<String>,
    /// Wait for the run that asks
    #[arg(long, short)]
    wait: bool,
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(args) => item_errors::run(context, args).await,
        Command::Retry(args) => retry(context, args).await,
    }
}

async fn retry(context: &mut Context, args: Retry) -> Result<()> {
    let connection = connection_id(context, &args.connection).await?;
    let request = RetryItemErrorsRequest { connection, item_errors: args.ids };
    let answer = context.client.sync().retry_item_errors(request).await?.into_inner();
    let Some(run) = answer.run.clone() else {
        if context.out.is_json() {
            return context.out.message(&answer);
        }
        note("every item could be read: there is nothing to try again");
        return Ok(());
    };
    tell_left(&answer);
    // One that was under way may have passed the items: another one follows it, which nobody can name yet.
    if args.wait && !answer.already_running {
        let ended = sync::wait(context, "retry", &run.id, &args.connection).await?;
        return sync::finish(context, &ended);
    }
    if context.out.is_json() {
        return context.out.message(&answer);
    }
    context.out.line(&format!("asking for {} again", human::plural(answer.items, "item")))?;
    context.out.flush()?;
    if answer.already_running {
        note(&format!(
            "run {} was queued or under way already: it asks for them, or the one behind it",
            run.id
        ));
    } else {
        note(&format!("the run that asks: connectorctl runs show {}", run.id));
    }
    Ok(())
}

/// What only a listing reads again.
fn tell_left(answer: &RetryItemErrorsResponse) {
    let left = answer.subtrees + answer.locators + answer.unnamed;
    if left > 0 {
        note(&format!(
            "{} cannot be asked for by id ({} about whole folders, {} known by a locator alone, {} without a name): \
             connectorctl sync --full reads them again",
            human::plural(left, "more error"),
            human::count(answer.subtrees),
            human::count(answer.locators),
            human::count(answer.unnamed)
        ));
    }
}
