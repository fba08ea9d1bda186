//! `state`: where each scope of a connection's source stands.

use std::path::PathBuf;

use superfasttt_proto::control::v1::{
    GetSyncStateRequest, ResetSyncStateRequest, ScopeSyncState, UpdateSyncStateRequest,
};

use crate::commands::runs::held_line;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::table::{Column, Table};
use crate::output::text::shorten;
use crate::output::{human, note};
use crate::resolve::{connection_id, empty_answer};

const EXAMPLES: &str = "\
Examples:
  connectorctl state show docs
  connectorctl state show drive --scope team-a
  connectorctl state set drive --scope team-a --cursor 4711
  connectorctl state reset docs                    the next sync lists everything; documents stay
  connectorctl state reset drive --scope team-a";

/// How much of a cursor is shown: it is the connector's own, and may be long.
const CURSOR_LENGTH: usize = 40;

/// What to do with a connection's state.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Show where each scope stands
    Show {
        /// The connection's name or id
        connection: String,
        /// Only this scope; repeat for more
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
    /// Put a cursor in the place of the one that a scope has; nothing is read or deleted by that alone
    Set(Set),
    /// Forget cursors, so that the next sync lists in full; documents stay
    Reset {
        /// The connection's name or id
        connection: String,
        /// Only this scope; repeat for more
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
}

/// Which cursor to set.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("bytes").required(true))]
pub struct Set {
    /// The connection's name or id
    connection: String,
    /// The scope; without it that of a source which has only one
    #[arg(long, value_name = "SCOPE", default_value = "")]
    scope: String,
    /// The cursor, as text
    #[arg(long, value_name = "TEXT", group = "bytes")]
    cursor: Option<String>,
    /// The file that holds the cursor, byte for byte
    #[arg(long, value_name = "FILE", group = "bytes")]
    cursor_file: Option<PathBuf>,
    /// Only where the state is still the one that `state show -o json` gave this etag
    #[arg(long, value_name = "ETAG", default_value = "")]
    etag: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Show { connection, scopes } => {
            let connection = connection_id(context, &connection).await?;
            let answer = context.client.sync().get_sync_state(GetSyncStateRequest { connection }).await?;
            let mut found = answer.into_inner().scopes;
            found.retain(|state| scopes.is_empty() || scopes.contains(&state.scope));
            print(context, &found)
        }
        Command::Set(args) => set(context, args).await,
        Command::Reset { connection, scopes } => {
            let connection = connection_id(context, &connection).await?;
            let request = ResetSyncStateRequest { connection, scopes };
            let answer = context.client.sync().reset_sync_state(request).await?;
            print(context, &answer.into_inner().scopes)?;
            if !context.out.is_json() {
                note("the next sync lists everything again; documents stay");
            }
            Ok(())
        }
    }
}

async fn set(context: &mut Context, args: Set) -> Result<()> {
    let connection = connection_id(context, &args.connection).await?;
    let cursor = match (args.cursor, args.cursor_file) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(file)) => std::fs::read(&file)
            .map_err(|error| Error::Usage(format!("{} cannot be read: {error}", file.display())))?,
        (None, None) => Vec::new(),
    };
    context.confirm(
        "The next sync goes on from this cursor, and never sees what lies before it. Set it?",
        args.yes,
    )?;
    let request = UpdateSyncStateRequest { connection, scope: args.scope, cursor, etag: args.etag };
    let answer = context.client.sync().update_sync_state(request).await?.into_inner();
    let scope = answer.scope.ok_or_else(|| empty_answer("UpdateSyncState"))?;
    print(context, &[scope])
}

fn print(context: &mut Context, scopes: &[ScopeSyncState]) -> Result<()> {
    if context.out.is_json() {
        return scopes.iter().try_for_each(|scope| context.out.message(scope));
    }
    if scopes.is_empty() {
        note("no scope is known yet: nothing was synced");
        return Ok(());
    }
    let now = human::now();
    let columns = [
        Column::whole("SCOPE"),
        Column::text("CURSOR"),
        Column::text("LISTING"),
        Column::text("LISTED"),
        Column::text("CHECKPOINT"),
        Column::text("HELD DELETIONS"),
    ];
    let mut table = Table::list(&columns);
    for scope in scopes {
        let listing = match scope.listing {
            true => format!("since {}", human::relative(scope.listing_started_at.as_ref(), now)),
            false => human::NOTHING.to_owned(),
        };
        table.row([
            if scope.scope.is_empty() { "(whole source)".to_owned() } else { scope.scope.clone() },
            human::or_dash(&shorten(&String::from_utf8_lossy(&scope.cursor), CURSOR_LENGTH)),
            listing,
            human::relative(scope.listing_completed_at.as_ref(), now),
            human::relative(scope.checkpoint_at.as_ref(), now),
            scope.held_sweep.as_ref().map_or_else(|| human::NOTHING.to_owned(), held_line),
        ]);
    }
    context.out.table(&table)
}
