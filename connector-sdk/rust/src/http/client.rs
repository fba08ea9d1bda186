//! The client of one call: where a request goes, with what, how often, and what its answer means.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, USER_AGENT,
};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use tokio::time::Instant;
use url::Url;

use crate::call::Call;
use crate::credential::Credential;
use crate::http::har::{Asked, Entry, Span};
use crate::http::hosts::{NotPublic, refused};
use crate::http::redaction::says_secret;
use crate::http::refusal::{reason_of, retry_after};
use crate::http::request::HttpRequest;
use crate::http::response::{HttpResponse, broken_off};
use crate::http::source::HttpSource;
use crate::http::tape::Tape;
use crate::http::waits::{Attempt, PATIENCE, Retries};
use crate::redact::Redactor;
use crate::trace::TraceParent;

const MAX_REDIRECTS: usize = 10;

/// Asks the source, for one call of the server.
///
/// It sets the credential, goes only where the manifest's `allowed_hosts` lets it, keeps its `rate_limits`, waits where the
/// source asks to, tries again what is safe, and makes errors with their reasons of answers of 400 and above. Times: 10
/// seconds to connect, 60 between bytes. It is good for its call only; clones are the same client.
#[derive(Clone)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

struct Inner {
    source: Arc<HttpSource>,
    credential: Option<Credential>,
    redactor: Arc<Redactor>,
    /// Whose rate limits it counts for.
    connection: u64,
    trace: Option<TraceParent>,
    /// With the call's client certificate.
    own_network: Result<Option<reqwest::Client>, ConnectorError>,
}

/// Why an attempt brought no answer.
enum Failure {
    /// The same request may be answered soon.
    Passing(ConnectorError),
    Lasting(ConnectorError),
}

impl HttpClient {
    pub(super) fn new(
        source: Arc<HttpSource>,
        credential: Option<Credential>,
        call: &Call,
        connection: u64,
        own_network: Result<Option<reqwest::Client>, ConnectorError>,
    ) -> Self {
        let (redactor, trace) = (Arc::clone(&call.redactor), call.trace);
        Self { inner: Arc::new(Inner { source, credential, redactor, connection, trace, own_network }) }
    }

    /// A GET of this address.
    pub fn get(&self, url: impl AsRef<str>) -> HttpRequest<'_> {
        self.request(Method::GET, url)
    }

    /// The JSON of an address: [`HttpRequest::send`] and [`HttpResponse::json`] of a GET.
    ///
    /// # Errors
    ///
    /// As both have them.
    pub async fn get_json<T: DeserializeOwned>(&self, url: impl AsRef<str>) -> Result<T, ConnectorError> {
        self.get(url).send().await?.json().await
    }

    /// A POST to this address.
    pub fn post(&self, url: impl AsRef<str>) -> HttpRequest<'_> {
        self.request(Method::POST, url)
    }

    /// A request of any method.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> HttpRequest<'_> {
        HttpRequest::new(self, method, url.as_ref())
    }

    /// Follows redirects, to hosts that are allowed.
    pub(super) async fn send(
        &self,
        mut asked: Asked,
        with_credential: bool,
        any_status: bool,
    ) -> Result<HttpResponse, ConnectorError> {
        self.inner.prepare(&mut asked.headers);
        let mut at_home = true;
        for _ in 0..=MAX_REDIRECTS {
            self.inner.source.hosts.check(&asked.url)?;
            if with_credential && at_home {
                self.inner.authenticate(&mut asked.headers)?;
            }
            let response = self.inner.answer(&asked, at_home).await?;
            let Some(url) = redirected(&response, &asked.url) else {
                return if any_status { Ok(response) } else { self.inner.checked(&asked, response).await };
            };
            let status = response.status();
            response.discard().await;
            if url.origin() != asked.url.origin() {
                // Coming back does not make up for it: where to, the other host has chosen.
                at_home = false;
                forget_secrets(&mut asked.headers);
            }
            follow(&mut asked, status, url);
        }
        let message = format!("{}: over {MAX_REDIRECTS} redirects", self.inner.name(&asked));
        Err(ConnectorError::new(Reason::SourceUnavailable, message))
    }
}

impl Inner {
    fn prepare(&self, headers: &mut HeaderMap) {
        let mut set = |name, value: &str| {
            if let (false, Ok(value)) = (headers.contains_key(name), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        };
        set(USER_AGENT.as_str(), &self.source.user_agent);
        if let Some(trace) = self.trace {
            set("traceparent", &trace.to_string());
        }
    }

    /// Sets `authorization`, unless the author has. A client certificate is shown by the connection.
    fn authenticate(&self, headers: &mut HeaderMap) -> Result<(), ConnectorError> {
        let Some(credential) = self.credential.as_ref().filter(|_| !headers.contains_key(AUTHORIZATION))
        else {
            return Ok(());
        };
        let value = if let Ok((username, password)) = credential.basic() {
            format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
        } else if let Ok(token) = credential.token() {
            format!("{} {token}", credential.token_type())
        } else {
            return Ok(());
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| {
            let message = "the credential has characters that no header can carry: enter it again";
            ConnectorError::new(Reason::CredentialRevoked, message)
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    /// Asks until there is an answer worth giving, or waiting longer is the server's matter.
    async fn answer(&self, asked: &Asked, at_home: bool) -> Result<HttpResponse, ConnectorError> {
        let mut retries = Retries::of(&asked.method);
        loop {
            self.take_turn().await?;
            let outcome = self.attempt(asked, at_home).await;
            let attempt = match &outcome {
                Ok(response) => Attempt::Answered(response.status(), retry_after(response.headers(), now())),
                Err(Failure::Passing(_)) => Attempt::Unanswered,
                Err(Failure::Lasting(error)) => return Err(error.clone()),
            };
            match (retries.pause_after(attempt), outcome) {
                (Some(pause), outcome) => {
                    tracing::debug!(?attempt, ?pause, "asked again after a pause");
                    if let Ok(response) = outcome {
                        response.discard().await;
                    }
                    self.pause(pause).await;
                }
                (None, Ok(response)) => return Ok(response),
                (None, Err(Failure::Passing(error) | Failure::Lasting(error))) => return Err(error),
            }
        }
    }

    /// Waits until the manifest's rate limits let a request go.
    async fn take_turn(&self) -> Result<(), ConnectorError> {
        if matches!(self.source.tape, Tape::Player(_)) {
            return Ok(());
        }
        match self.source.rates.reserve(self.connection, Instant::now(), PATIENCE) {
            Ok(wait) => {
                self.pause(wait).await;
                Ok(())
            }
            Err(wait) => {
                let message = "the rate limits of the manifest are used up";
                Err(ConnectorError::new(Reason::RateLimited, message).with_retry_after(wait))
            }
        }
    }

    async fn pause(&self, wait: std::time::Duration) {
        if !wait.is_zero() && !matches!(self.source.tape, Tape::Player(_)) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Asks once: the file that is replayed, or the network.
    async fn attempt(&self, asked: &Asked, at_home: bool) -> Result<HttpResponse, Failure> {
        match &self.source.tape {
            Tape::None => self.ask_network(asked, at_home).await,
            Tape::Player(player) => {
                let answered = player.answer(asked, &self.redactor).map_err(Failure::Lasting)?;
                Ok(HttpResponse::whole(self.name(asked), answered))
            }
            Tape::Recorder(recorder) => {
                let (started, since) = (now(), Instant::now());
                let answered =
                    self.ask_network(asked, at_home).await?.read().await.map_err(Failure::Passing)?;
                let span = Span { started: started.into(), took: since.elapsed() };
                let entry = Entry::new(asked, &answered, span, &self.redactor);
                recorder.append(&entry).map_err(|error| {
                    let message = format!("the recording cannot be written: {error}");
                    Failure::Lasting(ConnectorError::new(Reason::Internal, message))
                })?;
                Ok(HttpResponse::whole(self.name(asked), answered))
            }
        }
    }

    async fn ask_network(&self, asked: &Asked, at_home: bool) -> Result<HttpResponse, Failure> {
        let own = self.own_network.as_ref().map_err(|error| Failure::Lasting(error.clone()))?;
        // The certificate is shown to the host that was asked, and to none that it redirects to.
        let network = own.as_ref().filter(|_| at_home).unwrap_or(&self.source.network);
        let mut request = reqwest::Request::new(asked.method.clone(), asked.url.clone());
        *request.headers_mut() = asked.headers.clone();
        if !asked.body.is_empty() {
            *request.body_mut() = Some(asked.body.clone().into());
        }
        match network.execute(request).await {
            Ok(response) => Ok(HttpResponse::streamed(self.name(asked), response)),
            Err(error) if is_private(&error) => Err(Failure::Lasting(refused(&asked.url))),
            Err(error) => Err(Failure::Passing(broken_off(&self.name(asked), &error))),
        }
    }

    /// Makes an error of an answer of 400 and above. The author's table comes first.
    async fn checked(&self, asked: &Asked, response: HttpResponse) -> Result<HttpResponse, ConnectorError> {
        let status = response.status();
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(response);
        }
        let wait = retry_after(response.headers(), now());
        response.discard().await;
        let is_renewable = self.credential.as_ref().is_some_and(Credential::is_renewable);
        let reason = (self.source.reasons)(status.as_u16());
        let reason = reason.unwrap_or_else(|| reason_of(status, wait.is_some(), is_renewable));
        let error = ConnectorError::new(reason, format!("{} answers {status}", self.name(asked)))
            .with_metadata("http_status", status.as_u16().to_string());
        Err(match wait {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        })
    }

    /// Names a request, without its query, which may hold what is secret.
    fn name(&self, asked: &Asked) -> String {
        let host = asked.url.host_str().unwrap_or_default();
        self.redactor.mask(&format!("{} {host}{}", asked.method, asked.url.path()))
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpClient")
            .field("credential", &self.inner.credential)
            .finish_non_exhaustive()
    }
}

/// Where the answer sends the request to; `None`: it is no redirect.
fn redirected(response: &HttpResponse, from: &Url) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    from.join(std::str::from_utf8(location.as_bytes()).ok()?).ok()
}

/// As browsers do it: 303, and 301 and 302 of a POST, are asked with GET.
fn follow(asked: &mut Asked, status: StatusCode, url: Url) {
    asked.url = url;
    let becomes_get = match status.as_u16() {
        303 => asked.method != Method::HEAD,
        301 | 302 => asked.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        asked.method = Method::GET;
        asked.body = Bytes::new();
        asked.headers.remove(CONTENT_TYPE);
        asked.headers.remove(CONTENT_LENGTH);
    }
}

/// Takes out the credential, and what the author set that says that it is one.
fn forget_secrets(headers: &mut HeaderMap) {
    let secret: Vec<_> = headers.keys().filter(|name| says_secret(name.as_str())).cloned().collect();
    for name in secret {
        headers.remove(name);
    }
}

fn is_private(error: &reqwest::Error) -> bool {
    let first = error as &(dyn std::error::Error + 'static);
    std::iter::successors(Some(first), |error| error.source()).any(|error| error.is::<NotPublic>())
}

#[expect(
    clippy::disallowed_methods,
    reason = "what the source's dates are compared with, and recordings begin at"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
