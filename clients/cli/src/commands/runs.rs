//! `runs`: the syncs that are under way and that were.

use std::time::Duration;

use superfasttt_proto::control::v1::run::{State, Trigger};
use superfasttt_proto::control::v1::{CancelRunRequest, GetRunRequest, HeldSweep, ListRunsRequest, Run};

use crate::commands::{item_errors, run_logs};
use crate::context::Context;
use crate::error::{Result, who};
use crate::output::table::{Column, Table};
use crate::output::text::word;
use crate::output::{human, note};
use crate::resolve::{self, empty_answer};
use crate::{pages, run_view};

const EXAMPLES: &str = "\
Examples:
  connectorctl runs list docs
  connectorctl runs show docs              the newest run of the connection docs
  connectorctl runs logs docs --follow
  connectorctl runs cancel docs

RUN is a run's id, or a connection's name for its newest run.";

/// What to do with runs.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List runs, newest first
    #[command(visible_alias = "ls")]
    List {
        /// Only of this connection
        connection: Option<String>,
        /// How many at most; 0: all of them
        #[arg(long, default_value_t = 20, value_name = "NUMBER")]
        limit: usize,
    },
    /// Show one run: counts, error, held deletions
    Show(One),
    /// Print a run's log, oldest first
    Logs(run_logs::Args),
    /// List items of a connection that could not be read and have not been since
    Errors(item_errors::Args),
    /// Stop a run at its last committed page
    Cancel(One),
}

/// One run.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The run's id, or a connection's name for its newest run
    run: String,
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List { connection, limit } => list(context, connection, limit).await,
        Command::Show(one) => {
            let run = resolve::run_id(context, &one.run).await?;
            let answer = context.client.sync().get_run(GetRunRequest { run }).await?.into_inner();
            print(context, &answer.run.ok_or_else(|| empty_answer("GetRun"))?)
        }
        Command::Logs(args) => run_logs::run(context, args).await,
        Command::Errors(args) => item_errors::run(context, args).await,
        Command::Cancel(one) => {
            let run = resolve::run_id(context, &one.run).await?;
            let answer = context.client.sync().cancel_run(CancelRunRequest { run }).await?.into_inner();
            print(context, &answer.run.ok_or_else(|| empty_answer("CancelRun"))?)
        }
    }
}

async fn list(context: &mut Context, connection: Option<String>, limit: usize) -> Result<()> {
    let connection = match connection {
        Some(meant) => resolve::connection_id(context, &meant).await?,
        None => String::new(),
    };
    let names = if context.out.is_json() { Default::default() } else { resolve::names(context).await? };
    let client = context.client.clone();
    let fetch = |page_size, page_token| {
        let mut client = client.sync();
        let request = ListRunsRequest { connection: connection.clone(), page_size, page_token };
        async move {
            let answer = client.list_runs(request).await?.into_inner();
            Ok((answer.runs, answer.next_page_token))
        }
    };
    let out = &mut context.out;
    let now = human::now();
    let limit = (limit > 0).then_some(limit);
    pages::each_page(limit, fetch, |runs, first| {
        if out.is_json() {
            return runs.iter().try_for_each(|run| out.message(run));
        }
        let columns = [
            Column::whole("CONNECTION"),
            Column::whole("STATE"),
            Column::text("MODE"),
            Column::text("TRIGGER"),
            Column::text("BEGAN"),
            Column::text("TOOK"),
            Column::number("CREATED"),
            Column::number("UPDATED"),
            Column::number("DELETED"),
            Column::number("ERRORS"),
            Column::whole("ID"),
        ];
        let mut table = Table::list(&columns).without_header(!first);
        for run in runs {
            let counts = run.counts.unwrap_or_default();
            table.row([
                names.get(&run.connection).unwrap_or(&run.connection).clone(),
                word(run.state().as_str_name(), "STATE_"),
                mode(&run),
                word(run.trigger().as_str_name(), "TRIGGER_"),
                human::relative(run.started_at.as_ref(), now),
                took(&run).map_or_else(|| human::NOTHING.to_owned(), human::duration),
                human::count(counts.created),
                human::count(counts.updated),
                human::count(counts.deleted),
                human::count(counts.item_errors),
                run.id,
            ]);
        }
        out.table(&table)
    })
    .await
}

/// One run in full: as a program reads it, or as a person does, with what to do next.
pub fn print(context: &mut Context, run: &Run) -> Result<()> {
    if context.out.is_json() {
        return context.out.message(run);
    }
    let now = human::now();
    let counts = run.counts.unwrap_or_default();
    let took = took(run);
    let mut table = Table::fields();
    table.field("run", &run.id);
    table.field("state", word(run.state().as_str_name(), "STATE_"));
    table.field("mode", mode(run));
    if run.trigger() != Trigger::Unspecified {
        table.field("trigger", word(run.trigger().as_str_name(), "TRIGGER_"));
    }
    table.field("began", human::exact(run.started_at.as_ref(), now));
    if let Some(took) = took {
        table.field("took", human::duration(took));
    }
    if run.state() == State::Parked {
        table.field("goes on", human::exact(run.resume_at.as_ref(), now));
    }
    table.field("documents", run_view::count_line(&counts));
    if counts.contents_fetched > 0 {
        let read = format!(
            "{} of {}",
            human::bytes(counts.content_bytes),
            human::plural(counts.contents_fetched, "document")
        );
        table.field("read", format!("{read}, giving {} of text", human::bytes(counts.text_bytes)));
    }
    if counts.contents_without_text > 0 {
        table.field("without text", human::plural(counts.contents_without_text, "document"));
    }
    if let Some(rate) = took.and_then(|took| rate(counts.changes, took)) {
        table.field("rate", format!("{} changes/s", human::count(rate)));
    }
    if let Some(error) = &run.error {
        table.field("error", &error.message);
        table.field("reason", word(error.reason().as_str_name(), "REASON_"));
        table.field_if("code", &error.code);
        table.field_if("who must act", who(&error.actor));
        table.field_if("what to do", &error.fix);
    }
    for sweep in &run.held_sweeps {
        table.field("held", held_line(sweep));
    }
    context.out.table(&table)?;
    context.out.flush()?;
    if counts.item_errors > 0 {
        note(&format!("items that could not be read: connectorctl errors list {}", run.connection));
    }
    if !run.held_sweeps.is_empty() {
        note(&format!("let the held deletions happen: connectorctl approve {}", run.connection));
    }
    Ok(())
}

/// Deletions that wait for a person.
pub fn held_line(sweep: &HeldSweep) -> String {
    let scope = if sweep.scope.is_empty() { String::new() } else { format!(" in {}", sweep.scope) };
    let what = format!(
        "{} of {} would be deleted{scope}",
        human::count(sweep.absent),
        human::plural(sweep.total, "document")
    );
    if sweep.message.is_empty() { what } else { format!("{what}: {}", sweep.message) }
}

fn mode(run: &Run) -> String {
    word(run.mode().as_str_name(), "PULL_MODE_")
}

fn took(run: &Run) -> Option<Duration> {
    let began = human::time(run.started_at.as_ref())?;
    let ended = human::time(run.ended_at.as_ref()).unwrap_or_else(human::now);
    (ended - began).to_std().ok()
}

/// Per second; too short a run has no rate.
fn rate(changes: u64, took: Duration) -> Option<u64> {
    let milliseconds = took.as_millis();
    if changes == 0 || milliseconds < 100 {
        return None;
    }
    u64::try_from(u128::from(changes) * 1_000 / milliseconds).ok()
}
