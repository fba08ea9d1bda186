//! What the connector's user may not read. Run as a process, because a test that runs as root may read everything:
//! the process then runs as another user.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::json;
use superfasttt_connector::testing::full_pull;
use superfasttt_proto::connector::v1::item_error::Target;
use superfasttt_proto::connector::v1::{
    Change, FetchContentRequest, Reason, change, connector_client::ConnectorClient, pull_response,
};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use support::Folder;

const SOMEBODY_ELSE: u32 = 65_534;

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

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the file is ours");
}

/// Starts the connector as a user whom modes hold back.
async fn start(home: &Folder) -> (Process, Client) {
    // Copied, because the folder of the build may be closed to that user; and by another process, because a
    // program cannot be started while a sibling test's fork holds the descriptor that it was written with.
    let program = home.path().join("connector");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_connector-filesystem")).arg(&program).status();
    assert!(copied.is_ok_and(|status| status.success()), "the program cannot be copied");
    set_mode(&program, 0o755);
    set_mode(home.path(), 0o777);
    let socket = home.path().join("c.sock");
    let mut command = Command::new(program);
    command.env_clear().env("CONNECTOR_SOCKET", &socket).env("CONNECTOR_TOKEN", "t0ken");
    if std::fs::metadata(home.path()).expect("it is there").uid() == 0 {
        command.uid(SOMEBODY_ELSE).gid(SOMEBODY_ELSE);
    }
    let process = Process(command.spawn().expect("the program starts"));
    let address = format!("unix://{}", socket.display());
    let endpoint = tonic::transport::Endpoint::from_shared(address).expect("a path makes an address");
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    (process, ConnectorClient::with_interceptor(channel, with_token as fn(_) -> _))
}

async fn changes(client: &mut Client, root: &Path) -> Result<(Vec<Change>, bool), Status> {
    let mut stream = client.pull(full_pull(json!({"root": root}))).await?.into_inner();
    let (mut changes, mut complete) = (Vec::new(), false);
    while let Some(response) = stream.message().await? {
        let Some(pull_response::Kind::Page(page)) = response.kind else { continue };
        changes.extend(page.changes);
        complete |= page.checkpoint.is_some_and(|checkpoint| checkpoint.listing_complete);
    }
    Ok((changes, complete))
}

#[tokio::test]
async fn what_may_not_be_read_is_an_item_error_and_the_rest_is_listed_completely() {
    let (home, folder) =
        (Folder::new(), Folder::with(&[("a", ""), ("closed.txt", ""), ("closed/b", ""), ("z", "")]));
    set_mode(folder.path(), 0o755);
    set_mode(&folder.path().join("closed.txt"), 0o000);
    set_mode(&folder.path().join("closed"), 0o000);
    let (_process, mut client) = start(&home).await;
    let (changes, complete) = changes(&mut client, folder.path()).await.unwrap();
    let mut seen = Vec::new();
    for change in changes {
        seen.push(match change.kind.unwrap() {
            change::Kind::Document(document) => document.id,
            change::Kind::Container(container) => format!("{}/", container.id),
            change::Kind::ItemError(error) => {
                assert_eq!(error.error.as_ref().unwrap().reason(), Reason::AccessDenied);
                assert!(error.with_descendants);
                let Some(Target::Id(id)) = error.target else { panic!("{error:?}") };
                format!("{id} failed")
            }
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["a", "closed/", "closed failed", "closed.txt failed", "z"]);
    assert!(complete);

    let request = FetchContentRequest {
        settings: Some(superfasttt_connector::testing::settings_struct(json!({"root": folder.path()}))),
        contract_revision: 1,
        content_ref: "closed.txt".into(),
        ..Default::default()
    };
    let mut stream = client.fetch_content(request).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap_err().code(), Code::PermissionDenied);
    // Open again, so that the folder can be removed by whoever runs the test.
    set_mode(&folder.path().join("closed"), 0o755);
}

#[tokio::test]
async fn a_root_that_may_not_be_read_fails_the_pull() {
    let (home, folder) = (Folder::new(), Folder::with(&[("a", "")]));
    let (_process, mut client) = start(&home).await;
    for mode in [0o000, 0o444] {
        set_mode(folder.path(), mode);
        let status = changes(&mut client, folder.path()).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{mode:o}");
    }
    set_mode(folder.path(), 0o755);
}
