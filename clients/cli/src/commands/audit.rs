//! `audit`: who did what, when and from where.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use superfasttt_proto::control::v1::{AuditEvent, ListAuditEventsRequest};

use crate::context::Context;
use crate::error::Result;
use crate::output::table::{Column, Table};
use crate::output::{human, note};
use crate::schedule::length::parse_length;
use crate::schedule::time::{At, parse_at};
use crate::{pages, resolve};

const EXAMPLES: &str = "\
Examples:
  connectorctl audit list                                   what was done last
  connectorctl audit list --connection docs --since 7d
  connectorctl --organization acme audit list --actor console
  connectorctl audit export --since 2026-11-01T00:00Z > audit.jsonl

The log has each change, each use of a credential and each call that was denied. The same by the same, several
times within a few seconds, is one entry with a count. `export` prints JSON lines, the oldest first.";

/// What to see of the audit log.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List what was done, the newest first
    #[command(visible_alias = "ls")]
    List {
        /// Of what
        #[command(flatten)]
        which: Which,
        /// How many at most; 0: all of them
        #[arg(long, default_value_t = 50, value_name = "NUMBER")]
        limit: usize,
    },
    /// Print what was done as JSON lines, the oldest first, for another system to keep
    Export {
        /// Of what
        #[command(flatten)]
        which: Which,
    },
}

/// Which events.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// Only since this time, such as 2026-11-01T00:00Z, or within this length, such as 7d
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Time>,
    /// Only before this time, or before this long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Time>,
    /// Only by this: the name or the id of an API token, "server.token", "anyone" or "connectord"
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Only to this, such as connection/ID or api_token/ID, as the list shows it
    #[arg(long, value_name = "TARGET", conflicts_with = "connection")]
    target: Option<String>,
    /// Only to this connection, by its name or id
    #[arg(long, value_name = "CONNECTION")]
    connection: Option<String>,
}

/// A time as it is typed.
#[derive(Clone, Copy, Debug)]
enum Time {
    At(DateTime<Utc>),
    Ago(Duration),
}

fn parse_time(text: &str) -> std::result::Result<Time, String> {
    if let Ok(At::Time(at)) = parse_at(text) {
        return Ok(Time::At(at));
    }
    parse_length(text).map(Time::Ago).map_err(|_| {
        "expected a time with its offset, such as 2026-11-01T00:00Z, or a length, such as 7d".to_owned()
    })
}

fn timestamp(time: Time) -> prost_types::Timestamp {
    let at = match time {
        Time::At(at) => at,
        // Longer ago than there is time: everything.
        Time::Ago(length) => TimeDelta::from_std(length)
            .ok()
            .and_then(|length| human::now().checked_sub_signed(length))
            .unwrap_or(DateTime::UNIX_EPOCH),
    };
    let nanos = i32::try_from(at.timestamp_subsec_nanos()).unwrap_or_default();
    prost_types::Timestamp { seconds: at.timestamp(), nanos }
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List { which, limit } => {
            let request = request(context, which, false).await?;
            list(context, request, (limit > 0).then_some(limit)).await
        }
        Command::Export { which } => {
            let request = request(context, which, true).await?;
            let client = context.client.clone();
            let out = &mut context.out;
            pages::each_page(
                None,
                |size, token| page(&client, &request, size, token),
                |events, _| events.iter().try_for_each(|event| out.message(event)),
            )
            .await
        }
    }
}

async fn request(context: &Context, which: Which, oldest_first: bool) -> Result<ListAuditEventsRequest> {
    let target = match which.connection {
        Some(meant) => format!("connection/{}", resolve::connection_id(context, &meant).await?),
        None => which.target.unwrap_or_default(),
    };
    Ok(ListAuditEventsRequest {
        organization: context.organization(),
        since: which.since.map(timestamp),
        until: which.until.map(timestamp),
        actor: which.actor.unwrap_or_default(),
        target,
        oldest_first,
        ..ListAuditEventsRequest::default()
    })
}

fn page(
    client: &crate::client::Client,
    request: &ListAuditEventsRequest,
    page_size: i32,
    page_token: String,
) -> impl Future<Output = std::result::Result<(Vec<AuditEvent>, String), tonic::Status>> + use<> {
    let mut client = client.admin();
    let request = ListAuditEventsRequest { page_size, page_token, ..request.clone() };
    async move {
        let answer = client.list_audit_events(request).await?.into_inner();
        Ok((answer.events, answer.next_page_token))
    }
}

async fn list(context: &mut Context, request: ListAuditEventsRequest, limit: Option<usize>) -> Result<()> {
    let client = context.client.clone();
    let out = &mut context.out;
    let mut empty = true;
    pages::each_page(
        limit,
        |size, token| page(&client, &request, size, token),
        |events, first| {
            empty = empty && events.is_empty();
            if out.is_json() {
                return events.iter().try_for_each(|event| out.message(event));
            }
            if events.is_empty() {
                return Ok(());
            }
            let columns = [
                Column::whole("TIME"),
                Column::text("WHO"),
                Column::text("FROM"),
                Column::whole("WHAT"),
                Column::whole("OUTCOME"),
                Column::number("TIMES"),
                Column::text("ORGANISATION"),
                Column::text("TO"),
                Column::text("DETAIL"),
            ];
            let mut table = Table::list(&columns).without_header(!first);
            for event in events {
                let detail = detail(&event);
                let time = human::time(event.last_time.as_ref());
                table.row([
                    time.map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string()),
                    human::or_dash(&event.actor),
                    human::or_dash(&event.address),
                    event.action,
                    event.outcome,
                    human::count(event.count),
                    human::or_dash(&event.organization),
                    human::or_dash(&event.target),
                    detail,
                ]);
            }
            out.table(&table)
        },
    )
    .await?;
    if empty && !out.is_json() {
        note("nothing of that kind was done");
    }
    Ok(())
}

/// What there is to say beside it, in a line.
fn detail(event: &AuditEvent) -> String {
    let Some(detail) = &event.detail else { return human::NOTHING.to_owned() };
    let mut said: Vec<String> = Vec::new();
    for (what, text) in
        [("", &detail.reason), ("", &detail.name), ("for ", &detail.purpose), ("run ", &detail.run)]
    {
        if !text.is_empty() {
            said.push(format!("{what}{text}"));
        }
    }
    said.extend([&detail.fields, &detail.permissions].into_iter().flatten().cloned());
    human::or_dash(&said.join(", "))
}
