use std::time::Duration;

use serde_json::json;
use superfasttt_oauth::{Grant, Revocation};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

const DRIVE: &str = "https://www.googleapis.com/auth/drive.readonly";
const EMAIL: &str = "https://www.googleapis.com/auth/userinfo.email";

fn auth() -> serde_json::Value {
    json!({
        "authorization_url": "/o/oauth2/v2/auth", "token_url": "/token", "revocation_url": "/revoke",
        "scopes": [DRIVE, "email"], "scope_aliases": {"email": [EMAIL]},
        "authorize_params": {"access_type": "offline", "prompt": "consent", "include_granted_scopes": "true"},
        "revocation": {"auth": "none"}, "refresh_idle": "180d",
    })
}

#[tokio::test]
async fn google() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, auth());

    let authorization = client.authorize(REDIRECT_URI, &[DRIVE.to_owned(), "email".to_owned()]).unwrap();
    let query: std::collections::BTreeMap<_, _> = authorization.url.query_pairs().into_owned().collect();
    assert_eq!(query["access_type"], "offline");
    assert_eq!(query["prompt"], "consent");
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["scope"], format!("{DRIVE} email"));

    provider.answer(Answer::json(
        200,
        &json!({"access_token": "ya29.a", "expires_in": 3599, "refresh_token": "1//r", "token_type": "Bearer",
                "scope": format!("{EMAIL} {DRIVE} openid")}),
    ));
    let tokens = exchange(&client, &[DRIVE, "email"]).await.unwrap();
    assert_eq!((access(&tokens), refresh_token(&tokens)), ("ya29.a", Some("1//r")));
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(3599)));
    assert!(tokens.missing.is_empty(), "the other name of `email` was granted: {:?}", tokens.missing);
    assert_eq!(provider.last().params()["client_secret"], CLIENT_SECRET);

    // Absent in the reply to a refresh: the old one stays.
    provider
        .answer(Answer::json(200, &json!({"access_token": "ya29.b", "expires_in": 3599, "scope": DRIVE})));
    assert_eq!(refresh_token(&refresh(&client).await.unwrap()), None);

    provider.answer(Answer::json(
        400,
        &json!({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}),
    ));
    let refused = refused(refresh(&client).await);
    assert_eq!(
        (refused.code.as_str(), refused.said.as_str()),
        ("invalid_grant", "Token has been expired or revoked.")
    );

    provider.answer(Answer::empty(200));
    let token = secret("1//r");
    let revoked = client.revoke(Grant { access: None, refresh: Some(&token) }, now()).await.unwrap();
    assert_eq!(revoked, Revocation::Revoked);
    assert_eq!(
        provider.last().params().into_iter().collect::<Vec<_>>(),
        [("token".to_owned(), "1//r".to_owned())]
    );
}

/// People may untick scopes one by one.
#[tokio::test]
async fn google_granular_consent() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, auth());
    provider
        .answer(Answer::json(200, &json!({"access_token": "ya29.a", "expires_in": 3599, "scope": EMAIL})));
    assert_eq!(exchange(&client, &[DRIVE, "email"]).await.unwrap().missing, [DRIVE]);
}
