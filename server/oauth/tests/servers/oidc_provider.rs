use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use superfasttt_oauth::{App, AppSecret, Client, Declaration, Grant, Provider, Revocation, Tokens, UrlRules};
use superfasttt_oauth_testing::NodeServer;

use crate::node::start;
use crate::support::*;

fn client(server: &NodeServer, client_auth: &str, client_secret: &str) -> Client {
    let declaration: Declaration = serde_json::from_value(json!({
        "authorization_url": server.url("/auth"), "token_url": server.url("/token"),
        "revocation_url": server.url("/token/revocation"), "authorize_params": {"prompt": "consent"},
        "client_auth": client_auth,
    }))
    .unwrap();
    let rules = UrlRules { allowed_hosts: &[], operator_hosts: &[], allow_loopback: true };
    let provider = Provider::new(declaration.into(), &serde_json::Map::new(), &rules).unwrap();
    let app =
        App { client_id: format!("by-{client_auth}"), secret: AppSecret::Secret(secret(client_secret)) };
    Client::new(http(), provider, app.into())
}

fn asked() -> Vec<String> {
    ["openid", "offline_access", "read"].map(str::to_owned).into()
}

/// Consents in the browser: the code and the proof key.
async fn consent(client: &Client) -> (SecretString, Option<SecretString>) {
    let begun = client.authorize(REDIRECT_URI, &asked()).unwrap();
    let back = follow(&begun.url).await;
    let query: BTreeMap<_, _> = back.query_pairs().into_owned().collect();
    assert_eq!(query.get("state").map(String::as_str), Some(begun.state.expose_secret()), "{back}");
    (secret(&query["code"]), begun.verifier)
}

async fn connected(client: &Client) -> Tokens {
    let (code, verifier) = consent(client).await;
    client.exchange(&code, verifier.as_ref(), REDIRECT_URI, &asked(), now()).await.unwrap()
}

#[tokio::test]
async fn code_and_proof_key() {
    let Some(server) = start("provider.mjs").await else { return };
    for client_auth in ["basic", "post"] {
        let client = client(&server, client_auth, CLIENT_SECRET);
        let tokens = connected(&client).await;
        assert!(!access(&tokens).is_empty() && tokens.refresh.is_some());
        assert_eq!(
            (tokens.token_type.as_str(), tokens.expires_in),
            ("Bearer", Some(Duration::from_secs(3600)))
        );
        assert!(tokens.granted.is_some() && tokens.missing.is_empty(), "{tokens:?}");
    }
    // Without the right proof key a stolen code is worth nothing, and no code is good twice.
    let client = client(&server, "basic", CLIENT_SECRET);
    let (code, _) = consent(&client).await;
    let other = secret(&"x".repeat(43));
    assert_eq!(
        refused(client.exchange(&code, Some(&other), REDIRECT_URI, &[], now()).await).code,
        "invalid_grant"
    );
    let (code, verifier) = consent(&client).await;
    client.exchange(&code, verifier.as_ref(), REDIRECT_URI, &[], now()).await.unwrap();
    refused(client.exchange(&code, verifier.as_ref(), REDIRECT_URI, &[], now()).await);
}

#[tokio::test]
async fn rotation_and_reuse() {
    let Some(server) = start("provider.mjs").await else { return };
    let client = client(&server, "basic", CLIENT_SECRET);
    let first = connected(&client).await.refresh.unwrap();
    let second = client.refresh(&first, &asked(), now()).await.unwrap().refresh.unwrap();
    assert_ne!(first.expose_secret(), second.expose_secret());
    let third = client.refresh(&second, &asked(), now()).await.unwrap().refresh.unwrap();
    // A token that was used comes again: the family ends, also the one that was good until now.
    assert_eq!(refused(client.refresh(&first, &[], now()).await).code, "invalid_grant");
    assert_eq!(refused(client.refresh(&third, &[], now()).await).code, "invalid_grant");
}

#[tokio::test]
async fn revocation() {
    let Some(server) = start("provider.mjs").await else { return };
    let client = client(&server, "basic", CLIENT_SECRET);
    let tokens = connected(&client).await;
    let refresh = tokens.refresh.as_ref().unwrap();
    let grant = Grant { access: Some(&tokens.access), refresh: Some(refresh) };
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::Revoked);
    refused(client.refresh(refresh, &[], now()).await);
    // By RFC 7009 a token that is not known is as good as withdrawn.
    assert_eq!(client.revoke(grant, now()).await.unwrap(), Revocation::Revoked);
}

#[tokio::test]
async fn a_wrong_client_secret_ends_no_grant() {
    let Some(server) = start("provider.mjs").await else { return };
    let refresh = connected(&client(&server, "basic", CLIENT_SECRET)).await.refresh.unwrap();
    for client_auth in ["basic", "post"] {
        let wrong = client(&server, client_auth, "wrong");
        assert_eq!(misconfigured(wrong.refresh(&refresh, &[], now()).await).code, "invalid_client");
    }
    client(&server, "basic", CLIENT_SECRET).refresh(&refresh, &[], now()).await.unwrap();
}
