//! What people enter reaches the connector and nobody else; a credential that ends is renewed or asked for; one that opens
//! another account waits.

use std::fs;

use serde_json::json;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::credential_status::State;
use superfasttt_proto::control::v1::{
    ConfirmAccountRequest, RevokeCredentialRequest, TestConnectionRequest, connection,
    test_connection_request,
};
use tonic::Code;
use tonic_types::StatusExt;

use crate::connect_an_account::given;
use crate::support::{
    KEYED, SEVERAL, Server, Source, checkpoint, complete, doc, reason, until_async, within,
};

const KEY: &str = "k-4fTq81LmZ0";

async fn connected(server: &Server, key: &str) -> Source {
    let source = server.source(KEYED, [vec![doc("a", "1"), complete("1")], vec![checkpoint("2")]]).await;
    let status = server.client.enter(&source.connection, &[("key", key)]).await.unwrap();
    assert_eq!(status.state(), State::Connected, "{}", status.message);
    source
}

#[tokio::test]
async fn a_key_that_a_person_enters_is_what_every_call_gets_and_is_stored_sealed() {
    let server = Server::start().await;
    let source = server.source(KEYED, [vec![doc("a", "1"), complete("1")], vec![checkpoint("2")]]).await;
    let (client, id) = (&server.client, &source.connection);

    // Before: nothing runs, and everybody is told what to do.
    let shown = client.connection(id).await;
    assert_eq!(shown.state(), connection::State::NeedsCredential);
    assert!(shown.next_run_at.is_none() && shown.status_message.contains("enter its credential"));
    let status = client.credential(id).await;
    assert_eq!((status.state(), status.auth_type.as_str()), (State::Pending, "api_key"));
    assert_eq!((status.fields[0].name.as_str(), status.fields[0].secret), ("key", true));
    let (why, message) = client.sync_to_failure(id).await;
    assert_eq!(why, Reason::CredentialRevoked);
    assert!(message.contains("connectorctl credentials set"), "{message}");

    let status = client.enter(id, &[("key", KEY)]).await.unwrap();
    assert_eq!(status.state(), State::Connected);
    assert!(!format!("{status:?}").contains(KEY));
    assert_eq!(given(&source, "test_connection")["key"], KEY);
    client.sync_well(id).await;
    assert_eq!(given(&source, "pull"), json!({"key": KEY, "extras": {}, "expires_at": null}));
    let stored = server.stored().await;
    let holds = |text: &str| stored.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds("text of a 1") && !holds(KEY), "sealed");
    assert!(!server.log().contains(KEY));
}

#[tokio::test]
async fn each_kind_of_credential_reaches_the_connector_as_what_it_is() {
    let server = Server::start().await;
    let kinds = [
        ("bearer_token", vec![("token", "t-4fTq81LmZ0")]),
        ("basic", vec![("username", "joe@acme.example"), ("password", "pä:ss w\"ord\\7")]),
        (
            "client_certificate",
            vec![
                ("certificate_pem", "-----BEGIN CERTIFICATE-----\nMIIB81k\n-----END CERTIFICATE-----\n"),
                ("private_key_pem", "-----BEGIN PRIVATE KEY-----\nMIGH71qLm\n-----END PRIVATE KEY-----\n"),
            ],
        ),
    ];
    for (kind, values) in kinds {
        let connector = format!("scripted-{}", kind.replace('_', "-"));
        server.add_connector(&connector, json!({"type": kind})).await;
        let source = server.source(&connector, [vec![doc("a", "1"), complete("1")]]).await;
        server.client.enter(&source.connection, &values).await.unwrap();
        server.client.sync_well(&source.connection).await;
        let mut told = json!({"extras": {}, "expires_at": null});
        values.iter().for_each(|(name, value)| told[name] = json!(value));
        assert_eq!(given(&source, "pull"), told, "{kind}");
        let stored = server.stored().await;
        let secret = values.last().unwrap().1.as_bytes();
        assert!(!stored.windows(secret.len()).any(|bytes| bytes == secret), "{kind} is sealed");
    }
}

#[tokio::test]
async fn what_is_entered_is_checked_field_by_field() {
    let server = Server::start().await;
    let source = server.source(SEVERAL, [vec![complete("1")]]).await;
    let (client, id) = (&server.client, &source.connection);
    let fields = client.credential(id).await.fields;
    let names: Vec<_> =
        fields.iter().map(|field| (field.name.as_str(), field.required, field.secret)).collect();
    assert_eq!(names, [("site", true, false), ("secret", true, true), ("region", false, false)]);
    assert_eq!(fields[1].label, "Secret of the app");

    let refused = client.enter(id, &[("site", "Not a site"), ("sekret", "x7Yq")]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let told: Vec<_> =
        violations.iter().map(|fault| (fault.field.as_str(), fault.description.as_str())).collect();
    assert_eq!(
        told,
        [
            (
                "credential.fields.values[\"site\"]",
                "has not the form that the connector asks for, such as \"acme\""
            ),
            ("credential.fields.values[\"secret\"]", "is required"),
            (
                "credential.fields.values[\"sekret\"]",
                "the connector has no such field; it has: site, secret, region"
            ),
        ]
    );
    assert!(!refused.message().contains("Not a site") && !refused.message().contains("x7Yq"));
    assert_eq!(client.credential(id).await.state(), State::Pending, "nothing was stored");

    client.enter(id, &[("site", "acme"), ("secret", "s1"), ("region", "")]).await.unwrap();
    client.sync_well(id).await;
    assert_eq!(given(&source, "pull")["fields"], json!({"site": "acme", "secret": "s1"}));
}

#[tokio::test]
async fn a_reference_is_resolved_at_each_use_and_only_where_an_operator_allows_it() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = folder.path().join("allowed");
    fs::create_dir(&allowed).unwrap();
    fs::write(allowed.join("key"), "from-a-file-1\n").unwrap();
    fs::write(folder.path().join("private"), "not for connectors").unwrap();
    let server = Server::builder()
        .with("CREDENTIALS__ALLOWED_FILES", format!("[{:?}]", allowed.display().to_string()))
        .start()
        .await;
    let source = server.source(KEYED, [vec![doc("a", "1"), complete("1")], vec![checkpoint("2")]]).await;
    let (client, id) = (&server.client, &source.connection);
    for outside in ["$FILE:/etc/hostname", "$ENV:PATH"] {
        let refused = client.enter(id, &[("key", outside)]).await.unwrap_err();
        assert!(refused.message().contains("an operator has to add it"), "{}", refused.message());
    }
    let outside = format!("$FILE:{}/../private", allowed.display());
    assert!(client.enter(id, &[("key", &outside)]).await.is_err());

    client.enter(id, &[("key", &format!("$FILE:{}/key", allowed.display()))]).await.unwrap();
    client.sync_well(id).await;
    assert_eq!(given(&source, "pull")["key"], "from-a-file-1");
    // It is rotated where it is, and nobody enters anything.
    fs::write(allowed.join("key"), "from-a-file-2").unwrap();
    client.sync_well(id).await;
    assert_eq!(given(&source, "pull")["key"], "from-a-file-2");
    fs::remove_file(allowed.join("key")).unwrap();
    let (why, message) = client.sync_to_failure(id).await;
    assert_eq!(why, Reason::SettingsInvalid, "{message}");
    assert_eq!(
        client.credential(id).await.state(),
        State::Connected,
        "the operator mends it, not the person"
    );
}

#[tokio::test]
async fn a_key_that_the_source_refuses_waits_for_a_person_who_enters_another() {
    let server = Server::start().await;
    let source = connected(&server, KEY).await;
    let (client, id) = (&server.client, &source.connection);
    client.sync_well(id).await;
    source.script.source(json!({"refuses": {KEY: "CREDENTIAL_EXPIRED"}}));
    let run = client.sync(id).await;
    assert_eq!(reason(&run), Reason::CredentialRevoked);
    let status = client.credential(id).await;
    assert_eq!((status.state(), status.reason.as_str()), (State::NeedsReconnect, "CREDENTIAL_REVOKED"));
    assert!(status.message.contains("enter a new one") && status.since.is_some(), "{}", status.message);
    let shown = client.connection(id).await;
    assert_eq!(shown.state(), connection::State::NeedsCredential);
    assert!(shown.status_message.contains("enter a new one"), "{}", shown.status_message);
    // A second run does not ask the source again.
    let asked = source.script.calls().len();
    client.sync_to_failure(id).await;
    assert_eq!(source.script.calls().len(), asked);
    // A test does: where the source takes it again, nobody has to enter it again.
    let target = Some(test_connection_request::Target::Connection(id.clone()));
    let request = TestConnectionRequest { target };
    client.connections().test_connection(request.clone()).await.unwrap_err();
    assert_eq!(client.credential(id).await.state(), State::NeedsReconnect);
    source.script.source(json!({}));
    assert!(client.connections().test_connection(request).await.unwrap().into_inner().ok);
    assert_eq!(client.credential(id).await.state(), State::Connected);
    source.script.source(json!({"refuses": {KEY: "CREDENTIAL_EXPIRED"}}));
    client.sync_to_failure(id).await;
    // One that the source does not take either is told at once.
    source.script.source(json!({"refuses": {KEY: "CREDENTIAL_EXPIRED", "k-2": "CREDENTIAL_REVOKED"}}));
    let status = client.enter(id, &[("key", "k-2")]).await.unwrap();
    assert_eq!(
        (status.state(), status.message.as_str()),
        (State::NeedsReconnect, "the source refuses the credential")
    );
    let status = client.enter(id, &[("key", "k-3")]).await.unwrap();
    assert_eq!(status.state(), State::Connected);
    client.sync_well(id).await;
}

#[tokio::test]
async fn another_account_is_noticed_and_nothing_is_mixed_before_a_person_confirms_it() {
    let server = Server::start().await;
    let source =
        server.source(KEYED, [vec![doc("a", "1"), complete("1")], vec![doc("b", "1"), complete("2")]]).await;
    let (client, id) = (&server.client, &source.connection);
    source.script.source(json!({"accounts": {"k-ann": "ann", "k-ann-2": "ann", "k-bob": "bob"}}));
    let status = client.enter(id, &[("key", "k-ann")]).await.unwrap();
    assert_eq!(status.account.unwrap().id, "ann");
    client.sync_well(id).await;
    let status = client.enter(id, &[("key", "k-ann-2")]).await.unwrap();
    assert_eq!(status.state(), State::Connected, "the same account with another key");

    let status = client.enter(id, &[("key", "k-bob")]).await.unwrap();
    assert_eq!((status.state(), status.other_account.unwrap().id.as_str()), (State::Pending, "bob"));
    assert!(status.message.contains("bob instead of ann"), "{}", status.message);
    client.sync_to_failure(id).await;
    assert_eq!(client.ids(id).await, "a", "nothing of bob's");
    let confirm =
        |account: &str| ConfirmAccountRequest { connection: id.clone(), account_id: account.to_owned() };
    let wrong = client.credentials().confirm_account(confirm("eve")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::NotFound);
    let confirmed = client.credentials().confirm_account(confirm("bob")).await.unwrap().into_inner();
    assert_eq!(confirmed.credential.unwrap().account.unwrap().id, "bob");
    client.sync_full(id).await;
    assert_eq!(client.ids(id).await, "b", "what ann saw and bob does not is gone");
}

#[tokio::test]
async fn what_is_taken_away_is_gone_and_can_be_entered_again() {
    let server = Server::start().await;
    let source = connected(&server, KEY).await;
    let (client, id) = (&server.client, &source.connection);
    client.sync_well(id).await;
    let request = RevokeCredentialRequest { connection: id.clone() };
    let revoked = client.credentials().revoke_credential(request.clone()).await.unwrap().into_inner();
    assert_eq!(revoked.credential.unwrap().state(), State::Revoked);
    client.sync_to_failure(id).await;
    assert_eq!(client.ids(id).await, "a", "its documents stay");
    let target = Some(test_connection_request::Target::Connection(id.clone()));
    let tested = client.connections().test_connection(TestConnectionRequest { target }).await.unwrap_err();
    assert!(tested.message().contains("connect"), "{}", tested.message());
    client.enter(id, &[("key", "k-5")]).await.unwrap();
    client.sync_well(id).await;
}

#[tokio::test]
async fn a_connection_that_is_not_paused_syncs_once_it_has_a_credential() {
    let server = Server::start().await;
    let script = server.script();
    script.next_pulls([vec![doc("a", "1"), complete("1")], vec![checkpoint("2")]]);
    let made = server.client.create(KEYED, json!({"script": script.path()}), false).await;
    assert!(made.next_run_at.is_none(), "it waits for a credential, and does not fail meanwhile");
    server.client.enter(&made.id, &[("key", KEY)]).await.unwrap();
    within(
        "its first run",
        until_async("its first run", async || {
            let ids = server.client.ids(&made.id).await;
            (ids == "a").then_some(())
        }),
    )
    .await;
    assert_eq!(server.client.runs_of(&made.id).await.len(), 1);
}
