//! Refreshes against a provider that gives each refresh token once and ends the grant when one comes again.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::SecretString;
use serde_json::json;
use superfasttt_oauth::{Http, HttpOptions};
use superfasttt_oauth_testing::{Answer, FakeProvider, Rules};
use superfasttt_proto::connector::v1::{AccountIdentity, Reason, credential::Kind};
use superfasttt_proto::error::ConnectorError;
use tokio_util::sync::CancellationToken;

mod keep_fresh;

use super::{Credentials, Parts, Usable, UsedFor, Wanted, field};
use crate::access::{Audit, Purpose};
use crate::catalog::{AuthKind, Catalog, Manifest};
use crate::clock::{Clock, MockClock};
use crate::config::{CredentialsConfig, OAuthConfig};
use crate::store::Store;
use crate::store::connections::Connection;
use crate::store::credentials::{CredentialPut, State, Status};
use crate::store::memory::MemoryStore;
use crate::store::oauth_apps::NewOAuthApp;
use crate::store::secrets::{Secrets, SecretsWrite};
use crate::store::suite::support::{connect, start};
use crate::vault::{Key, KeySource, Place, Vault};

const RUN: UsedFor<'static> = UsedFor { purpose: Purpose::Run, run: "r" };

/// A connection whose grant has ended its first access token, and the replicas that work on it.
pub(super) struct Installation {
    provider: FakeProvider,
    pub(super) store: Arc<dyn Store>,
    pub(super) vault: Vault,
    clock: MockClock,
    pub(super) manifest: Arc<Manifest>,
    pub(super) connection: Connection,
    pub(super) replicas: Vec<Arc<Credentials>>,
    catalog: Arc<Catalog>,
    folder: tempfile::TempDir,
}

impl Installation {
    pub(super) async fn new(replicas: usize, rules: Rules) -> Self {
        let provider = FakeProvider::with_rules(rules).await;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(true));
        let keys = SecretString::from(Key::generate().to_base64().to_string());
        let vault = Vault::with_keys(KeySource::Text(keys)).await.unwrap();
        let clock = MockClock::new(start());
        let manifest = json!({
            "id": "demo", "sync": {"mode": "incremental"},
            "auth": {"type": "oauth2", "authorization_url": provider.url("/authorize"),
                     "token_url": provider.url("/{door}"), "scopes": ["read"]},
            "settings": {"type": "object", "properties": {
                "door": {"type": "string", "default": "token"},
                "password": {"x-secret": true},
                "proxies": {"items": {"properties": {"login": {"type": "string", "x-secret": true}}}},
            }},
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("demo")).unwrap();
        std::fs::write(folder.path().join("demo/manifest.json"), manifest.to_string()).unwrap();
        let catalog = Catalog::load(folder.path()).unwrap();
        let manifest = catalog.get("demo").unwrap().manifest.clone().unwrap();
        let connection = connect(&store, "docs").await;
        let config = OAuthConfig { allow_loopback: true, ..OAuthConfig::default() };
        let replica = || {
            let http = Http::new(HttpOptions { egress: config.egress(), ..HttpOptions::default() }).unwrap();
            Credentials::new(Parts {
                store: store.clone(),
                vault: vault.clone(),
                http,
                clock: Arc::new(clock.clone()),
                catalog: catalog.clone(),
                oauth: config.clone(),
                references: CredentialsConfig::default(),
                audit: Audit::new(store.clone(), Arc::new(clock.clone())),
            })
        };
        let replicas = (0..replicas).map(|_| replica()).collect();
        Self { provider, store, vault, clock, manifest, connection, replicas, catalog, folder }
    }

    async fn app(&self) {
        let app = NewOAuthApp {
            id: "app".to_owned(),
            organization: String::new(),
            connector: "demo".to_owned(),
            client_id: "client".to_owned(),
            secrets: Secrets::new(),
        };
        self.store.create_oauth_app(app, start()).await.unwrap();
    }

    /// Stores a grant of an hour ago with this refresh token, whose access token ends in `life`.
    async fn grant(&self, refresh: Option<&str>, life: TimeDelta) {
        let place = |field| Place::of_connection("acme", &self.connection.id, field);
        let mut secrets = Secrets::new();
        for (name, value) in [(field::ACCESS, Some("first")), (field::REFRESH, refresh)] {
            if let Some(value) = value {
                secrets.insert(name.to_owned(), self.vault.seal(&place(name), value.as_bytes()).unwrap());
            }
        }
        self.app().await;
        let connected_at = Some(start() - TimeDelta::hours(1));
        let status = Status { state: State::Connected, connected_at, ..Status::default() };
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
        self.instead_of(replica, None).await
    }

    async fn instead_of(&self, replica: usize, refused: Option<&Usable>) -> Result<Usable, ConnectorError> {
        let (connection, manifest) = (&self.connection, &self.manifest);
        let wanted = Wanted { connection, manifest, refused, used_for: RUN };
        let usable = self.replicas[replica].usable(wanted).await;
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
async fn a_setting_that_was_left_out_has_its_default_in_the_providers_address() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::zero()).await;
    installation.provider.answer(short_lived(2, 3600));
    installation.usable(0).await.unwrap();
    assert_eq!(installation.provider.last().path, "/token");
}

/// What a provider answers whose tokens live so many seconds.
fn short_lived(number: u32, seconds: u32) -> Answer {
    let (access, refresh) = (format!("a{number}"), format!("r{number}"));
    let reply = json!({"access_token": access, "refresh_token": refresh, "expires_in": seconds, "token_type": "Bearer"});
    Answer::json(200, &reply)
}

#[tokio::test]
async fn tokens_that_live_a_minute_or_less_are_used_for_half_of_it() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::zero()).await;
    installation.provider.answer(short_lived(2, 60)).answer(short_lived(3, 60));
    assert_eq!(token(&installation.usable(0).await.unwrap()), "a2");
    installation.clock.advance(TimeDelta::seconds(29));
    assert_eq!(token(&installation.usable(0).await.unwrap()), "a2");
    installation.clock.advance(TimeDelta::seconds(2));
    assert_eq!(token(&installation.usable(0).await.unwrap()), "a3");
    assert_eq!(installation.provider.asked().len(), 2);
}

#[tokio::test]
async fn a_provider_whose_tokens_are_over_when_they_come_is_not_asked_for_ever() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::zero()).await;
    // Each reply is on its way for longer than its token lives.
    let mut gates = Vec::new();
    for number in 2..10 {
        let (answer, gate) = short_lived(number, 1).held();
        installation.provider.answer(answer);
        gates.push(gate);
    }
    let clock = installation.clock.clone();
    let slow = tokio::spawn(async move {
        for mut gate in gates {
            gate.reached().await;
            clock.advance(TimeDelta::seconds(2));
            gate.open();
        }
    });
    let error = installation.usable(0).await.unwrap_err();
    slow.abort();
    assert_eq!(error.reason, Reason::SourceUnavailable, "{}", error.message);
    assert!(installation.provider.asked().len() <= 3);
    assert_eq!(installation.state().await, State::Connected);
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
        let newer = installation.instead_of(replica, Some(&held)).await;
        assert_eq!(token(&newer.unwrap()), "second");
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
async fn a_stop_waits_until_what_a_provider_gives_is_stored() {
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
    let mut finishing = Box::pin(installation.replicas[0].finish(Duration::from_secs(60)));
    assert!(futures::poll!(&mut finishing).is_pending());
    gate.open();
    finishing.await;
    let (credential, _) = installation.store.credential(installation.connection.key).await.unwrap().unwrap();
    assert!(credential.status.refreshed_at.is_some(), "r2 is not lost");
}

#[tokio::test]
async fn an_account_that_was_never_connected_says_how_to_connect_it() {
    let installation = Installation::new(1, Rules::default()).await;
    let error = installation.usable(0).await.unwrap_err();
    assert_eq!((error.reason, error.code.as_str()), (Reason::CredentialRevoked, "credential.missing"));
    assert!(error.message.contains("connectorctl credentials connect"));
    assert!(installation.clock.now() == start());
}

#[tokio::test]
async fn what_cannot_even_be_tried_stands_in_nobodys_way_and_is_tried_at_once_when_it_can_be() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::seconds(1)).await;
    assert!(installation.store.remove_oauth_app("app").await.unwrap());
    installation.clock.advance(TimeDelta::seconds(1));
    let error = installation.usable(0).await.unwrap_err();
    assert_eq!(error.reason, Reason::SettingsInvalid);
    assert!(error.message.contains("connectorctl oauth-apps create"), "{}", error.message);
    let (credential, _) = installation.store.credential(installation.connection.key).await.unwrap().unwrap();
    assert_eq!(credential.status.state, State::Connected, "it is not the account's fault");
    assert!(credential.refresh_at.unwrap() >= start() + TimeDelta::minutes(5), "not due any more");
    assert!(credential.status.trouble.unwrap().message.contains("OAuth app"));
    // The administrator mends it: whoever wants it next gets it.
    installation.app().await;
    installation
        .provider
        .answer(Answer::json(200, &json!({"access_token": "second", "token_type": "Bearer"})));
    assert_eq!(token(&installation.usable(0).await.unwrap()), "second");
}

fn account(id: &str) -> AccountIdentity {
    AccountIdentity { id: id.to_owned(), display_name: format!("name of {id}"), email: String::new() }
}

#[tokio::test]
async fn another_account_waits_until_a_person_has_confirmed_it() {
    let installation = Installation::new(1, Rules::default()).await;
    let (credentials, connection) = (installation.replicas[0].clone(), installation.connection.clone());
    installation.grant(Some("r1"), TimeDelta::hours(1)).await;
    credentials.tested(&connection, Some(&account("ann"))).await.unwrap();
    assert_eq!(token(&installation.usable(0).await.unwrap()), "first");

    // Somebody else's token is behind the same connection now.
    credentials.tested(&connection, Some(&account("bob"))).await.unwrap();
    let error = installation.usable(0).await.unwrap_err();
    assert!(error.message.contains("name of bob (bob) instead of name of ann (ann)"), "{}", error.message);
    let wanted = Wanted {
        connection: &connection,
        manifest: &installation.manifest,
        refused: None,
        used_for: UsedFor { purpose: Purpose::Test, ..RUN },
    };
    assert!(credentials.usable(wanted).await.unwrap().is_some(), "it can be tested all the same");

    assert_eq!(credentials.confirm(&connection, "ann").await.unwrap_err().reason, Reason::NotFound);
    credentials.confirm(&connection, "bob").await.unwrap();
    assert_eq!(token(&installation.usable(0).await.unwrap()), "first");
    let now = installation.store.connection(&connection.id).await.unwrap().unwrap();
    assert!(now.next_run_at.is_some_and(|at| at <= installation.clock.now()), "everything is listed again");

    // A source that does not say changes nothing; the former account ends the wait by itself.
    credentials.tested(&connection, Some(&account("ann"))).await.unwrap();
    assert_eq!(installation.state().await, State::Pending);
    credentials.tested(&connection, None).await.unwrap();
    assert_eq!(installation.state().await, State::Pending, "silence confirms nothing");
    credentials.tested(&connection, Some(&account("bob"))).await.unwrap();
    assert_eq!(installation.state().await, State::Connected);
    credentials.tested(&connection, None).await.unwrap();
    assert_eq!(installation.state().await, State::Connected);
}

#[tokio::test]
async fn what_the_source_refuses_for_good_waits_for_a_person_unless_another_is_there_by_now() {
    let installation = Installation::new(1, Rules::default()).await;
    let (credentials, connection) = (installation.replicas[0].clone(), installation.connection.clone());
    installation.grant(Some("r1"), TimeDelta::hours(1)).await;
    let held = installation.usable(0).await.unwrap();
    installation.clock.advance(TimeDelta::seconds(5));
    installation
        .provider
        .answer(Answer::json(200, &json!({"access_token": "second", "token_type": "Bearer"})));
    credentials.refresh_now(&connection).await.unwrap();
    let error = ConnectorError::new(Reason::CredentialRevoked, "the source has locked the account");
    credentials.refused_by_source(&connection, &held, &error).await;
    let newer = installation.usable(0).await.unwrap();
    assert_eq!(token(&newer), "second", "what was refused is not what is there");
    credentials.refused_by_source(&connection, &newer, &error).await;
    let told = installation.usable(0).await.unwrap_err();
    assert_eq!(
        (told.reason, told.message.as_str()),
        (Reason::CredentialRevoked, "the source has locked the account")
    );
}

#[tokio::test]
async fn taken_away_is_taken_away_whatever_the_provider_says() {
    let installation = Installation::new(1, Rules::default()).await;
    installation.grant(Some("r1"), TimeDelta::hours(1)).await;
    let told = installation.replicas[0].revoke(&installation.connection).await.unwrap();
    assert!(told.unwrap().contains("offers no withdrawal"), "the manifest names no way");
    let (credential, secrets) =
        installation.store.credential(installation.connection.key).await.unwrap().unwrap();
    assert_eq!((credential.status.state, secrets.len()), (State::Revoked, 0));
    assert_eq!(installation.usable(0).await.unwrap_err().reason, Reason::CredentialRevoked);
    assert!(installation.replicas[0].revoke(&installation.connection).await.unwrap().is_none(), "once more");
}
