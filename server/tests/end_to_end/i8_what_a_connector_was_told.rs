//! I8: what a connector was told (its own token, the access token of the account) gets nowhere though the connector prints
//! it, and nothing of how the account was connected is in a log, a span, an answer or the store.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::json;
use superfasttt_oauth_testing::Rules;
use superfasttt_proto::control::v1::{
    ListAuditEventsRequest, ListItemErrorsRequest, ListRunLogsRequest, RefreshCredentialRequest,
    RevokeCredentialRequest,
};

use crate::connect_an_account::{CLIENT_SECRET, CONNECTOR, begin, fake, given, store_app};
use crate::i8_no_secret_gets_out::environment;
use crate::support::{Collector, Person, Server, all_printed, checkpoint, complete, doc, leak, needles};

#[tokio::test]
async fn i8_what_a_connector_prints_of_what_it_was_told_gets_nowhere() {
    let (collector, address) = Collector::start().await;
    let mut server = Server::builder()
        .with("TELEMETRY__OTLP_ENDPOINT", format!("http://{address}"))
        .with("OAUTH__ALLOW_LOOPBACK", true)
        .with("VAULT__KEYS", STANDARD.encode([7; 32]))
        .with("LOG__FILTER", "debug")
        .start()
        .await;
    let client = server.client.clone();
    let rules = Rules { client_secret: Some(CLIENT_SECRET.to_owned()), ..Rules::default() };
    let provider = fake(&server, rules).await;
    store_app(&server, "client").await;
    let source = server.source(CONNECTOR, [vec![doc("a", "1"), complete("1")]]).await;
    let id = &source.connection;
    let begun = begin(&server, id).await;
    let page = Person::default().open(&begun.authorization_url).await;
    assert_eq!(page.name(), "connected", "{page:?}");
    client.sync_well(id).await;

    let access_token = given(&source, "pull")["access_token"].as_str().unwrap().to_owned();
    let variables = environment(source.script.pid());
    let own_token = variables.into_iter().find(|(name, _)| name == "CONNECTOR_TOKEN").unwrap().1;
    let told = [own_token.as_str(), access_token.as_str()];
    let said = told.map(|secret| all_printed(secret.as_bytes()));
    // Of stdout the first line is told.
    let mut steps = vec![json!({"stdout": said.concat()})];
    for (number, text) in said.iter().enumerate() {
        steps.push(json!({"stderr": text}));
        steps.push(json!({"stderr": format!("ERROR {text}")}));
        steps.push(json!({"log": {"level": "WARN", "message": text}}));
        steps.push(json!({"progress": {"message": text}}));
        let id = format!("i{number}");
        steps.push(json!({"item_error": {"id": id, "reason": "ACCESS_DENIED", "message": text}}));
    }
    steps.push(checkpoint("2"));
    let mut pulls = vec![steps];
    pulls.extend(said.iter().map(|text| vec![json!({"fail": {"reason": "ACCESS_DENIED", "message": text}})]));
    pulls.push(vec![json!({"stderr": said.concat()}), json!({"exit": 3})]);
    source.script.next_pulls(pulls);
    let mut answers: Vec<(&str, Vec<u8>)> = vec![("page", page.body.into_bytes())];
    for _ in 0..4 {
        let run = client.sync(id).await;
        let request = ListRunLogsRequest { run: run.id.clone(), page_size: 1000, ..Default::default() };
        let log = client.runs().list_run_logs(request).await.unwrap().into_inner();
        answers.extend([("run", run.encode_to_vec()), ("run log", log.encode_to_vec())]);
    }
    let run_logs = answers.iter().filter(|(place, _)| *place == "run log");
    let heard = run_logs.filter(|(_, log)| String::from_utf8_lossy(log).contains("[redacted]")).count();
    assert!(heard >= 2, "the connector was heard in {heard} run logs");
    let request = ListItemErrorsRequest { connection: id.clone(), page_size: 100, ..Default::default() };
    let errors = client.runs().list_item_errors(request).await.unwrap().into_inner();
    assert_eq!(errors.item_errors.len(), 2);
    answers.push(("item errors", errors.encode_to_vec()));

    // The rest of an account's life: each of its secrets went to the provider once.
    let request = RefreshCredentialRequest { connection: id.clone() };
    client.credentials().refresh_credential(request).await.unwrap();
    answers.push(("credential", client.credential(id).await.encode_to_vec()));
    let request = RevokeCredentialRequest { connection: id.clone() };
    client.credentials().revoke_credential(request).await.unwrap();
    let request = ListAuditEventsRequest { page_size: 1000, ..Default::default() };
    let events = client.admin().list_audit_events(request).await.unwrap().into_inner();
    answers.push(("audit log", events.encode_to_vec()));
    answers.push(("database", server.stored().await));
    server.stop().await;

    let log = server.log();
    assert!(log.contains("wrote to stdout") && log.matches("[redacted]").count() > 20, "it was heard");
    answers.extend([("log", log.into_bytes()), ("span", collector.received())]);
    let mut secrets: Vec<String> = told.map(str::to_owned).into();
    for asked in provider.asked() {
        let mut sent = asked.query.clone();
        sent.extend(asked.params());
        for name in ["state", "code", "code_verifier", "client_secret", "refresh_token", "token"] {
            secrets.extend(sent.remove(name));
        }
    }
    secrets.sort_unstable();
    secrets.dedup();
    assert!(secrets.len() >= 8, "the provider was shown them: {secrets:?}");
    let needles = needles(secrets.iter().map(String::as_bytes));
    for (place, answer) in &answers {
        assert_eq!(leak(&needles, answer), None, "in {place}: {}", String::from_utf8_lossy(answer));
    }
}
