//! `documents`: what the connections brought.

use superfasttt_proto::connector::v1::DocumentEnvelope;
use superfasttt_proto::control::v1::feed_entry::Kind;
use superfasttt_proto::control::v1::{
    FeedEntry, GetDocumentRequest, ListDocumentsRequest, ReadContentRequest,
};
use tonic::Code;

use crate::client::Client;
use crate::commands::watch;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::entry::{is_text_left_out, to_line};
use crate::output::table::{Column, Table};
use crate::output::{human, json, note};
use crate::resolve::{self, connection_id, empty_answer};
use crate::settings;

const EXAMPLES: &str = "\
Examples:
  connectorctl documents list --connection docs
  connectorctl documents get docs ID               what is known of one document
  connectorctl documents get docs ID --text        its text, and nothing else
  connectorctl -o json documents list --connection docs --content | jq -r .document.title
  connectorctl -o json documents watch --consumer search --commit --content

With --output json, `list` and `watch` print {\"connection\":…,\"position\":…,\"document\":{…}}, one per line.";

/// What to do with documents.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List documents as they are now
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one document
    Get(Get),
    /// Follow the feed: every document, then every change as it comes
    Watch(watch::Args),
}

/// Which documents.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only of this connection, by name or id
    #[arg(long, value_name = "CONNECTION")]
    connection: Option<String>,
    /// With their texts (for programs: --output json)
    #[arg(long)]
    content: bool,
    /// How many at most
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

/// Which document, and what of it.
#[derive(Debug, clap::Args)]
pub struct Get {
    /// The connection's name or id
    connection: String,
    /// The document's id, as `documents list` shows it
    id: String,
    /// With its text, whatever its length
    #[arg(long)]
    content: bool,
    /// Only its text, as it is
    #[arg(long, conflicts_with = "content")]
    text: bool,
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List(args) => list(context, args).await,
        Command::Get(args) => get(context, args).await,
        Command::Watch(args) => watch::run(context, args).await,
    }
}

/// Page by page, so that a million documents need no more memory than a few.
async fn list(context: &mut Context, args: List) -> Result<()> {
    let connection = match &args.connection {
        Some(meant) => connection_id(context, meant).await?,
        None => String::new(),
    };
    let json = context.out.is_json();
    let names =
        if json || args.connection.is_some() { Default::default() } else { resolve::names(context).await? };
    let mut request = ListDocumentsRequest {
        connection,
        organization: context.organization(),
        // A table has no room for texts.
        include_content: args.content && json,
        ..Default::default()
    };
    let mut documents = context.client.documents();
    let mut left = args.limit.unwrap_or(usize::MAX);
    let (mut first, mut empty) = (true, true);
    while left > 0 {
        request.page_size = i32::try_from(left.min(500)).unwrap_or(500);
        let mut page = documents.list_documents(request.clone()).await?.into_inner();
        page.entries.truncate(left);
        left -= page.entries.len();
        empty = empty && page.entries.is_empty();
        if json {
            for mut entry in page.entries {
                if args.content {
                    fill_text(&context.client, &mut entry).await?;
                }
                context.out.line(&to_line(&entry, args.content)?)?;
            }
        } else if !page.entries.is_empty() {
            let names = args.connection.is_none().then_some(&names);
            context.out.table(&table(&page.entries, names).without_header(!first))?;
            first = false;
        }
        context.out.flush()?;
        if page.next_page_token.is_empty() {
            break;
        }
        if page.next_page_token == request.page_token {
            return Err(Error::Failed(
                "the server gave the same page twice; it needs a newer version".to_owned(),
            ));
        }
        request.page_token = page.next_page_token;
    }
    if empty && !json {
        note("there are no documents yet");
    }
    Ok(())
}

fn table(entries: &[FeedEntry], names: Option<&std::collections::HashMap<String, String>>) -> Table {
    let now = human::now();
    let columns = [
        Column::text("TITLE"),
        Column::text("TYPE"),
        Column::number("TEXT"),
        Column::text("UPDATED"),
        Column::text(if names.is_some() { "CONNECTION" } else { "VISIBILITY" }),
        Column::whole("ID"),
    ];
    let mut table = Table::list(&columns);
    for entry in entries {
        let Some(Kind::Document(document)) = &entry.kind else { continue };
        let visibility =
            document.permissions.as_ref().map_or("", |permissions| permissions.visibility.as_str());
        table.row([
            human::or_dash(&document.title),
            human::or_dash(&document.media_type),
            if entry.content_length == 0 {
                human::NOTHING.to_owned()
            } else {
                human::bytes(entry.content_length)
            },
            human::relative(document.updated_at.as_ref(), now),
            match names {
                Some(names) => names.get(&entry.connection).unwrap_or(&entry.connection).clone(),
                None => human::or_dash(visibility),
            },
            document.id.clone(),
        ]);
    }
    table
}

async fn get(context: &mut Context, args: Get) -> Result<()> {
    let connection = connection_id(context, &args.connection).await?;
    if args.text {
        return text(context, connection, args.id).await;
    }
    let request = GetDocumentRequest { connection, document: args.id };
    let answer = context.client.documents().get_document(request).await?.into_inner();
    let mut entry = answer.entry.ok_or_else(|| empty_answer("GetDocument"))?;
    if args.content {
        fill_text(&context.client, &mut entry).await?;
    }
    if context.out.is_json() {
        return context.out.line(&to_line(&entry, args.content)?);
    }
    let Some(Kind::Document(document)) = &entry.kind else { return Err(empty_answer("GetDocument")) };
    context.out.table(&fields(&entry, document))?;
    if let (true, Some(text)) = (args.content, &document.content) {
        context.out.line("")?;
        context.out.text(text)?;
        if !text.ends_with('\n') {
            context.out.line("")?;
        }
    }
    Ok(())
}

fn fields(entry: &FeedEntry, document: &DocumentEnvelope) -> Table {
    let now = human::now();
    let mut table = Table::fields();
    table.field("id", &document.id);
    table.field("title", human::or_dash(&document.title));
    table.field_if("url", &document.url);
    table.field_if("type", &document.media_type);
    table.field_if("source", &document.source);
    table.field_if("version", &document.version);
    table.field_if("parent", &document.parent_id);
    table.field("created", human::exact(document.created_at.as_ref(), now));
    table.field("updated", human::exact(document.updated_at.as_ref(), now));
    let permissions = document.permissions.clone().unwrap_or_default();
    table.field("visibility", human::or_dash(&permissions.visibility));
    table.field_if("allow", &permissions.allow.join(", "));
    table.field_if("deny", &permissions.deny.join(", "));
    let mut text = match (entry.content_length, &document.content) {
        (0, None) => "none".to_owned(),
        (length, _) => human::bytes(length),
    };
    if entry.content_stale {
        text.push_str(", of an older version: the newest could not be read yet");
    }
    if entry.content_truncated {
        text.push_str(", cut: it was longer than the server keeps");
    }
    table.field("text", text);
    for (key, value) in document.metadata.iter().flat_map(settings::to_json) {
        let value = value.as_str().map_or_else(|| json::plain(&value), str::to_owned);
        table.field("metadata", format!("{key}: {value}"));
    }
    table.field("position", &entry.position);
    table.field("committed", human::exact(entry.committed_at.as_ref(), now));
    table
}

/// Prints the text alone, part by part.
async fn text(context: &mut Context, connection: String, document: String) -> Result<()> {
    let request = ReadContentRequest { connection, document };
    let mut parts = context.client.documents().read_content(request).await?.into_inner();
    let mut empty = true;
    while let Some(part) = parts.message().await? {
        empty = empty && part.text.is_empty();
        context.out.text(&part.text)?;
    }
    if empty {
        note("the document has no text");
    }
    Ok(())
}

/// Puts a text that is too long for one message into the entry. A document that went away meanwhile stays
/// without: the feed will say so.
pub async fn fill_text(client: &Client, entry: &mut FeedEntry) -> Result<()> {
    let (connection, left_out) = match &entry.kind {
        Some(Kind::Document(document)) => (entry.connection.clone(), is_text_left_out(entry, document)),
        _ => return Ok(()),
    };
    let Some(Kind::Document(document)) = entry.kind.as_mut().filter(|_| left_out) else { return Ok(()) };
    let request = ReadContentRequest { connection, document: document.id.clone() };
    let mut parts = match client.documents().read_content(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) if status.code() == Code::NotFound => return Ok(()),
        Err(status) => return Err(status.into()),
    };
    let mut text = String::new();
    while let Some(part) = parts.message().await? {
        text.push_str(&part.text);
    }
    document.content = Some(text);
    Ok(())
}
