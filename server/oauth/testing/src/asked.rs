//! What the provider was asked.

use std::collections::BTreeMap;

use axum::extract::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::Value;

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query's parameters.
    pub query: BTreeMap<String, String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Asked {
    pub(crate) async fn read(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 4 * 1024 * 1024).await.unwrap_or_default();
        let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: query.into_owned().collect(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// A header's text; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body's parameters, of a form or of a JSON object, by what the media type says.
    pub fn params(&self) -> BTreeMap<String, String> {
        if self.header("content-type") == "application/json" {
            let value: Value = serde_json::from_str(&self.body).unwrap_or_default();
            let texts = value.as_object().into_iter().flatten();
            return texts
                .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect();
        }
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    /// User name and password of a Basic header, each decoded as RFC 6749 encodes them.
    pub fn basic(&self) -> Option<(String, String)> {
        let bytes = STANDARD.decode(self.header("authorization").strip_prefix("Basic ")?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, password) = text.split_once(':')?;
        let decoded = |text: &str| {
            let pair = format!("x={text}");
            url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
        };
        Some((decoded(user)?, decoded(password)?))
    }

    /// The token of a Bearer header.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization").strip_prefix("Bearer ")
    }
}
