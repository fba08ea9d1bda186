//! A connector for tests that plays a script (see README.md). It implements the generated service and not the
//! SDK's trait, so that it can also send what the contract forbids.

mod calls;
mod content;
mod look_around;
mod normalize;
mod play;
mod script;
mod source;

use anyhow::Context;
use serde_json::json;
use superfasttt_proto::connector::v1::connector_server::{Connector, ConnectorServer};
use superfasttt_proto::connector::v1::{self, Capabilities};
use superfasttt_proto::{CONTRACT_REVISION, DESCRIPTORS};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::service::InterceptorLayer;
use tonic::{Request, Response, Status, Streaming};

use crate::calls::ScriptFile;

struct Scripted {
    manifest: String,
    capabilities: Capabilities,
}

impl Scripted {
    /// What the manifest in the working folder declares; the server starts a connector in its folder.
    fn from_working_folder() -> anyhow::Result<Self> {
        let manifest = std::fs::read_to_string("manifest.json")
            .unwrap_or_else(|_| include_str!("../manifest.json").to_owned());
        let parsed: serde_json::Value = serde_json::from_str(&manifest).context("parsing manifest.json")?;
        let declares =
            |name: &str| parsed["capabilities"].as_array().is_some_and(|all| all.contains(&json!(name)));
        let capabilities = Capabilities {
            incremental: declares("incremental"),
            full_listing: declares("full_listing"),
            list: declares("list"),
            targeted: declares("targeted"),
            discover: declares("discover"),
            fetch_content: declares("fetch_content"),
            handle_event: declares("handle_event"),
            execute: declares("execute"),
        };
        Ok(Self { manifest, capabilities })
    }
}

#[tonic::async_trait]
impl Connector for Scripted {
    async fn describe(
        &self,
        _request: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        Ok(Response::new(v1::DescribeResponse {
            manifest_json: self.manifest.clone(),
            capabilities: Some(self.capabilities),
            contract_revisions: vec![CONTRACT_REVISION],
            sdk: String::new(),
        }))
    }

    async fn test_connection(
        &self,
        request: Request<v1::TestConnectionRequest>,
    ) -> Result<Response<v1::TestConnectionResponse>, Status> {
        let file = ScriptFile::of(request.get_ref().settings.as_ref()).map_err(refused)?;
        let credential = request.get_ref().credential.as_ref();
        file.record("test_connection", json!({"credential": source::told(credential)})).map_err(refused)?;
        let script = file.read().map_err(refused)?;
        script.source.admit(credential)?;
        let account = script.source.account(credential);
        let checks = script.checks.into_iter().map(|check| check.into_proto());
        let mut checks = checks.collect::<anyhow::Result<Vec<_>>>().map_err(refused)?;
        if checks.is_empty() {
            let (name, message) = ("script_readable".to_owned(), "the script can be read".to_owned());
            let outcome = v1::check::Outcome::Passed.into();
            checks.push(v1::Check { name, outcome, message, fix: String::new() });
        }
        Ok(Response::new(v1::TestConnectionResponse { checks, account }))
    }

    async fn discover(
        &self,
        request: Request<v1::DiscoverRequest>,
    ) -> Result<Response<v1::DiscoverResponse>, Status> {
        let request = request.into_inner();
        let file = ScriptFile::of(request.settings.as_ref()).map_err(refused)?;
        let credential = request.credential.as_ref();
        let facts = json!({"parent_id": request.parent_id, "credential": source::told(credential)});
        file.record("discover", facts).map_err(refused)?;
        let mut script = file.read().map_err(refused)?;
        script.source.admit(credential)?;
        let resources = script.resources.remove(&request.parent_id).unwrap_or_default();
        let resources = resources.into_iter().map(|resource| resource.into_proto()).collect();
        Ok(Response::new(v1::DiscoverResponse { resources, next_page_token: String::new() }))
    }

    type PullStream = ReceiverStream<Result<v1::PullResponse, Status>>;

    async fn pull(&self, request: Request<v1::PullRequest>) -> Result<Response<Self::PullStream>, Status> {
        let trace = traceparent(&request);
        let request = request.into_inner();
        let file = ScriptFile::of(request.settings.as_ref()).map_err(refused)?;
        let states = request
            .states
            .iter()
            .map(|state| json!({"scope": state.scope, "cursor": String::from_utf8_lossy(&state.cursor)}));
        let mode = request.mode().as_str_name().trim_start_matches("PULL_MODE_");
        let facts = json!({
            "mode": mode,
            "scopes": request.scopes,
            "known_scopes": request.known_scopes,
            "states": states.collect::<Vec<_>>(),
            "ids": request.ids,
            "want_raw": request.want_raw,
            "credential": source::told(request.credential.as_ref()),
            "traceparent": trace,
        });
        let mut script = file.read().map_err(refused)?;
        if let Err(status) = script.source.admit(request.credential.as_ref()) {
            // It plays nothing, and so takes no turn.
            file.record("refused_pull", facts).map_err(refused)?;
            return Err(status);
        }
        let earlier = file.record("pull", facts).map_err(refused)?;
        let (mut pulls, turn) = match script.modes.remove(mode) {
            Some(pulls) => (pulls, earlier.iter().filter(|call| call["mode"] == mode).count()),
            None => (script.pulls, earlier.len()),
        };
        let steps = match pulls.len() {
            0 => Vec::new(),
            count => pulls.swap_remove(turn.min(count - 1)).steps,
        };
        let (sender, responses) = mpsc::channel(4);
        tokio::spawn(play::play(steps, sender));
        Ok(Response::new(ReceiverStream::new(responses)))
    }

    type NormalizeStream = ReceiverStream<Result<v1::NormalizeResponse, Status>>;

    async fn normalize(
        &self,
        request: Request<Streaming<v1::NormalizeRequest>>,
    ) -> Result<Response<Self::NormalizeStream>, Status> {
        let (sender, responses) = mpsc::channel(4);
        tokio::spawn(normalize::play(request.into_inner(), sender));
        Ok(Response::new(ReceiverStream::new(responses)))
    }

    type FetchContentStream = ReceiverStream<Result<v1::FetchContentResponse, Status>>;

    async fn fetch_content(
        &self,
        request: Request<v1::FetchContentRequest>,
    ) -> Result<Response<Self::FetchContentStream>, Status> {
        let trace = traceparent(&request);
        let request = request.into_inner();
        let file = ScriptFile::of(request.settings.as_ref()).map_err(refused)?;
        let facts = json!({
            "id": request.id,
            "content_ref": request.content_ref,
            "version": request.version,
            "max_bytes": request.max_bytes,
            "credential": source::told(request.credential.as_ref()),
            "traceparent": trace,
        });
        file.record("fetch_content", facts).map_err(refused)?;
        let mut script = file.read().map_err(refused)?;
        script.source.admit(request.credential.as_ref())?;
        let content = script.content.remove(&request.content_ref);
        let (sender, responses) = mpsc::channel(4);
        tokio::spawn(content::play(content, sender));
        Ok(Response::new(ReceiverStream::new(responses)))
    }

    async fn handle_event(
        &self,
        _request: Request<v1::HandleEventRequest>,
    ) -> Result<Response<v1::HandleEventResponse>, Status> {
        Ok(Response::new(v1::HandleEventResponse { verified: true, all_scopes: true, ..Default::default() }))
    }

    /// Answers its input.
    async fn execute(
        &self,
        request: Request<v1::ExecuteRequest>,
    ) -> Result<Response<v1::ExecuteResponse>, Status> {
        Ok(Response::new(v1::ExecuteResponse { output: request.into_inner().input }))
    }
}

/// The trace that a call is part of, as the server sent it.
fn traceparent<T>(request: &Request<T>) -> Option<String> {
    request.metadata().get("traceparent")?.to_str().ok().map(str::to_owned)
}

fn refused(error: anyhow::Error) -> Status {
    Status::failed_precondition(format!("{error:#}"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let socket = std::env::var("CONNECTOR_SOCKET").context("CONNECTOR_SOCKET is not set")?;
    let expected =
        format!("Bearer {}", std::env::var("CONNECTOR_TOKEN").context("CONNECTOR_TOKEN is not set")?);
    let check_token = move |request: Request<()>| match request.metadata().get("authorization") {
        Some(given) if given.as_bytes() == expected.as_bytes() => Ok(request),
        _ => Err(Status::unauthenticated("no valid token")),
    };
    let service = ConnectorServer::new(Scripted::from_working_folder()?);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ConnectorServer<Scripted>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()?;
    std::fs::remove_file(&socket).ok();
    let listener = UnixListener::bind(&socket).with_context(|| format!("binding {socket}"))?;
    tonic::transport::Server::builder()
        .layer(InterceptorLayer::new(check_token))
        .add_service(health_service)
        .add_service(reflection)
        .add_service(service)
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await?;
    Ok(())
}
