//! How connections are shown.

use std::collections::BTreeSet;

use superfasttt_proto::control::v1::Connection;

use crate::context::Context;
use crate::error::Result;
use crate::output::table::{Column, Table};
use crate::output::text::word;
use crate::output::{human, json};
use crate::schedule::words;
use crate::settings;

/// One connection, in full.
pub fn print(context: &mut Context, connection: &Connection) -> Result<()> {
    if context.out.is_json() {
        return context.out.message(connection);
    }
    let now = human::now();
    let mut table = Table::fields();
    table.field("name", &connection.name);
    table.field("id", &connection.id);
    table.field("organisation", &connection.organization);
    table.field("connector", &connection.connector);
    if connection.is_default {
        table.field("default", "of its category");
    }
    table.field("state", state(connection));
    table.field_if("message", &connection.status_message);
    table.field("documents", human::count(connection.document_count));
    if connection.item_error_count > 0 {
        let see =
            format!("{} (see `connectorctl errors list {}`)", connection.item_error_count, connection.name);
        table.field("item errors", see);
    }
    table.field("syncs", words::schedule(connection.schedule.as_ref()));
    for detail in connection.schedule.iter().flat_map(words::details) {
        table.field("", detail);
    }
    if let Some(planned) = connection.schedule.as_ref().and_then(|schedule| schedule.planned_at.as_ref()) {
        table.field("planned sync", human::exact(Some(planned), now));
    }
    table.field("next sync", human::exact(connection.next_run_at.as_ref(), now));
    let reason = match (connection.next_run_full, connection.next_run_reason.as_str()) {
        (_, "") => String::new(),
        (false, reason) => reason.to_owned(),
        (true, reason) => format!("{reason}; it lists everything"),
    };
    table.field_if("because", &reason);
    table.field("last success", human::exact(connection.last_success_at.as_ref(), now));
    table.field_if("last run", &connection.last_run);
    if connection.keep_raw {
        table.field("raw items", raw_items(connection));
    }
    table.field("created", human::exact(connection.created_at.as_ref(), now));
    table.field("changed", human::exact(connection.updated_at.as_ref(), now));
    for (key, value) in connection.settings.iter().flat_map(settings::to_json) {
        table.field("setting", format!("{key}: {}", json::plain(&value)));
    }
    context.out.table(&table)
}

/// Connections, a line each.
pub fn table(connections: Vec<Connection>) -> Table {
    let now = human::now();
    let organizations: BTreeSet<_> = connections.iter().map(|connection| &connection.organization).collect();
    let several = organizations.len() > 1;
    let columns = [
        Column::whole("NAME"),
        Column::text("CONNECTOR"),
        Column::whole("STATE"),
        Column::number("DOCUMENTS"),
        Column::number("ERRORS"),
        Column::text("LAST SUCCESS"),
        Column::text("SYNCS"),
        Column::text("NEXT SYNC"),
        Column::text("BECAUSE"),
        Column::whole("ID"),
    ];
    let mut table = Table::list(&columns);
    for connection in connections {
        let state = state(&connection);
        let syncs = words::schedule(connection.schedule.as_ref());
        let next = words::next(&connection, now);
        // A name is unique within its organisation only.
        let name = if several {
            format!("{}/{}", connection.organization, connection.name)
        } else {
            connection.name
        };
        table.row([
            name,
            connection.connector,
            state,
            human::count(connection.document_count),
            human::count(connection.item_error_count),
            human::relative(connection.last_success_at.as_ref(), now),
            syncs,
            next,
            human::or_dash(&connection.next_run_reason),
            connection.id,
        ]);
    }
    table
}

/// That raw items are kept, and what that is good for now.
fn raw_items(connection: &Connection) -> String {
    match connection.normalized_by_other_versions.as_slice() {
        [] => "kept".to_owned(),
        others => format!(
            "kept; some documents were made by version {} of the connector (see `connectorctl connections renormalize {} \
             --preview`)",
            others.join(", "),
            connection.name
        ),
    }
}

fn state(connection: &Connection) -> String {
    word(connection.state().as_str_name(), "STATE_")
}
