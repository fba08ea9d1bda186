//! Making and changing connections.

use prost_types::FieldMask;
use serde_json::Map;
use superfasttt_proto::control::v1::{
    Connection, CreateConnectionRequest, GetConnectorRequest, UpdateConnectionRequest, connection,
};
use tonic::Code;

use super::show;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{json, note};
use crate::resolve::{self, empty_answer};
use crate::schedule::args;
use crate::settings::{self, Assignment, Schema, parse_assignment, parse_file_assignment};

/// Beneath the help of `create`.
pub const CREATE_EXAMPLES: &str = "\
Examples:
  connectorctl connections create --connector filesystem --name docs --set root=./docs
  connectorctl connections create --connector filesystem --name notes --set root=/srv/notes \\
      --set include='*.md,*.txt' --frequency 1h --full-frequency 1d
  connectorctl connections create --connector filesystem --name office --set root=/srv/office \\
      --cron '*/10 8-18 * * MON-FRI' --time-zone Europe/Paris --full-cron '0 3 * * SUN'
  connectorctl connections create --connector filesystem --name old --set root=/srv --frequency off

Without --frequency or --cron it syncs as the connector says. Cron fields are minute, hour, day of the month, \
month and day of the week, each *, a number, a list (1,15), a range (MON-FRI) or a step (*/10). Intervals of \
different connections lie apart by themselves; cron times are spread by up to a minute, or by --jitter.

Values are read as the connector's settings ask for: texts as they are, lists as JSON or with commas, paths \
from the folder you are in. `connectorctl connectors show ID` lists the settings.";

/// Beneath the help of `update`.
pub const UPDATE_EXAMPLES: &str = "\
Examples:
  connectorctl connections update docs --set root=/srv/docs        only this setting changes
  connectorctl connections update docs --unset include
  connectorctl connections update docs --frequency off             sync only when asked
  connectorctl connections update docs --cron '0 6 * * MON-FRI'    at six on working days, where its clock hangs
  connectorctl connections update docs --time-zone Europe/Paris    and there it hangs
  connectorctl connections update docs --full-frequency 7d         list everything once a week all the same
  connectorctl connections update docs --overlap buffer            what is due while a sync is under way waits
  connectorctl connections update docs --name documents";

/// Settings, as they are typed.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// A setting; repeat for more, dots go one level down (filter.max_size=10)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_assignment)]
    set: Vec<Assignment>,
    /// A setting whose value is the text of a file
    #[arg(long = "set-file", value_name = "KEY=PATH", value_parser = parse_file_assignment)]
    set_file: Vec<Assignment>,
}

/// A new connection.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// The connector's id; see `connectorctl connectors list`
    #[arg(long, value_name = "ID")]
    connector: String,
    /// The connection's name, unique in its organisation: a-z, 0-9, - and _
    #[arg(long)]
    name: String,
    #[command(flatten)]
    settings: Settings,
    /// Keep raw items, so that a newer connector can make documents anew without the source
    #[arg(long)]
    keep_raw: bool,
    /// Do not sync until it is enabled
    #[arg(long)]
    disabled: bool,
    /// Makes a repeated command harmless: the same id makes the same connection once
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    schedule: args::Args,
}

/// A changed connection.
#[derive(Debug, clap::Args)]
#[group(id = "change", required = true, multiple = true, args = ["name", "set", "set_file", "unset", "keep_raw"], args = args::Args::NAMES)]
pub struct Update {
    /// The connection's name or id
    connection: String,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Forget a setting, so that its default counts again; repeat for more
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    schedule: args::Args,
    /// Keep raw items: "true" makes the next sync a full one, "false" removes what is kept
    #[arg(long, value_name = "BOOL")]
    keep_raw: Option<bool>,
}

impl Settings {
    fn assignments(&self) -> Vec<Assignment> {
        self.set.iter().chain(&self.set_file).cloned().collect()
    }
}

/// `connections create`.
pub async fn create(context: &mut Context, args: Create) -> Result<()> {
    let assignments = args.settings.assignments();
    let mut settings = Map::new();
    if !assignments.is_empty() {
        let schema = schema(context, &args.connector).await?;
        settings::assign(&mut settings, &assignments, &schema)
            .map_err(|error| Error::Usage(error.to_string()))?;
    }
    let schedule = args.schedule.create().map_err(Error::Usage)?;
    let connection = Connection {
        organization: context.organization(),
        connector: args.connector,
        name: args.name,
        settings: (!settings.is_empty()).then(|| settings::to_struct(settings)),
        schedule,
        keep_raw: args.keep_raw,
        ..Default::default()
    };
    let request = CreateConnectionRequest {
        connection: Some(connection),
        request_id: args.request_id.unwrap_or_default(),
        disabled: args.disabled,
    };
    let answer = context.client.connections().create_connection(request).await?.into_inner();
    let connection = answer.connection.ok_or_else(|| empty_answer("CreateConnection"))?;
    show::print(context, &connection)?;
    if !context.out.is_json() {
        context.out.flush()?;
        note(&what_next(&connection, args.disabled));
    }
    Ok(())
}

/// `connections update`: only what was typed is named in the mask, so that nothing else is overwritten.
pub async fn update(context: &mut Context, args: Update) -> Result<()> {
    let current = resolve::connection(context, &args.connection).await?;
    let mut changed = Connection { id: current.id.clone(), etag: current.etag.clone(), ..Default::default() };
    let mut paths = Vec::new();
    if let Some(name) = args.name {
        changed.name = name;
        paths.push("name".to_owned());
    }
    let assignments = args.settings.assignments();
    if !assignments.is_empty() || !args.unset.is_empty() {
        let mut settings = current.settings.as_ref().map(settings::to_json).unwrap_or_default();
        for key in &args.unset {
            if settings.remove(key).is_none() {
                return Err(Error::Usage(format!("--unset {key}: the connection has no such setting")));
            }
        }
        let schema = schema(context, &current.connector).await?;
        settings::assign(&mut settings, &assignments, &schema)
            .map_err(|error| Error::Usage(error.to_string()))?;
        let touched = settings::top_keys(&assignments).into_iter().chain(args.unset);
        paths.extend(touched.map(|key| format!("settings.{key}")));
        changed.settings = Some(settings::to_struct(settings));
    }
    let typed = args.schedule.change();
    if !typed.paths.is_empty() {
        changed.schedule = Some(typed.schedule);
        paths.extend(typed.paths);
    }
    if let Some(keep_raw) = args.keep_raw {
        changed.keep_raw = keep_raw;
        paths.push("keep_raw".to_owned());
    }
    let request =
        UpdateConnectionRequest { connection: Some(changed), update_mask: Some(FieldMask { paths }) };
    let answer = context.client.connections().update_connection(request).await?.into_inner();
    let connection = answer.connection.ok_or_else(|| empty_answer("UpdateConnection"))?;
    show::print(context, &connection)
}

/// The settings schema of a connector. A server that knows no catalogue yet still makes connections.
async fn schema(context: &Context, connector: &str) -> Result<Schema> {
    let request = GetConnectorRequest { connector: connector.to_owned() };
    match context.client.catalog().get_connector(request).await {
        Ok(answer) => {
            let schema = answer.into_inner().connector.and_then(|connector| connector.settings_schema);
            Ok(Schema::new(schema.as_ref().map(json::to_value).transpose()?))
        }
        Err(status) if status.code() == Code::Unimplemented => Ok(Schema::new(None)),
        Err(status) if status.code() == Code::NotFound => Err(Error::Failed(format!(
            "there is no connector {connector:?} on this server; see `connectorctl connectors list`"
        ))),
        Err(status) => Err(status.into()),
    }
}
/// What a person does after a connection was made.
fn what_next(connection: &Connection, disabled: bool) -> String {
    let name = &connection.name;
    if disabled {
        format!("it begins with `connectorctl connections enable {name}`")
    } else if connection.state() == connection::State::NeedsCredential {
        format!(
            "it syncs once it has its credential: connect an account with `connectorctl credentials connect {name}`, or \
             enter a key or password with `connectorctl credentials set {name}`"
        )
    } else {
        format!("its first sync begins now; follow it with `connectorctl sync {name} --wait`")
    }
}
