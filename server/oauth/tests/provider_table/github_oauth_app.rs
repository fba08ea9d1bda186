use serde_json::{Value, json};
use superfasttt_oauth::{Grant, Revocation, Template, Unclear, UrlRules};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

pub fn auth() -> Value {
    json!({
        "authorization_url": "/login/oauth/authorize", "token_url": "/login/oauth/access_token",
        "revocation_url": "/applications/{client_id}/token", "scopes": ["repo", "read:org"],
        "scope_aliases": {"public_repo": ["repo"]},
        "error_codes": {
            "bad_verification_code": "refused", "bad_refresh_token": "refused",
            "incorrect_client_credentials": "misconfigured",
        },
        "revocation": {"method": "delete", "request": "json", "auth": "basic", "token": "access_token",
                       "token_param": "access_token"},
    })
}

#[tokio::test]
async fn github_oauth_app() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, auth());
    provider.answer(Answer::json(
        200,
        &json!({"access_token": "gho_1", "scope": "repo,read:org", "token_type": "bearer"}),
    ));
    let tokens = exchange(&client, &["repo", "read:org", "public_repo"]).await.unwrap();
    assert_eq!(provider.last().header("accept"), "application/json");
    assert_eq!((access(&tokens), refresh_token(&tokens), tokens.expires_in), ("gho_1", None, None));
    assert!(tokens.missing.is_empty(), "{:?}", tokens.missing);

    // An older server answers with a form whatever it was asked for.
    let form = "access_token=gho_2&scope=repo%2Cgist&token_type=bearer";
    provider.answer(Answer::text(200, "application/x-www-form-urlencoded; charset=utf-8", form));
    let tokens = exchange(&client, &["repo", "read:org"]).await.unwrap();
    assert_eq!(access(&tokens), "gho_2");
    assert_eq!(tokens.missing, ["read:org"]);

    // Errors come with status 200, also as a form.
    provider.answer(Answer::json(
        200,
        &json!({"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired.",
                "error_uri": "https://docs.github.com/"}),
    ));
    assert_eq!(refused(exchange(&client, &[]).await).code, "bad_verification_code");
    provider.answer(Answer::text(
        200,
        "application/x-www-form-urlencoded",
        "error=incorrect_client_credentials&error_description=The+client_id+and%2For+client_secret+are+incorrect.",
    ));
    let wrong = misconfigured(exchange(&client, &[]).await);
    assert_eq!(wrong.said, "The client_id and/or client_secret are incorrect.");
    provider.answer(Answer::json(200, &json!({"error": "redirect_uri_mismatch"})));
    assert!(
        misconfigured(exchange(&client, &[]).await)
            .to_string()
            .contains("register this server's redirect URI")
    );
    provider.answer(Answer::text(200, "text/html", "<html>a unicorn</html>"));
    assert_eq!(ambiguous(exchange(&client, &[]).await).reason, Unclear::Unreadable);

    let token = secret("gho_1");
    let grant = Grant { access: Some(&token), refresh: None };
    provider.answer(Answer::empty(204));
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::Revoked);
    let asked = provider.last();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("DELETE", "/applications/client-id/token"));
    assert_eq!(asked.body, r#"{"access_token":"gho_1"}"#);
    assert_eq!(asked.basic(), Some((CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned())));
}

/// A server of one's own is a host that the operator allows.
#[test]
fn github_enterprise_server() {
    let template: Template = "https://{host}/login/oauth/access_token".parse().unwrap();
    let (allowed, operator) = (["github.com".to_owned()], ["git.acme.example".to_owned()]);
    let rules = UrlRules { allowed_hosts: &allowed, operator_hosts: &operator, allow_loopback: false };
    let at = |host: &str| template.fill(|_| Some(host.to_owned()), &rules);
    assert!(at("github.com").is_ok() && at("git.acme.example").is_ok());
    assert!(at("git.evil.example").is_err() && at("169.254.169.254").is_err());
}
