//! `CatalogService`: the connectors folder as messages.

use std::sync::Arc;

use superfasttt_proto::control::v1::catalog_service_server::CatalogService;
use superfasttt_proto::control::v1::connector::State;
use superfasttt_proto::control::v1::{
    Connector, ConnectorHealth, ConnectorProcess, GetConnectorRequest, GetConnectorResponse,
    ListConnectorsRequest, ListConnectorsResponse, ManifestProblem, connector_health, connector_process,
};
use tonic::{Request, Response, Status};

use super::convert::timestamp;
use super::error::ApiError;
use super::{Api, page};
use crate::access::Caller;
use crate::catalog::{ConnectorEntry, Runnable};
use crate::process::{HealthState, ProcessState, ProcessStatus};
use crate::schedule::capabilities;
use crate::sync::json::to_struct;

#[tonic::async_trait]
impl CatalogService for Api {
    async fn list_connectors(
        &self,
        request: Request<ListConnectorsRequest>,
    ) -> Result<Response<ListConnectorsResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let limit = page::size(request.page_size)?;
        let after = page::key(&["connectors"], &request.page_token)?;
        let entries = self.catalog.list();
        let mut rest = entries.iter().filter(|entry| after.as_ref().is_none_or(|after| entry.id > *after));
        let connectors: Vec<_> =
            rest.by_ref().take(limit).map(|entry| self.connector(&caller, entry, false)).collect();
        let next_page_token = match (connectors.last(), rest.next()) {
            (Some(last), Some(_)) => page::token(&["connectors"], &last.id),
            _ => String::new(),
        };
        Ok(Response::new(ListConnectorsResponse { connectors, next_page_token }))
    }

    async fn get_connector(
        &self,
        request: Request<GetConnectorRequest>,
    ) -> Result<Response<GetConnectorResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let id = request.connector;
        let entry = self.catalog.get(&id).ok_or_else(|| ApiError::not_found("connector", &id))?;
        Ok(Response::new(GetConnectorResponse { connector: Some(self.connector(&caller, &entry, true)) }))
    }
}

impl Api {
    fn connector(&self, caller: &Caller, entry: &Arc<ConnectorEntry>, with_manifest: bool) -> Connector {
        let mut problems: Vec<ManifestProblem> = entry
            .problems
            .iter()
            .map(|problem| ManifestProblem {
                path: problem.path.clone(),
                message: problem.message.clone(),
                fix: problem.fix.clone(),
            })
            .collect();
        let mut state = if problems.is_empty() { State::Ready } else { State::Invalid };
        if let (State::Ready, Runnable::NotRunnable(why)) = (state, &entry.runnable) {
            state = State::NotRunnable;
            problems.push(ManifestProblem {
                path: "runtime".to_owned(),
                message: why.clone(),
                fix: String::new(),
            });
        }
        if self.catalog.is_disabled(&entry.id) {
            state = State::Disabled;
            problems.insert(
                0,
                ManifestProblem {
                    path: String::new(),
                    message: "an administrator disabled it".to_owned(),
                    fix: format!("set connectors.{}.enabled in the server's configuration", entry.id),
                },
            );
        }
        let mut processes = self.host.status(&entry.id);
        // What a process of another organisation says of itself is that organisation's; one that works for all is nobody's.
        processes.retain(|process| {
            caller.organization().is_empty()
                || process.organization.as_deref().is_some_and(|owner| caller.sees(owner))
        });
        let health = self.host.health_of(entry, &processes);
        let processes = processes.into_iter().map(process).collect();
        let mut connector = Connector {
            id: entry.id.clone(),
            state: state.into(),
            problems,
            processes,
            health: Some(shown_health(health)),
            ..Connector::default()
        };
        if let Some(manifest) = &entry.manifest {
            connector.name.clone_from(&manifest.name);
            connector.description.clone_from(&manifest.description);
            connector.category.clone_from(&manifest.category);
            connector.version.clone_from(&manifest.version);
            connector.documentation_url = manifest.documentation_url.clone().unwrap_or_default();
            connector.auth_type = manifest.auth.kind.as_str().to_owned();
            connector.capabilities = Some(capabilities(manifest));
            connector.settings_schema = manifest.settings.as_json().as_object().map(to_struct);
            if with_manifest {
                connector.manifest_json.clone_from(&manifest.raw);
            }
        }
        if connector.name.is_empty() {
            connector.name.clone_from(&connector.id);
        }
        connector
    }
}

fn shown_health(health: crate::process::ConnectorHealth) -> ConnectorHealth {
    let state = match health.state {
        HealthState::NotStarted => connector_health::State::NotStarted,
        HealthState::Stopped => connector_health::State::Stopped,
        HealthState::Healthy => connector_health::State::Healthy,
        HealthState::Unhealthy => connector_health::State::Unhealthy,
    };
    ConnectorHealth {
        state: state.into(),
        since: health.since.map(timestamp),
        checked_at: health.checked_at.map(timestamp),
        last_error: health.last_error.unwrap_or_default(),
    }
}

fn process(status: ProcessStatus) -> ConnectorProcess {
    let state = match status.state {
        ProcessState::Starting => connector_process::State::Starting,
        ProcessState::Ready => connector_process::State::Ready,
        ProcessState::Backoff | ProcessState::Failed => connector_process::State::Backoff,
        ProcessState::Stopped => connector_process::State::Stopped,
    };
    ConnectorProcess {
        state: state.into(),
        pid: status.pid.unwrap_or_default(),
        started_at: status.started_at.map(timestamp),
        restarts: u32::try_from(status.restarts).unwrap_or(u32::MAX),
        last_error: status.last_error.unwrap_or_default(),
        resident_bytes: status.resident_bytes,
    }
}
