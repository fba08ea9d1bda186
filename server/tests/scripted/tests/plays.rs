//! The scripted connector does what its script says, one pull after the other, also over the end of its process.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value, json};
use superfasttt_connector::json_to_struct;
use superfasttt_proto::connector::v1::{
    FetchContentRequest, PullMode, PullRequest, PullResponse, ScopeState, change,
    connector_client::ConnectorClient, fetch_content_response, pull_response,
};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

type Client = ConnectorClient<InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>>;

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn with_token(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer t0ken"));
    Ok(request)
}

async fn start(folder: &Path) -> (Process, Client) {
    let socket = folder.join("c.sock");
    let child = Command::new(env!("CARGO_BIN_EXE_scripted-connector"))
        .env_clear()
        .env("CONNECTOR_SOCKET", &socket)
        .env("CONNECTOR_TOKEN", "t0ken")
        .current_dir(folder)
        .spawn()
        .expect("the binary was built for this test");
    let address = format!("unix://{}", socket.display());
    let endpoint = tonic::transport::Endpoint::from_shared(address).expect("a path makes an address");
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    (Process(child), ConnectorClient::with_interceptor(channel, with_token as fn(_) -> _))
}

fn settings(folder: &Path) -> Option<prost_types::Struct> {
    let Value::Object(settings) = json!({"script": folder.join("script.json")}) else { return None };
    Some(json_to_struct(settings))
}

/// What came before the stream ended, and how it ended.
async fn pull(client: &mut Client, folder: &Path) -> (Vec<PullResponse>, Result<(), Status>) {
    let states = vec![ScopeState { scope: "drive".into(), cursor: b"c7".to_vec() }];
    let request = PullRequest {
        settings: settings(folder),
        states,
        mode: PullMode::Incremental.into(),
        contract_revision: 1,
        ..Default::default()
    };
    let mut stream = match client.pull(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return (vec![], Err(status)),
    };
    let mut responses = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(response)) => responses.push(response),
            Ok(None) => return (responses, Ok(())),
            Err(status) => return (responses, Err(status)),
        }
    }
}

fn document_count(responses: &[PullResponse]) -> usize {
    let pages = responses.iter().filter_map(|response| match &response.kind {
        Some(pull_response::Kind::Page(page)) => Some(page),
        _ => None,
    });
    let changes = pages.flat_map(|page| &page.changes);
    changes.filter(|change| matches!(change.kind, Some(change::Kind::Document(_)))).count()
}

#[tokio::test]
async fn pulls_are_counted_over_the_end_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let script = json!({"pulls": [
        {"steps": [{"generate": {"count": 500}}, {"document": {"id": "a"}, "scope": "drive"}, {"exit": 3}]},
        {"steps": [{"unknown_kind": "response"}, {"fail": {"reason": "RATE_LIMITED", "retry_after_s": 5}}]},
    ]});
    std::fs::write(folder.path().join("script.json"), script.to_string()).unwrap();

    let (mut process, mut client) = start(folder.path()).await;
    let (responses, end) = pull(&mut client, folder.path()).await;
    assert_eq!(document_count(&responses), 501);
    assert!(end.is_err());
    assert_eq!(process.0.wait().unwrap().code(), Some(3));

    let (_process, mut client) = start(folder.path()).await;
    let (responses, end) = pull(&mut client, folder.path()).await;
    assert_eq!(responses, [PullResponse { kind: None }]);
    assert_eq!(end.unwrap_err().code(), tonic::Code::ResourceExhausted);

    let calls = std::fs::read_to_string(folder.path().join("script.json.calls")).unwrap();
    let calls: Vec<Value> = calls.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1]["mode"], "INCREMENTAL");
    assert_eq!(calls[1]["states"], json!([{"scope": "drive", "cursor": "c7"}]));
    assert_ne!(calls[0]["pid"], calls[1]["pid"]);
}

#[tokio::test]
async fn a_pull_holds_until_the_file_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, go) = (folder.path().join("begun"), folder.path().join("go"));
    let script = json!({"pulls": [{"steps": [
        {"touch_file": begun}, {"wait_for_file": go},
        {"page": {"scope": "drive", "changes": [{"deletion": {"id": "a"}}], "checkpoint": {"cursor": "c"}}},
    ]}]});
    std::fs::write(folder.path().join("script.json"), script.to_string()).unwrap();
    let (_process, mut client) = start(folder.path()).await;
    let release = async {
        while !begun.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        std::fs::write(&go, "").unwrap();
    };
    let ((responses, end), ()) = tokio::join!(pull(&mut client, folder.path()), release);
    assert!(end.is_ok());
    let Some(pull_response::Kind::Page(page)) = &responses[0].kind else { panic!("{responses:?}") };
    assert_eq!((page.changes.len(), page.checkpoint.as_ref().unwrap().cursor.as_slice()), (1, &b"c"[..]));
}

#[tokio::test]
async fn bytes_can_be_cut_after_a_header_that_promised_more() {
    let folder = tempfile::tempdir().unwrap();
    let script = json!({"content": {"big": {"size_bytes": 5_000_000, "cut_after_bytes": 100_000}}});
    std::fs::write(folder.path().join("script.json"), script.to_string()).unwrap();
    let (_process, mut client) = start(folder.path()).await;
    let request = FetchContentRequest {
        settings: settings(folder.path()),
        content_ref: "big".into(),
        contract_revision: 1,
        ..Default::default()
    };
    let mut stream = client.fetch_content(request).await.unwrap().into_inner();
    let (mut promised, mut received) = (None, 0);
    let end = loop {
        match stream.message().await {
            Ok(Some(response)) => match response.kind.unwrap() {
                fetch_content_response::Kind::Header(header) => promised = header.length_bytes,
                fetch_content_response::Kind::Chunk(chunk) => received += chunk.len(),
            },
            Ok(None) => break Ok(()),
            Err(status) => break Err(status),
        }
    };
    assert_eq!((promised, received), (Some(5_000_000), 100_000));
    assert_eq!(end.unwrap_err().code(), tonic::Code::Unavailable);
}
