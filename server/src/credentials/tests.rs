//! Refreshes against a provider that gives each refresh token once and ends the grant when one comes again.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::SecretString;
use serde_json::json;
use superfasttt_oauth::{Http, HttpOptions};
use superfasttt_oauth_testing::{Answer, FakeProvider, Rules};
use superfasttt_proto::connector::v1::{Reason, credential::Kind};
use superfasttt_proto::error::ConnectorError;

use super::{Credentials, Usable, field};
use crate::catalog::{AuthKind, Manifest};
use crate::clock::{Clock, MockClock};
use crate::config::OAuthConfig;
use crate::store::Store;
use crate::store::connections::Connection;
use crate::store::credentials::{CredentialPut, State, Status};
use crate::store::memory::MemoryStore;
use crate::store::oauth_apps::NewOAuthApp;
use crate::store::secrets::{Secrets, SecretsWrite};
use crate::store::suite::support::{connect, start};
use crate::vault::{Key, KeySource, Place, Vault};

/// A connection whose grant has ended its first access token, and the replicas that work on it.
struct Installation {
    provider: FakeProvider,
    store: Arc<dyn Store>,
    vault: Vault,
    clock: MockClock,
    manifest: Arc<Manifest>,
    connection: Connection,
    replicas: Vec<Arc<Credentials>>,
}

impl Installation {
    async fn new(replicas: usize, rules: Rules) -> Self {
        let provider = FakeProvider::with_rules(rules).await;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(true));
        let keys = SecretString::from(Key::generate().to_base64().to_string());
        let vault = Vault::with_keys(KeySource::Text(keys)).await.unwrap();
        let clock = MockClock::new(start());
        let manifest = json!({
            "id": "demo", "sync": {"mode": "incremental"},
            "auth": {"type": "oauth2", "authorization_url": provider.url("/authorize"),
                     "token_url": provider.url("/token"), "scopes": ["read"]},
        });
        let manifest = Arc::new(Manifest::parse(&manifest.to_string()).unwrap());
        let connection = connect(&store, "docs").await;
        let config = OAuthConfig { allow_loopback: true, ..OAuthConfig::default() };
        let replica = || {
            let http = Http::new(HttpOptions { egress: config.egress(), ..HttpOptions::default() }).unwrap();
            Credentials::new(store.clone(), vault.clone(), http, Arc::new(clock.clone()), config.clone())
        };
        let replicas = (0..replicas).map(|_| replica()).collect();
        Self { provider, store, vault, clock, manifest, connection, replicas }
    }

    /// Stores a grant with this refresh token, whose access token ends in `life`.
    async fn grant(&self, refresh: Option<&str>, life: TimeDelta) {
        let place = |field| Place::of_connection("acme", &self.connection.id, field);
        let mut secrets = Secrets::new();
        for (name, value) in [(field::ACCESS, Some("first")), (field::REFRESH, refresh)] {
            if let Some(value) = value {
                secrets.insert(name.to_owned(), self.vault.seal(&place(name), value.as_bytes()).unwrap());
            }
        }
        let app = NewOAuthApp {
            id: "app".to_owned(),
            organization: String::new(),
            connector: "demo".to_owned(),
            client_id: "client".to_owned(),
            secrets: Secrets::new(),
        };
        self.store.create_oauth_app(app, start()).await.unwrap();
        let status = Status { state: State::Connected, connected_at: Some(start()), ..Status::default() };
        let put = CredentialPut {
            kind: AuthKind::OAuth2,
            status,
            expires_at: Some(start() + life),
            refresh_at: Some(start() + life / 2),
            secrets: SecretsWrite::Replace(secrets),
            refreshed: false,
        };
        self.store.put_credential(self.connection.key, None, put, start()).await.unwrap();
    }

    async fn usable(&self, replica: usize) -> Result<Usable, ConnectorError> {
        let usable = self.replicas[replica].usable(&self.connection, &self.manifest).await;
        usable.map(|usable| usable.expect("the manifest asks for a grant"))
    }

    async fn state(&self) -> State {
        self.store.credential(self.connection.key).await.unwrap().unwrap().0.status.state
    }
}

fn token(usable: &Usable) -> &str {
    match &usable.credential.kind {
        Some(Kind::Oauth2(token)) => &token.access_token,
        other => panic!("no OAuth token: {}", other.is_some()),
    }
}

#[tokio::test]
async fn fifty_uses_over_three_replicas_are_one_refresh() {
    let installation = Arc::new(Installation::new(3, Rules::default()).await);
    installation.provider.answer(Answer::json(
        200,
        &json!({"access_token": "second", "refresh_token": "r2", "expires_in": 3600, "token_type": "Bearer"}),
    ));
    installation.grant(Some("r1"), TimeDelta::seconds(1)).await;
    let mut uses = tokio::task::JoinSet::new();
    for number in 0..50 {
        let installation = installation.clone();
        uses.spawn(
            async move { installation.usable(number % 3).await.map(|usable| token(&usable).to_owned()) },
        );
    }
    while let Some(used) = uses.join_next().await {
        assert_eq!(used.unwrap().unwrap(), "second");
    }
    let asked = installation.provider.asked();
    assert_eq!(asked.len(), 1, "one refresh");
    assert_eq!(asked[0].params()["refresh_token"], "r1");
    assert_eq!(installation.state().await, State::Connected);
    // The rotated token is the one that is used next.
    installation.clock.advance(TimeDelta::hours(2));
    installation
        .provider
        .answer(Answer::json(200, &json!({"access_token": "third", "token_type": "Bearer"})));
    assert_eq!(token(&installation.usable(1).await.unwrap()), "third");
    assert_eq!(installation.provider.last().params()["refresh_token"], "r2");
}

#[tokio::test]
async fn a_fresh_token_is_given_without_asking_anybody() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::hours(1)).await;
    let usable = installation.usable(0).await.unwrap();
    assert_eq!((token(&usable), usable.expires_at), ("first", Some(start() + TimeDelta::hours(1))));
    assert!(installation.provider.asked().is_empty());
    assert!(!format!("{usable:?}").contains("first"));
}

#[tokio::test]
async fn what_the_source_refused_is_refreshed_once_for_all_who_held_it() {
    let installation = Installation::new(2, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::hours(1)).await;
    let held = installation.usable(0).await.unwrap();
    installation.clock.advance(TimeDelta::seconds(5));
    installation
        .provider
        .answer(Answer::json(200, &json!({"access_token": "second", "token_type": "Bearer"})));
    for replica in 0..2 {
        let newer = installation.replicas[replica]
            .instead_of(&installation.connection, &installation.manifest, &held)
            .await;
        assert_eq!(token(&newer.unwrap().unwrap()), "second");
    }
    assert_eq!(installation.provider.asked().len(), 1);
}

#[tokio::test]
async fn what_is_unclear_disconnects_nobody_and_is_not_asked_again_at_once() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::seconds(30)).await;
    installation.provider.answer(Answer::text(502, "text/html", "<h1>bad gateway</h1>"));
    assert_eq!(token(&installation.usable(0).await.unwrap()), "first", "it is good for half a minute yet");
    installation.clock.advance(TimeDelta::seconds(10));
    assert_eq!(token(&installation.usable(0).await.unwrap()), "first");
    assert_eq!(installation.provider.asked().len(), 1, "its pause is not over");
    installation.clock.advance(TimeDelta::minutes(2));
    installation.provider.answer(Answer::empty(429).header("retry-after", "120"));
    let error = installation.usable(0).await.unwrap_err();
    assert_eq!((error.reason, error.retry_after), (Reason::RateLimited, Some(Duration::from_secs(120))));
    assert_eq!(installation.state().await, State::Connected);
    installation.clock.advance(TimeDelta::minutes(10));
    installation
        .provider
        .answer(Answer::json(200, &json!({"access_token": "second", "token_type": "Bearer"})));
    assert_eq!(token(&installation.usable(0).await.unwrap()), "second");
}

#[tokio::test]
async fn a_refusal_disconnects_at_once_and_says_who_must_act() {
    let installation = Installation::new(2, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::seconds(1)).await;
    installation
        .provider
        .answer(Answer::json(400, &json!({"error": "invalid_grant", "error_description": "gone"})));
    for replica in 0..2 {
        let error = installation.usable(replica).await.unwrap_err();
        assert_eq!(error.reason, Reason::CredentialRevoked);
        assert!(error.message.contains("connect the account again"), "{}", error.message);
    }
    assert_eq!(installation.provider.asked().len(), 1, "nobody asks for a grant that is over");
    assert_eq!(installation.state().await, State::NeedsReconnect);
}

#[tokio::test]
async fn a_grant_without_a_refresh_token_lasts_until_it_ends_or_is_refused() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(None, TimeDelta::seconds(30)).await;
    assert_eq!(token(&installation.usable(0).await.unwrap()), "first", "to its last moment");
    installation.clock.advance(TimeDelta::seconds(30));
    assert_eq!(installation.usable(0).await.unwrap_err().reason, Reason::CredentialRevoked);
    assert_eq!(installation.state().await, State::NeedsReconnect);
    assert!(installation.provider.asked().is_empty());
}

#[tokio::test]
async fn a_refresh_goes_on_when_nobody_waits_for_it_any_more() {
    let installation = Arc::new(Installation::new(1, Rules::default()).await);
    installation.grant(Some("r1"), TimeDelta::seconds(1)).await;
    let second = json!({"access_token": "second", "refresh_token": "r2", "token_type": "Bearer"});
    let (answer, mut gate) = Answer::json(200, &second).held();
    installation.provider.answer(answer);
    let asking = tokio::spawn({
        let installation = installation.clone();
        async move { installation.usable(0).await.map(drop) }
    });
    gate.reached().await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    gate.open();
    // Whoever comes next waits for that one, and gets what it brought.
    assert_eq!(token(&installation.usable(0).await.unwrap()), "second");
    assert_eq!(installation.provider.asked().len(), 1);
}

#[tokio::test]
async fn an_account_that_was_never_connected_says_how_to_connect_it() {
    let installation = Installation::new(1, Rules::default()).await;
    let error = installation.usable(0).await.unwrap_err();
    assert_eq!((error.reason, error.code.as_str()), (Reason::CredentialRevoked, "credential.missing"));
    assert!(error.message.contains("connectorctl credentials connect"));
    assert!(installation.clock.now() == start());
}
