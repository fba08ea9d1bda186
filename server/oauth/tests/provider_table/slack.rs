use std::time::Duration;

use serde_json::{Value, json};
use superfasttt_oauth::{Grant, Revocation, Unclear};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

fn auth() -> Value {
    json!({
        "authorization_url": "/oauth/v2/authorize", "token_url": "/api/oauth.v2.access",
        "revocation_url": "/api/auth.revoke", "scopes": ["channels:read", "channels:history"], "scope_separator": ",",
        "extras": ["team.id", "bot_user_id"], "token_fields": {"token_type": [], "scope": ["scope", "authed_user.scope"]},
        "error_codes": {
            "invalid_code": "refused", "code_already_used": "refused", "invalid_refresh_token": "refused",
            "token_revoked": "refused", "token_expired": "refused", "account_inactive": "refused",
            "bad_client_secret": "misconfigured", "bad_redirect_uri": "misconfigured",
            "invalid_client_id": "misconfigured", "ratelimited": "try_again", "fatal_error": "try_again",
        },
        "revocation": {"auth": "bearer", "token": "access_token", "token_param": ""},
    })
}

#[tokio::test]
async fn slack() {
    let provider = FakeProvider::start().await;
    let mut auth = auth();
    auth["further_scopes"] = json!({"user_scope": ["search:read", "users:read"]});
    let client = client(&provider, auth);
    let url = client
        .authorize(REDIRECT_URI, &["channels:read".to_owned(), "channels:history".to_owned()])
        .unwrap()
        .url;
    let query: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(query["scope"], "channels:read,channels:history");
    assert_eq!(query["user_scope"], "search:read,users:read");

    // Without rotation: no refresh token, and it never ends.
    provider.answer(Answer::json(
        200,
        &json!({"ok": true, "access_token": "xoxb-1", "token_type": "bot", "scope": "channels:history",
                "bot_user_id": "U1", "team": {"id": "T1", "name": "Acme"},
                "authed_user": {"id": "U2", "scope": "search:read,users:read", "access_token": "xoxp-1"}}),
    ));
    let tokens = exchange(&client, &["channels:read", "channels:history"]).await.unwrap();
    assert_eq!((access(&tokens), refresh_token(&tokens), tokens.expires_in), ("xoxb-1", None, None));
    assert_eq!(tokens.token_type, "Bearer", "`bot` is no way to present a token");
    assert_eq!(tokens.extras["team.id"], "T1");
    assert_eq!(tokens.missing, ["channels:read"]);

    // With rotation: good for 12 hours, and used once.
    provider.answer(Answer::json(
        200,
        &json!({"ok": true, "access_token": "xoxe.xoxb-2", "expires_in": 43200, "refresh_token": "xoxe-1-2"}),
    ));
    let tokens = refresh(&client).await.unwrap();
    assert_eq!(
        (refresh_token(&tokens), tokens.expires_in),
        (Some("xoxe-1-2"), Some(Duration::from_secs(43200)))
    );

    // Errors come with status 200.
    provider.answer(Answer::json(200, &json!({"ok": false, "error": "invalid_refresh_token"})));
    let refused = refused(refresh(&client).await);
    assert_eq!((refused.code.as_str(), refused.status), ("invalid_refresh_token", 200));
    provider.answer(Answer::json(200, &json!({"ok": false, "error": "bad_client_secret"})));
    assert_eq!(misconfigured(refresh(&client).await).code, "bad_client_secret");
    provider.answer(Answer::json(200, &json!({"ok": false, "error": "something_new"})));
    assert_eq!(ambiguous(refresh(&client).await).reason, Unclear::UnknownCode);
    provider
        .answer(Answer::json(429, &json!({"ok": false, "error": "ratelimited"})).header("retry-after", "30"));
    assert_eq!(ambiguous(refresh(&client).await).retry_after, Some(Duration::from_secs(30)));

    let token = secret("xoxb-1");
    let grant = Grant { access: Some(&token), refresh: None };
    provider.answer(Answer::json(200, &json!({"ok": true, "revoked": true})));
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::Revoked);
    assert_eq!((provider.last().bearer(), provider.last().body.as_str()), (Some("xoxb-1"), ""));
    provider.answer(Answer::json(200, &json!({"ok": false, "error": "token_revoked"})));
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::AlreadyGone);
}

/// An installation for one person has no token at the top.
#[tokio::test]
async fn slack_user_only() {
    let provider = FakeProvider::start().await;
    let mut auth = auth();
    auth["scopes"] = json!(["search:read"]);
    auth["scope_param"] = json!("user_scope");
    auth["token_path"] = json!("authed_user");
    auth["refreshed_token_path"] = json!("");
    auth["token_fields"] = json!({"token_type": []});
    let client = client(&provider, auth);
    let url = client.authorize(REDIRECT_URI, &["search:read".to_owned()]).unwrap().url;
    assert!(url.query().unwrap().contains("user_scope=search") && !url.query().unwrap().contains("&scope="));
    provider.answer(Answer::json(
        200,
        &json!({"ok": true, "team": {"id": "T1"}, "authed_user": {"id": "U2", "scope": "search:read",
                "access_token": "xoxe.xoxp-1", "token_type": "user", "expires_in": 43200, "refresh_token": "xoxe-1-u"}}),
    ));
    let tokens = exchange(&client, &["search:read"]).await.unwrap();
    assert_eq!((access(&tokens), refresh_token(&tokens)), ("xoxe.xoxp-1", Some("xoxe-1-u")));
    assert!(tokens.missing.is_empty());
    assert_eq!(tokens.extras["team.id"], "T1", "extras are from the top");
    provider.answer(Answer::json(
        200,
        &json!({"ok": true, "access_token": "xoxe.xoxp-2", "refresh_token": "xoxe-1-v"}),
    ));
    assert_eq!(access(&refresh(&client).await.unwrap()), "xoxe.xoxp-2");
}
