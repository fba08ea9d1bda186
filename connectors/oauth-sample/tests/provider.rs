//! The connector against a provider that answers as each test says.

use std::time::Duration;

use serde_json::{Value, json};
use superfasttt_connector::testing::{Pulled, collect_pull, connect, full_pull, settings_struct};
use superfasttt_connector::{ConnectorError, Reason};
use superfasttt_oauth_testing::{Answer, FakeProvider};
use superfasttt_proto::connector::v1::{
    Credential, OAuthToken, TestConnectionRequest, TestConnectionResponse, check::Outcome, credential::Kind,
};

use connector_oauth_sample::OAuthSample;

const TOKEN: &str = "at-51fQ0zR8";

fn credential() -> Option<Credential> {
    let token = OAuthToken { access_token: TOKEN.to_owned(), ..OAuthToken::default() };
    Some(Credential { kind: Some(Kind::Oauth2(token)), ..Credential::default() })
}

fn settings(provider: &FakeProvider) -> Value {
    json!({"issuer": provider.url("").trim_start_matches("http://")})
}

fn alex() -> Value {
    json!({
        "sub": "u-1", "name": "Alex Martin", "email": "alex@erable.example", "email_verified": true,
        "profile": "https://erable.example/alex", "locale": "fr-FR", "updated_at": 1_760_000_000,
    })
}

async fn pull(answer: Answer) -> (Pulled, FakeProvider) {
    let provider = FakeProvider::start().await;
    provider.answer(answer);
    let request = superfasttt_proto::connector::v1::PullRequest {
        credential: credential(),
        ..full_pull(settings(&provider))
    };
    (collect_pull(&mut connect(OAuthSample::new()).await, request).await, provider)
}

async fn error(answer: Answer) -> ConnectorError {
    let (pulled, _provider) = pull(answer).await;
    assert_eq!(pulled.documents().count(), 0);
    let error = pulled.error.expect("the pull fails");
    assert!(!error.message.contains(TOKEN), "{}", error.message);
    error
}

async fn test(answer: Answer) -> Result<TestConnectionResponse, ConnectorError> {
    let provider = FakeProvider::start().await;
    provider.answer(answer);
    let request = TestConnectionRequest {
        settings: Some(settings_struct(settings(&provider))),
        contract_revision: 1,
        credential: credential(),
    };
    let response = connect(OAuthSample::new()).await.test_connection(request).await;
    response.map(|response| response.into_inner()).map_err(|status| ConnectorError::from_status(&status))
}

#[tokio::test]
async fn the_profile_is_one_document_and_the_whole_listing() {
    let (pulled, provider) = pull(Answer::json(200, &alex())).await;
    assert_eq!(pulled.error, None);
    let asked = provider.last();
    assert_eq!((asked.path.as_str(), asked.bearer()), ("/me", Some(TOKEN)));
    let document = pulled.documents().next().expect("one document");
    assert_eq!((document.id.as_str(), document.title.as_str()), ("u-1", "Alex Martin"));
    assert_eq!(document.version, "1760000000");
    assert_eq!(document.url, "https://erable.example/alex");
    let content = document.content.as_deref().unwrap();
    assert_eq!(content, "Name: Alex Martin\nE-mail: alex@erable.example\nLanguage: fr-FR");
    let permissions = document.permissions.as_ref().unwrap();
    assert_eq!((permissions.visibility.as_str(), permissions.allow.len()), ("private", 1));
    assert!(pulled.checkpoints().any(|(_, checkpoint)| checkpoint.listing_complete));
}

#[tokio::test]
async fn each_refusal_is_the_reason_that_the_engine_knows_what_to_do_about() {
    let challenge = "Bearer error=\"insufficient_scope\"";
    for (answer, reason) in [
        (Answer::empty(401), Reason::CredentialExpired),
        (Answer::empty(403), Reason::AccessDenied),
        (Answer::empty(403).header("www-authenticate", challenge), Reason::ScopeMissing),
        (Answer::empty(404), Reason::SettingsInvalid),
        (Answer::empty(500), Reason::SourceUnavailable),
        (Answer::empty(302).header("location", "http://127.0.0.1:1/"), Reason::SourceUnavailable),
        (Answer::text(200, "text/html", "<p>maintenance"), Reason::SourceUnavailable),
        (Answer::json(200, &json!({"name": "nobody"})), Reason::SourceUnavailable),
        (Answer::json(200, &json!({"sub": ""})), Reason::SourceUnavailable),
        (Answer::json(200, &json!({"sub": "x".repeat(2 << 20)})), Reason::SourceUnavailable),
        (Answer::json(200, &alex()).cut_after(20), Reason::SourceUnavailable),
    ] {
        let shown = format!("{answer:?}");
        assert_eq!(error(answer).await.reason, reason, "{}", &shown[..shown.len().min(200)]);
    }
}

#[tokio::test]
async fn a_provider_that_asks_to_wait_says_how_long() {
    let error = error(Answer::empty(429).header("retry-after", "30")).await;
    assert_eq!((error.reason, error.retry_after), (Reason::RateLimited, Some(Duration::from_secs(30))));
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_tried_again() {
    let request = superfasttt_proto::connector::v1::PullRequest {
        credential: credential(),
        ..full_pull(json!({"issuer": "127.0.0.1:1"}))
    };
    let pulled = collect_pull(&mut connect(OAuthSample::new()).await, request).await;
    assert_eq!(pulled.error.unwrap().reason, Reason::SourceUnavailable);
}

#[tokio::test]
async fn a_token_is_not_sent_off_this_machine() {
    let request = superfasttt_proto::connector::v1::PullRequest {
        credential: credential(),
        ..full_pull(json!({"issuer": "evil.example"}))
    };
    let pulled = collect_pull(&mut connect(OAuthSample::new()).await, request).await;
    assert_eq!(pulled.error.unwrap().reason, Reason::SettingsInvalid);
}

#[tokio::test]
async fn a_test_tells_whose_account_it_is() {
    let response = test(Answer::json(200, &alex())).await.unwrap();
    let account = response.account.unwrap();
    assert_eq!(
        (account.id.as_str(), account.display_name.as_str(), account.email.as_str()),
        ("u-1", "Alex Martin", "alex@erable.example")
    );
    assert!(response.checks.iter().all(|check| check.outcome() == Outcome::Passed));
}

#[tokio::test]
async fn a_failed_test_says_what_to_do_and_an_ended_token_is_left_to_the_engine() {
    let response = test(Answer::empty(403)).await.unwrap();
    assert_eq!(response.account, None);
    let failed: Vec<_> = response
        .checks
        .iter()
        .filter(|check| check.outcome() == Outcome::Failed && !check.fix.is_empty())
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(test(Answer::empty(401)).await.unwrap_err().reason, Reason::CredentialExpired);
}

#[tokio::test]
async fn without_a_credential_a_person_is_asked_to_connect() {
    let pulled =
        collect_pull(&mut connect(OAuthSample::new()).await, full_pull(json!({"issuer": "127.0.0.1:1"})))
            .await;
    assert_eq!(pulled.error.unwrap().reason, Reason::CredentialRevoked);
}
