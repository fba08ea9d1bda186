use std::time::Duration;

use serde_json::json;
use superfasttt_oauth::{Grant, Revocation, Unclear};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

#[tokio::test]
async fn dropbox() {
    let provider = FakeProvider::start().await;
    let auth = json!({
        "authorization_url": "/oauth2/authorize", "token_url": "/oauth2/token",
        "revocation_url": "/2/auth/token/revoke", "client_auth": "basic",
        "authorize_params": {"token_access_type": "offline"}, "scopes": ["files.metadata.read", "sharing.read"],
        "extras": ["account_id"], "revocation": {"auth": "bearer", "token": "access_token", "token_param": ""},
    });
    let client = client(&provider, auth);
    let url = client.authorize(REDIRECT_URI, &[]).unwrap().url;
    assert!(url.query().unwrap().contains("token_access_type=offline"));

    provider.answer(Answer::json(
        200,
        &json!({"access_token": "sl.a", "expires_in": 14400, "token_type": "bearer", "refresh_token": "r",
                "scope": "account_info.read files.metadata.read", "uid": "1", "account_id": "dbid:1"}),
    ));
    let tokens = exchange(&client, &["files.metadata.read", "sharing.read"]).await.unwrap();
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(14400)));
    assert_eq!(tokens.missing, ["sharing.read"]);
    assert_eq!(tokens.extras["account_id"], "dbid:1");
    assert_eq!(provider.last().basic().unwrap().1, CLIENT_SECRET);
    assert!(!provider.last().params().contains_key("client_secret"));

    // Neither rotated nor echoed.
    provider.answer(Answer::json(
        200,
        &json!({"access_token": "sl.b", "expires_in": 14400, "token_type": "bearer"}),
    ));
    assert_eq!(refresh_token(&refresh(&client).await.unwrap()), None);

    // 400 in plain text says nothing that a grant may be ended for.
    let text =
        "Error in call to API function \"oauth2/token\": refresh token the-old-refresh-token is malformed";
    provider.answer(Answer::text(400, "text/plain; charset=utf-8", text));
    let unclear = ambiguous(refresh(&client).await);
    assert_eq!((unclear.reason, unclear.status), (Unclear::Unreadable, Some(400)));
    assert!(unclear.said.contains("refresh token [REDACTED] is malformed"), "{}", unclear.said);
    provider.answer(Answer::json(
        400,
        &json!({"error": "invalid_grant", "error_description": "refresh token is revoked"}),
    ));
    refused(refresh(&client).await);

    let (token, other) = (secret("sl.b"), secret("r"));
    provider.answer(Answer::text(200, "application/json", "null"));
    let grant = Grant { access: Some(&token), refresh: Some(&other) };
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::Revoked);
    assert_eq!(provider.last().bearer(), Some("sl.b"), "the access token stands for the whole grant");
    provider.answer(Answer::json(
        401,
        &json!({"error_summary": "expired_access_token/", "error": {".tag": "expired_access_token"}}),
    ));
    // The access token has ended, which says nothing of the grant.
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::RefreshFirst);
    assert_eq!(
        client.revoke(Grant { access: None, refresh: Some(&other) }, now()).await.unwrap(),
        Revocation::RefreshFirst
    );
}
