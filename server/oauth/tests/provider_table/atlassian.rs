use serde_json::json;
use superfasttt_oauth::{Grant, Revocation};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

#[tokio::test]
async fn atlassian() {
    let provider = FakeProvider::start().await;
    let auth = json!({
        "authorization_url": "/authorize", "token_url": "/oauth/token", "request": "json", "pkce": false,
        "scopes": ["read:page:confluence", "offline_access"], "unlisted_scopes": ["offline_access"],
        "authorize_params": {"audience": "api.atlassian.com", "prompt": "consent"},
        "refresh_idle": "90d", "refresh_lifetime": "365d",
    });
    let declaration = declaration(&provider, auth.clone());
    assert_eq!(declaration.refresh_idle.unwrap().as_secs(), 90 * 86400);
    assert_eq!(declaration.refresh_lifetime.unwrap().as_secs(), 365 * 86400);
    let client = client(&provider, auth);
    let url = client
        .authorize(REDIRECT_URI, &["read:page:confluence".to_owned(), "offline_access".to_owned()])
        .unwrap()
        .url;
    let query: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!((query["audience"].as_str(), query["prompt"].as_str()), ("api.atlassian.com", "consent"));
    assert_eq!(query["scope"], "read:page:confluence offline_access");

    provider.answer(Answer::json(
        200,
        &json!({"access_token": "a", "expires_in": 3600, "token_type": "Bearer", "refresh_token": "r1",
                "scope": "read:page:confluence"}),
    ));
    let tokens = exchange(&client, &["read:page:confluence", "offline_access"]).await.unwrap();
    assert!(tokens.missing.is_empty());
    let params = provider.last().params();
    assert_eq!((params["client_id"].as_str(), params["client_secret"].as_str()), (CLIENT_ID, CLIENT_SECRET));
    assert_eq!(provider.last().header("content-type"), "application/json");

    provider
        .answer(Answer::json(200, &json!({"access_token": "b", "expires_in": 3600, "refresh_token": "r2"})));
    assert_eq!(refresh_token(&refresh(&client).await.unwrap()), Some("r2"));

    // It refuses with 403.
    provider.answer(Answer::json(
        403,
        &json!({"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}),
    ));
    let refused = refused(refresh(&client).await);
    assert_eq!((refused.status, refused.said.as_str()), (403, "Unknown or invalid refresh token."));
    // A wrong secret ends no grant.
    provider
        .answer(Answer::json(401, &json!({"error": "access_denied", "error_description": "Unauthorized"})));
    misconfigured(refresh(&client).await);

    let token = secret("r2");
    let grant = Grant { access: None, refresh: Some(&token) };
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::NotOffered);
}
