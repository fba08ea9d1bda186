//! `test`: whether a connection works.

use serde_json::json;
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::connector_server::Connector as _;
use superfasttt_proto::connector::v1::{TestConnectionRequest, check::Outcome};
use superfasttt_proto::error::ConnectorError;
use tokio_util::sync::CancellationToken;
use tonic::Request;

use crate::connector::Connector;
use crate::manifest;
use crate::program::Failure;
use crate::program::connection::ConnectionOptions;
use crate::program::output::Output;
use crate::serve::ServeError;
use crate::service::ConnectorService;

pub(super) async fn test<C: Connector>(
    connector: C,
    connection: &ConnectionOptions,
    output: &Output,
) -> Result<(), Failure> {
    let manifest = manifest::read(connector.manifest()).map_err(ServeError::from)?;
    let request = TestConnectionRequest {
        settings: Some(connection.settings(&manifest)?),
        credential: connection.credential(&manifest)?,
        contract_revision: CONTRACT_REVISION,
    };
    let service = ConnectorService::new(connector, &connection.traffic(), CancellationToken::new())?;
    let response = match service.test_connection(Request::new(request)).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Err(Failure::Failed(ConnectorError::from_status(&status).to_string())),
    };
    for check in &response.checks {
        let outcome = match check.outcome() {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Warning => "warning",
            Outcome::Skipped | Outcome::Unspecified => "skipped",
        };
        let found =
            json!({"name": check.name, "outcome": outcome, "message": check.message, "fix": check.fix});
        let fix = if check.fix.is_empty() { String::new() } else { format!("; {}", check.fix) };
        output.say("check", &found, &format!("{outcome:<8}{}: {}{fix}", check.name, check.message))?;
    }
    if let Some(account) = &response.account {
        let found = json!({"id": account.id, "display_name": account.display_name, "email": account.email});
        output.say("account", &found, &format!("account {} ({})", account.display_name, account.id))?;
    }
    if response.checks.iter().any(|check| check.outcome() == Outcome::Failed) {
        return Err(Failure::Failed("the connection does not work".to_owned()));
    }
    Ok(())
}
