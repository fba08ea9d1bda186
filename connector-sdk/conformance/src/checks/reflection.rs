//! Server reflection, in either of its two versions.

use tokio_stream::StreamExt;
use tonic::Status;
use tonic_reflection::pb::{v1, v1alpha};

use crate::outcome::{Outcome, Verdict};
use crate::pull::told;
use crate::wire::Wire;
use crate::workbench::Workbench;

const SERVED: &str = "\"`grpc.health.v1.Health` and server reflection are served beside this service\" (connector.proto, Where it listens)";
const SERVICE: &str = "superfasttt.connector.v1.Connector";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let wire = bench.wire().await?;
    let (newer, older) = (by_v1(&wire).await, by_v1alpha(&wire).await);
    let lists = |found: &Result<Vec<String>, Status>| {
        found.as_ref().is_ok_and(|services| services.iter().any(|service| service == SERVICE))
    };
    let versions: Vec<&str> = [("v1", lists(&newer)), ("v1alpha", lists(&older))]
        .into_iter()
        .filter(|(_, lists)| *lists)
        .map(|(name, _)| name)
        .collect();
    if !versions.is_empty() {
        return Ok(Outcome::passed(versions.join(" and ")));
    }
    let seen = match newer.or(older) {
        Ok(services) => {
            format!("the services listed are {}, and {SERVICE} is not among them", services.join(", "))
        }
        Err(status) => format!("neither v1 nor v1alpha answers: {}", told(&status)),
    };
    Ok(Outcome::failed(
        seen,
        SERVED,
        "register the reflection service of your gRPC library, with the connector's descriptors",
    ))
}

async fn by_v1(wire: &Wire) -> Result<Vec<String>, Status> {
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(wire.authorized());
    let answers = client.server_reflection_info(tokio_stream::once(request)).await?;
    match answers.into_inner().next().await.transpose()?.and_then(|answer| answer.message_response) {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        _ => Ok(Vec::new()),
    }
}

async fn by_v1alpha(wire: &Wire) -> Result<Vec<String>, Status> {
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(wire.authorized());
    let answers = client.server_reflection_info(tokio_stream::once(request)).await?;
    match answers.into_inner().next().await.transpose()?.and_then(|answer| answer.message_response) {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        _ => Ok(Vec::new()),
    }
}
