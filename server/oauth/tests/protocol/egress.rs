//! Where calls may go.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, json};
use superfasttt_oauth::{
    App, AppSecret, Client, Declaration, Egress, Failure, Http, HttpOptions, Lookup, Provider, UrlRules,
};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

/// Answers with these, one after the other; the last one stays.
struct Answers(Vec<Vec<IpAddr>>, AtomicUsize);

impl Lookup for Answers {
    fn lookup(&self, _host: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        let turn = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
        let addresses = self.0[turn].clone();
        Box::pin(async move { Ok(addresses) })
    }
}

fn at(token_url: &str, options: HttpOptions) -> Client {
    let declaration: Declaration =
        serde_json::from_value(json!({"flow": "client_credentials", "token_url": token_url})).unwrap();
    let rules = UrlRules { allowed_hosts: &[], operator_hosts: &[], allow_loopback: true };
    let provider = Provider::new(declaration.into(), &Map::new(), &rules).unwrap();
    let app = App { client_id: CLIENT_ID.to_owned(), secret: AppSecret::Secret(secret(CLIENT_SECRET)) };
    Client::new(Http::new(options).unwrap(), provider, app.into())
}

fn resolving(answers: &[&[&str]], egress: Egress) -> HttpOptions {
    let parsed = answers.iter().map(|one| one.iter().map(|text| text.parse().unwrap()).collect()).collect();
    HttpOptions {
        egress,
        lookup: Some(Arc::new(Answers(parsed, AtomicUsize::new(0)))),
        ..HttpOptions::default()
    }
}

async fn is_refused(client: &Client) -> bool {
    match client.client_credentials(&[], now()).await {
        Err(Failure::Misconfigured(wrong)) => wrong.code == "address_refused",
        Err(_) => false,
        Ok(_) => panic!("a token from nowhere"),
    }
}

#[tokio::test]
async fn this_machine_is_not_asked_unless_the_operator_allows_it() {
    let provider = FakeProvider::start().await;
    assert!(is_refused(&at(&provider.url("/token"), HttpOptions::default())).await);
    let by_name = provider.url("/token").replace("127.0.0.1", "localhost");
    assert!(is_refused(&at(&by_name, HttpOptions::default())).await);
    assert!(provider.asked().is_empty(), "nothing was sent");

    let allowed = Egress { allow_loopback: true, ..Egress::default() };
    // Whatever the resolver says, `localhost` is this machine: http is allowed to it.
    for url in [provider.url("/token"), by_name] {
        let client = at(&url, resolving(&[&["8.8.8.8"]], allowed.clone()));
        provider.answer(Answer::json(200, &json!({"access_token": "a"})));
        client.client_credentials(&[], now()).await.unwrap();
    }
}

#[tokio::test]
async fn names_that_lead_inside_are_refused() {
    for addresses in [
        &["10.0.0.1"][..],
        &["169.254.169.254"],
        &["127.0.0.1"],
        &["::1"],
        &["fd00:ec2::254"],
        &["::ffff:10.0.0.1"],
        &["192.168.1.1", "172.16.0.1"],
    ] {
        let client = at("https://provider.example/token", resolving(&[addresses], Egress::default()));
        assert!(is_refused(&client).await, "{addresses:?}");
    }
}

/// A name that was public when it was checked and leads inside when it is connected to. There is only one look-up,
/// whose answer is what is connected to; here it is the second of the name's answers.
#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let provider = FakeProvider::start().await;
    let port = provider.url("").rsplit(':').next().unwrap().to_owned();
    let url = format!("https://provider.example:{port}/token");
    // 192.0.2.1 is allowed here to stand for a public address that does not answer.
    let egress = Egress { allowed_networks: vec!["192.0.2.1/32".parse().unwrap()], allow_loopback: false };
    let options = HttpOptions {
        connect_timeout: std::time::Duration::from_millis(100),
        ..resolving(&[&["192.0.2.1"], &["127.0.0.1"]], egress)
    };
    let client = at(&url, options);
    assert!(!is_refused(&client).await, "the first answer is allowed, and nobody is there");
    assert!(is_refused(&client).await);
    assert!(provider.asked().is_empty());
}

#[tokio::test]
async fn the_operator_may_allow_a_network() {
    let egress = Egress { allowed_networks: vec!["127.0.0.0/8".parse().unwrap()], allow_loopback: false };
    let client = at("https://provider.example:9/token", resolving(&[&["127.0.0.1"]], egress));
    assert!(!is_refused(&client).await);
}

/// Tells the test that it was started by itself.
const PROXIED: &str = "OAUTH_TEST_HAS_A_PROXY";

/// The variables are for a process of its own: this test starts itself again with them.
#[tokio::test]
async fn a_proxy_in_the_environment_changes_nothing() {
    let provider = FakeProvider::start().await;
    if std::env::var_os(PROXIED).is_some() {
        provider.answer(Answer::json(200, &json!({"access_token": "a"})));
        let egress = Egress { allow_loopback: true, ..Egress::default() };
        let client = at(&provider.url("/token"), HttpOptions { egress, ..HttpOptions::default() });
        client.client_credentials(&[], now()).await.unwrap();
        return;
    }
    let proxy = provider.url("/");
    let status = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "egress::a_proxy_in_the_environment_changes_nothing"])
        .envs(
            ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
                .map(|name| (name, &proxy)),
        )
        .env(PROXIED, "yes")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .await
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert!(String::from_utf8_lossy(&status.stdout).contains("1 passed"));
    assert!(provider.asked().is_empty(), "the proxy was asked");
}
