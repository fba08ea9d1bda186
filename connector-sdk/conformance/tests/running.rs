//! A connector that runs elsewhere is tried by its address, as far as that goes.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use superfasttt_conformance::{Endpoint, Level, Options, Outcome, Target, run};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn a_running_connector_reaches_syncs_and_is_told_what_more_would_need() {
    let folder = support::folder("Nothing");
    let socket = folder.path().join("s");
    let running = Command::new(support::PROGRAM)
        .args(["serve", "Nothing"])
        .current_dir(folder.path())
        .env_clear()
        .env("CONNECTOR_SOCKET", &socket)
        .env("CONNECTOR_TOKEN", "token-of-a-test")
        .stderr(Stdio::null())
        .spawn();
    let _running = Running(running.unwrap());
    while tokio::net::UnixStream::connect(&socket).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let address = format!("unix://{}", socket.display());
    let channel = tonic::transport::Endpoint::from_shared(address).unwrap();
    let channel = channel.origin(tonic::codegen::http::Uri::from_static("http://localhost"));
    let endpoint = Endpoint { channel, token: Some("token-of-a-test".to_owned()) };
    let options = Options { plan: Some(folder.path().join("conformance.json")), ..Options::default() };
    let report = run(Target::Running(Box::new(endpoint)), &options, |_| {}).await.unwrap();
    assert_eq!(support::failed(&report), [""; 0], "{}", support::told(&report));
    let not_tried: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| matches!(check.outcome, Outcome::NotTried { .. }))
        .map(|check| check.name)
        .collect();
    assert_eq!(not_tried, ["kill", "cancel", "memory", "secrets", "stdout"], "{}", support::told(&report));
    assert_eq!(report.level, Some(Level::Syncs));
}
