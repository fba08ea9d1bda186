//! `documents watch`: the feed as it grows, over restarts of the server.

use std::collections::HashMap;

use superfasttt_proto::control::v1::feed_entry::Kind;
use superfasttt_proto::control::v1::{
    CommitPositionRequest, FeedEntry, WatchDocumentsRequest, WatchDocumentsResponse,
};

use crate::commands::documents::fill_text;
use crate::context::Context;
use crate::error::{Error, Result, is_connection_lost};
use crate::output::entry::to_line;
use crate::output::text::printable;
use crate::output::{human, note};
use crate::resolve::{self, connection_id};
use crate::watch_run::Retry;

const EXAMPLES: &str = "\
Examples:
  connectorctl documents watch                    every document, then every change
  connectorctl documents watch --connection docs --until-caught-up
  connectorctl -o json documents watch --consumer search --commit --content | your-indexer
  connectorctl -o json documents watch --position \"$LAST\"

As JSON: {\"connection\":…,\"position\":…,\"document\":{…}} for a document, \"tombstone\":{\"id\":…} in its place when \
it is gone; between {\"snapshot\":\"begin\"} and {\"snapshot\":\"end\"} comes the whole present state, and what was not \
in it is gone. Delivery is at least once.";

/// Which part of the feed, from where.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Read as this consumer: from where it stands. It is made when it is new
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Move the consumer after what was printed
    #[arg(long, requires = "consumer")]
    commit: bool,
    /// Begin after this position
    #[arg(long, value_name = "POSITION")]
    position: Option<String>,
    /// Only of this connection, by name or id
    #[arg(long, value_name = "CONNECTION")]
    connection: Option<String>,
    /// With texts (for programs: --output json)
    #[arg(long)]
    content: bool,
    /// End once everything that was there has been printed
    #[arg(long)]
    until_caught_up: bool,
}

/// `documents watch`.
pub async fn run(context: &mut Context, args: Args) -> Result<()> {
    let connection = match &args.connection {
        Some(meant) => connection_id(context, meant).await?,
        None => String::new(),
    };
    let content = args.content && context.out.is_json();
    let mut request = WatchDocumentsRequest {
        position: args.position.unwrap_or_default(),
        consumer: args.consumer.clone().unwrap_or_default(),
        connection,
        organization: context.organization(),
        omit_content: !content,
        until_caught_up: args.until_caught_up,
    };
    let names = if context.out.is_json() { HashMap::new() } else { resolve::names(context).await? };
    let mut printer = Printer { names, content, commit_as: args.consumer.filter(|_| args.commit) };
    let mut retry = Retry::new();
    loop {
        let lost = match stream(context, &mut request, &mut printer, &mut retry).await {
            Ok(()) if args.until_caught_up => return Ok(()),
            Ok(()) => None,
            Err(Error::Rpc(status)) if is_connection_lost(&status) => Some(status),
            Err(error) => return Err(error),
        };
        let Some(pause) = retry.pause() else {
            return Err(lost
                .map_or_else(|| Error::Failed("the server ends the feed each time".to_owned()), Error::Rpc));
        };
        if retry.is_first() {
            note("lost the server; trying to reach it again");
        }
        tokio::time::sleep(pause).await;
    }
}

/// One stream to its end. `request.position` follows what was printed, so that the next one goes on from there.
async fn stream(
    context: &mut Context,
    request: &mut WatchDocumentsRequest,
    printer: &mut Printer,
    retry: &mut Retry,
) -> Result<()> {
    let mut messages = context.client.documents().watch_documents(request.clone()).await?.into_inner();
    while let Some(message) = messages.message().await? {
        retry.reset();
        let position = message.position.clone();
        printer.print(context, message).await?;
        if position.is_empty() {
            continue;
        }
        request.position.clone_from(&position);
        if let Some(consumer) = &printer.commit_as {
            let request = CommitPositionRequest { consumer: consumer.clone(), position };
            context.client.documents().commit_position(request).await?;
        }
    }
    Ok(())
}

/// Prints messages of the feed.
struct Printer {
    names: HashMap<String, String>,
    content: bool,
    commit_as: Option<String>,
}

impl Printer {
    /// Prints a message and hands it to whoever reads, so that a position is committed only after that.
    async fn print(&mut self, context: &mut Context, message: WatchDocumentsResponse) -> Result<()> {
        let json = context.out.is_json();
        if message.snapshot_begin {
            context.out.line(if json {
                r#"{"snapshot":"begin"}"#
            } else {
                "-- snapshot begins: the whole present state"
            })?;
        }
        for mut entry in message.entries {
            if json {
                if self.content {
                    fill_text(&context.client, &mut entry).await?;
                }
                context.out.line(&to_line(&entry, self.content)?)?;
            } else {
                let line = self.line(context, &entry).await?;
                context.out.line(&line)?;
            }
        }
        if message.snapshot_end {
            context.out.line(if json {
                r#"{"snapshot":"end"}"#
            } else {
                "-- snapshot ends: what was not in it is gone"
            })?;
        }
        context.out.flush()
    }

    /// A line for a person.
    async fn line(&mut self, context: &Context, entry: &FeedEntry) -> Result<String> {
        if !self.names.contains_key(&entry.connection) {
            self.names = resolve::names(context).await?;
            // One that is gone already keeps its id, and is not asked for again.
            self.names.entry(entry.connection.clone()).or_insert_with(|| entry.connection.clone());
        }
        let connection = &self.names[&entry.connection];
        let time = human::time(entry.committed_at.as_ref());
        let time = time
            .map_or_else(|| human::NOTHING.to_owned(), |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string());
        Ok(printable(&match &entry.kind {
            Some(Kind::Document(document)) => {
                let title = if document.title.is_empty() { &document.id } else { &document.title };
                let text = match (entry.content_unchanged, entry.content_length) {
                    (true, _) => "text unchanged".to_owned(),
                    (false, 0) => "no text".to_owned(),
                    (false, length) => format!("{} of text", human::bytes(length)),
                };
                format!("{time}  document  {connection}  {title}  ({text}, id {})", document.id)
            }
            Some(Kind::Tombstone(tombstone)) => format!("{time}  deleted   {connection}  {}", tombstone.id),
            None => format!("{time}  unknown   {connection}  (this connectorctl is older than the server)"),
        }))
    }
}
