//! The way of a browser through the public listener, against a provider that agrees, refuses, and errs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use chrono::TimeDelta;
use http::{HeaderMap, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use superfasttt_oauth::{Http, HttpOptions};
use superfasttt_oauth_testing::{FakeProvider, Rules};
use superfasttt_proto::connector::v1::AccountIdentity;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use url::Url;

use super::{Front, router};
use crate::access::Audit;
use crate::api::health::Health;
use crate::catalog::{Catalog, Manifest};
use crate::clock::MockClock;
use crate::config::{CredentialsConfig, OAuthConfig, PublicUrl};
use crate::credentials::authorize::{
    Answer, Ask, Authorizations, BeginError, Begun, Look, Refusal, Shown, TryIt,
};
use crate::credentials::{Credentials, Parts};
use crate::store::Store;
use crate::store::connections::Connection;
use crate::store::credentials::{State, Status};
use crate::store::memory::MemoryStore;
use crate::store::oauth_apps::NewOAuthApp;
use crate::store::secrets::Secrets;
use crate::store::suite::support::{connect, start};
use crate::vault::{Key, KeySource, Vault};

/// An installation that people reach at `https://connect.example`, and a provider.
struct Site {
    provider: FakeProvider,
    store: Arc<dyn Store>,
    clock: MockClock,
    manifest: Arc<Manifest>,
    connection: Connection,
    credentials: Arc<Credentials>,
    authorizations: Arc<Authorizations>,
    /// Whose account a test of the connection finds.
    account: Arc<Mutex<Option<AccountIdentity>>>,
    try_it: TryIt,
    app: Router,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn new(rules: Rules) -> Self {
        Self::declared(rules, json!({})).await
    }

    /// With more in the manifest's `auth`.
    async fn declared(rules: Rules, more: Value) -> Self {
        let provider = FakeProvider::with_rules(rules).await;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(true));
        let keys = SecretString::from(Key::generate().to_base64().to_string());
        let vault = Vault::with_keys(KeySource::Text(keys)).await.unwrap();
        let clock = MockClock::new(start());
        let mut manifest = json!({
            "id": "demo", "sync": {"mode": "incremental"}, "capabilities": ["execute"],
            "auth": {"type": "oauth2", "authorization_url": provider.url("/authorize"),
                     "token_url": provider.url("/token"), "scopes": ["read"],
                     "capability_scopes": {"execute": ["write"]}},
        });
        for (name, value) in more.as_object().unwrap() {
            manifest["auth"][name] = value.clone();
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("demo")).unwrap();
        std::fs::write(folder.path().join("demo/manifest.json"), manifest.to_string()).unwrap();
        let catalog = Catalog::load(folder.path()).unwrap();
        let manifest = catalog.get("demo").unwrap().manifest.clone().unwrap();
        let connection = connect(&store, "docs").await;
        let app = NewOAuthApp {
            id: "app".to_owned(),
            organization: String::new(),
            connector: "demo".to_owned(),
            client_id: "client".to_owned(),
            secrets: Secrets::new(),
        };
        store.create_oauth_app(app, start()).await.unwrap();
        let config = OAuthConfig {
            allow_loopback: true,
            return_urls: vec!["https://app.example/settings".to_owned()],
            ..OAuthConfig::default()
        };
        let http = Http::new(HttpOptions { egress: config.egress(), ..HttpOptions::default() }).unwrap();
        let credentials = Credentials::new(Parts {
            store: store.clone(),
            vault,
            http,
            clock: Arc::new(clock.clone()),
            catalog,
            oauth: config,
            references: CredentialsConfig::default(),
            audit: Audit::new(store.clone(), Arc::new(clock.clone())),
        });
        let public_url = PublicUrl::parse("https://connect.example").unwrap();
        let authorizations = Authorizations::new(credentials.clone(), public_url, CancellationToken::new());
        let account = Arc::<Mutex<Option<AccountIdentity>>>::default();
        let (found, knowing) = (account.clone(), credentials.clone());
        let try_it: TryIt = Arc::new(move |connection| {
            let (credentials, found) = (knowing.clone(), found.clone());
            Box::pin(async move {
                let found = found.lock().unwrap().clone();
                if let Some(found) = found {
                    credentials.tested(&connection, Some(&found)).await.unwrap();
                }
            })
        });
        let health = Health::starting([]).await;
        health.serving().await;
        let audit = Audit::new(store.clone(), Arc::new(clock.clone()));
        let front = Front { authorizations: authorizations.clone(), try_it: try_it.clone(), audit, health };
        let app = router(front);
        Self {
            provider,
            store,
            clock,
            manifest,
            connection,
            credentials,
            authorizations,
            account,
            try_it,
            app,
            _folder: folder,
        }
    }

    /// One on the same store, and what stops it.
    fn another_replica(&self) -> (Arc<Authorizations>, CancellationToken) {
        let stopping = CancellationToken::new();
        let public_url = self.authorizations.public_url().clone();
        (Authorizations::new(self.credentials.clone(), public_url, stopping.clone()), stopping)
    }

    async fn begin(&self, ask: Ask) -> Result<Begun, BeginError> {
        self.authorizations.begin(&self.connection, &self.manifest, ask).await
    }

    /// A link of ours, as its path.
    async fn link(&self) -> String {
        path(self.begin(Ask::default()).await.unwrap().url.expose_secret())
    }

    fn account(&self, id: &str, name: &str) {
        let (id, display_name) = (id.to_owned(), name.to_owned());
        *self.account.lock().unwrap() = Some(AccountIdentity { id, display_name, email: String::new() });
    }

    fn browser(&self) -> Browser {
        Browser { app: self.app.clone(), cookies: BTreeMap::new(), language: "en" }
    }

    async fn status(&self) -> Option<Status> {
        self.store.credential(self.connection.key).await.unwrap().map(|(credential, _)| credential.status)
    }
}

/// Path and query of an address of ours.
fn path(url: &str) -> String {
    url.strip_prefix("https://connect.example").expect("an address of ours").to_owned()
}

/// A browser with its cookies.
struct Browser {
    app: Router,
    cookies: BTreeMap<String, String>,
    language: &'static str,
}

struct Page {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Page {
    fn location(&self) -> &str {
        self.headers["location"].to_str().unwrap()
    }

    /// Which page it is.
    fn name(&self) -> &str {
        let (_, rest) =
            self.body.split_once("data-page=\"").unwrap_or_else(|| panic!("no page: {}", self.body));
        rest.split('"').next().unwrap()
    }
}

impl Browser {
    async fn send(&mut self, request: http::request::Builder, body: Body) -> Page {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header("cookie", cookies.join("; ")).header("accept-language", self.language);
        let response = self.app.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Page { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(Request::get(path), Body::empty()).await
    }

    /// Opens the link, agrees or refuses at the provider, and says where that sends the person.
    async fn visit_the_provider(&mut self, link: &str) -> String {
        let departed = self.get(link).await;
        assert_eq!(departed.status, StatusCode::SEE_OTHER, "{}", departed.body);
        path(&at_the_provider(departed.location()).await)
    }

    /// The whole way.
    async fn connect(&mut self, link: &str) -> Page {
        let back = self.visit_the_provider(link).await;
        self.get(&back).await
    }
}

/// Where the provider sends the browser.
async fn at_the_provider(url: &str) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let browser =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let answer = browser.get(url).send().await.unwrap();
    answer.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_account_is_connected_and_the_page_says_so() {
    let site = Site::new(Rules::default()).await;
    site.account("42", "<b>Alex</b>");
    let begun = site.begin(Ask::default()).await.unwrap();
    let link = path(begun.url.expose_secret());
    let mut browser = site.browser();
    let departed = browser.get(&link).await;
    let cookie = departed.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-connect-"), "{cookie}");
    for part in ["; Path=/;", "; Max-Age=600;", "; HttpOnly", "; SameSite=Lax", "; Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(departed.headers["referrer-policy"], "no-referrer");
    let asked = Url::parse(departed.location()).unwrap();
    let asked: BTreeMap<_, _> = asked.query_pairs().into_owned().collect();
    assert_eq!(asked["redirect_uri"], "https://connect.example/oauth/callback");
    assert_eq!((asked["scope"].as_str(), asked["code_challenge_method"].as_str()), ("read", "S256"));
    assert_eq!(asked["state"].len(), 43, "256 bits");

    // Whoever only looks where the link leads does no harm.
    browser.get(&link).await;
    let page = browser.connect(&link).await;
    assert_eq!((page.status, page.name()), (StatusCode::OK, "connected"), "{}", page.body);
    for shown in
        ["<html lang=\"en\">", "<title>Account connected</title>", "<main ", "docs", "&#60;b&#62;Alex"]
    {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    assert!(browser.cookies.is_empty(), "it is not needed any more");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !page.body.contains("<script"));
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(page.headers[name], value);
    }
    let status = site.status().await.unwrap();
    assert_eq!((status.state, status.oauth_app.as_str()), (State::Connected, "app"));
    assert_eq!((status.granted_scopes, status.connected_at), (vec!["read".to_owned()], Some(start())));
    let look = site.authorizations.look(&begun.id, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(look, Look::Succeeded);
    for id in [&begun.id, "nobody"] {
        let whose = site.authorizations.of_id(id).await.unwrap().map(|connection| connection.id);
        assert_eq!(whose, (id != "nobody").then(|| site.connection.id.clone()));
    }
    let secrets = site.store.credential(site.connection.key).await.unwrap().unwrap().1;
    assert_eq!(secrets.keys().collect::<Vec<_>>(), ["access_token", "refresh_token"]);
    assert_eq!(
        site.store.count_secrets().await.unwrap().into_values().sum::<u64>(),
        2,
        "of the session none"
    );
}

#[tokio::test]
async fn pages_are_in_the_language_of_the_browser() {
    let site = Site::new(Rules { granted: Some("other".to_owned()), ..Rules::default() }).await;
    let mut browser = Browser { language: "fr-CA, en;q=0.5", ..site.browser() };
    let page = browser.connect(&site.link().await).await;
    assert_eq!(page.headers["content-language"], "fr");
    for shown in ["<html lang=\"fr\">", "Compte connecté", "Non accordé", "<dd>read</dd>"] {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    assert_eq!(site.status().await.unwrap().missing_scopes, ["read"]);
}

#[tokio::test]
async fn each_refusal_has_its_page_and_its_status() {
    let site = Site::new(Rules::default()).await;
    let mut browser = site.browser();
    let page = browser.get("/oauth/callback?state=nobody&code=x").await;
    assert_eq!((page.status, page.name()), (StatusCode::NOT_FOUND, "unknown"));
    let page = browser.get("/oauth/start/nobody").await;
    assert_eq!((page.status, page.name()), (StatusCode::NOT_FOUND, "unknown"));
    for malformed in
        ["", "?state=x", "?code=x", "?state=x&state=y&code=z", "?state=x&code=", "?state=&code=z"]
    {
        let page = browser.get(&format!("/oauth/callback{malformed}")).await;
        assert_eq!((page.status, page.name()), (StatusCode::BAD_REQUEST, "malformed"), "{malformed}");
    }

    // A second answer, in the same browser and in any other.
    let link = site.link().await;
    let back = browser.visit_the_provider(&link).await;
    assert_eq!(browser.get(&back).await.name(), "connected");
    for mut browser in [browser, site.browser()] {
        let page = browser.get(&back).await;
        assert_eq!((page.status, page.name()), (StatusCode::CONFLICT, "used"));
        assert_eq!(browser.get(&link).await.name(), "used");
    }
    assert_eq!(site.provider.counts().grants, 1);

    // Somebody else's browser; the right one is not disturbed.
    let mut browser = site.browser();
    let back = browser.visit_the_provider(&site.link().await).await;
    let mut other = site.browser();
    for cookie in ["", "x"] {
        let name = browser.cookies.keys().next().unwrap().clone();
        other.cookies.insert(name, cookie.to_owned());
        let page = other.get(&back).await;
        assert_eq!((page.status, page.name()), (StatusCode::FORBIDDEN, "other-browser"));
    }
    assert_eq!(browser.get(&back).await.name(), "connected");

    // Too late: both the answer and the link.
    let link = site.link().await;
    let back = browser.visit_the_provider(&link).await;
    site.clock.advance(TimeDelta::minutes(10));
    let page = browser.get(&back).await;
    assert_eq!((page.status, page.name()), (StatusCode::GONE, "expired"));
    assert_eq!(browser.get(&link).await.name(), "expired");

    // The connection is being deleted.
    let link = site.link().await;
    let back = browser.visit_the_provider(&link).await;
    site.store.begin_deletion(&site.connection.id, None, start()).await.unwrap();
    let page = browser.get(&back).await;
    assert_eq!((page.status, page.name()), (StatusCode::GONE, "gone"));
}

#[tokio::test]
async fn a_person_or_a_provider_that_says_no_leaves_what_was_connected() {
    let site = Site::new(Rules::default()).await;
    let mut browser = site.browser();
    browser.connect(&site.link().await).await;
    let before = site.status().await;

    site.provider.change(|rules| rules.denies = true);
    let begun = site.begin(Ask::default()).await.unwrap();
    let page = browser.connect(&path(begun.url.expose_secret())).await;
    assert_eq!((page.status, page.name()), (StatusCode::FORBIDDEN, "denied"));
    let look = site.authorizations.look(&begun.id, Duration::ZERO).await.unwrap().unwrap();
    assert!(matches!(&look, Look::Failed(why) if why.contains("did not agree")), "{look:?}");

    let back = browser.visit_the_provider(&site.link().await).await;
    let state = back.split("state=").nth(1).unwrap();
    let said = "%3Cscript%3Ealert(1)%3C/script%3E%0Ax".to_owned() + &"a1".repeat(40);
    let page = browser
        .get(&format!("/oauth/callback?error=invalid_scope&error_description={said}&state={state}"))
        .await;
    assert_eq!((page.status, page.name()), (StatusCode::BAD_GATEWAY, "provider-error"));
    assert!(page.body.contains("invalid_scope") && page.body.contains("&#60;script&#62;"), "{}", page.body);
    assert!(!page.body.contains("<script") && !page.body.contains("a1a1a1"), "{}", page.body);

    // The provider takes the code from nobody who has not the secret.
    site.provider.change(|rules| (rules.denies, rules.client_secret) = (false, Some("s".to_owned())));
    let page = browser.connect(&site.link().await).await;
    assert_eq!((page.status, page.name()), (StatusCode::BAD_GATEWAY, "no-access"));
    assert!(page.body.contains("invalid_client"), "{}", page.body);
    assert_eq!(site.status().await, before);
}

#[tokio::test]
async fn of_many_answers_at_once_one_is_worked_on() {
    let site = Site::new(Rules::default()).await;
    let mut browser = site.browser();
    let back = browser.visit_the_provider(&site.link().await).await;
    let answers = (0..8).map(|_| {
        let mut browser = Browser { cookies: browser.cookies.clone(), ..site.browser() };
        let back = back.clone();
        async move { browser.get(&back).await.name().to_owned() }
    });
    let mut names = futures::future::join_all(answers).await;
    names.sort();
    assert_eq!(names[0], "connected");
    assert!(names[1..].iter().all(|name| name == "used"), "{names:?}");
    let tokens = site.provider.asked().into_iter().filter(|asked| asked.path == "/token").count();
    assert_eq!((tokens, site.provider.counts().grants), (1, 1));
}

#[tokio::test]
async fn a_store_that_is_away_uses_nothing_up() {
    let site = Site::new(Rules::default()).await;
    let mut browser = site.browser();
    let link = site.link().await;
    let back = browser.visit_the_provider(&link).await;
    site.store.close().await;
    for path in [&back, &link] {
        let page = browser.get(path).await;
        assert_eq!((page.status, page.name()), (StatusCode::SERVICE_UNAVAILABLE, "busy"));
        assert_eq!(page.headers["retry-after"], "60");
        assert!(!page.body.contains("closed"), "what the store says is for the log");
    }
    assert!(site.provider.asked().iter().all(|asked| asked.path != "/token"));
}

#[tokio::test]
async fn the_person_ends_where_the_list_allows() {
    let site = Site::new(Rules::default()).await;
    let ask = |url: &str| Ask { return_url: Some(url.to_owned()), ..Ask::default() };
    let mut browser = site.browser();
    for (denies, result) in [(false, "success"), (true, "failed")] {
        site.provider.change(|rules| rules.denies = denies);
        let begun = site.begin(ask("https://app.example/settings/x?tab=1#top")).await.unwrap();
        let page = browser.connect(&path(begun.url.expose_secret())).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        let wanted = format!(
            "https://app.example/settings/x?tab=1&result={result}&connection={}#top",
            site.connection.id
        );
        assert_eq!(page.location(), wanted);
    }
    let refused = site.begin(ask("https://evil.example/")).await.err().unwrap();
    assert!(matches!(refused, BeginError::Field("return_url", _)), "{refused}");
}

#[tokio::test]
async fn a_provider_that_answers_by_a_form_sends_the_browser_once_more() {
    let site = Site::new(Rules::default()).await;
    let mut browser = site.browser();
    let back = browser.visit_the_provider(&site.link().await).await;
    let form = back.split_once('?').unwrap().1.to_owned() + "&session_state=x";
    let post =
        || Request::post("/oauth/callback").header("content-type", "application/x-www-form-urlencoded");
    // As browsers do with what another site sends: without the cookie.
    let page = site.browser().send(post(), Body::from(form.clone())).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert!(page.location().starts_with("?code=") && !page.location().contains("session_state"));
    let again = format!("/oauth/callback{}", page.location());
    assert_eq!(browser.get(&again).await.name(), "connected");

    let long = format!("{form}&x={}", "y".repeat(20_000));
    for (request, body) in [
        (Request::post("/oauth/callback").header("content-type", "application/json"), form),
        (post(), "state=x".to_owned()),
        (post(), long),
    ] {
        let page = browser.send(request, Body::from(body)).await;
        assert_eq!((page.status, page.name()), (StatusCode::BAD_REQUEST, "malformed"));
    }
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let site = Site::new(Rules::default()).await;
    let mut browser = site.browser();
    let back = browser.visit_the_provider(&site.link().await).await;
    let head = browser.send(Request::head(&back), Body::empty()).await;
    assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(browser.get(&back).await.name(), "connected", "a look at the link uses nothing up");
    for path in
        ["/", "/oauth", "/oauth/callback/", "/metrics", "/superfasttt.control.v1.AdminService/GetStatus"]
    {
        let page = browser.get(path).await;
        assert_eq!((page.status, page.name()), (StatusCode::NOT_FOUND, "nothing"), "{path}");
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
    }
    let put = browser.send(Request::put("/oauth/callback"), Body::empty()).await;
    assert_eq!(put.status, StatusCode::METHOD_NOT_ALLOWED);
    let long = browser.get(&format!("/oauth/callback?state={}", "x".repeat(17_000))).await;
    assert_eq!(long.status, StatusCode::URI_TOO_LONG);
    let healthy = browser.get("/healthz").await;
    assert_eq!((healthy.status, healthy.body.as_str()), (StatusCode::OK, "ok\n"));
}

#[tokio::test]
async fn another_account_waits_to_be_confirmed() {
    let site = Site::new(Rules::default()).await;
    let mut browser = site.browser();
    site.account("42", "Alex");
    assert_eq!(browser.connect(&site.link().await).await.name(), "connected");
    assert_eq!(browser.connect(&site.link().await).await.name(), "connected", "the same account");
    site.account("43", "Robin");
    let begun = site.begin(Ask::default()).await.unwrap();
    let page = browser.connect(&path(begun.url.expose_secret())).await;
    assert_eq!((page.status, page.name()), (StatusCode::OK, "other-account"));
    assert!(page.body.contains("Alex") && page.body.contains("Robin"), "{}", page.body);
    let status = site.status().await.unwrap();
    assert_eq!((status.state, status.other_account.unwrap().id.as_str()), (State::Pending, "43"));
    let look = site.authorizations.look(&begun.id, Duration::ZERO).await.unwrap().unwrap();
    assert!(matches!(&look, Look::Failed(why) if why.contains("another account")), "{look:?}");
    // Nobody could say whose it is: it is not used before somebody can.
    *site.account.lock().unwrap() = None;
    let page = browser.connect(&site.link().await).await;
    assert_eq!(page.name(), "unchecked");
    assert_eq!(site.status().await.unwrap().state, State::Pending);
}

#[tokio::test]
async fn a_client_may_receive_the_answer_itself() {
    let site = Site::new(Rules::default()).await;
    let redirect_uri = "https://app.example/settings/back".to_owned();
    let capabilities = vec!["execute".to_owned()];
    let ask = Ask { redirect_uri: Some(redirect_uri.clone()), capabilities, ..Ask::default() };
    let begun = site.begin(ask.clone()).await.unwrap();
    let state = begun.state.unwrap();
    let back = Url::parse(&at_the_provider(begun.url.expose_secret()).await).unwrap();
    assert!(back.as_str().starts_with(&redirect_uri));
    let query: BTreeMap<_, _> = back.query_pairs().into_owned().collect();
    assert_eq!(query["state"], state.expose_secret());
    let answer = || Answer {
        state: state.clone(),
        code: Some(SecretString::from(query["code"].clone())),
        error: None,
        error_description: None,
        iss: None,
    };
    let page = site.browser().get(&format!("/oauth/callback?{}", back.query().unwrap())).await;
    assert_eq!(page.name(), "unknown", "no browser answers it");
    let answered = site.authorizations.answer(answer(), &Shown::State, site.try_it.clone()).await;
    let status = answered.result.unwrap();
    assert_eq!(status.granted_scopes, ["read", "write"]);
    let again = site.authorizations.answer(answer(), &Shown::State, site.try_it.clone()).await;
    assert!(matches!(again.result, Err(Refusal::Used)), "{:?}", again.result);

    // What a browser began is ended by no client.
    let link = site.link().await;
    let state = SecretString::from(link.rsplit('/').next().unwrap());
    let answer = Answer { state, code: Some("x".into()), error: None, error_description: None, iss: None };
    let answered = site.authorizations.answer(answer, &Shown::State, site.try_it.clone()).await;
    assert!(matches!(answered.result, Err(Refusal::OfBrowser)), "{:?}", answered.result);

    let elsewhere = Ask { redirect_uri: Some("https://evil.example/".to_owned()), ..Ask::default() };
    let refused = site.begin(elsewhere).await.err().unwrap();
    assert!(matches!(refused, BeginError::Field("redirect_uri", _)), "{refused}");
    let unknown = Ask { capabilities: vec!["fly".to_owned()], ..Ask::default() };
    let refused = site.begin(unknown).await.err().unwrap();
    assert!(matches!(refused, BeginError::Field("capabilities", _)), "{refused}");
    for scope in ["", "a b", "a\"b", "a\nb"] {
        let ask = Ask { extra_scopes: vec![scope.to_owned()], ..Ask::default() };
        let refused = site.begin(ask).await.err().unwrap();
        assert!(matches!(refused, BeginError::Field("extra_scopes", _)), "{refused}");
    }
}

#[tokio::test]
async fn an_answer_of_another_provider_is_refused_whatever_it_says() {
    let issuer = json!({"issuer": "https://login.example"});
    let site = Site::declared(Rules::default(), issuer).await;
    let mut browser = site.browser();
    for other in ["", "&iss=", "&iss=https://evil.example", "&iss=https://login.example/"] {
        let back = browser.visit_the_provider(&site.link().await).await;
        let page = browser.get(&format!("{back}{other}")).await;
        assert_eq!((page.status, page.name()), (StatusCode::FORBIDDEN, "other-provider"), "{other}");
        // It was an answer: the right one comes too late.
        let page = browser.get(&format!("{back}&iss=https://login.example")).await;
        assert_eq!(page.name(), "used");
    }
    assert_eq!(site.provider.counts().grants, 0, "no code was exchanged");
    let back = browser.visit_the_provider(&site.link().await).await;
    let twice = format!("{back}&iss=https://login.example&iss=https://evil.example");
    assert_eq!(browser.get(&twice).await.name(), "malformed");
    assert_eq!(browser.get(&format!("{back}&iss=https://login.example")).await.name(), "connected");

    // Nor is it believed that the person refused.
    site.provider.change(|rules| rules.denies = true);
    let back = browser.visit_the_provider(&site.link().await).await;
    assert_eq!(browser.get(&format!("{back}&iss=https://evil.example")).await.name(), "other-provider");
    let back = browser.visit_the_provider(&site.link().await).await;
    assert_eq!(browser.get(&format!("{back}&iss=https://login.example")).await.name(), "denied");
}

#[tokio::test]
async fn whoever_waits_hears_of_the_end() {
    let site = Site::new(Rules::default()).await;
    let begun = site.begin(Ask::default()).await.unwrap();
    let waiting = tokio::spawn({
        let (authorizations, id) = (site.authorizations.clone(), begun.id.clone());
        async move { authorizations.look(&id, Duration::from_secs(50)).await.unwrap().unwrap() }
    });
    site.browser().connect(&path(begun.url.expose_secret())).await;
    let look =
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it does not wait on").unwrap();
    assert_eq!(look, Look::Succeeded);

    // Another replica knows as much.
    let (other, stopping) = site.another_replica();
    let begun = site.begin(Ask::default()).await.unwrap();
    let waiting = async || other.look(&begun.id, Duration::from_secs(50)).await.unwrap().unwrap();
    let connecting = async || site.browser().connect(&path(begun.url.expose_secret())).await;
    let (look, _) = tokio::join!(waiting(), connecting());
    assert_eq!(look, Look::Succeeded);
    // One that stops keeps nobody waiting.
    let begun = site.begin(Ask::default()).await.unwrap();
    stopping.cancel();
    let look = other.look(&begun.id, Duration::from_secs(50)).await.unwrap().unwrap();
    assert_eq!(look, Look::Pending);

    let begun = site.begin(Ask::default()).await.unwrap();
    let look = async || site.authorizations.look(&begun.id, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(look().await, Look::Pending);
    site.clock.advance(TimeDelta::minutes(11));
    assert!(matches!(look().await, Look::Expired(_)));
    assert!(site.authorizations.look("nobody", Duration::ZERO).await.unwrap().is_none());
}

#[tokio::test]
async fn a_server_that_stopped_in_the_middle_says_so() {
    let site = Site::new(Rules::default()).await;
    let begun = site.begin(Ask::default()).await.unwrap();
    site.store.take_oauth_session(&begun.id, start()).await.unwrap();
    let look = async || site.authorizations.look(&begun.id, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(look().await, Look::Pending, "another replica may be at it");
    site.clock.advance(TimeDelta::minutes(11));
    assert!(matches!(look().await, Look::Failed(why) if why.contains("connect again")));
    assert!(site.status().await.is_none());
}
