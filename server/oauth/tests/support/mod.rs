//! What tests of the whole way share: an application at a provider that a declaration describes.
#![allow(dead_code, reason = "each test program takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use superfasttt_oauth::{
    Ambiguous, App, AppSecret, Client, Declaration, Egress, Failure, Http, HttpOptions, Misconfigured,
    Provider, Refused, Tokens, UrlRules,
};
use superfasttt_oauth_testing::FakeProvider;

pub const CLIENT_ID: &str = "client-id";
pub const CLIENT_SECRET: &str = "the:client secret+of/the=application";
pub const REDIRECT_URI: &str = "https://connectors.acme.example/oauth/callback";

/// A moment; what is said of time is said from here.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

pub fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

/// A declaration as a manifest has it, with its addresses (`/path`) at the fake provider.
pub fn declaration(provider: &FakeProvider, mut auth: Value) -> Declaration {
    for field in ["authorization_url", "token_url", "revocation_url"] {
        if let Some(path) = auth[field].as_str().filter(|path| path.starts_with('/')) {
            auth[field] = json!(provider.url(path));
        }
    }
    let declaration: Declaration = serde_json::from_value(auth).unwrap();
    assert_eq!(declaration.problems(), []);
    declaration
}

pub fn http() -> Http {
    let egress = Egress { allow_loopback: true, ..Egress::default() };
    Http::new(HttpOptions { egress, ..HttpOptions::default() }).unwrap()
}

pub fn client(provider: &FakeProvider, auth: Value) -> Client {
    client_with(provider, auth, AppSecret::Secret(secret(CLIENT_SECRET)), json!({}))
}

pub fn client_with(provider: &FakeProvider, auth: Value, app: AppSecret, settings: Value) -> Client {
    let declaration = Arc::new(declaration(provider, auth));
    let rules = UrlRules { allowed_hosts: &[], operator_hosts: &[], allow_loopback: true };
    let settings: Map<String, Value> = settings.as_object().unwrap().clone();
    let provider = Provider::new(declaration, &settings, &rules).unwrap();
    Client::new(http(), provider, Arc::new(App { client_id: CLIENT_ID.to_owned(), secret: app }))
}

pub async fn exchange(client: &Client, asked: &[&str]) -> Result<Tokens, Failure> {
    let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
    let verifier = secret("the-verifier-of-this-authorization");
    client.exchange(&secret("the-code-of-this-grant"), Some(&verifier), REDIRECT_URI, &asked, now()).await
}

pub async fn refresh(client: &Client) -> Result<Tokens, Failure> {
    client.refresh(&secret("the-old-refresh-token"), &[], now()).await
}

pub fn access(tokens: &Tokens) -> &str {
    tokens.access.expose_secret()
}

pub fn refresh_token(tokens: &Tokens) -> Option<&str> {
    tokens.refresh.as_ref().map(|token| token.expose_secret())
}

#[track_caller]
pub fn refused(result: Result<Tokens, Failure>) -> Refused {
    match result {
        Err(Failure::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
pub fn misconfigured(result: Result<Tokens, Failure>) -> Misconfigured {
    match result {
        Err(Failure::Misconfigured(misconfigured)) => misconfigured,
        other => panic!("not misconfigured: {other:?}"),
    }
}

#[track_caller]
pub fn ambiguous(result: Result<Tokens, Failure>) -> Ambiguous {
    match result {
        Err(Failure::Ambiguous(ambiguous)) => ambiguous,
        other => panic!("not ambiguous: {other:?}"),
    }
}

/// A browser as small as it can be: follows redirects and keeps cookies until it is sent to `REDIRECT_URI`.
pub async fn follow(url: &url::Url) -> url::Url {
    // The first of a process wins, and all are the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let browser =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let mut cookies = std::collections::BTreeMap::new();
    let mut at = url.clone();
    for _ in 0..20 {
        let cookie =
            cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let reply = browser.get(at.clone()).header("cookie", cookie).send().await.unwrap();
        for header in reply.headers().get_all("set-cookie") {
            let pair = header.to_str().unwrap().split(';').next().unwrap().to_owned();
            let (name, value) = pair.split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        let Some(location) = reply.headers().get("location") else {
            panic!("{at} answered {} and no redirect: {}", reply.status(), reply.text().await.unwrap());
        };
        at = at.join(location.to_str().unwrap()).unwrap();
        if at.as_str().starts_with(REDIRECT_URI) {
            return at;
        }
    }
    panic!("redirects without end");
}
