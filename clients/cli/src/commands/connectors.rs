//! `connectors`: the kinds of sources that the server knows.

use superfasttt_proto::connector::v1::Capabilities;
use superfasttt_proto::control::v1::{
    Connector, ConnectorHealth, ConnectorProcess, GetConnectorRequest, ListConnectorsRequest,
    connector_health,
};

use crate::context::Context;
use crate::error::Result;
use crate::output::table::{Column, Table};
use crate::output::text::word;
use crate::output::{human, json};
use crate::pages;
use crate::resolve::empty_answer;

const EXAMPLES: &str = "\
Examples:
  connectorctl connectors list
  connectorctl connectors show filesystem     its settings, what it can do, its problems
  connectorctl -o json connectors show filesystem | jq .settingsSchema";

/// What to do with connectors.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List the connectors in the server's folder
    #[command(visible_alias = "ls")]
    List,
    /// Show one connector: its settings, what it can do, its processes and problems
    Show {
        /// The connector's id, such as filesystem
        connector: String,
    },
}

/// Runs a command of this group.
pub async fn run(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::List => list(context).await,
        Command::Show { connector } => show(context, connector).await,
    }
}

async fn list(context: &mut Context) -> Result<()> {
    let client = context.client.clone();
    let fetch = |page_size, page_token| {
        let mut client = client.catalog();
        async move {
            let answer =
                client.list_connectors(ListConnectorsRequest { page_size, page_token }).await?.into_inner();
            Ok((answer.connectors, answer.next_page_token))
        }
    };
    let out = &mut context.out;
    pages::each_page(None, fetch, |connectors, first| {
        if out.is_json() {
            return connectors.iter().try_for_each(|connector| out.message(connector));
        }
        let columns = [
            Column::whole("ID"),
            Column::text("NAME"),
            Column::whole("STATE"),
            Column::whole("HEALTH"),
            Column::text("AUTH"),
            Column::text("VERSION"),
            Column::text("DESCRIPTION"),
        ];
        let mut table = Table::list(&columns).without_header(!first);
        for connector in connectors {
            let state = state(&connector);
            let health = connector.health.unwrap_or_default();
            // What is wrong with it matters more than what it would be.
            let about =
                connector.problems.first().map_or(connector.description, |problem| problem.message.clone());
            table.row([
                connector.id,
                connector.name,
                state,
                health_state(&health),
                human::or_dash(&connector.auth_type),
                human::or_dash(&connector.version),
                about,
            ]);
        }
        out.table(&table)
    })
    .await
}

async fn show(context: &mut Context, connector: String) -> Result<()> {
    let request = GetConnectorRequest { connector };
    let answer = context.client.catalog().get_connector(request).await?.into_inner();
    let connector = answer.connector.ok_or_else(|| empty_answer("GetConnector"))?;
    if context.out.is_json() {
        return context.out.message(&connector);
    }
    let mut table = Table::fields();
    table.field("id", &connector.id);
    table.field("name", &connector.name);
    table.field("state", state(&connector));
    table.field("health", health_line(&connector.health.clone().unwrap_or_default()));
    table.field_if("description", &connector.description);
    table.field_if("category", &connector.category);
    table.field_if("version", &connector.version);
    table.field_if("documentation", &connector.documentation_url);
    table.field("auth", human::or_dash(&connector.auth_type));
    table.field("can", capabilities(connector.capabilities.unwrap_or_default()));
    for problem in &connector.problems {
        let place = if problem.path.is_empty() { String::new() } else { format!("{}: ", problem.path) };
        let fix = if problem.fix.is_empty() { String::new() } else { format!(" ({})", problem.fix) };
        table.field("problem", format!("{place}{}{fix}", problem.message));
    }
    for process in &connector.processes {
        table.field("process", process_line(process));
    }
    for (key, text) in settings(&connector)? {
        table.field("setting", format!("{key}: {text}"));
    }
    context.out.table(&table)
}

fn state(connector: &Connector) -> String {
    word(connector.state().as_str_name(), "STATE_")
}

fn health_state(health: &ConnectorHealth) -> String {
    match health.state() {
        // A server of before the checks does not say.
        connector_health::State::Unspecified => human::or_dash(""),
        state => word(state.as_str_name(), "STATE_"),
    }
}

fn health_line(health: &ConnectorHealth) -> String {
    let mut parts = vec![health_state(health)];
    if health.since.is_some() {
        parts.push(format!("since {}", human::relative(health.since.as_ref(), human::now())));
    }
    if health.checked_at.is_some() {
        parts.push(format!("last asked {}", human::relative(health.checked_at.as_ref(), human::now())));
    }
    if !health.last_error.is_empty() {
        let when = if health.state() == connector_health::State::Unhealthy { "" } else { "before: " };
        parts.push(format!("{when}{}", health.last_error));
    }
    parts.join(", ")
}

fn capabilities(can: Capabilities) -> String {
    let named = [
        (can.incremental, "incremental"),
        (can.full_listing, "full listing"),
        (can.list, "list"),
        (can.targeted, "targeted"),
        (can.discover, "discover"),
        (can.fetch_content, "fetch content"),
        (can.handle_event, "events"),
        (can.execute, "actions"),
    ];
    let able: Vec<_> = named.into_iter().filter_map(|(can, name)| can.then_some(name)).collect();
    human::or_dash(&able.join(", "))
}

fn process_line(process: &ConnectorProcess) -> String {
    let mut parts = vec![word(process.state().as_str_name(), "STATE_")];
    if process.pid > 0 {
        parts.push(format!("pid {}", process.pid));
        parts.push(format!("started {}", human::relative(process.started_at.as_ref(), human::now())));
    }
    if process.resident_bytes > 0 {
        parts.push(human::bytes(process.resident_bytes));
    }
    if process.restarts > 0 {
        parts.push(human::plural(process.restarts.into(), "restart"));
    }
    if !process.last_error.is_empty() {
        parts.push(process.last_error.clone());
    }
    parts.join(", ")
}

/// Each setting with what the schema says of it: what people look up before `connections create`.
fn settings(connector: &Connector) -> Result<Vec<(String, String)>> {
    let Some(schema) = &connector.settings_schema else { return Ok(Vec::new()) };
    let schema = json::to_value(schema)?;
    let required: Vec<_> =
        schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    Ok(properties
        .map(|(key, property)| {
            let mut facts = Vec::new();
            facts.extend(property["type"].as_str().map(str::to_owned));
            if required.contains(&key.as_str()) {
                facts.push("required".to_owned());
            }
            if let Some(default) = property.get("default") {
                facts.push(format!("default {}", json::plain(default)));
            }
            let about = property["description"].as_str().or(property["title"].as_str()).unwrap_or_default();
            let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
            (key.clone(), format!("{about}{facts}").trim().to_owned())
        })
        .collect())
}
