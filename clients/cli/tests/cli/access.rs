//! Tokens, the audit log, and default connections.

use serde_json::json;

use crate::fake::Fake;
use crate::support::{CONNECTION, Server};

#[tokio::test]
async fn a_new_token_is_all_that_is_on_stdout() {
    let server = Server::start(Fake::default()).await;
    let ran = server
        .run("--organization acme tokens create console --permission integrations.manage --expires-in 90d")
        .await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "sfc_shown-once\n"), "{ran:?}");
    assert!(ran.err.contains("integrations.manage in the organisation acme"), "{}", ran.err);
    let ran = server.run("tokens create console").await;
    assert_eq!(ran.code, 2, "what it may do has to be said: {ran:?}");
}

#[tokio::test]
async fn the_audit_log_is_exported_as_json_lines_the_oldest_first() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("audit export --actor console --connection docs --since 7d").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let actions: Vec<_> = ran.json().into_iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions, ["credential.use", "SyncService.StartSync"]);
    let target = format!("connection/{CONNECTION}");
    assert_eq!((&ran.json()[0]["actor"], &ran.json()[0]["target"]), (&json!("console"), &json!(target)));
    let ran = server.run("audit list").await;
    assert!(ran.out.find("StartSync") < ran.out.find("credential.use"), "{}", ran.out);
    assert_eq!(server.run("audit list --since tomorrow").await.code, 2);
}

#[tokio::test]
async fn no_default_is_an_answer() {
    let server = Server::start(Fake::default()).await;
    let ran = server.run("-o json connections resolve files").await;
    assert_eq!((ran.code, &ran.json()[0]["id"]), (0, &json!(CONNECTION)), "{ran:?}");
    let ran = server.run("connections resolve chat").await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "none\n"), "{ran:?}");
    assert_eq!(server.run("-o json connections resolve chat").await.json(), [json!({})]);
}
