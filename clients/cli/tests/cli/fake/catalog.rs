//! What the fake knows of connectors, and of itself.

use prost_types::value::Kind as ValueKind;
use prost_types::{ListValue, Struct, Value};
use superfasttt_proto::control::v1 as control;
use tonic::{Request, Response, Status};

use super::{Answer, Fake, Later, group, nested, text, unused};

fn schema() -> Struct {
    let property = |name: &str| nested(group([("type", text(name))]));
    let path = nested(group([("type", text("string")), ("format", text("path"))]));
    let required = Value { kind: Some(ValueKind::ListValue(ListValue { values: vec![text("root")] })) };
    let properties = group([
        ("root", path),
        ("note", property("string")),
        ("max_size", property("integer")),
        ("include", property("array")),
    ]);
    group([("type", text("object")), ("properties", nested(properties)), ("required", required)])
}

#[tonic::async_trait]
impl control::catalog_service_server::CatalogService for Fake {
    async fn list_connectors(
        &self,
        request: Request<control::ListConnectorsRequest>,
    ) -> Answer<control::ListConnectorsResponse> {
        let token = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        self.asked.tokens.lock().unwrap().push(token.clone());
        if token.as_deref() == Some("Bearer wrong") {
            return Err(Status::unauthenticated("the token is not the one of this server"));
        }
        let connector = |id: &str| control::Connector {
            id: id.into(),
            name: id.to_uppercase(),
            state: control::connector::State::Ready.into(),
            ..Default::default()
        };
        // Two pages, so that a client that stops at the first is found out.
        let answer = match request.get_ref().page_token.as_str() {
            "" => (connector("filesystem"), "2"),
            _ => (connector("notion"), ""),
        };
        Ok(Response::new(control::ListConnectorsResponse {
            connectors: vec![answer.0],
            next_page_token: answer.1.into(),
        }))
    }

    async fn get_connector(
        &self,
        request: Request<control::GetConnectorRequest>,
    ) -> Answer<control::GetConnectorResponse> {
        if request.get_ref().connector != "filesystem" {
            return Err(Status::not_found("there is no such connector"));
        }
        let connector = control::Connector {
            id: "filesystem".into(),
            settings_schema: Some(schema()),
            ..Default::default()
        };
        Ok(Response::new(control::GetConnectorResponse { connector: Some(connector) }))
    }
}

#[tonic::async_trait]
impl control::admin_service_server::AdminService for Fake {
    async fn get_server_info(
        &self,
        _: Request<control::GetServerInfoRequest>,
    ) -> Answer<control::GetServerInfoResponse> {
        let info = control::GetServerInfoResponse {
            version: "0.1.0".into(),
            store: "sqlite".into(),
            contract_revision: 1,
            ..Default::default()
        };
        Ok(Response::new(info))
    }

    async fn list_consumers(
        &self,
        _: Request<control::ListConsumersRequest>,
    ) -> Answer<control::ListConsumersResponse> {
        let consumer = control::Consumer { name: "search".into(), lag: 12, ..Default::default() };
        Ok(Response::new(control::ListConsumersResponse { consumers: vec![consumer], ..Default::default() }))
    }

    async fn create_api_token(
        &self,
        request: Request<control::CreateApiTokenRequest>,
    ) -> Answer<control::CreateApiTokenResponse> {
        let api_token = request.into_inner().api_token;
        Ok(Response::new(control::CreateApiTokenResponse { api_token, secret: "sfc_shown-once".into() }))
    }

    async fn list_audit_events(
        &self,
        request: Request<control::ListAuditEventsRequest>,
    ) -> Answer<control::ListAuditEventsResponse> {
        let request = request.into_inner();
        let event = |action: &str, at| control::AuditEvent {
            time: Some(prost_types::Timestamp { seconds: at, nanos: 0 }),
            action: action.into(),
            actor: request.actor.clone(),
            target: request.target.clone(),
            outcome: "OK".into(),
            count: 1,
            ..Default::default()
        };
        let mut events = vec![event("SyncService.StartSync", 2), event("credential.use", 1)];
        if request.oldest_first {
            events.reverse();
        }
        Ok(Response::new(control::ListAuditEventsResponse { events, ..Default::default() }))
    }

    unused! {
        delete_consumer(DeleteConsumerRequest) -> DeleteConsumerResponse,
        list_api_tokens(ListApiTokensRequest) -> ListApiTokensResponse,
        revoke_api_token(RevokeApiTokenRequest) -> RevokeApiTokenResponse,
    }
}
