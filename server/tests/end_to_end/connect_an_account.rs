//! A person connects an account, with real processes: the control API begins, a browser goes to the provider and comes back
//! to the public listener, the connector gets the access token and nothing else. With a provider of our own, and with
//! `oidc-provider`, which we did not write.

use std::time::Duration;

use serde_json::{Value, json};
use superfasttt_oauth_testing::{Answer, FakeProvider, NodeServer, Rules};
use superfasttt_proto::connector::v1::credential::Kind;
use superfasttt_proto::connector::v1::{Credential, OAuthToken};
use superfasttt_proto::control::v1::credential_status::State;
use superfasttt_proto::control::v1::get_authorization_response::State as Ended;
use superfasttt_proto::control::v1::*;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{Person, Server, Source, checkpoint, complete, doc, until_async};

/// The connector of these tests.
pub const CONNECTOR: &str = "scripted-oauth";
/// The secret of its OAuth app.
pub const CLIENT_SECRET: &str = "app-secret-5Jq0vXw2";

/// A server whose providers may be on this machine.
pub async fn server() -> Server {
    let keys = connectord::vault::Key::generate().to_base64().to_string();
    Server::builder()
        .with("OAUTH__ALLOW_LOOPBACK", true)
        .with("OAUTH__RETURN_URLS", "[\"http://127.0.0.1:9/done\"]")
        .with("VAULT__KEYS", keys)
        .start()
        .await
}

/// A provider, and the connector that knows it.
pub async fn fake(server: &Server, rules: Rules) -> FakeProvider {
    let provider = FakeProvider::with_rules(rules).await;
    let auth = json!({
        "type": "oauth2", "authorization_url": provider.url("/authorize"), "token_url": provider.url("/token"),
        "revocation_url": provider.url("/revoke"), "scopes": ["read"], "capability_scopes": {"execute": ["write"]},
    });
    server.add_connector(CONNECTOR, auth).await;
    provider
}

/// Stores the OAuth app of the connector.
pub async fn store_app(server: &Server, client_id: &str) -> OAuthApp {
    let app = OAuthApp {
        connector: CONNECTOR.to_owned(),
        client_id: client_id.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        ..OAuthApp::default()
    };
    let request = CreateOAuthAppRequest { oauth_app: Some(app) };
    let answer = server.client.credentials().create_o_auth_app(request).await.unwrap();
    answer.into_inner().oauth_app.unwrap()
}

/// A connection of it.
pub async fn source(server: &Server) -> Source {
    server.source(CONNECTOR, [vec![doc("a", "1"), complete("1")], vec![checkpoint("2")]]).await
}

/// Begins.
pub async fn begin(server: &Server, connection: &str) -> StartAuthorizationResponse {
    let request = StartAuthorizationRequest { connection: connection.to_owned(), ..Default::default() };
    server.client.credentials().start_authorization(request).await.unwrap().into_inner()
}

/// Waits for the end.
pub async fn ended(server: &Server, begun: &StartAuthorizationResponse) -> GetAuthorizationResponse {
    let wait = Some(prost_types::Duration { seconds: 50, nanos: 0 });
    let request = GetAuthorizationRequest { authorization: begun.authorization.clone(), wait };
    server.client.credentials().get_authorization(request).await.unwrap().into_inner()
}

/// What the connector was given at its last call of an rpc.
pub fn given(source: &Source, rpc: &str) -> Value {
    let calls = source.script.calls();
    let call = calls.iter().rev().find(|call| call["rpc"] == rpc).expect("it was called");
    call["credential"].clone()
}

#[tokio::test]
async fn an_account_that_a_person_connected_syncs_and_no_secret_gets_out() {
    let server = server().await;
    let provider =
        fake(&server, Rules { client_secret: Some(CLIENT_SECRET.to_owned()), ..Rules::default() }).await;
    let source = source(&server).await;
    let (client, id) = (&server.client, &source.connection);
    source.script.source(json!({"accounts": {"access-2-of-the-fake-provider": "alex"}}));
    let request = StartAuthorizationRequest { connection: id.clone(), ..Default::default() };
    let early = client.credentials().start_authorization(request).await.unwrap_err();
    assert!(early.message().contains("connectorctl oauth-apps create"), "{early:?}");
    let app = store_app(&server, "client").await;
    assert_eq!(app.redirect_uri, format!("{}/oauth/callback", server.public_url()));

    let begun = begin(&server, id).await;
    assert!(begun.authorization_url.starts_with(&format!("{}/oauth/start/", server.public_url())));
    assert!(begun.state.is_empty(), "the server receives the answer");
    let waiting = ended(&server, &begun);
    let going = async { Person::default().open(&begun.authorization_url).await };
    let (end, page) = tokio::join!(waiting, going);
    assert_eq!((page.status, page.name()), (200, "connected"), "{page:?}");
    assert_eq!((end.state(), &end.connection), (Ended::Succeeded, id), "{end:?}");
    let status = client.credential(id).await;
    assert_eq!(
        (status.state(), status.oauth_app.as_str()),
        (State::Connected, app.id.as_str()),
        "{status:?}"
    );
    assert_eq!(status.account.unwrap().id, "alex");
    assert_eq!(status.granted_scopes, ["read"]);

    client.sync_well(id).await;
    let told = given(&source, "pull");
    assert!(told.to_string().contains("access-2-of-the-fake-provider"), "{told}");
    assert!(!told.to_string().contains("refresh-"), "{told}");
    let stored = server.stored().await;
    let holds = |text: &str| stored.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    let state = begun.authorization_url.rsplit('/').next().unwrap();
    let log = server.log();
    for secret in [CLIENT_SECRET, "access-2-of", "refresh-3-of", "code-1-of", state] {
        assert!(!holds(secret) && !log.contains(secret), "{secret} got out");
    }
    assert!(holds("text of a 1"));
    assert_eq!(provider.counts().grants, 1);
}

#[tokio::test]
async fn each_way_that_it_can_go_wrong_is_told_to_the_person_and_to_who_waits() {
    let server = server().await;
    let provider = fake(&server, Rules::default()).await;
    let source = source(&server).await;
    store_app(&server, "client").await;
    let id = &source.connection;

    provider.change(|rules| rules.denies = true);
    let begun = begin(&server, id).await;
    let page = Person::default().open(&begun.authorization_url).await;
    assert_eq!((page.status, page.name()), (403, "denied"));
    let end = ended(&server, &begun).await;
    assert_eq!(end.state(), Ended::Failed);
    assert!(end.message.contains("did not agree"), "{}", end.message);
    provider.change(|rules| rules.denies = false);

    // The answer reaches another browser first; then its own, and then once more.
    let begun = begin(&server, id).await;
    let callback = format!("{}/oauth/callback", server.public_url());
    let mut person = Person::default();
    let back =
        person.open_until(&begun.authorization_url, |url| url.as_str().starts_with(&callback)).await.url;
    let page = Person::default().open(back.as_str()).await;
    assert_eq!((page.status, page.name()), (403, "other-browser"));
    let page = person.open(back.as_str()).await;
    assert_eq!((page.status, page.name()), (200, "connected"));
    let page = person.open(back.as_str()).await;
    assert_eq!((page.status, page.name()), (409, "used"));
    let page = person.open(&format!("{callback}?state=nobody&code=x")).await;
    assert_eq!((page.status, page.name()), (404, "unknown"));

    // The provider takes back what it gave between the code and its exchange.
    provider.change(|rules| rules.client_secret = Some("another".to_owned()));
    let begun = begin(&server, id).await;
    let page = Person::default().open(&begun.authorization_url).await;
    assert_eq!((page.status, page.name()), (502, "no-access"));
    let end = ended(&server, &begun).await;
    assert!(end.state() == Ended::Failed && end.message.contains("invalid_client"), "{end:?}");
    assert_eq!(server.client.credential(id).await.state(), State::Connected, "what was there still works");
}

#[tokio::test]
async fn a_client_that_receives_the_answer_itself_ends_it_itself() {
    let server = server().await;
    let _provider = fake(&server, Rules::default()).await;
    let source = source(&server).await;
    store_app(&server, "client").await;
    let mut client = server.client.credentials();
    let request = StartAuthorizationRequest {
        connection: source.connection.clone(),
        redirect_uri: "http://127.0.0.1:9/done/here".to_owned(),
        capabilities: vec!["execute".to_owned()],
        ..Default::default()
    };
    let elsewhere =
        StartAuthorizationRequest { redirect_uri: "http://127.0.0.1:10/".to_owned(), ..request.clone() };
    let refused = client.start_authorization(elsewhere).await.unwrap_err();
    assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "redirect_uri");
    let begun = client.start_authorization(request).await.unwrap().into_inner();
    let back = |url: &url::Url| url.port() == Some(9);
    let back = Person::default().open_until(&begun.authorization_url, back).await.url;
    let query: std::collections::BTreeMap<_, _> = back.query_pairs().into_owned().collect();
    assert_eq!(query["state"], begun.state);
    let complete = CompleteAuthorizationRequest {
        state: begun.state.clone(),
        code: query["code"].clone(),
        ..Default::default()
    };
    let done = client.complete_authorization(complete.clone()).await.unwrap().into_inner();
    let credential = done.credential.unwrap();
    assert_eq!(
        (credential.state(), credential.granted_scopes),
        (State::Connected, vec!["read".into(), "write".into()])
    );
    let again = client.complete_authorization(complete).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition, "{again:?}");
}

#[tokio::test]
async fn nobody_reaches_into_another_organisation() {
    let server = server().await;
    let _provider = fake(&server, Rules::default()).await;
    let source = source(&server).await;
    let common = store_app(&server, "client").await;
    let (_, secret) = server.client.api_token("other", "other", "integrations.manage").await;
    let other = server.client.with_token(&secret);
    let mut client = other.credentials();
    let begun = begin(&server, &source.connection).await;

    let request = StartAuthorizationRequest { connection: source.connection.clone(), ..Default::default() };
    assert_eq!(client.start_authorization(request).await.unwrap_err().code(), Code::NotFound);
    // At once, though it would be waited for: the time, too, would tell that there is one.
    let wait = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let request = GetAuthorizationRequest { authorization: begun.authorization.clone(), wait };
    let looking = tokio::time::timeout(Duration::from_secs(30), client.get_authorization(request));
    let refused = looking.await.expect("nobody waits for what is not theirs").unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let state = begun.authorization_url.rsplit('/').next().unwrap().to_owned();
    let request = CompleteAuthorizationRequest { state, code: "x".to_owned(), ..Default::default() };
    assert_eq!(client.complete_authorization(request).await.unwrap_err().code(), Code::NotFound);

    // What is the installation's is neither seen nor changed, and one's own is one's own.
    let request = GetOAuthAppRequest { oauth_app: common.id.clone() };
    assert_eq!(client.get_o_auth_app(request).await.unwrap_err().code(), Code::NotFound);
    let app = OAuthApp { id: common.id.clone(), client_id: "mine".to_owned(), ..OAuthApp::default() };
    let request = UpdateOAuthAppRequest { oauth_app: Some(app) };
    assert_eq!(client.update_o_auth_app(request).await.unwrap_err().code(), Code::NotFound);
    let request = DeleteOAuthAppRequest { oauth_app: common.id, force: true };
    assert_eq!(client.delete_o_auth_app(request).await.unwrap_err().code(), Code::NotFound);
    let listed = client.list_o_auth_apps(ListOAuthAppsRequest::default()).await.unwrap().into_inner();
    assert!(listed.oauth_apps.is_empty(), "{listed:?}");
    let own =
        OAuthApp { connector: CONNECTOR.to_owned(), client_id: "own".to_owned(), ..OAuthApp::default() };
    let request = CreateOAuthAppRequest { oauth_app: Some(own.clone()) };
    let made = client.create_o_auth_app(request).await.unwrap().into_inner().oauth_app.unwrap();
    assert_eq!(made.organization, "other");
    let elsewhere = OAuthApp { organization: "acme".to_owned(), ..own };
    let request = CreateOAuthAppRequest { oauth_app: Some(elsewhere) };
    assert_eq!(client.create_o_auth_app(request).await.unwrap_err().code(), Code::PermissionDenied);

    // The person is not disturbed by any of it; and what a browser brought is in the audit log.
    let page = Person::default().open(&begun.authorization_url).await;
    assert_eq!(page.name(), "connected");
    let request = ListAuditEventsRequest::default();
    let events = server.client.admin().list_audit_events(request).await.unwrap().into_inner().events;
    let connected =
        events.iter().find(|event| event.action == "credential.connect").expect("it is written down");
    assert_eq!(
        (connected.target.as_str(), connected.outcome.as_str()),
        (format!("connection/{}", source.connection).as_str(), "OK")
    );
}

/// The manifest of a connector whose provider is `oidc-provider`.
pub fn oidc(provider: &NodeServer, more: Value) -> Value {
    let mut auth = json!({
        "type": "oauth2", "authorization_url": provider.url("/auth"), "token_url": provider.url("/token"),
        "revocation_url": provider.url("/token/revocation"), "client_auth": "basic", "issuer": provider.url(""),
        "scopes": ["openid", "offline_access", "read"], "authorize_params": {"prompt": "consent"},
    });
    for (name, value) in more.as_object().unwrap() {
        auth["authorize_params"][name] = value.clone();
    }
    auth
}

/// Starts `oidc-provider` for a server. `None`: there is no Node on this machine.
pub async fn oidc_provider(server: &Server, variables: &[(&str, &str)]) -> Option<NodeServer> {
    let redirect_uri = format!("{}/oauth/callback", server.public_url());
    let mut all = vec![("CLIENT_SECRET", CLIENT_SECRET), ("REDIRECT_URI", redirect_uri.as_str())];
    all.extend(variables);
    NodeServer::start("provider.mjs", &all, env!("CARGO_TARGET_TMPDIR")).await
}

#[tokio::test]
async fn an_account_at_a_provider_of_others_is_connected_refreshed_and_revoked() {
    let server = server().await;
    let Some(provider) = oidc_provider(&server, &[]).await else { return };
    server.add_connector(CONNECTOR, oidc(&provider, json!({}))).await;
    let source = source(&server).await;
    store_app(&server, "by-basic").await;
    let (client, id) = (&server.client, &source.connection);
    let begun = begin(&server, id).await;
    let page = Person::default().open(&begun.authorization_url).await;
    assert_eq!((page.status, page.name()), (200, "connected"), "{page:?}");
    assert_eq!(ended(&server, &begun).await.state(), Ended::Succeeded);
    client.sync_well(id).await;
    let first = given(&source, "pull");
    let status = client.credential(id).await;
    assert!(status.missing_scopes.is_empty() && status.refresh_at.is_some(), "{status:?}");

    let request = RefreshCredentialRequest { connection: id.clone() };
    client.credentials().refresh_credential(request).await.unwrap();
    client.sync_well(id).await;
    assert_ne!(given(&source, "pull"), first, "another access token");
    let request = RevokeCredentialRequest { connection: id.clone() };
    let revoked = client.credentials().revoke_credential(request).await.unwrap().into_inner();
    assert_eq!(
        (revoked.provider_message.as_str(), revoked.credential.unwrap().state()),
        ("", State::Revoked)
    );

    // And once more: what was revoked can be connected again.
    let begun = begin(&server, id).await;
    let page =
        tokio::time::timeout(Duration::from_secs(120), Person::default().open(&begun.authorization_url))
            .await;
    assert_eq!(page.unwrap().name(), "connected");
    client.sync_well(id).await;
}

#[tokio::test]
async fn the_grant_of_a_connection_that_is_deleted_is_withdrawn_at_the_provider() {
    let server = server().await;
    let provider = fake(&server, Rules::default()).await;
    let source = source(&server).await;
    store_app(&server, "client").await;
    let begun = begin(&server, &source.connection).await;
    assert_eq!(Person::default().open(&begun.authorization_url).await.name(), "connected");
    server.client.sync_well(&source.connection).await;
    let request = DeleteConnectionRequest { connection: source.connection.clone(), ..Default::default() };
    server.client.connections().delete_connection(request).await.unwrap();
    let gone = GetConnectionRequest { connection: source.connection.clone() };
    until_async("its end", async || server.client.connections().get_connection(gone.clone()).await.err())
        .await;
    assert_eq!(provider.counts().revoked, 1);
}

#[tokio::test]
async fn a_grant_of_another_system_is_taken_over_and_refreshed_from_then_on() {
    let server = server().await;
    let provider = fake(&server, Rules::default()).await;
    let source = source(&server).await;
    store_app(&server, "client").await;
    let id = &source.connection;
    let grant = |access: &str| SetCredentialRequest {
        connection: id.clone(),
        credential: Some(Credential {
            kind: Some(Kind::Oauth2(OAuthToken {
                access_token: access.to_owned(),
                scopes: vec!["other".to_owned()],
                ..OAuthToken::default()
            })),
            ..Credential::default()
        }),
        refresh_token: "refresh-of-elsewhere".to_owned(),
    };
    let empty = server.client.credentials().set_credential(grant("")).await.unwrap_err();
    assert_eq!(
        empty.get_details_bad_request().unwrap().field_violations[0].field,
        "credential.oauth2.access_token"
    );
    let taken = server.client.credentials().set_credential(grant("access-of-elsewhere")).await.unwrap();
    let status = taken.into_inner().credential.unwrap();
    assert_eq!((status.state(), status.missing_scopes), (State::Connected, vec!["read".to_owned()]));
    server.client.sync_well(id).await;
    assert!(given(&source, "pull").to_string().contains("access-of-elsewhere"));
    let newer =
        json!({"access_token": "access-of-here", "refresh_token": "refresh-of-here", "token_type": "Bearer"});
    provider.answer(Answer::json(200, &newer));
    let request = RefreshCredentialRequest { connection: id.clone() };
    server.client.credentials().refresh_credential(request).await.unwrap();
    assert_eq!(provider.last().params()["refresh_token"], "refresh-of-elsewhere");
    server.client.sync_well(id).await;
    assert!(given(&source, "pull").to_string().contains("access-of-here"));
}
