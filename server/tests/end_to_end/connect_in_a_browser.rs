//! The same as `connect_an_account`, as a person does it: headless Chromium, the pages of `oidc-provider` for signing in and
//! agreeing, and our own at the end, in English and in French. It needs Node and Chromium; where one is missing it says so.

use serde_json::{Value, json};
use superfasttt_oauth_testing::{chromium, node};
use superfasttt_proto::control::v1::StartAuthorizationResponse;
use superfasttt_proto::control::v1::get_authorization_response::State as Ended;

use crate::connect_an_account::{CONNECTOR, begin, ended, oidc, oidc_provider, server, source, store_app};
use crate::support::{Server, Source, within};

/// A connection whose provider asks people, and a browser. `None`: there is no Node or no Chromium on this machine.
async fn ready(more: Value) -> Option<(Server, Source, impl Sized, std::path::PathBuf)> {
    let chromium = chromium()?;
    let server = server().await;
    let provider = oidc_provider(&server, &[("INTERACTIVE", "1")]).await?;
    server.add_connector(CONNECTOR, oidc(&provider, more)).await;
    let source = source(&server).await;
    store_app(&server, "by-basic").await;
    Some((server, source, provider, chromium))
}

/// What a person sees at the end.
async fn browse(
    chromium: &std::path::Path,
    begun: &StartAuthorizationResponse,
    locale: &str,
    refuse: bool,
) -> Value {
    let mut command = node("browser.mjs", env!("CARGO_TARGET_TMPDIR")).await.expect("there is Node");
    command.env("CHROMIUM", chromium).env("LINK", &begun.authorization_url).env("LOCALE", locale);
    if refuse {
        command.env("REFUSE", "1");
    }
    command.stderr(std::process::Stdio::piped());
    let output = within("the browser", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the browser: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{:?}: {said}", output.stdout))
}

fn check(seen: &Value, page: &str, language: &str, heading: &str) {
    assert_eq!((seen["page"].as_str(), seen["language"].as_str()), (Some(page), Some(language)), "{seen}");
    assert_eq!((seen["heading"].as_str(), seen["title"].as_str()), (Some(heading), Some(heading)), "{seen}");
    assert_eq!(seen["complaints"], json!([]), "the policy allows what the page has: {seen}");
    assert_eq!((seen["styled"].as_str(), seen["scripts"].as_u64()), (Some("576px"), Some(0)), "{seen}");
    assert_eq!(seen["cookies"], 0, "nothing is left: {seen}");
    assert_eq!(seen["reloaded"], 409, "an answer is good once: {seen}");
}

#[tokio::test]
async fn a_person_agrees_in_a_browser_in_english_and_in_french() {
    let Some((server, source, _provider, chromium)) = ready(json!({})).await else { return };
    let begun = begin(&server, &source.connection).await;
    let seen = browse(&chromium, &begun, "en-GB", false).await;
    check(&seen, "connected", "en", "Account connected");
    assert_eq!(ended(&server, &begun).await.state(), Ended::Succeeded);
    let begun = begin(&server, &source.connection).await;
    let seen = browse(&chromium, &begun, "fr-FR", false).await;
    check(&seen, "connected", "fr", "Compte connecté");
    server.client.sync_well(&source.connection).await;
    let begun = begin(&server, &source.connection).await;
    let seen = browse(&chromium, &begun, "fr-FR", true).await;
    check(&seen, "denied", "fr", "Vous n’avez pas donné votre accord");
    assert_eq!(ended(&server, &begun).await.state(), Ended::Failed);
}

#[tokio::test]
async fn a_provider_that_answers_by_a_form_brings_the_person_back_with_the_cookie() {
    let Some((server, source, _provider, chromium)) = ready(json!({"response_mode": "form_post"})).await
    else {
        return;
    };
    let begun = begin(&server, &source.connection).await;
    let seen = browse(&chromium, &begun, "en-GB", false).await;
    check(&seen, "connected", "en", "Account connected");
    assert_eq!(ended(&server, &begun).await.state(), Ended::Succeeded);
}
