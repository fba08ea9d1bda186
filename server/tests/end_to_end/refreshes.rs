//! A refresh, or an exchange of a code, that is cut off by `kill -9`, at each step: the account works, or it is said honestly that it has to be connected
//! again; nobody asks the provider in a circle.

use superfasttt_oauth_testing::{Answer, FakeProvider, Rules};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::credential_status::State;
use superfasttt_proto::control::v1::{RefreshCredentialRequest, RevokeCredentialRequest};
use tonic::Status;
use tonic_types::StatusExt;

use crate::connect_an_account::{begin, fake, server, source, store_app};
use crate::support::{Person, Server, Source, checkpoint, doc, fail, more, until};

async fn connect(server: &Server, connection: &str) {
    let begun = begin(server, connection).await;
    let page = Person::default().open(&begun.authorization_url).await;
    assert_eq!(page.name(), "connected", "{page:?}");
}

/// A connection that has synced.
async fn connected(server: &Server, rules: Rules) -> (FakeProvider, Source) {
    let provider = fake(server, rules).await;
    let source = source(server).await;
    store_app(server, "client").await;
    connect(server, &source.connection).await;
    server.client.sync_well(&source.connection).await;
    (provider, source)
}

/// Asks for a new access token.
async fn refresh(server: &Server, connection: &str) -> Result<State, Status> {
    let request = RefreshCredentialRequest { connection: connection.to_owned() };
    let answer = server.client.credentials().refresh_credential(request).await?.into_inner();
    Ok(answer.credential.unwrap().state())
}

/// The same, without waiting for it.
fn begin_refresh(server: &Server, connection: &str) {
    let request = RefreshCredentialRequest { connection: connection.to_owned() };
    let mut client = server.client.credentials();
    tokio::spawn(async move { client.refresh_credential(request).await });
}

/// Kills the server when the provider has answered and nothing of that is stored.
async fn kill_between_answer_and_write(server: &mut Server, provider: &FakeProvider, connection: &str) {
    server.refuse_credentials(true).await;
    let before = provider.counts().refreshes;
    begin_refresh(server, connection);
    until("the provider answers", || provider.counts().refreshes > before).await;
    until("the answer is there", || server.log().contains("a refreshed credential could not be stored"))
        .await;
    server.kill9().await;
    server.refuse_credentials(false).await;
    server.restart().await;
}

#[tokio::test]
async fn a_rotated_token_that_was_lost_ends_in_an_honest_wish_to_connect_again() {
    let mut server = server().await;
    let (provider, source) = connected(&server, Rules::default()).await;
    let id = &source.connection;
    kill_between_answer_and_write(&mut server, &provider, id).await;

    let refused = refresh(&server, id).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "CREDENTIAL_REVOKED");
    assert!(refused.message().contains("connect the account again"), "{refused:?}");
    assert_eq!(server.client.credential(id).await.state(), State::NeedsReconnect);
    assert_eq!(provider.counts().reuses, 1, "the provider took the old token for stolen");
    let asked = provider.asked().len();
    let (reason, _) = server.client.sync_to_failure(id).await;
    assert_eq!(reason, Reason::CredentialRevoked);
    assert_eq!(provider.asked().len(), asked, "and is not asked again and again");
    connect(&server, id).await;
    server.client.sync_well(id).await;
}

#[tokio::test]
async fn a_token_that_still_counts_is_used_again() {
    let mut server = server().await;
    let (provider, source) = connected(&server, Rules { rotates: false, ..Rules::default() }).await;
    let id = &source.connection;
    kill_between_answer_and_write(&mut server, &provider, id).await;
    assert_eq!(refresh(&server, id).await.unwrap(), State::Connected);
    server.client.sync_well(id).await;
}

#[tokio::test]
async fn a_refresh_that_had_not_reached_the_provider_is_made_anew() {
    let mut server = server().await;
    let (provider, source) = connected(&server, Rules::default()).await;
    let id = &source.connection;
    let (answer, mut gate) = Answer::empty(503).held();
    provider.answer(answer);
    begin_refresh(&server, id);
    gate.reached().await;
    server.kill9().await;
    gate.open();
    server.restart().await;
    assert_eq!(refresh(&server, id).await.unwrap(), State::Connected);
    assert_eq!(provider.counts().reuses, 0);
    server.client.sync_well(id).await;
}

#[tokio::test]
async fn a_token_that_ends_in_a_pull_is_refreshed_once_and_the_pull_goes_on() {
    let server = server().await;
    let (provider, source) = connected(&server, Rules::default()).await;
    let (client, id) = (&server.client, &source.connection);
    let before = provider.counts().refreshes;
    source.script.next_pulls([
        vec![doc("b", "1"), more("half"), fail("CREDENTIAL_EXPIRED")],
        vec![doc("c", "1"), checkpoint("3")],
    ]);
    client.sync_well(id).await;
    assert_eq!(provider.counts().refreshes, before + 1);
    assert_eq!(client.ids(id).await, "a b c");
    assert_eq!(
        source.script.last_pull(),
        ("INCREMENTAL".to_owned(), "half".to_owned()),
        "it went on from there"
    );

    // One that is refused again, new as it is, is refused for good.
    source.script.next_pulls([
        vec![fail("CREDENTIAL_EXPIRED")],
        vec![fail("CREDENTIAL_EXPIRED")],
        vec![checkpoint("4")],
    ]);
    let (reason, message) = client.sync_to_failure(id).await;
    assert_eq!(reason, Reason::CredentialRevoked, "{message}");
    assert_eq!(provider.counts().refreshes, before + 2);
    assert_eq!(client.credential(id).await.state(), State::NeedsReconnect);
    connect(&server, id).await;
    client.sync_well(id).await;
}

#[tokio::test]
async fn a_grant_that_was_lost_before_it_was_stored_leaves_the_account_as_it_was() {
    let mut server = server().await;
    let (provider, source) = connected(&server, Rules::default()).await;
    let id = &source.connection;
    server.refuse_credentials(true).await;
    let begun = begin(&server, id).await;
    let browser = tokio::spawn(async move { Person::default().open(&begun.authorization_url).await });
    until("the grant is there", || server.log().contains("a grant could not be stored")).await;
    server.kill9().await;
    browser.abort();
    assert_eq!(provider.counts().grants, 2);
    server.refuse_credentials(false).await;
    server.restart().await;
    assert_eq!(server.client.credential(id).await.state(), State::Connected);
    server.client.sync_well(id).await;
    assert_eq!(refresh(&server, id).await.unwrap(), State::Connected);
    connect(&server, id).await;
    server.client.sync_well(id).await;
    assert_eq!(provider.counts().reuses, 0);
}

#[tokio::test]
async fn a_withdrawal_that_was_not_written_ends_in_an_honest_wish_to_connect_again() {
    let mut server = server().await;
    let (provider, source) = connected(&server, Rules::default()).await;
    let id = &source.connection;
    server.refuse_credentials(true).await;
    let request = RevokeCredentialRequest { connection: id.clone() };
    let mut client = server.client.credentials();
    tokio::spawn(async move { client.revoke_credential(request).await });
    until("the provider ends the grant", || provider.counts().revoked == 1).await;
    server.kill9().await;
    server.refuse_credentials(false).await;
    server.restart().await;
    assert_eq!(server.client.credential(id).await.state(), State::Connected, "nobody knows of it yet");
    refresh(&server, id).await.unwrap_err();
    assert_eq!(server.client.credential(id).await.state(), State::NeedsReconnect);
    connect(&server, id).await;
    server.client.sync_well(id).await;
}

#[tokio::test]
async fn a_store_that_refuses_for_a_while_loses_no_rotated_token() {
    let server = server().await;
    let (provider, source) = connected(&server, Rules::default()).await;
    let id = &source.connection;
    server.refuse_credentials(true).await;
    let before = provider.counts().refreshes;
    begin_refresh(&server, id);
    until("the answer is there", || server.log().contains("a refreshed credential could not be stored"))
        .await;
    server.refuse_credentials(false).await;
    // This one waits for that one, whose token is the one that counts.
    assert_eq!(refresh(&server, id).await.unwrap(), State::Connected);
    server.client.sync_well(id).await;
    assert!(provider.counts().refreshes > before && provider.counts().reuses == 0, "{:?}", provider.counts());
}
