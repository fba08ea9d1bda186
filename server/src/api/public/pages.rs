//! The pages that people see on the public listener: no script, nothing loaded from elsewhere, readable by everybody.

use std::sync::LazyLock;

use askama::Template;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use ring::digest::{SHA256, digest};

use super::language::Language;
use super::words::{self, Words};
use crate::credentials::authorize::Refusal;
use crate::store::credentials::{State, Status};

/// Black on white and the other way round, at the person's own size of letters.
const STYLE: &str = ":root{color-scheme:light dark}\
body{font:1rem/1.6 system-ui,sans-serif;margin:0;color:#1a1a1a;background:#fff}\
main{max-width:36rem;margin:12vh auto;padding:0 1.25rem}\
h1{font-size:1.6rem;line-height:1.25}\
dt{font-weight:600}dd{margin:0 0 .6rem;overflow-wrap:anywhere}\
@media (prefers-color-scheme:dark){body{color:#f2f2f2;background:#161616}}";

/// What pages may do: use this one style.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("a policy of plain letters is a header's value")
});

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    lang: &'static str,
    /// Which page it is, for whoever has no eyes.
    page: &'a str,
    style: &'static str,
    words: Words,
}

/// After a grant was stored.
pub(super) fn connected(language: Language, connection: &str, status: &Status) -> Response {
    let page = match (status.state, &status.other_account) {
        (State::Connected, _) => "connected",
        (_, Some(_)) => "other-account",
        _ => "unchecked",
    };
    render(language, StatusCode::OK, page, words::connected(language, connection, status))
}

/// Where nothing came of it.
pub(super) fn refused(language: Language, refusal: &Refusal) -> Response {
    let (status, page) = match refusal {
        Refusal::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
        Refusal::Unknown | Refusal::OfBrowser => (StatusCode::NOT_FOUND, "unknown"),
        Refusal::Expired => (StatusCode::GONE, "expired"),
        Refusal::Used => (StatusCode::CONFLICT, "used"),
        Refusal::OtherBrowser => (StatusCode::FORBIDDEN, "other-browser"),
        Refusal::Gone => (StatusCode::GONE, "gone"),
        Refusal::Denied(_) => (StatusCode::FORBIDDEN, "denied"),
        Refusal::Provider { .. } => (StatusCode::BAD_GATEWAY, "provider-error"),
        Refusal::OtherProvider => (StatusCode::FORBIDDEN, "other-provider"),
        Refusal::Exchange(_) => (StatusCode::BAD_GATEWAY, "no-access"),
        Refusal::Here(_) => (StatusCode::INTERNAL_SERVER_ERROR, "server-error"),
        Refusal::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
    };
    let mut response = render(language, status, page, words::refused(language, refusal));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
    }
    response
}

/// Where an answer is worked on for longer than a person waits.
pub(super) fn slow(language: Language) -> Response {
    render(language, StatusCode::GATEWAY_TIMEOUT, "slow", words::slow(language))
}

/// Where there is no page.
pub(super) fn nothing_here(language: Language, status: StatusCode) -> Response {
    render(language, status, "nothing", words::nothing_here(language))
}

fn render(language: Language, status: StatusCode, page: &str, words: Words) -> Response {
    let html = Page { lang: language.tag(), page, style: STYLE, words }.render();
    let Ok(html) = html else {
        // Nothing in the template can fail; were it to, the status still says what happened.
        return status.into_response();
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_LANGUAGE, HeaderValue::from_static(language.tag())),
    ];
    (status, headers, html).into_response()
}
