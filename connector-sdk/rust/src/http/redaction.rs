//! What is never written because of its name: headers, query parameters and fields that hold secrets.

use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::redact::{REDACTED, Redactor};

const SECRET_WORDS: [&str; 4] = ["token", "secret", "password", "key"];
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "set-cookie", "proxy-authorization"];
const FORM: &str = "application/x-www-form-urlencoded";

/// Whether a header, a query parameter or a field of this name is never written.
pub(super) fn says_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_HEADERS.contains(&name.as_str()) || SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// An address without secrets, and without the fragment, which is not sent.
pub(super) fn redact_url(url: &Url, redactor: &Redactor) -> Url {
    let mut bare = url.clone();
    bare.set_fragment(None);
    // Neither fails for an address that has a host.
    bare.set_username("").ok();
    bare.set_password(None).ok();
    if let Some(query) = url.query() {
        // As it was written where nothing in it is secret: sources differ in what they escape.
        bare.set_query(Some(&redact_form(query)));
    }
    Url::parse(&redactor.mask(bare.as_str())).unwrap_or(bare)
}

/// A body that is text, without the values of fields whose name says that they are secret.
pub(super) fn redact_body(text: String, media_type: &str) -> String {
    if media_type.to_ascii_lowercase().starts_with(FORM) {
        return redact_form(&text);
    }
    let is_named = || {
        let lower = text.to_ascii_lowercase();
        SECRET_WORDS.iter().chain(&SECRET_HEADERS).any(|word| lower.contains(word))
    };
    if !text.trim_start().starts_with(['{', '[']) || !is_named() {
        return text;
    }
    match serde_json::from_str(&text) {
        Ok(value) => without_secrets(value, false).to_string(),
        Err(_) => text,
    }
}

fn redact_form(form: &str) -> String {
    if !form_urlencoded::parse(form.as_bytes()).any(|(name, _)| says_secret(&name)) {
        return form.to_owned();
    }
    let mut redacted = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(form.as_bytes()) {
        redacted.append_pair(&name, if says_secret(&name) { REDACTED } else { &value });
    }
    redacted.finish()
}

fn without_secrets(value: Value, is_secret: bool) -> Value {
    match value {
        Value::Object(fields) => {
            let redact = |(name, value): (String, Value)| {
                let is_secret = says_secret(&name);
                (name, without_secrets(value, is_secret))
            };
            Value::Object(fields.into_iter().map(redact).collect())
        }
        Value::Array(items) => items.into_iter().map(|item| without_secrets(item, is_secret)).collect(),
        Value::String(text) if is_secret && !text.is_empty() => REDACTED.into(),
        Value::Number(_) if is_secret => REDACTED.into(),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_what_is_not_secret_as_it_was_written() {
        let redactor = Redactor::new(["s3cret"]);
        let redact = |url: &str| redact_url(&url.parse().unwrap(), &redactor).to_string();
        assert_eq!(redact("https://u:p@a.example/b?q=a%20b%2Cc#f"), "https://a.example/b?q=a%20b%2Cc");
        assert_eq!(redact("https://a.example/bots3cret/x"), "https://a.example/bot[redacted]/x");
        assert_eq!(
            redact("https://a.example/?api_key=1&q=a+b"),
            "https://a.example/?api_key=%5Bredacted%5D&q=a+b"
        );
    }

    #[test]
    fn a_body_keeps_what_is_not_secret() {
        let json = |text: &str| redact_body(text.to_owned(), "application/json");
        assert_eq!(json(r#"{ "b": 1, "a": 2 }"#), r#"{ "b": 1, "a": 2 }"#);
        assert_eq!(
            json(
                r#"{"access_token": "x", "Password": 7, "list": [{"key": null, "keys": ["y", {"a": "b"}]}]}"#
            ),
            r#"{"Password":"[redacted]","access_token":"[redacted]","list":[{"key":null,"keys":["[redacted]",{"a":"b"}]}]}"#
        );
        assert_eq!(json("{ no json, token"), "{ no json, token");
        assert_eq!(redact_body("a=b&client_secret=x".to_owned(), FORM), "a=b&client_secret=%5Bredacted%5D");
    }
}
