//! The public listener: where browsers begin an authorization and come back from the provider. Everybody on the internet may
//! reach it, so it answers four paths and nothing else, reads little, waits little, says nothing of what is inside, and logs
//! no query and no `state`.
//!
//! `oauth` is the way of a browser, `pages` what it is shown, in the `words` and the `language` of its person, `cookies`
//! what binds an authorization to it.

mod cookies;
mod language;
mod oauth;
mod pages;
#[cfg(test)]
mod tests;
mod words;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::listener::{BindError, Door, Tls};
use crate::access::Audit;
use crate::credentials::authorize::{Authorizations, TryIt};

/// A longer address is none of ours.
const MAX_URI_BYTES: usize = 16 * 1024;
/// The longest that a request may take: an answer of a provider is waited for.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What the pages need.
#[derive(Clone)]
pub struct Front {
    /// The authorizations under way.
    pub authorizations: Arc<Authorizations>,
    /// Tries a connection whose account was connected.
    pub try_it: TryIt,
    /// What a browser brought is written here.
    pub audit: Audit,
    /// Whether the process serves.
    pub health: Health,
}

/// The bound public listener.
#[derive(Debug)]
pub struct PublicListener(Door);

impl PublicListener {
    /// Listens on `address` (port 0: any free one). Nothing is answered before [`Self::serve`].
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Door::open(address, "public", "server.public_listen").await.map(Self)
    }

    /// Lets in who speaks TLS, and nobody else; with `None`, who speaks plainly.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self(self.0.with_tls(tls))
    }

    /// Where it listens, with the port that was found for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.address()
    }

    /// Answers until `shutdown`; calls under way then have `drain_timeout` to end.
    pub async fn serve(self, front: Front, shutdown: CancellationToken, drain_timeout: Duration) {
        self.0.serve(router(front), shutdown, drain_timeout, async || {}).await;
    }
}

fn router(front: Front) -> Router {
    Router::new()
        .route("/oauth/start/{state}", get(oauth::start))
        .route("/oauth/callback", get(oauth::callback).post(oauth::callback_form))
        .route("/healthz", get(healthz))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_this_way)
        .with_state(front)
        .layer(from_fn(bounds))
        .layer(from_fn(security_headers))
        .layer(from_fn(access_log))
}

/// For probes: 200 while serving, 503 while starting or draining.
async fn healthz(State(front): State<Front>) -> (StatusCode, &'static str) {
    if front.health.is_serving() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not serving\n")
    }
}

async fn nothing_here(request: Request) -> Response {
    pages::nothing_here(oauth::language(request.headers()), StatusCode::NOT_FOUND)
}

async fn not_this_way(request: Request) -> Response {
    pages::nothing_here(oauth::language(request.headers()), StatusCode::METHOD_NOT_ALLOWED)
}

/// Middleware: what is too long is not read, and nothing takes for ever.
async fn bounds(request: Request, next: Next) -> Response {
    let language = oauth::language(request.headers());
    let length = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if length > MAX_URI_BYTES {
        return pages::nothing_here(language, StatusCode::URI_TOO_LONG);
    }
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => pages::slow(language),
    }
}

/// Middleware: browsers keep nothing, run nothing, show it in no frame, and tell nobody where they were.
async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, pages::POLICY.clone()),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (VARY, HeaderValue::from_static("accept-language, cookie")),
        (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex")),
    ] {
        headers.insert(name, value);
    }
    response
}

/// Middleware: one line per request at debug level. Neither the query nor the `state` of a start page: either opens
/// something.
async fn access_log(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let route = match request.uri().path() {
        path if path.starts_with("/oauth/start/") => "/oauth/start/…",
        "/oauth/callback" => "/oauth/callback",
        "/healthz" => "/healthz",
        _ => "(none)",
    };
    let response = next.run(request).await;
    tracing::debug!(
        %method,
        route,
        status = response.status().as_u16(),
        duration_ms = begun.elapsed().as_millis(),
        "public request answered"
    );
    response
}
