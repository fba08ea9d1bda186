//! Who did what is taken down: each change, each call that was denied; and no secret with it.

use serde_json::json;
use superfasttt_connector::json_to_struct;
use superfasttt_proto::control::v1::*;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{SCRIPTED, Server, complete, doc, new_connection};

const SECRET: &str = "s3cret-of-the-installation";

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// An event in short: who, what, to what, and how it ended.
fn told(event: &AuditEvent) -> String {
    let (kind, _) = event.target.split_once('/').unwrap_or(("nothing", ""));
    format!("{} {} {kind} {}", event.actor, event.action, event.outcome)
}

#[tokio::test]
async fn what_was_done_and_what_was_denied_is_in_the_audit_log() {
    let server = Server::builder().with("SERVER__TOKEN", SECRET).start().await;
    let (token, secret) = server.client.api_token("console", "acme", "integrations.manage").await;
    let (_, others) = server.client.api_token("others", "other", "integrations.read").await;
    let (acme, other) = (server.client.with_token(&secret), server.client.with_token(&others));

    let script = server.script();
    script.next_pulls([vec![doc("a", "1"), complete("1")]]);
    let request = CreateConnectionRequest {
        disabled: true,
        ..new_connection(SCRIPTED, json!({"script": script.path()}))
    };
    let made = acme.connections().create_connection(request.clone()).await.unwrap().into_inner();
    let made = made.connection.unwrap();
    assert_eq!(made.organization, "acme", "a token's own organisation is meant where none is named");
    let again = acme.connections().create_connection(request).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let id = made.id.clone();
    acme.connections().enable_connection(EnableConnectionRequest { connection: id.clone() }).await.unwrap();
    let settings = json!({"script": script.path(), "choice": "value-of-a-setting"});
    let update = UpdateConnectionRequest {
        connection: Some(Connection {
            id: id.clone(),
            settings: Some(json_to_struct(settings.as_object().unwrap().clone())),
            ..Connection::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["settings.choice".to_owned()] }),
    };
    acme.connections().update_connection(update).await.unwrap();
    let start = || StartSyncRequest { connection: id.clone(), ..StartSyncRequest::default() };
    for _ in 0..3 {
        assert_eq!(
            other
                .connections()
                .get_connection(GetConnectionRequest { connection: id.clone() })
                .await
                .unwrap_err()
                .code(),
            Code::NotFound
        );
    }
    assert_eq!(other.runs().start_sync(start()).await.unwrap_err().code(), Code::PermissionDenied);
    let guesser = server.client.with_token("sfc_a-guess");
    assert_eq!(reason(&guesser.runs().start_sync(start()).await.unwrap_err()), "TOKEN_WRONG");
    server.client.admin().revoke_api_token(RevokeApiTokenRequest { api_token: token.clone() }).await.unwrap();
    assert_eq!(reason(&acme.runs().start_sync(start()).await.unwrap_err()), "TOKEN_REVOKED");

    let events = server.client.audit().await;
    let all: Vec<String> = events.iter().map(told).collect();
    let changes = [
        "server.token AdminService.CreateApiToken api_token OK",
        "server.token AdminService.CreateApiToken api_token OK",
        "console ConnectionService.CreateConnection connection OK",
        "console ConnectionService.CreateConnection nothing ALREADY_EXISTS",
        "console ConnectionService.EnableConnection connection OK",
        "console ConnectionService.UpdateConnection connection OK",
    ];
    for line in changes.iter().chain(&[
        "server.token AdminService.RevokeApiToken api_token OK",
        "others ConnectionService.GetConnection connection NOT_FOUND",
        "others SyncService.StartSync nothing PERMISSION_DENIED",
        " SyncService.StartSync nothing UNAUTHENTICATED",
        "console SyncService.StartSync nothing UNAUTHENTICATED",
    ]) {
        assert!(all.iter().any(|told| told == line), "{line:?} is not in {all:#?}");
    }
    let find = |line: &str| events.iter().find(|event| told(event) == line).unwrap();
    let update = find(changes[5]);
    assert_eq!((update.api_token.as_str(), update.organization.as_str()), (token.as_str(), "acme"));
    assert_eq!(
        (update.target.as_str(), update.address.as_str()),
        (&*format!("connection/{id}"), "127.0.0.1")
    );
    assert_eq!(update.detail.as_ref().unwrap().fields, ["settings.choice"]);
    let crossed = find("others ConnectionService.GetConnection connection NOT_FOUND");
    assert_eq!(
        (crossed.count, crossed.organization.as_str()),
        (3, "other"),
        "it is told to the caller's own"
    );
    assert_eq!(crossed.detail.as_ref().unwrap().reason, "ORGANIZATION_DENIED");

    // Filters.
    let list = async |request: ListAuditEventsRequest| {
        let answer = server.client.admin().list_audit_events(request).await.unwrap().into_inner();
        answer.events.iter().map(|event| event.action.clone()).collect::<Vec<_>>()
    };
    let of_target = list(ListAuditEventsRequest {
        target: format!("connection/{id}"),
        actor: token,
        ..Default::default()
    })
    .await;
    let short = |action: &str| action.rsplit('.').next().unwrap().to_owned();
    let of_target: Vec<_> = of_target.iter().map(|action| short(action)).collect();
    assert_eq!(of_target, ["UpdateConnection", "EnableConnection", "CreateConnection"], "the newest first");
    let since =
        events.last().unwrap().last_time.map(|at| prost_types::Timestamp { seconds: at.seconds + 60, ..at });
    assert!(list(ListAuditEventsRequest { since, ..Default::default() }).await.is_empty());

    // No token is anywhere.
    let stored = server.stored().await;
    let said = format!("{events:?} {}", server.log());
    for text in [&secret, &others, SECRET, "sfc_a-guess", "value-of-a-setting"] {
        assert!(!said.contains(text), "{text} is told");
    }
    for text in [secret.as_bytes(), others.as_bytes(), SECRET.as_bytes()] {
        assert!(!stored.windows(text.len()).any(|bytes| bytes == text), "it is stored");
    }
}

#[tokio::test]
async fn a_token_that_is_shown_counts_also_where_none_is_asked_for() {
    let mut server = Server::start().await;
    let (id, secret) = server.client.api_token("console", "acme", "integrations.read").await;
    let acme = server.client.with_token(&secret);
    let refused = acme.admin().get_server_info(GetServerInfoRequest {}).await.unwrap_err();
    assert_eq!(reason(&refused), "PERMISSION_MISSING");
    let made = server.client.audit().await;
    assert_eq!(told(&made[0]), "anyone AdminService.CreateApiToken api_token OK");

    // Then only tokens open.
    server.set("SERVER__REQUIRE_TOKEN", true);
    server.stop().await;
    server.restart().await;
    let anyone = server.client.connections().list_connections(ListConnectionsRequest::default()).await;
    assert_eq!(reason(&anyone.unwrap_err()), "TOKEN_REQUIRED");
    let acme = server.client.with_token(&secret);
    acme.connections().list_connections(ListConnectionsRequest::default()).await.unwrap();

    // When it was used was written at the stop, and what was denied too.
    server.set("SERVER__REQUIRE_TOKEN", false);
    server.stop().await;
    server.restart().await;
    let listed = server.client.admin().list_api_tokens(ListApiTokensRequest::default()).await.unwrap();
    let token = listed.into_inner().api_tokens.remove(0);
    assert_eq!(token.id, id);
    assert!(token.last_used_at.is_some_and(|used| used.seconds >= token.created_at.unwrap().seconds));
    let events = server.client.audit().await;
    let denied = " ConnectionService.ListConnections nothing UNAUTHENTICATED";
    assert!(events.iter().any(|event| told(event) == denied), "{events:#?}");
}
