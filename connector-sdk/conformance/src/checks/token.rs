//! Every service refuses calls without the token.

use futures::TryFutureExt;
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{DescribeRequest, PullMode, TestConnectionRequest};
use tokio_stream::StreamExt;
use tonic::{Code, Status};
use tonic_reflection::pb::v1;

use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::{End, pull, told};
use crate::wire::Wire;
use crate::workbench::Workbench;

const TOKEN: &str = "\"`CONNECTOR_TOKEN` (every call carries `authorization: Bearer <token>`; any other call is refused with UNAUTHENTICATED)\" (connector.proto, Where it listens)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let wire = bench.wire().await?;
    if !wire.has_token() {
        return Ok(Outcome::not_applicable("it was reached without a token"));
    }
    let close = bench.process().map(|process| process.token[..process.token.len() - 1].to_owned());
    let mut tokens = vec![
        ("no token", None),
        ("a wrong token", Some("wrong".to_owned())),
        ("an empty token", Some(String::new())),
    ];
    tokens.extend(close.map(|token| ("the token without its last character", Some(token))));
    let mut findings = Vec::new();
    for (what, token) in tokens {
        let stranger = wire.with_token(token.as_deref());
        for (call, outcome) in calls(bench, &stranger).await {
            let seen = match outcome {
                Err(status) if status.code() == Code::Unauthenticated => continue,
                Err(status) => format!("{call} with {what} answers {}", told(&status)),
                Ok(()) => format!("{call} with {what} is answered"),
            };
            let fix = "check the token before every service, reflection and health too; SDKs do it";
            findings.push(Finding::new(seen, TOKEN, fix));
        }
    }
    Ok(Outcome::of(findings, "of the connector, of health and of reflection"))
}

/// A call of each service.
async fn calls(bench: &Workbench, wire: &Wire) -> [(&'static str, Result<(), Status>); 5] {
    let describe = DescribeRequest { contract_revision: CONTRACT_REVISION };
    let test = TestConnectionRequest {
        settings: Some(bench.settings_struct()),
        credential: bench.credential.clone(),
        contract_revision: CONTRACT_REVISION,
    };
    let pulled = pull(wire, bench.request(PullMode::Full), Some(1)).await;
    let pulled = match pulled.end {
        End::Error(status) if pulled.messages.is_empty() => Err(status),
        _ => Ok(()),
    };
    [
        ("Describe", wire.client().describe(describe).map_ok(drop).await),
        ("TestConnection", wire.client().test_connection(test).map_ok(drop).await),
        ("Pull", pulled),
        ("health", wire.health("").map_ok(drop).await),
        ("reflection", reflection(wire).await),
    ]
}

async fn reflection(wire: &Wire) -> Result<(), Status> {
    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(wire.authorized());
    let answers = client.server_reflection_info(tokio_stream::once(request)).await;
    let first = match answers {
        Ok(answers) => answers.into_inner().next().await.transpose().map(drop),
        Err(status) => Err(status),
    };
    // Where only v1alpha is served there is nothing here to be let into.
    first.map_err(
        |status| {
            if status.code() == Code::Unimplemented { Status::unauthenticated("") } else { status }
        },
    )
}
