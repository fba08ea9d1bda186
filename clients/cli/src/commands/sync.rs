//! `sync`: asking for a run now, and waiting for it, or planning one.

use chrono::{DateTime, Utc};
use prost_types::{FieldMask, Timestamp};
use superfasttt_proto::connector::v1::PullMode;
use superfasttt_proto::control::v1::run::{self, State};
use superfasttt_proto::control::v1::{Connection, Run, Schedule, StartSyncRequest, UpdateConnectionRequest};

use crate::commands::runs;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{human, note};
use crate::resolve::{connection_id, empty_answer};
use crate::run_view::RunView;
use crate::schedule::time::{At, parse_at};
use crate::watch_run::{Followed, follow};

const EXAMPLES: &str = "\
Examples:
  connectorctl sync docs                   ask for a sync and come back at once
  connectorctl sync docs --wait            show how it goes until it has ended
  connectorctl sync docs --full --wait     list everything, also where the source tells its changes
  connectorctl -o json sync docs --wait | jq .counts
  connectorctl sync docs --at 2026-12-01T06:00Z          one sync at that time, beside the schedule
  connectorctl sync docs --at 2026-12-01T07:00+01:00 --full
  connectorctl sync docs --at none         forget the sync that was planned

With --wait: exit 0 when the sync went through (perhaps with item errors), 1 when it failed or was cancelled. \
Ctrl-C stops the waiting, not the sync.";

/// Which connection, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The connection's name or id
    connection: String,
    /// List everything, also where the source tells its changes
    #[arg(long)]
    full: bool,
    /// Wait until the sync has ended, and show how it goes
    #[arg(long, short)]
    wait: bool,
    /// Plan one sync for this time instead, in place of one that was planned before; "none": plan none
    #[arg(long, value_name = "TIME", value_parser = parse_at, conflicts_with = "wait")]
    at: Option<At>,
}

/// `sync CONNECTION [--full] [--wait | --at TIME]`.
pub async fn run(context: &mut Context, args: Args) -> Result<()> {
    let connection = connection_id(context, &args.connection).await?;
    match args.at {
        Some(At::Time(time)) => return plan(context, &args, connection, time).await,
        Some(At::None) => return plan_none(context, &args.connection, connection).await,
        None => {}
    }
    let mut run = start(context, &connection, args.full, &args.connection).await?;
    if !args.wait {
        if context.out.is_json() {
            return context.out.message(&run);
        }
        runs::print(context, &run)?;
        note(&format!("follow it with `connectorctl sync {} --wait`", args.connection));
        return Ok(());
    }
    let is_full = |run: &Run| matches!(run.mode(), PullMode::Full | PullMode::Unspecified);
    if args.full && !is_full(&run) {
        note("it is not a full one; a full one is asked for when it has ended");
        wait(context, "sync", &run.id, &args.connection).await?;
        run = start(context, &connection, args.full, &args.connection).await?;
    }
    let ended = wait(context, "sync", &run.id, &args.connection).await?;
    finish(context, &ended)
}

async fn plan(context: &mut Context, args: &Args, connection: String, time: DateTime<Utc>) -> Result<()> {
    let at = Timestamp { seconds: time.timestamp(), nanos: 0 };
    let request = StartSyncRequest { connection, full: args.full, at: Some(at) };
    let answer = context.client.sync().start_sync(request).await?.into_inner();
    let planned = answer.planned_at.ok_or_else(|| empty_answer("StartSync"))?;
    if context.out.is_json() {
        return context.out.message(&answer);
    }
    let when = human::exact(Some(&planned), human::now());
    note(&format!("{}: a sync is planned for {when}", args.connection));
    Ok(())
}

async fn plan_none(context: &mut Context, name: &str, id: String) -> Result<()> {
    let connection = Connection { id, schedule: Some(Schedule::default()), ..Default::default() };
    let paths = ["schedule.planned_at", "schedule.planned_full"].map(str::to_owned).into();
    let request =
        UpdateConnectionRequest { connection: Some(connection), update_mask: Some(FieldMask { paths }) };
    let answer = context.client.connections().update_connection(request).await?.into_inner();
    let connection = answer.connection.ok_or_else(|| empty_answer("UpdateConnection"))?;
    if context.out.is_json() {
        return context.out.message(&connection);
    }
    note(&format!("{name}: no sync is planned; it follows its schedule"));
    Ok(())
}

async fn start(context: &Context, connection: &str, full: bool, name: &str) -> Result<Run> {
    let request = StartSyncRequest { connection: connection.to_owned(), full, at: None };
    let answer = context.client.sync().start_sync(request).await?.into_inner();
    let run = answer.run.ok_or_else(|| empty_answer("StartSync"))?;
    if answer.already_running && run.state() != State::Queued {
        let began = human::relative(run.started_at.as_ref(), human::now());
        note(&format!(
            "{name}: a sync is under way already (began {began}); what changed since may need another one"
        ));
    }
    Ok(run)
}

/// Shows a run until it has ended. `what` it is: "sync".
///
/// # Errors
///
/// The server is lost for good, or the person leaves before the run has ended.
pub async fn wait(context: &Context, what: &str, run: &str, name: &str) -> Result<Run> {
    let mut view = RunView::new(name);
    let followed = follow(&context.client, run, &mut view).await;
    view.close();
    match followed? {
        Followed::Ended(run) => Ok(*run),
        Followed::Left => {
            note(&format!("stopped waiting; the {what} goes on (run {run})"));
            note(&format!("  see it:  connectorctl runs show {run}"));
            note(&format!("  stop it: connectorctl runs cancel {run}"));
            Err(Error::Said)
        }
    }
}

/// Prints how a run ended; an error where it did not go through.
pub fn finish(context: &mut Context, run: &Run) -> Result<()> {
    runs::print(context, run)?;
    context.out.flush()?;
    let kind = match run.kind() {
        run::Kind::Renormalization => "re-normalization",
        run::Kind::Sync | run::Kind::Unspecified => "sync",
    };
    let message = |what: &str| match &run.error {
        Some(error) if !error.message.is_empty() => format!("the {kind} {what}: {}", error.message),
        _ => format!("the {kind} {what}"),
    };
    match run.state() {
        State::Failed => {
            let error = Error::Failed(message("failed"));
            Err(error)
        }
        State::Cancelled => Err(Error::Failed(message("was cancelled"))),
        _ => Ok(()),
    }
}
