//! The way of a browser: from the start page to the provider, and back.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::language::Language;
use super::{Front, cookies, pages};
use crate::api::listener::Peer;
use crate::credentials::authorize::{Answer, Answered, Refusal, Shown};
use crate::store::credentials;

/// How long a person waits for a page. What is worked on then goes on.
const PATIENCE: Duration = Duration::from_secs(100);
/// How long a browser may take to send a form, and how long that may be.
const FORM_PATIENCE: Duration = Duration::from_secs(10);
const MAX_FORM_BYTES: usize = 16 * 1024;
/// What a provider's answer is made of.
const PARAMETERS: [&str; 5] = ["state", "code", "error", "error_description", "iss"];

/// `/oauth/start/{state}`: the browser gets its cookie, and goes to the provider.
pub(super) async fn start(
    State(front): State<Front>,
    Path(state): Path<String>,
    headers: HeaderMap,
) -> Response {
    match front.authorizations.depart(&SecretString::from(state)).await {
        Ok(departure) => {
            let cookie = cookies::set(&departure, front.authorizations.public_url());
            let mut response = see_other(departure.url.expose_secret());
            response.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
            response
        }
        Err(refusal) => pages::refused(language(&headers), &refusal),
    }
}

/// `/oauth/callback`: the provider has sent the browser back.
pub(super) async fn callback(State(front): State<Front>, request: Request) -> Response {
    let language = language(request.headers());
    // A program that only looks where a link leads must not use it up.
    if request.method() == Method::HEAD {
        return pages::nothing_here(language, StatusCode::METHOD_NOT_ALLOWED);
    }
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let Some(answer) = answer(query) else { return pages::refused(language, &Refusal::Malformed) };
    let shown = Shown::Browser(cookies::read(request.headers()));
    let from = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_string()).unwrap_or_default();
    // By itself, so that what was done is also written down where the browser goes away.
    let answering = tokio::spawn({
        let front = front.clone();
        async move {
            let answered = front.authorizations.answer(answer, &shown, front.try_it.clone()).await;
            if let Some(connection) = &answered.connection {
                front.audit.done_to(connection, "credential.connect", outcome(&answered.result), &from).await;
            }
            answered
        }
    });
    match tokio::time::timeout(PATIENCE, answering).await {
        Ok(Ok(answered)) => shown_to_person(&front, language, answered),
        Ok(Err(_)) | Err(_) => pages::slow(language),
    }
}

/// `/oauth/callback` by a form, as some providers answer. The cookie does not come with a form that another site sends, so
/// the browser is sent to the same place once more, as it would have come by itself.
pub(super) async fn callback_form(request: Request) -> Response {
    let language = language(request.headers());
    let malformed = || pages::refused(language, &Refusal::Malformed);
    let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|text| text.split(';').next()).unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return malformed();
    }
    let Some(form) = read_form(request.into_body()).await else { return malformed() };
    if answer(&form).is_none() {
        return malformed();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(&form) {
        if PARAMETERS.contains(&name.as_ref()) {
            query.append_pair(&name, &value);
        }
    }
    // Relative: a proxy may have put the path under another one.
    see_other(&format!("?{}", query.finish()))
}

/// How it ended, as the audit log has it.
fn outcome(result: &Result<credentials::Status, Refusal>) -> &'static str {
    match result {
        Ok(_) => "OK",
        Err(Refusal::Denied(_)) => "PERMISSION_DENIED",
        Err(Refusal::Away(_)) => "UNAVAILABLE",
        Err(_) => "FAILED_PRECONDITION",
    }
}

async fn read_form(body: Body) -> Option<Zeroizing<Vec<u8>>> {
    let reading = axum::body::to_bytes(body, MAX_FORM_BYTES);
    let bytes = tokio::time::timeout(FORM_PATIENCE, reading).await.ok()?.ok()?;
    Some(Zeroizing::new(bytes.to_vec()))
}

/// What the provider sent. `None`: a parameter comes twice, of which two readers may take different ones, or there is none
/// of those that say what came of it.
fn answer(parameters: &[u8]) -> Option<Answer> {
    let mut values = [const { None }; PARAMETERS.len()];
    for (name, value) in form_urlencoded::parse(parameters) {
        if let Some(index) = PARAMETERS.iter().position(|parameter| *parameter == name)
            && values[index].replace(value.into_owned()).is_some()
        {
            return None;
        }
    }
    let [state, code, error, error_description, iss] =
        values.map(|value| value.filter(|text| !text.is_empty()));
    if code.is_none() && error.is_none() {
        return None;
    }
    Some(Answer {
        state: SecretString::from(state?),
        code: code.map(SecretString::from),
        error,
        error_description,
        iss,
    })
}

/// The person ends where they began, or on a page that says what came of it.
fn shown_to_person(front: &Front, language: Language, answered: Answered) -> Response {
    let Answered { connection, return_url, cookie, result } = answered;
    let mut response = match (return_url, &connection) {
        (Some(mut url), Some(connection)) => {
            let connected = matches!(&result, Ok(status) if status.state == credentials::State::Connected);
            url.query_pairs_mut()
                .append_pair("result", if connected { "success" } else { "failed" })
                .append_pair("connection", &connection.id);
            see_other(url.as_str())
        }
        _ => match &result {
            Ok(status) => {
                let name = connection.as_ref().map_or("", |connection| connection.name.as_str());
                pages::connected(language, name, status)
            }
            Err(refusal) => pages::refused(language, refusal),
        },
    };
    let public_url = front.authorizations.public_url();
    let cleared = cookie.and_then(|cookie| cookies::clear(&cookie, public_url));
    response.headers_mut().extend(cleared.map(|cleared| (SET_COOKIE, cleared)));
    response
}

fn see_other(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(mut location) => {
            // It holds the state.
            location.set_sensitive(true);
            (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The language of the person.
pub(super) fn language(headers: &HeaderMap) -> Language {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    accepted.map(Language::accepted).unwrap_or_default()
}
