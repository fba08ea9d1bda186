//! `connections`: the configured uses of connectors.

mod change;
mod default;
mod renormalize;
mod show;

use superfasttt_proto::connector::v1::check::Outcome;
use superfasttt_proto::control::v1::{
    Connection, DeleteConnectionRequest, DisableConnectionRequest, DiscoverResourcesRequest,
    EnableConnectionRequest, ListConnectionsRequest, PauseConnectionRequest, ResumeConnectionRequest,
    TestConnectionRequest, discover_resources_request, test_connection_request,
};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::table::{Column, Table};
use crate::output::text::word;
use crate::output::{human, note};
use crate::pages;
use crate::resolve::{self, connection_id, empty_answer};

const EXAMPLES: &str = "\
Examples:
  connectorctl connections create --connector filesystem --name docs --set root=./docs
  connectorctl connections list
  connectorctl connections test docs
  connectorctl connections update docs --frequency 1h --set include='*.md,*.pdf'
  connectorctl connections delete docs

CONNECTION is the connection's name, in the organisation given with --organization, or the server's id.";

/// What to do with connections.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Make a connection; its first sync begins at once unless it is disabled
    #[command(after_help = change::CREATE_EXAMPLES)]
    Create(change::Create),
    /// List connections, oldest first
    #[command(visible_alias = "ls")]
    List {
        /// Only of this connector
        #[arg(long, value_name = "ID")]
        connector: Option<String>,
    },
    /// Show one connection
    Show(One),
    /// Change a connection; changed settings make the next sync a full one
    #[command(after_help = change::UPDATE_EXAMPLES)]
    Update(change::Update),
    /// Delete a connection, and its documents with it
    #[command(visible_alias = "rm")]
    Delete {
        /// Which
        #[command(flatten)]
        one: One,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Try a connection without syncing; fails (1) when a check fails
    Test(One),
    /// Let a disabled connection sync again
    Enable(One),
    /// Stop syncs and events, and keep the documents
    Disable(One),
    /// Stop the schedule only
    Pause(One),
    /// Follow the schedule again
    Resume(One),
    /// Make a connection the default of its connector's category, in its organisation
    #[command(after_help = default::DEFAULT_EXAMPLES)]
    Default(One),
    /// Say which connection is the default of a category; "none" where there is none
    #[command(after_help = default::DEFAULT_EXAMPLES)]
    Resolve {
        /// The category, such as files or chat
        category: String,
    },
    /// Make documents anew of kept raw items, without asking the source; or see what that would change
    #[command(after_help = renormalize::EXAMPLES)]
    Renormalize(renormalize::Args),
    /// List what can be picked in the settings, such as folders, sites or channels
    Discover {
        /// Which
        #[command(flatten)]
        one: One,
        /// Look under this resource
        #[arg(long, value_name = "ID")]
        parent: Option<String>,
        /// Which of the settings is picked for, where there are several
        #[arg(long, value_name = "NAME")]
        picker: Option<String>,
        /// Only what matches these words
        #[arg(long, value_name = "WORDS")]
        query: Option<String>,
    },
}

/// One connection.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The connection's name or id
    pub connection: String,
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => change::create(context, args).await,
        Command::List { connector } => list(context, connector).await,
        Command::Show(one) => {
            let connection = resolve::connection(context, &one.connection).await?;
            show::print(context, &connection)
        }
        Command::Update(args) => change::update(context, args).await,
        Command::Delete { one, yes } => delete(context, one, yes).await,
        Command::Test(one) => test(context, one).await,
        Command::Default(one) => default::set(context, one).await,
        Command::Resolve { category } => default::resolve(context, category).await,
        Command::Renormalize(args) => renormalize::run(context, args).await,
        Command::Discover { one, parent, picker, query } => {
            discover(context, one, parent, picker, query).await
        }
        Command::Enable(one) => {
            let connection = connection_id(context, &one.connection).await?;
            let answer = context
                .client
                .connections()
                .enable_connection(EnableConnectionRequest { connection })
                .await?;
            changed(context, answer.into_inner().connection, "is enabled")
        }
        Command::Disable(one) => {
            let connection = connection_id(context, &one.connection).await?;
            let request = DisableConnectionRequest { connection };
            let answer = context.client.connections().disable_connection(request).await?;
            changed(context, answer.into_inner().connection, "is disabled; its documents stay")
        }
        Command::Pause(one) => {
            let connection = connection_id(context, &one.connection).await?;
            let answer =
                context.client.connections().pause_connection(PauseConnectionRequest { connection }).await?;
            changed(context, answer.into_inner().connection, "is paused; `connectorctl sync` still works")
        }
        Command::Resume(one) => {
            let connection = connection_id(context, &one.connection).await?;
            let answer = context
                .client
                .connections()
                .resume_connection(ResumeConnectionRequest { connection })
                .await?;
            changed(context, answer.into_inner().connection, "follows its schedule again")
        }
    }
}

/// Says what became of a connection.
fn changed(context: &mut Context, connection: Option<Connection>, what: &str) -> Result<()> {
    let connection = connection.ok_or_else(|| empty_answer("the change"))?;
    if context.out.is_json() {
        return context.out.message(&connection);
    }
    note(&format!("{} {what}", connection.name));
    show::print(context, &connection)
}

async fn list(context: &mut Context, connector: Option<String>) -> Result<()> {
    let client = context.client.clone();
    let (organization, connector) = (context.organization(), connector.unwrap_or_default());
    let fetch = |page_size, page_token| {
        let mut client = client.connections();
        let request = ListConnectionsRequest {
            organization: organization.clone(),
            connector: connector.clone(),
            page_size,
            page_token,
        };
        async move {
            let answer = client.list_connections(request).await?.into_inner();
            Ok((answer.connections, answer.next_page_token))
        }
    };
    let out = &mut context.out;
    let mut empty = true;
    pages::each_page(None, fetch, |connections, first| {
        empty = empty && connections.is_empty();
        if out.is_json() {
            return connections.iter().try_for_each(|connection| out.message(connection));
        }
        if connections.is_empty() {
            Ok(())
        } else {
            out.table(&show::table(connections).without_header(!first))
        }
    })
    .await?;
    if empty && !out.is_json() {
        note("there are no connections yet; make one with `connectorctl connections create`");
    }
    Ok(())
}

async fn delete(context: &mut Context, one: One, yes: bool) -> Result<()> {
    let connection = resolve::connection(context, &one.connection).await?;
    let documents = human::plural(connection.document_count, "document");
    context.confirm(&format!("Delete the connection {} and its {documents}?", connection.name), yes)?;
    let request = DeleteConnectionRequest { connection: connection.id, etag: String::new() };
    let answer = context.client.connections().delete_connection(request).await?.into_inner();
    let connection = answer.connection.ok_or_else(|| empty_answer("DeleteConnection"))?;
    if context.out.is_json() {
        return context.out.message(&connection);
    }
    note(&format!("{} is being deleted; its documents leave the feed in the background", connection.name));
    Ok(())
}

async fn test(context: &mut Context, one: One) -> Result<()> {
    let target = test_connection_request::Target::Connection(connection_id(context, &one.connection).await?);
    let request = TestConnectionRequest { target: Some(target) };
    let answer = context.client.connections().test_connection(request).await?.into_inner();
    if context.out.is_json() {
        context.out.message(&answer)?;
    } else {
        let mut table =
            Table::list(&[Column::whole("OUTCOME"), Column::whole("CHECK"), Column::text("MESSAGE")])
                .wrapped();
        for check in &answer.checks {
            let outcome = match check.outcome() {
                Outcome::Unspecified => "failed".to_owned(),
                outcome => word(outcome.as_str_name(), "OUTCOME_"),
            };
            let fix = if check.fix.is_empty() { String::new() } else { format!(" ({})", check.fix) };
            table.row([outcome, check.name.clone(), format!("{}{fix}", check.message)]);
        }
        context.out.table(&table)?;
        if let Some(account) = &answer.account {
            let name = if account.display_name.is_empty() { &account.id } else { &account.display_name };
            let email =
                if account.email.is_empty() { String::new() } else { format!(" <{}>", account.email) };
            note(&format!("account: {name}{email}"));
        }
    }
    context.out.flush()?;
    if answer.ok {
        Ok(())
    } else {
        Err(Error::Failed("the connection does not work yet; a check failed".to_owned()))
    }
}

async fn discover(
    context: &mut Context,
    one: One,
    parent: Option<String>,
    picker: Option<String>,
    query: Option<String>,
) -> Result<()> {
    let connection = connection_id(context, &one.connection).await?;
    let request = DiscoverResourcesRequest {
        target: Some(discover_resources_request::Target::Connection(connection)),
        picker: picker.unwrap_or_default(),
        parent_id: parent.unwrap_or_default(),
        query: query.unwrap_or_default(),
        ..Default::default()
    };
    let client = context.client.clone();
    let fetch = |page_size, page_token| {
        let mut client = client.connections();
        let request = DiscoverResourcesRequest { page_size, page_token, ..request.clone() };
        async move {
            let answer = client.discover_resources(request).await?.into_inner();
            Ok((answer.resources, answer.next_page_token))
        }
    };
    let out = &mut context.out;
    pages::each_page(None, fetch, |resources, first| {
        if out.is_json() {
            return resources.iter().try_for_each(|resource| out.message(resource));
        }
        let columns =
            [Column::text("NAME"), Column::text("KIND"), Column::text("MORE UNDER IT"), Column::whole("ID")];
        let mut table = Table::list(&columns).without_header(!first);
        for resource in resources {
            let more = if resource.has_children { "yes" } else { human::NOTHING };
            let id =
                if resource.selectable { resource.id } else { format!("{} (only to open)", resource.id) };
            table.row([resource.name, human::or_dash(&resource.kind), more.to_owned(), id]);
        }
        out.table(&table)
    })
    .await
}
