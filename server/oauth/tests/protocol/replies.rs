//! How replies of success are read.

use std::time::Duration;

use serde_json::{Value, json};
use superfasttt_oauth::Unclear;
use superfasttt_oauth_testing::{Answer, FakeProvider};

use crate::support::*;

async fn lifetime(reply: Value) -> Option<Duration> {
    let provider = FakeProvider::start().await;
    let fields = json!({"expires_at": "expires_at"});
    let client =
        client(&provider, json!({"authorization_url": "/a", "token_url": "/t", "token_fields": fields}));
    provider.answer(Answer::json(200, &reply));
    refresh(&client).await.unwrap().expires_in
}

#[tokio::test]
async fn lifetimes_are_numbers_texts_or_times_and_nonsense_is_not_known() {
    for (field, value, expected) in [
        ("expires_in", json!(3600), Some(3600)),
        ("expires_in", json!("3600"), Some(3600)),
        ("expires_in", json!(" 3600 "), Some(3600)),
        ("expires_in", json!(3599.9), Some(3599)),
        ("expires_in", json!("3600.0"), Some(3600)),
        ("expires_in", json!(0), None),
        ("expires_in", json!(-5), None),
        ("expires_in", json!("soon"), None),
        ("expires_in", json!(null), None),
        ("expires_in", json!(1e300), None),
        ("expires_in", json!("NaN"), None),
        ("expires_in", json!(u64::MAX), None),
        ("expires_in", json!([3600]), None),
        ("expires_at", json!("2027-01-15T09:00:00+00:00"), Some(3600)),
        ("expires_at", json!(1_800_003_600), Some(3600)),
        ("expires_at", json!("1800003600"), Some(3600)),
        ("expires_at", json!("2020-01-01T00:00:00Z"), None),
        ("expires_at", json!(i64::MIN), None),
    ] {
        let found = lifetime(json!({"access_token": "a", field: value})).await;
        assert_eq!(found, expected.map(Duration::from_secs), "{field} {value}");
    }
}

#[tokio::test]
async fn granted_scopes_are_a_text_or_a_list_in_any_order() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, json!({"authorization_url": "/a", "token_url": "/t"}));
    for (scope, granted, missing) in [
        (json!("b a"), Some(vec!["b", "a"]), vec![]),
        (json!("a"), Some(vec!["a"]), vec!["b"]),
        (json!(["a", "b", "c"]), Some(vec!["a", "b", "c"]), vec![]),
        (json!("a,b"), Some(vec!["a", "b"]), vec![]),
        (json!(""), None, vec![]),
        (json!(null), None, vec![]),
    ] {
        provider.answer(Answer::json(200, &json!({"access_token": "x", "scope": scope})));
        let tokens = exchange(&client, &["a", "b"]).await.unwrap();
        let found = tokens.granted.as_ref().map(|granted| granted.iter().map(String::as_str).collect());
        assert_eq!(
            (found, tokens.missing.iter().map(String::as_str).collect()),
            (granted, missing),
            "{scope}"
        );
    }
}

#[tokio::test]
async fn only_what_can_be_a_token_is_one() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, json!({"authorization_url": "/a", "token_url": "/t"}));
    for reply in [
        json!({"access_token": "a\r\nX-Injected: 1"}),
        json!({"access_token": "é"}),
        json!({"access_token": ""}),
        json!({"access_token": "  "}),
        json!({"access_token": null}),
        json!({"access_token": {"a": 1}}),
        json!({"access_token": "a".repeat(70_000)}),
        json!({"access_token": "a", "refresh_token": "b\n"}),
        json!({"token": "a"}),
        json!([{"access_token": "a"}]),
        json!({}),
    ] {
        provider.answer(Answer::json(200, &reply));
        let unclear = ambiguous(refresh(&client).await);
        assert_eq!((unclear.reason, unclear.may_have_reached), (Unclear::Unreadable, true));
    }
}

#[tokio::test]
async fn extras_are_plain_values_and_never_tokens() {
    let provider = FakeProvider::start().await;
    let extras = json!(["team.id", "n", "yes", "absent", "object", "echo", "url"]);
    let client = client(&provider, json!({"authorization_url": "/a", "token_url": "/t", "extras": extras}));
    provider.answer(Answer::json(
        200,
        &json!({"access_token": "the-access-token", "refresh_token": "the-refresh-token", "team": {"id": "T"}, "n": 7,
                "yes": true, "object": {"a": 1}, "echo": "the-refresh-token", "url": "https://x/?t=the-access-token"}),
    ));
    let extras = exchange(&client, &[]).await.unwrap().extras;
    let extras: Vec<_> = extras.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(extras, [("n", "7"), ("team.id", "T"), ("yes", "true")]);
}

#[tokio::test]
async fn json_is_json_whatever_the_media_type_says() {
    let provider = FakeProvider::start().await;
    let client = client(&provider, json!({"authorization_url": "/a", "token_url": "/t"}));
    for (media_type, body) in [
        ("text/html", r#" {"access_token": "a"} "#),
        ("text/javascript; charset=utf-8", r#"{"access_token": "a"}"#),
        ("application/json", "\u{feff}{\"access_token\": \"a\"}"),
        ("text/plain", "access_token=a&expires_in=5183944"),
    ] {
        provider.answer(Answer::text(200, media_type, body));
        assert_eq!(access(&refresh(&client).await.unwrap()), "a", "{media_type}");
    }
}
