//! What the provider is sent.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use superfasttt_oauth::{AppSecret, Declaration, Provider, UrlRules};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

fn auth(more: Value) -> Value {
    let mut auth = json!({"authorization_url": "/authorize?v=2", "token_url": "/token?v=2"});
    auth.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    auth
}

fn fine() -> Answer {
    Answer::json(200, &json!({"access_token": "a"}))
}

#[tokio::test]
async fn the_authorization_url_has_all_that_the_standard_asks_for() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, auth(json!({"authorize_params": {"prompt": "consent & more"}})));
    let begun = client.authorize(REDIRECT_URI, &["b".to_owned(), "a".to_owned()]).unwrap();
    let query: BTreeMap<_, _> = begun.url.query_pairs().into_owned().collect();
    let hash = digest::digest(&digest::SHA256, begun.verifier.as_ref().unwrap().expose_secret().as_bytes());
    let expected = [
        ("client_id", CLIENT_ID),
        ("code_challenge", &URL_SAFE_NO_PAD.encode(hash)),
        ("code_challenge_method", "S256"),
        ("prompt", "consent & more"),
        ("redirect_uri", REDIRECT_URI),
        ("response_type", "code"),
        ("scope", "b a"),
        ("state", begun.state.expose_secret()),
        ("v", "2"),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(query, expected);
    assert_eq!(begun.url.query_pairs().count(), expected.len(), "each name once");
}

#[tokio::test]
async fn every_state_and_proof_key_is_another() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, auth(json!({})));
    let mut seen = BTreeSet::new();
    for _ in 0..50 {
        let begun = client.authorize(REDIRECT_URI, &[]).unwrap();
        let verifier = begun.verifier.unwrap();
        assert!(
            begun.state.expose_secret().len() >= 43 && (43..=128).contains(&verifier.expose_secret().len())
        );
        assert!(seen.insert(begun.state.expose_secret().to_owned()));
        assert!(seen.insert(verifier.expose_secret().to_owned()));
    }
}

/// The declaration's own check refuses these; should one come through, ours stays all the same.
#[tokio::test]
async fn declared_parameters_replace_none_of_ours() {
    let provider = FakeProvider::start().await;
    let evil = json!({"redirect_uri": "https://evil.example", "state": "s", "grant_type": "password", "code": "x",
                      "client_secret": "x", "refresh_token": "x", "ok": "yes"});
    let declaration: Declaration = serde_json::from_value(json!({
        "authorization_url": provider.url("/authorize"), "token_url": provider.url("/token"),
        "authorize_params": evil, "token_params": evil,
    }))
    .unwrap();
    let rules = UrlRules { allowed_hosts: &[], operator_hosts: &[], allow_loopback: true };
    let made = Provider::new(declaration.into(), &serde_json::Map::new(), &rules).unwrap();
    let app = superfasttt_oauth::App {
        client_id: CLIENT_ID.to_owned(),
        secret: AppSecret::Secret(secret(CLIENT_SECRET)),
    };
    let client = superfasttt_oauth::Client::new(http(), made, app.into());
    let begun = client.authorize(REDIRECT_URI, &[]).unwrap();
    let uris: Vec<_> = begun.url.query_pairs().filter(|(name, _)| name == "redirect_uri").collect();
    assert_eq!(uris.len(), 1);
    assert_eq!(uris[0].1, REDIRECT_URI);
    provider.answer(fine());
    refresh(&client).await.unwrap();
    let params = provider.last().params();
    assert_eq!(params["grant_type"], "refresh_token");
    assert_eq!(params["client_secret"], CLIENT_SECRET);
    assert_eq!(params["refresh_token"], "the-old-refresh-token");
    assert_eq!(params["ok"], "yes");
}

#[tokio::test]
async fn parameters_travel_as_the_manifest_says() {
    let provider = FakeProvider::start().await;
    for (way, media_type) in [("form", "application/x-www-form-urlencoded"), ("json", "application/json")] {
        let client = client(&provider, auth(json!({"request": way, "token_params": {"audience": "é\"&\\"}})));
        provider.answer(fine());
        refresh(&client).await.unwrap();
        let asked = provider.last();
        assert_eq!(asked.method, "POST");
        assert_eq!((asked.header("content-type"), asked.header("accept")), (media_type, "application/json"));
        assert_eq!(
            asked.query,
            BTreeMap::from([("v".to_owned(), "2".to_owned())]),
            "nothing of it in the query"
        );
        let params = asked.params();
        assert_eq!(params["audience"], "é\"&\\");
        assert_eq!(params["client_secret"], CLIENT_SECRET);
        assert_eq!(params.len(), 5, "{params:?}");
    }
    for (way, method) in [("query", "post"), ("query", "get"), ("form", "get")] {
        let client = client(&provider, auth(json!({"request": way, "method": method})));
        provider.answer(fine());
        refresh(&client).await.unwrap();
        let asked = provider.last();
        assert_eq!((asked.method.to_lowercase().as_str(), asked.body.as_str()), (method, ""));
        assert_eq!(asked.query["refresh_token"], "the-old-refresh-token");
        assert_eq!(asked.query["v"], "2");
    }
}

#[tokio::test]
async fn basic_authentication_encodes_both_parts() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, auth(json!({"client_auth": "basic"})));
    provider.answer(fine());
    refresh(&client).await.unwrap();
    let asked = provider.last();
    let encoded = "client-id:the%3Aclient+secret%2Bof%2Fthe%3Dapplication";
    let header = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(encoded));
    assert_eq!(asked.header("authorization"), header);
    assert!(!asked.params().contains_key("client_id"));
}

#[tokio::test]
async fn a_public_client_sends_its_id_and_no_secret() {
    let provider = FakeProvider::start().await;
    for client_auth in ["post", "basic"] {
        let auth = auth(json!({"client_auth": client_auth}));
        let client = client_with(&provider, auth, AppSecret::None, json!({}));
        provider.answer(fine());
        exchange(&client, &[]).await.unwrap();
        let asked = provider.last();
        let params = asked.params();
        assert_eq!(params["client_id"], CLIENT_ID);
        assert_eq!(params["code_verifier"], "the-verifier-of-this-authorization");
        assert!(!params.contains_key("client_secret") && asked.header("authorization").is_empty());
    }
}

#[tokio::test]
async fn client_credentials_ask_for_scopes_as_they_are_joined() {
    let provider = FakeProvider::start().await;
    let more =
        json!({"flow": "client_credentials", "scope_separator": ",", "token_params": {"audience": "api"}});
    let client = client(&provider, auth(more));
    provider.answer(fine());
    client.client_credentials(&["a".to_owned(), "b".to_owned()], now()).await.unwrap();
    let params = provider.last().params();
    assert_eq!((params["scope"].as_str(), params["audience"].as_str()), ("a,b", "api"));
    assert_eq!(params["grant_type"], "client_credentials");
}

/// The whole way at a provider that checks what it is sent.
#[tokio::test]
async fn a_grant_lives_from_consent_to_withdrawal() {
    let provider = FakeProvider::start().await;
    let client = client(
        &provider,
        json!({"authorization_url": "/authorize", "token_url": "/token", "revocation_url": "/revoke"}),
    );
    let begun = client.authorize(REDIRECT_URI, &["read".to_owned()]).unwrap();
    let back = follow(&begun.url).await;
    let query: BTreeMap<_, _> = back.query_pairs().into_owned().collect();
    assert_eq!(query["state"], begun.state.expose_secret());
    let code = secret(&query["code"]);
    let tokens = client
        .exchange(&code, begun.verifier.as_ref(), REDIRECT_URI, &["read".to_owned()], now())
        .await
        .unwrap();
    let first = tokens.refresh.unwrap();
    let second = client.refresh(&first, &[], now()).await.unwrap().refresh.unwrap();
    client.refresh(&second, &[], now()).await.unwrap();
    refused(client.refresh(&first, &[], now()).await);
    refused(client.refresh(&second, &[], now()).await);
    assert_eq!((provider.counts().grants, provider.counts().refreshes), (1, 2));
}
