//! The connector that the crate's documentation teaches, run as a process as the server does.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use superfasttt_connector::testing::full_pull;
use superfasttt_proto::connector::v1::{change, connector_client::ConnectorClient, pull_response};
use tonic::metadata::MetadataValue;

/// Cargo builds examples before it runs integration tests, beside the folder of this test's binary.
fn example() -> Command {
    let test = std::env::current_exe().expect("a test knows its own binary");
    let target: PathBuf = test.ancestors().skip(2).take(1).collect();
    let mut command = Command::new(target.join("examples/notes"));
    command.env_clear();
    command
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn the_taught_connector_serves_on_its_socket_and_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, notes) = (folder.path().join("c.sock"), folder.path().join("notes.txt"));
    std::fs::write(&notes, "first\nsecond\n").unwrap();
    // A socket left behind by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let child = example()
        .env("CONNECTOR_SOCKET", &socket)
        .env("CONNECTOR_TOKEN", "t0ken")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let endpoint = tonic::transport::Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let mut client = ConnectorClient::with_interceptor(channel, |mut request: tonic::Request<()>| {
        request.metadata_mut().insert("authorization", MetadataValue::from_static("Bearer t0ken"));
        Ok(request)
    });
    let request = full_pull(serde_json::json!({"file": notes}));
    let mut stream = client.pull(request).await.unwrap().into_inner();
    let mut titles = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        let Some(pull_response::Kind::Page(page)) = response.kind else { continue };
        for change in page.changes {
            let Some(change::Kind::Document(document)) = change.kind else { panic!("{change:?}") };
            titles.push(format!("{}: {}", document.title, document.content()));
        }
    }
    assert_eq!(titles, ["Note 1: first", "Note 2: second"]);

    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let status = tokio::task::spawn_blocking(move || (running.0.wait().unwrap(), running)).await.unwrap().0;
    assert!(status.success(), "{status}");
    assert!(!socket.exists());
}

#[test]
fn a_connector_started_by_hand_says_what_it_is() {
    let output = example().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("connectord starts it") && text.contains("CONNECTOR_SOCKET"), "{text}");
}
