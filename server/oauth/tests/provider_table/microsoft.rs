use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use superfasttt_oauth::{AppSecret, Grant, Revocation, SigningKey, UrlRules};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

fn auth() -> Value {
    json!({
        "authorization_url": "/{tenant}/oauth2/v2.0/authorize", "token_url": "/{tenant}/oauth2/v2.0/token",
        "scopes": ["offline_access", "Files.Read.All"], "unlisted_scopes": ["offline_access"],
        "scope_aliases": {"Files.Read.All": ["https://graph.microsoft.com/Files.Read.All"]},
        "authorize_params": {"response_mode": "query"}, "refresh_idle": "90d",
    })
}

#[tokio::test]
async fn microsoft() {
    let provider = FakeProvider::start().await;
    let app = AppSecret::Secret(secret(CLIENT_SECRET));
    let client = client_with(&provider, auth(), app, json!({"tenant": "acme.onmicrosoft.com"}));
    let url = client.authorize(REDIRECT_URI, &["offline_access".to_owned()]).unwrap().url;
    assert_eq!(url.path(), "/acme.onmicrosoft.com/oauth2/v2.0/authorize");
    assert!(url.query().unwrap().contains("response_mode=query"));

    provider.answer(Answer::json(
        200,
        &json!({"access_token": "eyJ0", "expires_in": 4512, "ext_expires_in": 4512, "refresh_token": "0.AX",
                "token_type": "Bearer", "scope": "https://graph.microsoft.com/files.read.all profile openid"}),
    ));
    let tokens = exchange(&client, &["offline_access", "Files.Read.All"]).await.unwrap();
    assert!(tokens.missing.is_empty(), "{:?}", tokens.missing);
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(4512)));

    // It rotates.
    provider.answer(Answer::json(
        200,
        &json!({"access_token": "eyJ1", "expires_in": 3600, "refresh_token": "0.AY"}),
    ));
    assert_eq!(refresh_token(&refresh(&client).await.unwrap()), Some("0.AY"));
    assert_eq!(provider.last().path, "/acme.onmicrosoft.com/oauth2/v2.0/token");

    provider.answer(Answer::json(
        400,
        &json!({"error": "invalid_grant", "error_codes": [700082], "suberror": "bad_token",
                "error_description": "AADSTS700082: The refresh token has expired due to inactivity.\r\nTrace ID: 0f8f"}),
    ));
    assert!(refused(refresh(&client).await).said.starts_with("AADSTS700082"));
    provider.answer(Answer::json(
        400,
        &json!({"error": "interaction_required", "error_description": "AADSTS50076: MFA"}),
    ));
    refused(refresh(&client).await);
    // A client secret that ran out is the administrator's affair; the person's grant lives.
    provider.answer(Answer::json(
        401,
        &json!({"error": "invalid_client", "error_description": "AADSTS7000222: The provided client secret keys are expired."}),
    ));
    assert!(misconfigured(refresh(&client).await).said.starts_with("AADSTS7000222"));

    let token = secret("0.AY");
    let grant = Grant { access: None, refresh: Some(&token) };
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::NotOffered);
}

#[tokio::test]
async fn microsoft_app_only_by_assertion() {
    let provider = FakeProvider::start().await;
    let pem = concat!(include_str!("keys/test_only_rsa.key"), include_str!("keys/test_only_rsa.crt"));
    let key = SigningKey::from_pem(&secret(pem), Some("key-1".to_owned())).unwrap();
    let mut auth = auth();
    auth["flow"] = json!("client_credentials");
    auth["client_auth"] = json!("assertion");
    let client = client_with(&provider, auth, AppSecret::Key(key), json!({"tenant": "acme"}));
    provider.answer(Answer::json(
        200,
        &json!({"access_token": "eyJ0", "expires_in": 3599, "token_type": "Bearer"}),
    ));
    let scopes = ["https://graph.microsoft.com/.default".to_owned()];
    let tokens = client.client_credentials(&scopes, now()).await.unwrap();
    assert_eq!((access(&tokens), refresh_token(&tokens)), ("eyJ0", None));

    let params = provider.last().params();
    assert_eq!(params["grant_type"], "client_credentials");
    assert_eq!(params["scope"], scopes[0]);
    assert_eq!(params["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert!(!params.contains_key("client_secret"));
    let parts: Vec<&str> = params["client_assertion"].split('.').collect();
    let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (header, claims) = (read(parts[0]), read(parts[1]));
    assert_eq!((&header["alg"], &header["kid"]), (&json!("PS256"), &json!("key-1")));
    assert_eq!(header["x5t#S256"], include_str!("keys/test_only_rsa.thumbprint").trim());
    assert_eq!(claims["aud"], provider.url("/acme/oauth2/v2.0/token"));
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(CLIENT_ID), &json!(CLIENT_ID)));
    assert_eq!(claims["exp"], 1_800_000_540);
    let signed = format!("{}.{}", parts[0], parts[1]);
    let public = ring::signature::UnparsedPublicKey::new(
        &ring::signature::RSA_PSS_2048_8192_SHA256,
        include_bytes!("keys/test_only_rsa.public.der"),
    );
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
}

/// The national clouds have hosts of their own; no other host is one.
#[test]
fn microsoft_national_clouds() {
    let template: superfasttt_oauth::Template =
        "https://{authority}/{tenant}/oauth2/v2.0/token".parse().unwrap();
    let hosts = ["login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"];
    let hosts = hosts.map(str::to_owned);
    let rules = UrlRules { allowed_hosts: &hosts, operator_hosts: &[], allow_loopback: false };
    let at = |authority: &'static str| {
        template.fill(|name| Some(if name == "tenant" { "common" } else { authority }.to_owned()), &rules)
    };
    assert!(at("login.microsoftonline.us").is_ok());
    assert!(at("login.microsoftonline.us.evil.example").is_err());
}
