//! `approve`: letting held deletions happen.

use superfasttt_proto::control::v1::{ApproveDeletionsRequest, GetSyncStateRequest};

use crate::commands::runs::held_line;
use crate::commands::sync;
use crate::context::Context;
use crate::error::Result;
use crate::output::note;
use crate::resolve::connection_id;

const EXAMPLES: &str = "\
When a sync finds that many documents are gone from the source at once, their deletion waits for a person: an \
unmounted disk looks just like that. An approval deletes only what is still absent then.

Examples:
  connectorctl approve docs
  connectorctl approve drive --scope team-a --yes --wait";

/// Whose held deletions.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The connection's name or id
    connection: String,
    /// Only in this scope; repeat for more
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Wait for the run that deletes
    #[arg(long, short)]
    wait: bool,
}

/// `approve CONNECTION`.
pub async fn run(context: &mut Context, args: Args) -> Result<()> {
    let connection = connection_id(context, &args.connection).await?;
    let request = GetSyncStateRequest { connection: connection.clone() };
    let scopes = context.client.sync().get_sync_state(request).await?.into_inner().scopes;
    let meant = |scope: &str| args.scopes.is_empty() || args.scopes.iter().any(|wanted| wanted == scope);
    let held: Vec<_> = scopes
        .iter()
        .filter(|state| meant(&state.scope))
        .filter_map(|state| state.held_sweep.as_ref())
        .collect();
    if !held.is_empty() {
        for sweep in &held {
            note(&format!("{}: {}", args.connection, held_line(sweep)));
        }
        context.confirm("Let these deletions happen?", args.yes)?;
    }
    let request = ApproveDeletionsRequest { connection, scopes: args.scopes };
    let answer = context.client.sync().approve_deletions(request).await?.into_inner();
    let run = answer.run.clone().filter(|_| args.wait);
    if context.out.is_json() && run.is_none() {
        return context.out.message(&answer);
    }
    match (&answer.run, run) {
        (_, Some(run)) => {
            let ended = sync::wait(context, "sync", &run.id, &args.connection).await?;
            sync::finish(context, &ended)
        }
        (Some(run), None) => {
            for sweep in &answer.approved {
                context
                    .out
                    .line(&format!("approved: {}", crate::output::text::printable(&held_line(sweep))))?;
            }
            context.out.flush()?;
            note(&format!("the run that deletes: connectorctl runs show {}", run.id));
            Ok(())
        }
        (None, None) => {
            note("nothing is held");
            Ok(())
        }
    }
}
