//! OAuth apps: kept for the installation or for one organisation, their secrets never shown, and not taken away from accounts
//! that need them.

use superfasttt_oauth_testing::Rules;
use superfasttt_proto::control::v1::*;
use tonic::Code;
use tonic_types::StatusExt;

use crate::connect_an_account::{CLIENT_SECRET, CONNECTOR, begin, fake, server, source, store_app};
use crate::support::Person;

#[tokio::test]
async fn oauth_apps_are_kept_and_their_secrets_never_shown() {
    let server = server().await;
    let provider = fake(&server, Rules::default()).await;
    let mut client = server.client.credentials();
    let app = |organization: &str, client_id: &str| OAuthApp {
        organization: organization.to_owned(),
        connector: CONNECTOR.to_owned(),
        client_id: client_id.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        ..OAuthApp::default()
    };
    let fields = |status: &tonic::Status| -> Vec<String> {
        let violations = status.get_details_bad_request().unwrap().field_violations;
        violations.into_iter().map(|violation| violation.field).collect()
    };
    let bad = OAuthApp {
        organization: "No Such".to_owned(),
        connector: "ledger".to_owned(),
        client_secret: "a b".to_owned(),
        ..OAuthApp::default()
    };
    let refused = client.create_o_auth_app(CreateOAuthAppRequest { oauth_app: Some(bad) }).await.unwrap_err();
    assert_eq!(fields(&refused), ["oauth_app.organization", "oauth_app.client_id", "oauth_app.connector"]);
    let line_break = OAuthApp { client_secret: format!("{CLIENT_SECRET}\n"), ..app("", "c") };
    let refused =
        client.create_o_auth_app(CreateOAuthAppRequest { oauth_app: Some(line_break) }).await.unwrap_err();
    assert_eq!(fields(&refused), ["oauth_app.client_secret"]);
    assert!(!format!("{refused:?}").contains(CLIENT_SECRET));

    let mut create = async |organization: &str, client_id: &str| {
        let request = CreateOAuthAppRequest { oauth_app: Some(app(organization, client_id)) };
        client.create_o_auth_app(request).await.map(|answer| answer.into_inner().oauth_app.unwrap())
    };
    let common = create("", "common").await.unwrap();
    let own = create("acme", "own").await.unwrap();
    assert_eq!(create("acme", "twice").await.unwrap_err().code(), Code::AlreadyExists);
    assert!(common.has_client_secret && common.client_secret.is_empty());

    // Whoever has none of its own uses the installation's.
    let source = source(&server).await;
    let asked = async |wanted: &str| {
        let begun = begin(&server, &source.connection).await;
        Person::default().open(&begun.authorization_url).await;
        let asked = provider.asked();
        let authorize = asked.iter().rev().find(|asked| asked.path == "/authorize").unwrap();
        assert_eq!(authorize.query["client_id"], wanted);
    };
    asked("common").await;
    let mut client = server.client.credentials();
    let update = UpdateOAuthAppRequest {
        oauth_app: Some(OAuthApp {
            id: common.id.clone(),
            client_id: "changed".to_owned(),
            etag: common.etag,
            ..OAuthApp::default()
        }),
    };
    let changed = client.update_o_auth_app(update.clone()).await.unwrap().into_inner().oauth_app.unwrap();
    assert!(changed.has_client_secret, "what is not named stays");
    assert_eq!(client.update_o_auth_app(update).await.unwrap_err().code(), Code::Aborted, "an old etag");
    asked("changed").await;

    let request = ListOAuthAppsRequest { page_size: 1, ..Default::default() };
    let first = client.list_o_auth_apps(request.clone()).await.unwrap().into_inner();
    let request = ListOAuthAppsRequest { page_token: first.next_page_token, ..request };
    let second = client.list_o_auth_apps(request).await.unwrap().into_inner();
    assert_eq!([&first.oauth_apps[0].id, &second.oauth_apps[0].id], [&common.id, &own.id]);
    let request = ListOAuthAppsRequest { organization: "acme".to_owned(), ..Default::default() };
    let of_acme = client.list_o_auth_apps(request).await.unwrap().into_inner().oauth_apps;
    assert_eq!(of_acme.len(), 1);

    client
        .delete_o_auth_app(DeleteOAuthAppRequest { oauth_app: own.id.clone(), force: false })
        .await
        .unwrap();
    let gone = client.get_o_auth_app(GetOAuthAppRequest { oauth_app: own.id }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let stored = server.stored().await;
    assert!(!stored.windows(CLIENT_SECRET.len()).any(|bytes| bytes == CLIENT_SECRET.as_bytes()));
}

#[tokio::test]
async fn an_oauth_app_that_accounts_need_is_not_deleted_unasked() {
    let server = server().await;
    let _provider = fake(&server, Rules::default()).await;
    let source = source(&server).await;
    let app = store_app(&server, "client").await;
    let begun = begin(&server, &source.connection).await;
    assert_eq!(Person::default().open(&begun.authorization_url).await.name(), "connected");
    let mut client = server.client.credentials();
    let delete = |force| DeleteOAuthAppRequest { oauth_app: app.id.clone(), force };
    let refused = client.delete_o_auth_app(delete(false)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("without it: 1"), "{refused:?}");
    client.delete_o_auth_app(delete(true)).await.unwrap();

    // Where the grant was taken away, nobody needs it.
    let app = store_app(&server, "client").await;
    let begun = begin(&server, &source.connection).await;
    assert_eq!(Person::default().open(&begun.authorization_url).await.name(), "connected");
    let request = RevokeCredentialRequest { connection: source.connection.clone() };
    client.revoke_credential(request).await.unwrap();
    let request = DeleteOAuthAppRequest { oauth_app: app.id, force: false };
    client.delete_o_auth_app(request).await.unwrap();
}
