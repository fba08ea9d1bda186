use serde_json::{Value, json};
use superfasttt_oauth::{FillError, Grant, Revocation, Template, UrlRules};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

fn auth() -> Value {
    json!({
        "authorization_url": "/services/oauth2/authorize", "token_url": "/services/oauth2/token",
        "revocation_url": "/services/oauth2/revoke", "scopes": ["api", "refresh_token"],
        "extras": ["instance_url", "id", "issued_at"], "revocation": {"auth": "none"},
        "error_codes": {"invalid_client_id": "misconfigured", "inactive_org": "refused"},
    })
}

#[tokio::test]
async fn salesforce() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, auth());
    assert!(client.authorize(REDIRECT_URI, &[]).unwrap().verifier.is_some());
    provider.answer(Answer::json(
        200,
        &json!({"access_token": "00D!a", "refresh_token": "5Aep", "instance_url": "https://acme.my.salesforce.com",
                "id": "https://login.salesforce.com/id/00D/005", "issued_at": "1278448384422", "signature": "s",
                "scope": "refresh_token api", "token_type": "Bearer"}),
    ));
    let tokens = exchange(&client, &["api", "refresh_token"]).await.unwrap();
    assert_eq!(tokens.expires_in, None, "the session's length is not told");
    assert!(tokens.missing.is_empty(), "in another order: {:?}", tokens.missing);
    assert_eq!(tokens.extras["instance_url"], "https://acme.my.salesforce.com");
    assert_eq!(tokens.extras["issued_at"], "1278448384422");

    // An organisation may have moved; a refresh token comes only where the application's policy rotates them.
    provider.answer(Answer::json(
        200,
        &json!({"access_token": "00D!b", "instance_url": "https://acme2.my.salesforce.com", "issued_at": 1278448384423_u64}),
    ));
    let tokens = refresh(&client).await.unwrap();
    assert_eq!(
        (refresh_token(&tokens), tokens.extras["instance_url"].as_str()),
        (None, "https://acme2.my.salesforce.com")
    );
    assert_eq!(tokens.extras["issued_at"], "1278448384423");
    provider.answer(Answer::json(200, &json!({"access_token": "00D!c", "refresh_token": "5Aeq"})));
    assert_eq!(refresh_token(&refresh(&client).await.unwrap()), Some("5Aeq"));

    provider.answer(Answer::json(
        400,
        &json!({"error": "invalid_grant", "error_description": "expired access/refresh token"}),
    ));
    assert_eq!(refused(refresh(&client).await).said, "expired access/refresh token");
    provider.answer(Answer::json(400, &json!({"error": "invalid_client_id"})));
    misconfigured(refresh(&client).await);

    let token = secret("5Aeq");
    provider.answer(Answer::empty(200));
    let grant = Grant { access: None, refresh: Some(&token) };
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::Revoked);
}

#[test]
fn salesforce_hosts() {
    let template: Template = "https://{domain}.salesforce.com/services/oauth2/token".parse().unwrap();
    let hosts = ["login.salesforce.com", "test.salesforce.com", "*.my.salesforce.com"].map(str::to_owned);
    let rules = UrlRules { allowed_hosts: &hosts, operator_hosts: &[], allow_loopback: false };
    let at = |domain: &str| template.fill(|_| Some(domain.to_owned()), &rules);
    for domain in ["login", "test", "acme.my", "acme--dev.sandbox.my"] {
        assert!(at(domain).is_ok(), "{domain}");
    }
    for domain in [
        "acme",
        "acme.lightning",
        "evil.example/",
        "evil.example#",
        "login.salesforce.com@evil.example",
        "my",
    ] {
        assert!(at(domain).is_err(), "{domain}");
    }
    assert_eq!(at("acme"), Err(FillError::Host("acme.salesforce.com".to_owned())));
}
