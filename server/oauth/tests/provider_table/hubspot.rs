use std::time::Duration;

use serde_json::json;
use superfasttt_oauth::{Grant, Revocation, Unclear};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

#[tokio::test]
async fn hubspot() {
    let provider = FakeProvider::start().await;
    let auth = json!({
        "authorization_url": "/oauth/authorize", "token_url": "/oauth/v1/token",
        "revocation_url": "/oauth/v1/refresh-tokens/{token}",
        "scopes": ["oauth", "crm.objects.contacts.read"], "optional_scopes": ["tickets", "crm.objects.deals.read"],
        "optional_scope_param": "optional_scope", "extras": ["hub_id"],
        "token_fields": {"error": ["error", "status"]},
        "error_codes": {
            "BAD_REFRESH_TOKEN": "refused", "BAD_AUTH_CODE": "refused", "BAD_CLIENT_SECRET": "misconfigured",
            "BAD_CLIENT_ID": "misconfigured", "BAD_REDIRECT_URI": "misconfigured",
        },
        "revocation": {"method": "delete", "auth": "none", "token": "refresh_token", "token_param": ""},
    });
    let client = client(&provider, auth);
    let url = client.authorize(REDIRECT_URI, &["oauth".to_owned()]).unwrap().url;
    let query: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(query["scope"], "oauth");
    assert_eq!(query["optional_scope"], "tickets crm.objects.deals.read");

    let long = format!("CL{}", "x".repeat(600));
    provider.answer(Answer::json(
        200,
        &json!({"access_token": long, "expires_in": 1800, "refresh_token": "na1-r", "token_type": "bearer",
                "hub_id": 123_456, "scopes": ["oauth"]}),
    ));
    let tokens = exchange(&client, &["oauth", "crm.objects.contacts.read"]).await.unwrap();
    assert_eq!((access(&tokens).len(), tokens.expires_in), (602, Some(Duration::from_secs(1800))));
    assert_eq!(tokens.extras["hub_id"], "123456");
    assert_eq!(tokens.granted, None);

    // The same one comes again.
    provider.answer(Answer::json(
        200,
        &json!({"access_token": "CLa", "expires_in": "1800", "refresh_token": "the-old-refresh-token"}),
    ));
    let tokens = refresh(&client).await.unwrap();
    assert_eq!(refresh_token(&tokens), Some("the-old-refresh-token"));
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(1800)), "a number as a text");

    provider.answer(Answer::json(
        400,
        &json!({"status": "BAD_REFRESH_TOKEN", "message": "missing or unknown refresh token", "correlationId": "c"}),
    ));
    let refused = refused(refresh(&client).await);
    assert_eq!(refused.said, "missing or unknown refresh token");
    provider.answer(Answer::text(404, "text/html", "<!DOCTYPE html><html>not found</html>"));
    assert_eq!(ambiguous(refresh(&client).await).reason, Unclear::Unreadable);
    provider.answer(Answer::text(502, "text/html", "<html>bad gateway</html>"));
    let unclear = ambiguous(refresh(&client).await);
    assert_eq!(
        (unclear.reason, unclear.said.as_str()),
        (Unclear::Unavailable, "an HTML page with status 502")
    );

    let token = secret("na1-r");
    let grant = Grant { access: None, refresh: Some(&token) };
    provider.answer(Answer::empty(204));
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::Revoked);
    let asked = provider.last();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("DELETE", "/oauth/v1/refresh-tokens/na1-r"));
    provider.answer(Answer::text(404, "text/html", "<html></html>"));
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::AlreadyGone);
}
