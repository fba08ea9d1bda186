//! How answers that bring nothing are judged: only a clear one ends a grant.

use std::time::Duration;

use serde_json::{Value, json};
use superfasttt_oauth::{Client, Egress, Failure, Http, HttpOptions, Unclear};
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

fn auth() -> Value {
    json!({"authorization_url": "/authorize", "token_url": "/token"})
}

async fn at(answer: Answer) -> Failure {
    let provider = FakeProvider::start().await;
    provider.answer(answer);
    refresh(&client(&provider, auth())).await.unwrap_err()
}

fn refusal() -> Value {
    json!({"error": "invalid_grant", "error_description": "it is over"})
}

#[tokio::test]
async fn a_clear_refusal_has_a_status_that_fits() {
    for status in [200, 400, 401, 403] {
        assert!(matches!(at(Answer::json(status, &refusal())).await, Failure::Refused(_)), "{status}");
    }
    for (status, reason) in [
        (429, Unclear::Throttled),
        (500, Unclear::Unavailable),
        (502, Unclear::Unavailable),
        (503, Unclear::Unavailable),
        (302, Unclear::Redirected),
    ] {
        let failure = at(Answer::json(status, &refusal())).await;
        assert!(
            matches!(&failure, Failure::Ambiguous(unclear) if unclear.reason == reason),
            "{status}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn a_code_beside_a_token_ends_nothing() {
    let failure = at(Answer::json(200, &json!({"error": "invalid_grant", "access_token": "a"}))).await;
    assert!(matches!(failure, Failure::Ambiguous(unclear) if unclear.reason == Unclear::Unreadable));
    // What is empty is no code.
    let provider = FakeProvider::start().await;
    for none in [json!(null), json!(""), json!(0), json!(false)] {
        provider.answer(Answer::json(200, &json!({"error": none, "access_token": "a"})));
        refresh(&client(&provider, auth())).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_understood_is_tried_again() {
    for (answer, reason) in [
        (Answer::text(200, "application/json", r#"{"access_token": "half of a tok"#), Unclear::Unreadable),
        (Answer::text(400, "text/html", "<html>invalid_grant</html>"), Unclear::Unreadable),
        (Answer::text(403, "text/plain", "invalid_grant"), Unclear::Unreadable),
        (Answer::empty(401), Unclear::Unreadable),
        (Answer::empty(404), Unclear::Unreadable),
        (Answer::json(400, &json!({"error": "what_is_this"})), Unclear::UnknownCode),
        (Answer::json(400, &json!({"error": "temporarily_unavailable"})), Unclear::Unavailable),
        (Answer::json(400, &json!({"error": "slow_down"})), Unclear::Throttled),
        (Answer::json(200, &json!({"ok": false})), Unclear::Unreadable),
        (Answer::text(200, "application/json", &"[".repeat(500_000)), Unclear::Unreadable),
    ] {
        let shown = format!("{answer:?}").chars().take(200).collect::<String>();
        let failure = at(answer).await;
        assert!(
            matches!(&failure, Failure::Ambiguous(unclear) if unclear.reason == reason),
            "{shown}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn what_an_administrator_has_to_mend_is_told_and_ends_nothing() {
    for (code, said) in [
        ("invalid_client", "client secret"),
        ("unauthorized_client", "application's settings"),
        ("redirect_uri_mismatch", "redirect URI"),
        ("invalid_scope", "scopes"),
        ("invalid_request", "`auth` of the connector's manifest"),
        ("unsupported_grant_type", "`auth` of the connector's manifest"),
    ] {
        let failure = at(Answer::json(400, &json!({"error": code}))).await;
        assert!(matches!(failure, Failure::Misconfigured(_)), "{failure:?}");
        let message = failure.to_string();
        assert!(
            message.contains(code) && message.contains("an administrator must") && message.contains(said),
            "{message}"
        );
    }
    let message = at(Answer::json(400, &refusal())).await.to_string();
    assert_eq!(
        message,
        "the provider ended the access (invalid_grant: it is over); a person must connect the account again"
    );
}

#[tokio::test]
async fn how_long_to_wait_is_seconds_or_a_date() {
    for (header, expected) in [
        ("120", Some(120)),
        ("Fri, 15 Jan 2027 08:02:00 GMT", Some(120)),
        ("Fri, 15 Jan 2021 08:02:00 GMT", Some(0)),
        ("99999999999", Some(7 * 86400)),
        ("soon", None),
        ("-1", None),
    ] {
        for status in [429, 503] {
            let failure = at(Answer::empty(status).header("retry-after", header)).await;
            let Failure::Ambiguous(unclear) = failure else { panic!("{failure:?}") };
            assert_eq!(unclear.retry_after, expected.map(Duration::from_secs), "{header}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (provider, elsewhere) = (FakeProvider::start().await, FakeProvider::start().await);
    for status in [301, 302, 303, 307, 308] {
        let page = Answer::text(status, "text/plain", "moved, with a-token-for-somebody-else");
        provider.answer(page.header("location", &elsewhere.url("/token")));
        let unclear = ambiguous(refresh(&client(&provider, auth())).await);
        assert_eq!((unclear.reason, unclear.status), (Unclear::Redirected, Some(status)));
        assert_eq!(unclear.said, "", "only errors are quoted");
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn a_reply_without_end_is_not_read_to_its_end() {
    let large = format!(r#"{{"access_token": "a", "x": "{}"}}"#, "x".repeat(1024 * 1024));
    let announced = at(Answer::text(200, "application/json", &large)).await;
    // Cut behind the limit, so that its length is not what gives it away.
    for failure in [announced, at(Answer::text(200, "application/json", &large).chunked()).await] {
        assert!(
            matches!(&failure, Failure::Ambiguous(unclear) if unclear.reason == Unclear::Unreadable),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_ends_early_may_have_reached_the_provider() {
    for cut in [0, 10] {
        let answer = Answer::json(200, &json!({"access_token": "a", "refresh_token": "b"})).cut_after(cut);
        let failure = at(answer).await;
        let Failure::Ambiguous(unclear) = failure else { panic!("{failure:?}") };
        assert_eq!((unclear.reason, unclear.may_have_reached), (Unclear::CutOff, true));
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_was_not_reached() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, auth());
    drop(provider);
    // The port is free again once the server's task has ended.
    let unclear = loop {
        match refresh(&client).await {
            Err(Failure::Ambiguous(unclear)) if unclear.reason == Unclear::Unreachable => break unclear,
            Err(_) => tokio::task::yield_now().await,
            Ok(_) => panic!("it is gone"),
        }
    };
    assert!(!unclear.may_have_reached && unclear.status.is_none());
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_given_up() {
    let provider = FakeProvider::start().await;
    let egress = Egress { allow_loopback: true, ..Egress::default() };
    let options = HttpOptions { egress, timeout: Duration::from_millis(200), ..HttpOptions::default() };
    let impatient = Http::new(options).unwrap();
    let rules = superfasttt_oauth::UrlRules { allowed_hosts: &[], operator_hosts: &[], allow_loopback: true };
    let declaration = declaration(&provider, auth());
    let made = superfasttt_oauth::Provider::new(declaration.into(), &serde_json::Map::new(), &rules).unwrap();
    let app = superfasttt_oauth::App {
        client_id: CLIENT_ID.to_owned(),
        secret: superfasttt_oauth::AppSecret::None,
    };
    let client = Client::new(impatient, made, app.into());
    let half = Answer::json(200, &json!({"access_token": "a"})).stall_after(5);
    for (calls, answer) in [Answer::never(), half].into_iter().enumerate() {
        provider.answer(answer);
        let unclear = ambiguous(refresh(&client).await);
        assert_eq!((unclear.reason, unclear.may_have_reached), (Unclear::TimedOut, true));
        assert_eq!(provider.asked().len(), calls + 1, "nothing is sent twice");
    }
}
