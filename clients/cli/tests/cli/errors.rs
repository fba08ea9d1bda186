//! What goes wrong, and what is said of it: exit codes, the server that is not there, refusals.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::fake::Fake;
use crate::support::{Ran, Server, command};

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_what_to_do() {
    // A port that was free a moment ago.
    let url = format!("http://{}", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
    let ran = Ran::of(command(&url, "status")).await;
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out, "");
    assert!(ran.err.starts_with(&format!("error: cannot reach {url}: connection refused\n")), "{}", ran.err);
    assert!(ran.err.contains("start it with `connectord`"), "{}", ran.err);
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_named_too() {
    let ran = Ran::of(command("unix:///no/such/socket", "status")).await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.starts_with("error: cannot reach unix:///no/such/socket: no such socket\n"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn a_web_server_is_not_mistaken_for_connectord() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            while stream.read(&mut asked).await.is_ok_and(|length| length > 0) {}
        }
    });
    let ran = Ran::of(command(&url, "connectors list")).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("is not connectord"), "{}", ran.err);
}

#[tokio::test]
async fn a_wrong_command_line_is_2_and_says_what_is_right() {
    let server = Server::start(Fake::default()).await;
    for (line, said) in [
        ("connections create --connector filesystem", "--name"),
        ("connections create --connector filesystem --name x --set root", "KEY=VALUE"),
        ("connections create --connector filesystem --name x --frequency often", "15m"),
        (
            "connections create --connector filesystem --name x --set max_size=big",
            "max_size: expected a whole number",
        ),
        ("connections update docs", "--set"),
        ("documents watch --commit", "--consumer"),
        ("--output yaml status", "json"),
        ("frobnicate", "frobnicate"),
    ] {
        let ran = server.run(line).await;
        assert_eq!(ran.code, 2, "{line}: {ran:?}");
        assert!(ran.err.contains(said), "{line}: {}", ran.err);
        assert_eq!(ran.out, "", "{line}");
    }
    let ran = Ran::of(command("ftp://example.org", "status")).await;
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[tokio::test]
async fn field_violations_are_told_a_line_each() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("connection.settings.root", "must be an absolute path");
    details.add_bad_request_violation("connection.name", "is taken");
    let refusal = Some(Status::with_error_details(Code::InvalidArgument, "2 fields are not valid", details));
    let server = Server::start(Fake { refusal, ..Default::default() }).await;
    let ran = server.run("connections create --connector filesystem --name docs").await;
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "error: 2 fields are not valid\n  connection.settings.root: must be an absolute path\n  connection.name: is taken\n"
    );
}

#[tokio::test]
async fn a_token_is_sent_from_the_environment_and_a_wrong_one_is_explained() {
    let server = Server::start(Fake::default()).await;
    let mut right = server.command("connectors list");
    right.env("CONNECTORCTL_TOKEN", "right");
    assert_eq!(Ran::of(right).await.code, 0);
    assert_eq!(server.fake.asked.tokens.lock().unwrap()[0].as_deref(), Some("Bearer right"));
    let ran = server.run("--token wrong connectors list").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("without the right token"), "{}", ran.err);
    assert!(ran.err.contains("CONNECTORCTL_TOKEN"), "{}", ran.err);
}

#[tokio::test]
async fn the_token_of_the_environment_is_not_shown_in_the_help() {
    let mut help = command("http://127.0.0.1:1", "--help");
    help.env("CONNECTORCTL_TOKEN", "hunter2");
    let ran = Ran::of(help).await;
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("CONNECTORCTL_TOKEN"), "{}", ran.out);
    assert!(!ran.out.contains("hunter2"), "{}", ran.out);
}

#[tokio::test]
async fn what_the_server_does_not_do_yet_is_said_so() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("connections discover docs").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("does not do this yet"), "{}", ran.err);
    // A service that is not there at all.
    let ran = server.run("credentials status docs").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("does not do this yet"), "{}", ran.err);
}

#[tokio::test]
async fn a_reader_that_has_enough_ends_it_quietly() {
    let server = Server::start(Fake { documents: 20_000, ..Default::default() }).await;
    let mut child = server.command("--output json documents list").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().is_some());
    drop(lines);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test]
async fn status_tells_health_and_version() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("status").await;
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("serving") && ran.out.contains("0.1.0"), "{}", ran.out);
    let ran = server.run("status --output json").await;
    assert_eq!(
        ran.out,
        "{\"health\":\"SERVING\",\"version\":\"0.1.0\",\"store\":\"sqlite\",\"contractRevision\":1}\n"
    );
}

#[tokio::test]
async fn completions_need_no_server() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = Ran::of(command("http://127.0.0.1:1", &format!("completions {shell}"))).await;
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("connectorctl") && ran.out.contains("connections"));
    }
}
