use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use superfasttt_oauth::{AppSecret, SigningKey, SigningKeyError};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

fn auth() -> Value {
    json!({
        "flow": "client_credentials", "client_auth": "bearer",
        "token_url": "/app/installations/{installation_id}/access_tokens",
        "token_fields": {"access_token": "token", "expires_at": "expires_at", "error": ["error"]},
    })
}

#[tokio::test]
async fn github_app_install() {
    let provider = FakeProvider::start().await;
    let key = SigningKey::from_pem(&secret(include_str!("keys/test_only_rsa.key")), None).unwrap();
    let client = client_with(&provider, auth(), AppSecret::Key(key), json!({"installation_id": 4711}));
    provider.answer(Answer::json(
        201,
        &json!({"token": "ghs_1", "expires_at": "2027-01-15T09:00:00Z", "permissions": {"contents": "read"}}),
    ));
    let tokens = client.client_credentials(&[], now()).await.unwrap();
    assert_eq!((access(&tokens), refresh_token(&tokens)), ("ghs_1", None));
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(3600)));

    let asked = provider.last();
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("POST", "/app/installations/4711/access_tokens")
    );
    assert_eq!(asked.body, "", "no OAuth parameters");
    let parts: Vec<&str> = asked.bearer().unwrap().split('.').collect();
    let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    assert_eq!(read(parts[0])["alg"], "RS256");
    let claims = read(parts[1]);
    assert_eq!(claims, json!({"iss": CLIENT_ID, "iat": 1_799_999_940, "exp": 1_800_000_540}));
    let signed = format!("{}.{}", parts[0], parts[1]);
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, include_bytes!("keys/test_only_rsa.public.der"))
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(parts[2]).unwrap())
        .unwrap();

    // The installation was removed, or the app's key: GitHub says so in words only, so nothing ends by itself.
    provider.answer(Answer::json(401, &json!({"message": "A JSON web token could not be decoded"})));
    assert_eq!(
        ambiguous(client.client_credentials(&[], now()).await).said,
        "A JSON web token could not be decoded"
    );
}

#[tokio::test]
async fn an_application_without_its_key_is_told_so() {
    let provider = FakeProvider::start().await;
    let client = client_with(
        &provider,
        auth(),
        AppSecret::Secret(secret(CLIENT_SECRET)),
        json!({"installation_id": "1"}),
    );
    assert_eq!(misconfigured(client.client_credentials(&[], now()).await).code, "no_signing_key");
    assert!(provider.asked().is_empty());
    assert_eq!(SigningKey::from_pem(&secret("nothing"), None).unwrap_err(), SigningKeyError::NoKey);
}
