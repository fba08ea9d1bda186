use serde_json::json;
use superfasttt_oauth::{Grant, Revocation};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

#[tokio::test]
async fn notion() {
    let provider = FakeProvider::start().await;
    let auth = json!({
        "authorization_url": "/v1/oauth/authorize", "token_url": "/v1/oauth/token",
        "revocation_url": "/v1/oauth/revoke", "pkce": false, "request": "json", "client_auth": "basic",
        "authorize_params": {"owner": "user"}, "extras": ["workspace_id", "bot_id"],
        "token_fields": {"error": ["error", "code"]}, "revocation": {"request": "json"},
    });
    let client = client(&provider, auth);
    let authorization = client.authorize(REDIRECT_URI, &[]).unwrap();
    assert!(authorization.verifier.is_none());
    let query = authorization.url.query().unwrap();
    assert!(
        query.contains("owner=user") && !query.contains("scope") && !query.contains("code_challenge"),
        "{query}"
    );

    provider.answer(Answer::json(
        200,
        &json!({"access_token": "ntn_a", "token_type": "bearer", "refresh_token": "nrt_1", "bot_id": "b-1",
                "workspace_id": "w-1", "workspace_name": "Acme", "owner": {"type": "user"}, "duplicated_template_id": null}),
    ));
    let tokens = client.exchange(&secret("the-code"), None, REDIRECT_URI, &[], now()).await.unwrap();
    assert_eq!((access(&tokens), refresh_token(&tokens)), ("ntn_a", Some("nrt_1")));
    assert_eq!(tokens.expires_in, None, "it does not say");
    assert_eq!(tokens.token_type, "Bearer");
    let extras: Vec<_> = tokens.extras.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(extras, [("bot_id", "b-1"), ("workspace_id", "w-1")]);
    let asked = provider.last();
    assert_eq!(asked.basic(), Some((CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned())));
    assert_eq!(asked.header("content-type"), "application/json");
    let sent = json!({"grant_type": "authorization_code", "code": "the-code", "redirect_uri": REDIRECT_URI});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&asked.body).unwrap(), sent);

    // Both tokens rotate; it may also say null.
    provider.answer(Answer::json(200, &json!({"access_token": "ntn_b", "refresh_token": "nrt_2"})));
    assert_eq!(refresh_token(&refresh(&client).await.unwrap()), Some("nrt_2"));
    provider.answer(Answer::json(200, &json!({"access_token": "ntn_b", "refresh_token": null})));
    assert_eq!(refresh_token(&refresh(&client).await.unwrap()), None);

    for field in ["error", "code"] {
        provider
            .answer(Answer::json(400, &json!({"object": "error", "status": 400, field: "invalid_grant"})));
        assert_eq!(refused(refresh(&client).await).code, "invalid_grant");
    }

    provider.answer(Answer::json(200, &json!({"request_id": "r"})));
    let token = secret("ntn_b");
    let grant = Grant { access: Some(&token), refresh: None };
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::Revoked);
    assert!(provider.last().basic().is_some());
    assert_eq!(provider.last().body, r#"{"token":"ntn_b"}"#);
}
