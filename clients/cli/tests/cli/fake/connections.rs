//! The fake's one connection.

use superfasttt_proto::control::v1 as control;
use superfasttt_proto::control::v1::Connection;
use tonic::{Request, Response, Status};

use super::{Answer, Fake, Later, check, group, text, unused};
use crate::support::{CONNECTION, RUN};

/// The connection "docs".
pub fn docs() -> Connection {
    Connection {
        id: CONNECTION.into(),
        organization: "default".into(),
        connector: "filesystem".into(),
        name: "docs".into(),
        settings: Some(group([("root", text("/srv/docs")), ("note", text("kept"))])),
        state: control::connection::State::Healthy.into(),
        document_count: 1_204,
        schedule: Some(control::Schedule {
            interval: Some(prost_types::Duration { seconds: 900, nanos: 0 }),
            full_cron: "0 3 * * SUN".into(),
            time_zone: "Europe/Paris".into(),
            ..Default::default()
        }),
        // 2099-01-01.
        next_run_at: Some(prost_types::Timestamp { seconds: 4_070_908_800, nanos: 0 }),
        next_run_trigger: control::run::Trigger::Schedule.into(),
        next_run_full: true,
        next_run_reason: "every 15m".into(),
        last_run: RUN.into(),
        etag: "e1".into(),
        ..Default::default()
    }
}

/// Changes of state that only name the connection.
macro_rules! switches {
    ($($name:ident($request:ident) -> $response:ident),+ $(,)?) => {
        $(
            fn $name<'life0, 'async_trait>(&'life0 self, request: Request<control::$request>) -> Later<'async_trait, control::$response>
            where
                'life0: 'async_trait,
                Self: 'async_trait,
            {
                Box::pin(async move {
                    check(&request.get_ref().connection)?;
                    Ok(Response::new(control::$response { connection: Some(docs()) }))
                })
            }
        )+
    };
}

#[tonic::async_trait]
impl control::connection_service_server::ConnectionService for Fake {
    async fn create_connection(
        &self,
        request: Request<control::CreateConnectionRequest>,
    ) -> Answer<control::CreateConnectionResponse> {
        let request = request.into_inner();
        self.asked.creates.lock().unwrap().push(request.clone());
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let connection = Connection { id: CONNECTION.into(), ..request.connection.unwrap() };
        Ok(Response::new(control::CreateConnectionResponse { connection: Some(connection) }))
    }

    async fn get_connection(
        &self,
        request: Request<control::GetConnectionRequest>,
    ) -> Answer<control::GetConnectionResponse> {
        check(&request.get_ref().connection)?;
        Ok(Response::new(control::GetConnectionResponse { connection: Some(docs()) }))
    }

    async fn resolve_connection(
        &self,
        request: Request<control::ResolveConnectionRequest>,
    ) -> Answer<control::ResolveConnectionResponse> {
        match request.into_inner().by {
            Some(control::resolve_connection_request::By::Name(name)) if name == "docs" => {
                Ok(Response::new(control::ResolveConnectionResponse { connection: Some(docs()) }))
            }
            // There is a default of files, and of nothing else.
            Some(control::resolve_connection_request::By::Category(category)) => {
                let connection = (category == "files").then(docs);
                Ok(Response::new(control::ResolveConnectionResponse { connection }))
            }
            _ => Err(Status::not_found("there is no such connection")),
        }
    }

    async fn list_connections(
        &self,
        _: Request<control::ListConnectionsRequest>,
    ) -> Answer<control::ListConnectionsResponse> {
        Ok(Response::new(control::ListConnectionsResponse {
            connections: vec![docs()],
            ..Default::default()
        }))
    }

    async fn update_connection(
        &self,
        request: Request<control::UpdateConnectionRequest>,
    ) -> Answer<control::UpdateConnectionResponse> {
        self.asked.updates.lock().unwrap().push(request.into_inner());
        Ok(Response::new(control::UpdateConnectionResponse { connection: Some(docs()) }))
    }

    async fn test_connection(
        &self,
        _: Request<control::TestConnectionRequest>,
    ) -> Answer<control::TestConnectionResponse> {
        use superfasttt_proto::connector::v1::{Check, check::Outcome};
        let check = |name: &str, outcome: Outcome, fix: &str| Check {
            name: name.into(),
            outcome: outcome.into(),
            message: "looked".into(),
            fix: fix.into(),
        };
        let checks = vec![
            check("root_exists", Outcome::Passed, ""),
            check("root_readable", Outcome::Failed, "give the server's user the right to read it"),
        ];
        Ok(Response::new(control::TestConnectionResponse { ok: false, checks, account: None }))
    }

    switches! {
        delete_connection(DeleteConnectionRequest) -> DeleteConnectionResponse,
        enable_connection(EnableConnectionRequest) -> EnableConnectionResponse,
        disable_connection(DisableConnectionRequest) -> DisableConnectionResponse,
        pause_connection(PauseConnectionRequest) -> PauseConnectionResponse,
        resume_connection(ResumeConnectionRequest) -> ResumeConnectionResponse,
    }

    unused! {
        discover_resources(DiscoverResourcesRequest) -> DiscoverResourcesResponse,
        set_default_connection(SetDefaultConnectionRequest) -> SetDefaultConnectionResponse,
        import_connections(ImportConnectionsRequest) -> ImportConnectionsResponse,
        export_connections(ExportConnectionsRequest) -> ExportConnectionsResponse,
    }
}
