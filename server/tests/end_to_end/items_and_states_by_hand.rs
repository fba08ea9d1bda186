//! What people do about single items and about where a connection stands.

use serde_json::json;
use superfasttt_proto::connector::v1::{PullMode, Reason};
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::control::v1::*;
use tonic::Code;

use crate::support::{
    SCRIPTED, Server, TARGETED, checkpoint, complete, doc, in_scope, item_error, unnamed_error,
};

#[tokio::test]
async fn items_are_tried_again_one_by_one_or_all() {
    let server = Server::start().await;
    let locked = json!({"item_error": {"locator": "at/x", "reason": "ACCESS_DENIED", "message": "locked"}});
    let listing =
        vec![doc("a", "1"), item_error("b"), item_error("c"), locked, unnamed_error(), complete("1")];
    let source = server.source(TARGETED, [listing]).await;
    let connection = source.connection.clone();
    server.client.sync(&connection).await;
    let mut runs = server.client.runs();

    let list = ListItemErrorsRequest { connection: connection.clone(), ..Default::default() };
    let all = runs.list_item_errors(list.clone()).await.unwrap().into_inner().item_errors;
    assert_eq!(all.len(), 4);
    let denied = ListItemErrorsRequest { reason: Reason::AccessDenied.into(), ..list.clone() };
    assert_eq!(runs.list_item_errors(denied).await.unwrap().into_inner().item_errors.len(), 3);
    let elsewhere = ListItemErrorsRequest { scope: Some("b".to_owned()), ..list };
    assert!(runs.list_item_errors(elsewhere).await.unwrap().into_inner().item_errors.is_empty());

    let b = all.iter().find(|error| error.item == "b").unwrap().id.clone();
    source.script.next_pulls([vec![doc("b", "1")]]);
    let request = RetryItemErrorsRequest { connection: connection.clone(), item_errors: vec![b] };
    let answer = runs.retry_item_errors(request).await.unwrap().into_inner();
    assert_eq!((answer.items, answer.locators, answer.unnamed), (1, 0, 0));
    let run = server.client.end_of(&answer.run.unwrap().id).await;
    assert_eq!((run.state(), run.mode()), (State::Succeeded, PullMode::Targeted));
    let pull = source.script.pulls().pop().unwrap();
    assert_eq!((pull["mode"].as_str(), &pull["ids"]), (Some("TARGETED"), &json!(["b"])));
    assert_eq!(server.client.ids(&connection).await, "a b");

    source.script.next_pulls([vec![item_error("c")]]);
    let request = RetryItemErrorsRequest { connection: connection.clone(), item_errors: vec![] };
    let answer = runs.retry_item_errors(request).await.unwrap().into_inner();
    assert_eq!((answer.items, answer.locators, answer.unnamed), (1, 1, 1));
    server.client.end_of(&answer.run.unwrap().id).await;
    let list = ListItemErrorsRequest { connection: connection.clone(), ..Default::default() };
    let left = runs.list_item_errors(list).await.unwrap().into_inner().item_errors;
    let c = left.iter().find(|error| error.item == "c").unwrap();
    assert_eq!((left.len(), c.attempts), (3, 2));
    assert_eq!(server.client.scope(&connection, "").await.cursor, b"1", "no cursor is touched");

    let unnamed =
        left.iter().find(|error| error.item.is_empty() && error.locator.is_empty()).unwrap().id.clone();
    let request = RetryItemErrorsRequest { connection: connection.clone(), item_errors: vec![unnamed] };
    let refused = runs.retry_item_errors(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("full sync"), "{}", refused.message());
    let request = RetryItemErrorsRequest { connection, item_errors: vec!["4711".to_owned()] };
    assert_eq!(runs.retry_item_errors(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn items_of_a_connector_that_cannot_be_asked_are_left_to_a_full_sync() {
    let server = Server::start().await;
    let source = server.source(crate::support::LISTING, [vec![item_error("b"), complete("1")]]).await;
    server.client.sync(&source.connection).await;
    let request = RetryItemErrorsRequest { connection: source.connection.clone(), item_errors: vec![] };
    let refused = server.client.runs().retry_item_errors(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("full sync"), "{}", refused.message());
}

#[tokio::test]
async fn a_cursor_is_set_by_hand_but_not_under_a_run() {
    let server = Server::start().await;
    let source =
        server.source(SCRIPTED, [vec![in_scope("s", doc("a", "1")), in_scope("s", complete("1"))]]).await;
    let (connection, script) = (source.connection.clone(), &source.script);
    server.client.sync_well(&connection).await;
    let mut runs = server.client.runs();
    let etag = server.client.scope(&connection, "s").await.etag;
    let set = |cursor: &[u8], etag: &str| UpdateSyncStateRequest {
        connection: connection.clone(),
        scope: "s".to_owned(),
        cursor: cursor.to_vec(),
        etag: etag.to_owned(),
    };
    let shown = runs.update_sync_state(set(b"mine", &etag)).await.unwrap().into_inner().scope.unwrap();
    assert_eq!(shown.cursor, b"mine");
    assert_ne!(shown.etag, etag);
    let late = runs.update_sync_state(set(b"late", &etag)).await.unwrap_err();
    assert_eq!(late.code(), Code::Aborted, "it was changed in between");
    assert_eq!(runs.update_sync_state(set(b"", "")).await.unwrap_err().code(), Code::InvalidArgument);
    let nowhere = UpdateSyncStateRequest { scope: "nowhere".to_owned(), ..set(b"x", "") };
    assert_eq!(runs.update_sync_state(nowhere).await.unwrap_err().code(), Code::NotFound);

    script.next_pulls([vec![script.touch("at"), script.wait("go"), in_scope("s", checkpoint("2"))]]);
    let run = server.client.begin(&connection, false).await;
    script.reached("at").await;
    let refused = runs.update_sync_state(set(b"x", "")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "a run under way would write over it");
    script.release("go");
    server.client.end_of(&run.id).await;
    let states = script.pulls().pop().unwrap()["states"].clone();
    assert_eq!(states[0]["cursor"], "mine");
    assert_eq!(server.client.scope(&connection, "s").await.cursor, b"2");
}

#[tokio::test]
async fn changes_of_settings_that_meet_are_both_kept() {
    let server = Server::start().await;
    let source = server.source(SCRIPTED, [vec![complete("1")]]).await;
    // Each takes what its mask leaves out from what it read. Without an etag none of them may undo another.
    let script = source.script.path().display().to_string();
    for round in 0..10 {
        let change = |name: &str, value: String| {
            let (mut client, id) = (server.client.connections(), source.connection.clone());
            let update_mask = Some(prost_types::FieldMask { paths: vec![format!("settings.{name}")] });
            let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(value)) };
            let settings = Some(prost_types::Struct { fields: [(name.to_owned(), value)].into() });
            let connection = Some(Connection { id, settings, ..Connection::default() });
            async move { client.update_connection(UpdateConnectionRequest { connection, update_mask }).await }
        };
        let (choice, path) = (format!("choice {round}"), format!("{script}?{round}"));
        let (first, second) =
            futures::future::join(change("choice", choice.clone()), change("script", path.clone())).await;
        first.unwrap();
        second.unwrap();
        let settings = server.client.connection(&source.connection).await.settings.unwrap();
        let text = |name: &str| match &settings.fields[name].kind {
            Some(prost_types::value::Kind::StringValue(text)) => text.clone(),
            other => panic!("{name} is {other:?}"),
        };
        assert_eq!((text("choice"), text("script")), (choice, path));
    }
}
