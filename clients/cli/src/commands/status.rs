//! `status`: what the server is and how it does.

use superfasttt_proto::control::v1::GetServerInfoRequest;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::table::Table;
use crate::output::{human, json};

const EXAMPLES: &str = "\
Examples:
  connectorctl status
  connectorctl --server https://connectors.example.org status
  until connectorctl status >/dev/null 2>&1; do sleep 1; done    wait for a server that starts

Fails (1) when the server cannot be reached or is not serving.";

/// Nothing to choose.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Asks for health first: a server that starts or drains may serve nothing else.
pub async fn run(context: &mut Context, _: Args) -> Result<()> {
    let health = context.client.health().check(HealthCheckRequest::default()).await?.into_inner().status();
    let word = health.as_str_name();
    if health != ServingStatus::Serving {
        if context.out.is_json() {
            context.out.line(&format!(r#"{{"health":{}}}"#, json::quote(word)))?;
            context.out.flush()?;
        }
        return Err(Error::Failed(format!(
            "the server is there and does not serve now ({word}): it starts or stops"
        )));
    }
    let info = context.client.admin().get_server_info(GetServerInfoRequest {}).await?.into_inner();
    if context.out.is_json() {
        // The health beside the fields of GetServerInfoResponse.
        let fields = json::to_string(&info)?;
        let comma = if fields == "{}" { "" } else { "," };
        return context.out.line(&format!(r#"{{"health":{}{comma}{}"#, json::quote(word), &fields[1..]));
    }
    let mut table = Table::fields();
    table.field("health", word.to_lowercase());
    table.field("version", human::or_dash(&info.version));
    table.field("store", human::or_dash(&info.store));
    table.field("contract revision", info.contract_revision.to_string());
    table.field("started", human::exact(info.started_at.as_ref(), human::now()));
    table.field("active runs", human::count(info.active_runs.into()));
    table.field("feed head", human::or_dash(&info.feed_head));
    context.out.table(&table)
}
