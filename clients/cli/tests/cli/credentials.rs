//! Accounts are connected, secrets are entered, OAuth apps are kept: what people type, and that no secret is on a command line
//! or in what is printed.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use superfasttt_proto::connector::v1::AccountIdentity;
use superfasttt_proto::connector::v1::credential::Kind;
use superfasttt_proto::control::v1::credential_status::State;
use superfasttt_proto::control::v1::get_authorization_response::State as Ended;
use superfasttt_proto::control::v1::{CredentialField, CredentialStatus, GetAuthorizationResponse};
use tokio::io::AsyncWriteExt;

use crate::fake::Fake;
use crate::fake::credentials::{APP, Credentials, LINK};
use crate::support::{CONNECTION, Ran, Server};

const SECRET: &str = "hunter2-hunter2";

async fn server(credentials: Credentials) -> Server {
    Server::start(Fake { credentials: Some(credentials), ..Fake::default() }).await
}

fn ended(state: Ended, message: &str) -> GetAuthorizationResponse {
    GetAuthorizationResponse {
        state: state.into(),
        message: message.to_owned(),
        connection: CONNECTION.to_owned(),
    }
}

fn connected() -> CredentialStatus {
    let account =
        AccountIdentity { id: "42".to_owned(), display_name: "Alex".to_owned(), ..Default::default() };
    CredentialStatus {
        state: State::Connected.into(),
        account: Some(account),
        granted_scopes: vec!["read".to_owned()],
        missing_scopes: vec!["write".to_owned()],
        oauth_app: APP.to_owned(),
        ..Default::default()
    }
}

fn asks_for(fields: &[(&str, bool, bool)]) -> Credentials {
    let fields = fields.iter().map(|(name, secret, required)| CredentialField {
        name: (*name).to_owned(),
        label: (*name).to_owned(),
        secret: *secret,
        required: *required,
        ..Default::default()
    });
    Credentials {
        status: CredentialStatus { fields: fields.collect(), ..connected() },
        ..Credentials::default()
    }
}

/// Runs a command with this on its standard input.
async fn with_input(server: &Server, line: &str, input: &str) -> Ran {
    let mut command = server.command(line);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn connect_gives_a_link_opens_the_browser_and_waits() {
    let ends = [ended(Ended::Pending, ""), ended(Ended::Pending, ""), ended(Ended::Succeeded, "")];
    let ends = VecDeque::from(ends).into();
    let server = server(Credentials { status: connected(), ends, ..Default::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let (browser, opened) = (folder.path().join("browser"), folder.path().join("opened"));
    std::fs::write(&browser, format!("#!/bin/sh\necho \"$1\" > {0}.new; mv {0}.new {0}\n", opened.display()))
        .unwrap();
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = server.command("credentials connect docs --capability execute");
    command.env("BROWSER", &browser);
    let ran = Ran::of(command).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains(LINK) && ran.err.contains("on the machine of the server only"), "{ran:?}");
    assert!(ran.out.contains("Alex (42)") && !ran.out.contains(LINK), "{ran:?}");
    assert!(ran.err.contains("not granted: write"), "{ran:?}");
    // The browser is a process of its own.
    for _ in 0..200 {
        if opened.exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(std::fs::read_to_string(opened).unwrap().trim(), LINK);
    let credentials = server.fake.credentials.as_ref().unwrap();
    assert_eq!(credentials.starts.lock().unwrap()[0].capabilities, ["execute"]);
}

#[tokio::test]
async fn an_account_that_is_not_connected_fails_with_the_reason() {
    let ends = VecDeque::from([ended(Ended::Failed, "the person did not agree at the provider")]);
    let server = server(Credentials { ends: ends.into(), ..Default::default() }).await;
    let ran = server.run("credentials connect docs --no-browser").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("the person did not agree"), "{ran:?}");
    let ran = server.run("-o json credentials connect docs --no-wait").await;
    assert_eq!(ran.json()[0]["authorizationUrl"], LINK, "{ran:?}");
}

#[tokio::test]
async fn values_come_from_standard_input_files_and_references() {
    let server =
        server(asks_for(&[("user", false, true), ("password", true, true), ("key", true, false)])).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "from-a-file\n").unwrap();
    let line = format!(
        "credentials set docs --field user=alex --field password=- --field-file key={}",
        file.display()
    );
    let ran = with_input(&server, &line, &format!("{SECRET}\n")).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!format!("{ran:?}").contains(SECRET), "{ran:?}");
    let sets = server.fake.credentials.as_ref().unwrap().sets.lock().unwrap().clone();
    let Some(Kind::Fields(fields)) = sets[0].credential.clone().unwrap().kind else { panic!("{sets:?}") };
    let values: Vec<_> = fields.values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(values, [("key", "from-a-file"), ("password", SECRET), ("user", "alex")]);
}

#[tokio::test]
async fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
    let server = server(asks_for(&[("password", true, true)])).await;
    for line in [
        format!("credentials set docs --field password={SECRET}"),
        format!("credentials set docs --field {SECRET}"),
        "credentials set docs".to_owned(),
        format!("credentials set docs --field other={SECRET}"),
    ] {
        let ran = server.run(&line).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        // clap repeats what it cannot read; it never reaches a value.
        if line.contains('=') {
            assert!(!ran.err.contains(SECRET), "{ran:?}");
        }
    }
    assert!(server.fake.credentials.as_ref().unwrap().sets.lock().unwrap().is_empty());
}

#[tokio::test]
async fn oauth_apps_are_kept_without_showing_their_secrets() {
    let server = server(Credentials { status: connected(), ..Default::default() }).await;
    let ran = server.run("oauth-apps create filesystem --client-id 123").await;
    assert_eq!(ran.code, 2, "nobody can be asked: {ran:?}");
    let line = "--organization acme oauth-apps create filesystem --client-id 123 --client-secret-file -";
    let ran = with_input(&server, line, &format!("{SECRET}\n")).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("http://127.0.0.1:7071/oauth/callback"), "{ran:?}");
    let line = "oauth-apps update filesystem --client-secret-file -";
    let updated = with_input(&server, line, SECRET).await;
    assert_eq!(updated.code, 0, "{updated:?}");
    let listed = server.run("oauth-apps list").await;
    assert!(listed.out.contains("filesystem") && listed.out.contains("stored"), "{listed:?}");
    assert!(!format!("{ran:?}{updated:?}{listed:?}").contains(SECRET));
    let deleted = server.run("oauth-apps delete filesystem --yes").await;
    assert!(deleted.code == 0 && deleted.err.contains("docs"), "it says what stops: {deleted:?}");

    let credentials = server.fake.credentials.as_ref().unwrap();
    let apps = credentials.apps.lock().unwrap();
    assert_eq!((apps[0].organization.as_str(), apps[0].client_secret.as_str()), ("acme", SECRET));
    assert_eq!((apps[1].id.as_str(), apps[1].etag.as_str()), (APP, "\"1\""));
    assert_eq!(*credentials.deleted.lock().unwrap(), [APP]);
}
