//! What is never shown: every secret is a canary, and everything that can be printed is searched for it.

use std::fmt::Debug;

use proptest::prelude::*;
use serde_json::{Value, json};
use superfasttt_oauth::{Client, Grant};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

const CODE: &str = "canary-code-q7w8e9r0";
const VERIFIER: &str = "canary-verifier-a1s2d3f4g5h6j7k8l9";
const REFRESH: &str = "canary-refresh-z1x2c3v4b5n6m7";
const ACCESS: &str = "canary-access-p0o9i8u7y6t5";

fn assert_clean(shown: &impl Debug) {
    let shown = format!("{shown:?} {shown:#?}");
    for secret in [CODE, VERIFIER, REFRESH, ACCESS, CLIENT_SECRET] {
        // Not even a part of it.
        for part in [secret, &secret[..12], &secret[secret.len() - 12..]] {
            assert!(!shown.contains(part), "{part} in {shown}");
        }
    }
}

async fn all_calls(provider: &FakeProvider, client: &Client, answer: &dyn Fn() -> Answer) {
    let (code, verifier, refresh, access) = (secret(CODE), secret(VERIFIER), secret(REFRESH), secret(ACCESS));
    provider.answer(answer());
    let result = client.exchange(&code, Some(&verifier), REDIRECT_URI, &[], now()).await;
    assert_clean(&result);
    assert_clean(&result.err().map(|failure| failure.to_string()));
    provider.answer(answer());
    let result = client.refresh(&refresh, &[], now()).await;
    assert_clean(&result);
    assert_clean(&result.err().map(|failure| failure.to_string()));
    provider.answer(answer());
    let result = client.revoke(Grant { access: Some(&access), refresh: Some(&refresh) }, now()).await;
    assert_clean(&result);
    assert_clean(&result.err().map(|failure| failure.to_string()));
}

fn auth() -> Value {
    json!({"authorization_url": "/authorize", "token_url": "/token", "revocation_url": "/revoke/{token}"})
}

#[tokio::test]
async fn a_provider_that_echoes_everything_reveals_nothing() {
    let all = format!("{CODE} {VERIFIER} {REFRESH} {ACCESS} {CLIENT_SECRET}");
    let encoded: String = url::form_urlencoded::byte_serialize(all.as_bytes()).collect();
    for (way, client_auth) in [("form", "post"), ("json", "basic"), ("query", "post")] {
        let provider = FakeProvider::start().await;
        let mut auth = auth();
        auth["request"] = json!(way);
        auth["client_auth"] = json!(client_auth);
        let client = client(&provider, auth);
        assert_clean(&client);
        // Each call's error echoes what that call sent.
        let echo = |sent: &str| {
            Answer::json(
                400,
                &json!({"error": sent, "error_description": format!("no such token: {sent}\u{1b}")}),
            )
        };
        let (code, verifier, refresh) = (secret(CODE), secret(VERIFIER), secret(REFRESH));
        for sent in [CODE, VERIFIER, CLIENT_SECRET] {
            provider.answer(echo(sent));
            let result = client.exchange(&code, Some(&verifier), REDIRECT_URI, &[], now()).await;
            assert!(format!("{result:?}").contains("no such token: [REDACTED]"), "{result:?}");
            assert_clean(&result);
        }
        for sent in [REFRESH, CLIENT_SECRET] {
            provider.answer(echo(sent));
            assert_clean(&client.refresh(&refresh, &[], now()).await);
            provider.answer(echo(sent));
            assert_clean(&client.revoke(Grant { access: None, refresh: Some(&refresh) }, now()).await);
        }
        // Bodies that are no reply: of success they are not quoted at all.
        all_calls(&provider, &client, &|| Answer::text(200, "text/plain", &all)).await;
        all_calls(&provider, &client, &|| {
            Answer::text(200, "application/json", &format!("{{\"x\": \"{encoded}"))
        })
        .await;
        all_calls(&provider, &client, &|| Answer::text(200, "application/json", &all).cut_after(60)).await;
        all_calls(&provider, &client, &|| Answer::text(500, "text/html", &format!("<html>{all}</html>")))
            .await;
        all_calls(&provider, &client, &|| Answer::empty(302).header("location", &format!("/?{encoded}")))
            .await;
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_reveals_nothing_either() {
    let provider = FakeProvider::start().await;
    let mut auth = auth();
    auth["request"] = json!("query");
    auth["method"] = json!("get");
    let client = client(&provider, auth);
    drop(provider);
    assert_clean(&client.refresh(&secret(REFRESH), &[], now()).await);
    let (refresh, access) = (secret(REFRESH), secret(ACCESS));
    assert_clean(&client.revoke(Grant { access: Some(&access), refresh: Some(&refresh) }, now()).await);
}

#[tokio::test]
async fn tokens_and_authorizations_print_no_secret() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, auth());
    provider.answer(Answer::json(200, &json!({"access_token": ACCESS, "refresh_token": REFRESH})));
    assert_clean(&exchange(&client, &[]).await.unwrap());
    let begun = client.authorize(REDIRECT_URI, &[]).unwrap();
    let verifier = secrecy::ExposeSecret::expose_secret(begun.verifier.as_ref().unwrap()).to_owned();
    let state = secrecy::ExposeSecret::expose_secret(&begun.state);
    let shown = format!("{begun:?}");
    assert!(!shown.contains(&verifier) && !shown.contains(state), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever comes back, nothing panics, nothing of what was sent is shown, and nothing is refused without a code.
    #[test]
    fn no_reply_makes_a_call_panic_or_leak(
        status in prop_oneof![Just(200_u16), Just(400), Just(401), Just(403), Just(500), 201..600_u16],
        before in "\\PC{0,30}",
        field in prop_oneof![Just("error"), Just("error_description"), Just("access_token"), Just("expires_in"), Just("scope")],
        shape in 0..6_usize,
        junk in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let text = format!("{before}{REFRESH}{before}");
        let body = match shape {
            0 => json!({"error": "x", field: text}).to_string(),
            1 => json!({field: [text, {"a": text}], "error": text}).to_string(),
            2 => format!("{field}={text}&error=invalid"),
            3 => format!("<p>{text}"),
            4 => text.clone(),
            _ => String::from_utf8_lossy(&junk).into_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let provider = FakeProvider::start().await;
            let client = client(&provider, auth());
            provider.answer(Answer::text(status, "application/json", &body));
            let result = client.refresh(&secret(REFRESH), &[], now()).await;
            if let Err(failure) = &result {
                let shown = format!("{failure:?} {failure}");
                assert!(!shown.contains(REFRESH) && !shown.contains("z1x2c3v4"), "{shown}");
                assert!(!shown.chars().any(|c| c.is_control()), "{shown:?}");
            }
            if let Err(superfasttt_oauth::Failure::Refused(refused)) = &result {
                panic!("no reply of these says so: {refused:?} to {body}");
            }
        });
    }
}
