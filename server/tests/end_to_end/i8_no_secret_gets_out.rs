//! I8: no secret is in a log, an answer, a page or what is stored, whoever says it and in whatever form.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::json;
use superfasttt_proto::control::v1::{
    DiscoverResourcesRequest, GetRunRequest, GetServerInfoRequest, ListAuditEventsRequest,
    ListConnectionsRequest, ListConnectorsRequest, ListItemErrorsRequest, ListRunLogsRequest,
    ListRunsRequest, Run, TestConnectionRequest, discover_resources_request, test_connection_request,
};
use tonic::Code;

use crate::support::postgres::DATABASE_PASSWORD;
use crate::support::{
    Client, Collector, KEYED, SCRIPTED, Server, all_printed, complete, doc, fail, files, leak, needles, store,
};

const TOKEN: &str = "kR7vQ2xN9sLd4TzW";

/// The environment of a process.
pub fn environment(pid: i32) -> Vec<(String, String)> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let variables = bytes.split(|byte| *byte == 0).filter(|variable| !variable.is_empty());
    let pair = |variable: &[u8]| {
        let variable = String::from_utf8_lossy(variable).into_owned();
        variable.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()
    };
    variables.map(pair).collect()
}

#[tokio::test]
async fn i8_tokens_are_in_no_log_answer_or_environment() {
    let server = Server::builder().with("SERVER__TOKEN", TOKEN).with("LOG__FILTER", "debug").start().await;
    let good = server.source(SCRIPTED, [vec![doc("a", "1"), complete("1")]]).await;
    server.client.sync_well(&good.connection).await;
    let bad = server.source(SCRIPTED, [vec![fail("ACCESS_DENIED")]]).await;
    server.client.sync_to_failure(&bad.connection).await;

    // Who shows no token, or another, is told so without hearing the right one.
    let address =
        server.log().split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let mut answers = Vec::new();
    for token in [None, Some("wrong-token-of-a-guesser".to_owned())] {
        let refused =
            Client::new(&address, token).runs().list_runs(ListRunsRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        answers.push(format!("{refused:?}"));
    }

    // The connector gets what it needs and nothing of the server's environment.
    let variables = environment(good.script.pid());
    let mut names: Vec<_> =
        variables.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "TMPDIR").collect();
    names.sort_unstable();
    assert_eq!(names, ["CONNECTOR_LOG", "CONNECTOR_SOCKET", "CONNECTOR_TOKEN", "LANG", "PATH"]);
    let connector_token = &variables.iter().find(|(name, _)| name == "CONNECTOR_TOKEN").unwrap().1;
    assert!(connector_token.len() >= 32, "a token that can be guessed");

    for source in [&good, &bad] {
        for run in server.client.runs_of(&source.connection).await {
            let request = ListRunLogsRequest { run: run.id.clone(), page_size: 1000, ..Default::default() };
            let log = server.client.runs().list_run_logs(request).await.unwrap().into_inner();
            answers.push(format!("{run:?} {log:?}"));
        }
        answers.push(format!("{:?}", server.client.connection(&source.connection).await));
        answers.push(format!("{:?}", server.client.entries(&source.connection).await));
        answers.push(format!("{:?}", server.client.scope(&source.connection, "").await));
    }
    answers.push(server.log());
    for answer in answers {
        for secret in [TOKEN, connector_token, "wrong-token-of-a-guesser"] {
            assert!(!answer.contains(secret), "{secret} is in {answer}");
        }
    }
    // Nor in what is stored.
    let stored = server.stored().await;
    let holds = |text: &str| stored.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds("text of a 1"), "what is stored can be looked through");
    assert!(!holds(TOKEN) && !holds(connector_token));
}

/// A secret of each kind that there is, with characters that every encoding changes.
const SERVER_TOKEN: &str = "srv/T0ken+Canary=7fQ2xN9s";
const API_KEY: &str = "ap1/K\"ey+Canary\\%41=Zt5=";
const SETTING: &str = "s3t ting/Canary+é\"=W81=";
const VAULT_KEY: [u8; 32] = *b"\x00vault-key-canary?>~\xff\xfe0123456789";

fn secrets() -> Vec<&'static [u8]> {
    let mut secrets = vec![SERVER_TOKEN.as_bytes(), API_KEY.as_bytes(), SETTING.as_bytes(), &VAULT_KEY];
    if store() == "postgres" {
        secrets.push(DATABASE_PASSWORD.as_bytes());
    }
    secrets
}

#[tokio::test]
async fn i8_what_a_hostile_connector_says_gets_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let listener_key = pair.signing_key.serialize_pem();
    fs::write(file("public.pem"), pair.cert.pem()).unwrap();
    fs::write(file("public.key"), &listener_key).unwrap();
    for format in ["text", "json"] {
        let (collector, address) = Collector::start().await;
        let mut server = Server::builder()
            .with("TELEMETRY__OTLP_ENDPOINT", format!("http://{address}"))
            .with("SERVER__PUBLIC_TLS__CERTIFICATE_FILE", file("public.pem"))
            .with("SERVER__PUBLIC_TLS__PRIVATE_KEY_FILE", file("public.key"))
            .with("SERVER__TOKEN", SERVER_TOKEN)
            .with("VAULT__KEYS", STANDARD.encode(VAULT_KEY))
            .with("LOG__FILTER", "debug")
            .with("LOG__FORMAT", format)
            .start()
            .await;
        hostile(&mut server, &collector, &listener_key).await;
    }
}

async fn hostile(server: &mut Server, collector: &Collector, listener_key: &str) {
    let client = &server.client;
    // As much as is kept of a message, one secret to a message.
    let mut said: Vec<String> = secrets().into_iter().map(all_printed).collect();
    said.push(listener_key.to_owned());
    let script = server.script();
    let id = client.create_paused(KEYED, json!({"script": script.path(), "secret": SETTING})).await;
    let mut steps = vec![doc("a", "1")];
    for (number, text) in said.iter().enumerate() {
        steps.push(json!({"stderr": text}));
        steps.push(json!({"stderr": format!("ERROR {{\"error\": {text:?}}}")}));
        steps.push(json!({"log": {"level": "WARN", "message": text}}));
        steps.push(json!({"progress": {"message": text}}));
        steps.push(
            json!({"item_error": {"id": format!("i{number}"), "reason": "ACCESS_DENIED", "message": text}}),
        );
    }
    let failures = said.iter().map(|text| json!({"fail": {"reason": "ACCESS_DENIED", "message": text}}));
    let scope_error = json!({"scope_error": {"reason": "ACCESS_DENIED", "message": said[1]}});
    let mut pulls = vec![[steps, vec![complete("1")]].concat()];
    pulls.extend(failures.map(|failure| vec![failure]));
    pulls.push(vec![scope_error]);
    pulls.push(vec![json!({"stderr": said[1]}), json!({"stderr": said[2]}), json!({"exit": 3})]);
    script.next_pulls(pulls);
    let checks =
        said.iter().map(|text| json!({"name": "c", "outcome": "warning", "message": text, "fix": text}));
    let resources = said.iter().map(|text| json!({"id": text, "name": text, "kind": text}));
    script.answers(checks.collect(), json!({"": resources.collect::<Vec<_>>()}));
    script.source(json!({"accounts": {API_KEY: format!("account {}", said[1])}}));
    client.enter(&id, &[("key", API_KEY)]).await.unwrap();

    let mut answers: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut runs = vec![client.sync(&id).await];
    for _ in 0..said.len() + 2 {
        runs.push(client.sync(&id).await);
    }
    let target = test_connection_request::Target::Connection(id.clone());
    let request = TestConnectionRequest { target: Some(target) };
    let tested = client.connections().test_connection(request).await.unwrap().into_inner();
    assert!(format!("{tested:?}").contains("[redacted]"));
    answers.push(("test", tested.encode_to_vec()));
    let target = discover_resources_request::Target::Connection(id.clone());
    let request = DiscoverResourcesRequest { target: Some(target), ..Default::default() };
    let found = client.connections().discover_resources(request).await.unwrap().into_inner();
    assert!(format!("{found:?}").contains("[redacted]"));
    answers.push(("resources", found.encode_to_vec()));
    for run in &runs {
        answers.push(("run", run.encode_to_vec()));
        let request = ListRunLogsRequest { run: run.id.clone(), page_size: 1000, ..Default::default() };
        let log = client.runs().list_run_logs(request).await.unwrap().into_inner();
        assert!(!log.records.is_empty());
        answers.push(("run log", log.encode_to_vec()));
    }
    let told = |run: &Run| format!("{run:?}").contains("[redacted]");
    assert!(runs[1..].iter().any(told), "{runs:?}");
    let request = ListItemErrorsRequest { connection: id.clone(), page_size: 100, ..Default::default() };
    let errors = client.runs().list_item_errors(request).await.unwrap().into_inner();
    assert!(format!("{errors:?}").contains("[redacted]"), "{errors:?}");
    answers.push(("item errors", errors.encode_to_vec()));
    let shown = client.connections().list_connections(ListConnectionsRequest::default()).await.unwrap();
    answers.push(("connections", shown.into_inner().encode_to_vec()));
    answers.push(("credential", client.credential(&id).await.encode_to_vec()));
    answers.push(("scope", client.scope(&id, "").await.encode_to_vec()));
    for entry in client.entries(&id).await {
        answers.push(("feed", entry.encode_to_vec()));
    }
    let shown = client.catalog().list_connectors(ListConnectorsRequest::default()).await.unwrap();
    answers.push(("connectors", shown.into_inner().encode_to_vec()));
    let shown = client.admin().get_server_info(GetServerInfoRequest::default()).await.unwrap();
    answers.push(("server", shown.into_inner().encode_to_vec()));
    let request = ListAuditEventsRequest { page_size: 1000, ..Default::default() };
    let events = client.admin().list_audit_events(request).await.unwrap().into_inner();
    assert!(!events.events.is_empty(), "the uses of the credential");
    answers.push(("audit log", events.encode_to_vec()));
    let (status, metrics) =
        client.http("/metrics", &format!("Authorization: Bearer {SERVER_TOKEN}\r\n")).await;
    assert_eq!(status, 200);
    answers.push(("metrics", metrics.into_bytes()));
    // What is asked for with a secret as its name is not there, and is not repeated.
    let request = GetRunRequest { run: SERVER_TOKEN.to_owned() };
    let missing = client.runs().get_run(request).await.unwrap_err();
    answers.push(("status", [missing.message().as_bytes(), missing.details()].concat()));

    let log = server.log();
    assert!(log.matches("[redacted]").count() > 20, "the connector was heard");
    answers.push(("log", log.into_bytes()));
    let mut needles = needles(secrets());
    // The first line of a key is the same in all of its kind.
    needles.push(listener_key.lines().nth(2).unwrap().to_owned());
    for (place, answer) in &answers {
        assert_eq!(leak(&needles, answer), None, "in {place}: {}", String::from_utf8_lossy(answer));
    }
    let stored = server.stored().await;
    assert!(leak(&["text of a 1".to_owned()], &stored).is_some(), "what is stored can be looked through");
    assert_eq!(leak(&needles, &stored), None, "in the database");
    for (name, bytes) in files(&server.folder().join("data")) {
        assert_eq!(leak(&needles, &bytes), None, "in {name}");
    }
    // The end of the process sends the last spans.
    server.stop().await;
    let spans = collector.received();
    assert!(leak(&["sync.run.execute".to_owned()], &spans).is_some(), "spans came");
    assert_eq!(leak(&needles, &spans), None, "in a span: {}", String::from_utf8_lossy(&spans));
}
