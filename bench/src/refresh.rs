//! *refresh*: 10,000 accounts whose access tokens are due in the same moment, each with a grant of its own at a provider that
//! takes 20 ms for each answer, against calls of the same client to that provider and nothing else, as many at once. Each is claimed, opened, sent, sealed
//! and stored before anybody may use it; late is what is refreshed after its token has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use chrono::TimeDelta;
use connectord::access::Audit;
use connectord::catalog::{AuthKind, Catalog, Manifest};
use connectord::clock::{Clock, SharedClock, SystemClock};
use connectord::config::{CredentialsConfig, OAuthConfig};
use connectord::credentials::{Credentials, Parts};
use connectord::store::connections::{NewConnection, Schedule};
use connectord::store::credentials::{CredentialPut, State, Status};
use connectord::store::oauth_apps::NewOAuthApp;
use connectord::store::secrets::{Secrets, SecretsWrite};
use connectord::store::{SqliteStore, Store};
use connectord::vault::{Key, KeySource, Place, Vault};
use futures::{StreamExt, TryStreamExt, stream};
use secrecy::SecretString;
use serde_json::json;
use superfasttt_oauth::{App, AppSecret, Client, Http, HttpOptions, Provider, UrlRules};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::report::{Ratio, Repetition, progress};

/// Accounts that are due.
const ACCOUNTS: usize = 10_000;
/// How long the provider takes for an answer.
const ANSWER_AFTER: Duration = Duration::from_millis(20);
/// How soon the last one has to be there.
const LEFT: Duration = Duration::from_secs(60);
/// Calls of the other side at once: what connectord allows itself.
const AT_ONCE: usize = 64;

/// Measures it so often.
///
/// # Errors
/// Where a side fails, a refresh is late, or more calls are under way at once than should be.
pub async fn measure(repetitions: usize) -> anyhow::Result<Ratio> {
    let mut measured = Vec::new();
    for _ in 0..repetitions {
        let provider = FakeProvider::start().await?;
        let client = &provider.client()?;
        let began = Instant::now();
        stream::iter(0..ACCOUNTS)
            .map(|_| async { client.refresh(&SecretString::from("r"), &[], SystemClock.now()).await })
            .buffer_unordered(AT_ONCE)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        let bare_took = began.elapsed();
        let took = refresh_all(&provider).await?;
        let most = provider.most.load(Ordering::Relaxed);
        ensure!(most <= AT_ONCE, "{most} calls were under way at once");
        measured.push(Repetition::new(ACCOUNTS as u64, took, bare_took, took));
        progress("refresh", "accounts", measured.last());
    }
    Ok(Ratio::new("refresh", "calls of the same client to the same provider", "accounts", 0.3, measured))
}

/// How long it takes from the moment in which all are due until the last one is stored.
async fn refresh_all(provider: &FakeProvider) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let connector = folder.path().join("connectors/bench");
    std::fs::create_dir_all(&connector)?;
    std::fs::write(connector.join("manifest.json"), manifest(&provider.url).to_string())?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("db")).await?);
    let keys = Key::generate().to_base64().to_string();
    let vault = Vault::with_keys(KeySource::Text(keys.into())).await?;
    let clock: SharedClock = Arc::new(SystemClock);
    let oauth = OAuthConfig { allow_loopback: true, ..OAuthConfig::default() };
    let http = HttpOptions { egress: oauth.egress(), ..HttpOptions::default() };
    let credentials = Credentials::new(Parts {
        store: store.clone(),
        vault: vault.clone(),
        http: Http::new(http)?,
        clock: clock.clone(),
        catalog: Catalog::load(&folder.path().join("connectors"))?,
        oauth,
        references: CredentialsConfig::default(),
        audit: Audit::new(store.clone(), clock.clone()),
    });
    let app = NewOAuthApp {
        id: "app".to_owned(),
        organization: String::new(),
        connector: "bench".to_owned(),
        client_id: "bench".to_owned(),
        secrets: Secrets::new(),
    };
    store.create_oauth_app(app, clock.now()).await?;
    // Each is due as soon as it is there, and nobody looks before all are.
    stream::iter(0..ACCOUNTS)
        .map(|number| connect(&*store, &vault, number))
        .buffer_unordered(AT_ONCE)
        .try_for_each(|()| std::future::ready(Ok(())))
        .await?;
    provider.answered.store(0, Ordering::Relaxed);

    let stop = CancellationToken::new();
    let began = Instant::now();
    let keeping = AbortOnDropHandle::new(tokio::spawn(credentials.keep_fresh(stop.clone())));
    while provider.answered.load(Ordering::Relaxed) < ACCOUNTS || !is_done(&*store).await? {
        ensure!(began.elapsed() < Duration::from_secs(120), "refreshes do not come to their end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = began.elapsed();
    stop.cancel();
    keeping.await?;
    ensure!(took < LEFT, "the last one was late: {took:?}");
    store.close().await;
    Ok(took)
}

/// Whether nothing is due, and nobody refreshes anything: what is due is told of only while nobody does.
async fn is_done(store: &dyn Store) -> anyhow::Result<bool> {
    let much_later = SystemClock.now() + TimeDelta::minutes(3);
    Ok(store.due_refreshes(1, much_later).await?.is_empty())
}

/// An account whose refresh is due.
async fn connect(store: &dyn Store, vault: &Vault, number: usize) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let id = format!("c-{number}");
    let new = NewConnection {
        id: id.clone(),
        organization: "acme".to_owned(),
        connector: "bench".to_owned(),
        name: id.clone(),
        settings: serde_json::Map::new(),
        schedule: Schedule::default(),
        disabled: false,
        keep_raw: false,
        next: None,
        request: None,
    };
    let connection = store.create_connection(new, now).await?;
    let mut secrets = Secrets::new();
    for field in ["access_token", "refresh_token"] {
        let place = Place::of_connection("acme", &id, field);
        secrets.insert(field.to_owned(), vault.seal(&place, format!("{field}-{number}").as_bytes())?);
    }
    let put = CredentialPut {
        kind: AuthKind::OAuth2,
        status: Status { state: State::Connected, ..Status::default() },
        expires_at: Some(now + TimeDelta::minutes(2)),
        refresh_at: Some(now),
        secrets: SecretsWrite::Replace(secrets),
        refreshed: false,
    };
    store.put_credential(connection.key, None, put, now).await?;
    Ok(())
}

/// A provider that rotates refresh tokens and takes its time.
struct FakeProvider {
    url: String,
    /// The most calls that were under way at once.
    most: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

impl FakeProvider {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/token", listener.local_addr()?);
        let (under_way, most, answered) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let counts = (under_way.clone(), most.clone(), answered.clone());
        let answer = move || {
            let (under_way, most, answered) = counts.clone();
            async move {
                most.fetch_max(under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(ANSWER_AFTER).await;
                under_way.fetch_sub(1, Ordering::Relaxed);
                let number = answered.fetch_add(1, Ordering::Relaxed);
                let refresh_token = format!("rotated-{number}-{}", "x".repeat(64));
                let tokens = json!({
                    "access_token": format!("access-{number}-{}", "y".repeat(1024)),
                    "refresh_token": refresh_token, "token_type": "Bearer", "expires_in": 3600,
                });
                ([(CONTENT_TYPE, "application/json")], tokens.to_string())
            }
        };
        let app = Router::new().route("/token", post(answer));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { url, most, answered, _serving: AbortOnDropHandle::new(serving) })
    }

    /// The client that connectord uses, without anything around it.
    fn client(&self) -> anyhow::Result<Client> {
        let oauth = OAuthConfig { allow_loopback: true, ..OAuthConfig::default() };
        let http = Http::new(HttpOptions { egress: oauth.egress(), ..HttpOptions::default() })?;
        let manifest = Manifest::parse(&manifest(&self.url).to_string()).ok().context("it is a manifest")?;
        let rules = UrlRules { allowed_hosts: &[], operator_hosts: &[], allow_loopback: true };
        let provider = Provider::new(Arc::new(manifest.auth.oauth), &serde_json::Map::new(), &rules)?;
        let app = App { client_id: "bench".to_owned(), secret: AppSecret::None };
        Ok(Client::new(http, provider, Arc::new(app)))
    }
}

fn manifest(url: &str) -> serde_json::Value {
    json!({
        "id": "bench", "sync": {"mode": "incremental"},
        "auth": {"type": "oauth2", "authorization_url": url, "token_url": url},
    })
}
