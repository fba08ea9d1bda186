//! Exchanges as entries of HAR 1.2, without secrets. The files of all SDKs have this shape.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    TRANSFER_ENCODING,
};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::http::redaction::{redact_body, redact_url, says_secret};
use crate::redact::{REDACTED, Redactor};

/// A request as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer that was read to its end.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// One exchange. The parts that only people read need not be there.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(default)]
    started_date_time: String,
    #[serde(default)]
    time: f64,
    pub(super) request: Request,
    pub(super) response: Response,
    #[serde(default)]
    cache: Empty,
    #[serde(default)]
    timings: Timings,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: String,
    #[serde(default)]
    http_version: String,
    #[serde(default)]
    cookies: Vec<Value>,
    #[serde(default)]
    headers: Vec<Pair>,
    #[serde(default)]
    query_string: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) post_data: Option<Body>,
    #[serde(default)]
    headers_size: i64,
    #[serde(default)]
    body_size: i64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    status: u16,
    #[serde(default)]
    status_text: String,
    #[serde(default)]
    http_version: String,
    #[serde(default)]
    cookies: Vec<Value>,
    #[serde(default)]
    headers: Vec<Pair>,
    #[serde(default)]
    content: Body,
    #[serde(default, rename = "redirectURL")]
    redirect_url: String,
    #[serde(default)]
    headers_size: i64,
    #[serde(default)]
    body_size: i64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body {
    /// Of answers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<i64>,
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    pub(super) text: String,
    /// `base64` for what is no text. HAR 1.2 has it for answers; its readers pass it over in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Timings {
    send: f64,
    wait: f64,
    receive: f64,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Empty {}

/// When an exchange began, and how long it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) started: prost_types::Timestamp,
    pub(super) took: Duration,
}

impl Entry {
    pub(super) fn new(asked: &Asked, answered: &Answered, span: Span, redactor: &Redactor) -> Self {
        let milliseconds = span.took.as_micros() as f64 / 1000.0;
        let location = answered.headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        Self {
            started_date_time: span.started.to_string(),
            time: milliseconds,
            request: Request::new(asked, redactor),
            response: Response {
                status: answered.status.as_u16(),
                status_text: answered.status.canonical_reason().unwrap_or_default().to_owned(),
                http_version: "HTTP/1.1".to_owned(),
                cookies: Vec::new(),
                headers: pairs_of(&without_framing(&answered.headers), redactor),
                content: Body {
                    size: i64::try_from(answered.body.len()).ok(),
                    ..Body::new(&answered.body, &answered.headers, redactor)
                },
                redirect_url: location.map(|location| redactor.mask(&location)).unwrap_or_default(),
                headers_size: -1,
                body_size: -1,
            },
            cache: Empty {},
            timings: Timings { wait: milliseconds, ..Timings::default() },
        }
    }
}

impl Request {
    pub(super) fn new(asked: &Asked, redactor: &Redactor) -> Self {
        let url = redact_url(&asked.url, redactor);
        let query = url.query_pairs().map(|(name, value)| Pair { name: name.into(), value: value.into() });
        Self {
            method: asked.method.to_string(),
            query_string: query.collect(),
            url: url.into(),
            http_version: "HTTP/1.1".to_owned(),
            cookies: Vec::new(),
            headers: pairs_of(&asked.headers, redactor),
            post_data: (!asked.body.is_empty()).then(|| Body::new(&asked.body, &asked.headers, redactor)),
            headers_size: -1,
            body_size: i64::try_from(asked.body.len()).unwrap_or(-1),
        }
    }
}

impl Response {
    /// The answer that was recorded; `None` where the file was changed into something that is none.
    pub(super) fn answered(&self) -> Option<Answered> {
        let body = match self.content.encoding.as_deref() {
            Some("base64") => Bytes::from(STANDARD.decode(&self.content.text).ok()?),
            _ => Bytes::from(self.content.text.clone()),
        };
        let mut headers = HeaderMap::new();
        for pair in &self.headers {
            // Other writers keep names here that only HTTP/2 has.
            if let (Ok(name), Ok(value)) = (pair.name.parse::<HeaderName>(), pair.value.parse()) {
                headers.append(name, value);
            }
        }
        let headers = without_framing(&headers);
        Some(Answered { status: StatusCode::from_u16(self.status).ok()?, headers, body })
    }
}

impl Body {
    fn new(body: &Bytes, headers: &HeaderMap, redactor: &Redactor) -> Self {
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let masked = redactor.mask_bytes(body);
        let (text, encoding) = match String::from_utf8(masked) {
            Ok(text) => (redact_body(text, media_type), None),
            Err(error) => (STANDARD.encode(error.as_bytes()), Some("base64".to_owned())),
        };
        Self { size: None, mime_type: media_type.to_owned(), text, encoding }
    }
}

/// The headers without those that tell how the body travelled: it is kept as it was read.
fn without_framing(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

fn pairs_of(headers: &HeaderMap, redactor: &Redactor) -> Vec<Pair> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = if says_secret(name.as_str()) {
            REDACTED.to_owned()
        } else {
            redactor.mask(&String::from_utf8_lossy(value.as_bytes()))
        };
        Pair { name: name.to_string(), value }
    };
    headers.iter().map(pair).collect()
}
