//! I8, as far as there are secrets yet: the API's token and the connectors' tokens show nowhere.

use std::fs;

use superfasttt_proto::control::v1::{ListRunLogsRequest, ListRunsRequest};
use tonic::Code;

use crate::support::{Client, SCRIPTED, Server, complete, doc, fail};

const TOKEN: &str = "kR7vQ2xN9sLd4TzW";

/// The environment of a process.
fn environment(pid: i32) -> Vec<(String, String)> {
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
