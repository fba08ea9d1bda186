//! How connections are shown.

use std::collections::BTreeSet;

use superfasttt_proto::control::v1::{Connection, Schedule};

use crate::context::Context;
use crate::error::Result;
use crate::output::table::{Column, Table};
use crate::output::text::word;
use crate::output::{human, json};
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
    table.field("state", state(connection));
    table.field_if("message", &connection.status_message);
    table.field("documents", human::count(connection.document_count));
    if connection.item_error_count > 0 {
        let see =
            format!("{} (see `connectorctl errors list {}`)", connection.item_error_count, connection.name);
        table.field("item errors", see);
    }
    table.field("syncs", schedule(connection.schedule.as_ref()));
    table.field("next sync", human::exact(connection.next_run_at.as_ref(), now));
    table.field("last success", human::exact(connection.last_success_at.as_ref(), now));
    table.field_if("last run", &connection.last_run);
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
        Column::text("NEXT SYNC"),
        Column::whole("ID"),
    ];
    let mut table = Table::list(&columns);
    for connection in connections {
        let state = state(&connection);
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
            human::relative(connection.next_run_at.as_ref(), now),
            connection.id,
        ]);
    }
    table
}

fn state(connection: &Connection) -> String {
    word(connection.state().as_str_name(), "STATE_")
}

fn schedule(schedule: Option<&Schedule>) -> String {
    let Some(schedule) = schedule else { return "as the connector's manifest says".to_owned() };
    let length = |length: prost_types::Duration| length.try_into().map(human::duration).unwrap_or_default();
    let mut text = match (schedule.interval, schedule.cron.as_str()) {
        (Some(interval), _) => format!("every {}", length(interval)),
        (None, "") => "only when asked".to_owned(),
        (None, cron) if schedule.time_zone.is_empty() => format!("at {cron} (UTC)"),
        (None, cron) => format!("at {cron} ({})", schedule.time_zone),
    };
    if let Some(full) = schedule.full_interval {
        text.push_str(&format!(", in full every {}", length(full)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_reads_as_a_sentence() {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        assert_eq!(schedule(Some(&Schedule::default())), "only when asked");
        let both = Schedule { interval: seconds(900), full_interval: seconds(86_400), ..Default::default() };
        assert_eq!(schedule(Some(&both)), "every 15 min, in full every 1 d");
        let cron = Schedule { cron: "0 3 * * *".into(), ..Default::default() };
        assert_eq!(schedule(Some(&cron)), "at 0 3 * * * (UTC)");
    }
}
