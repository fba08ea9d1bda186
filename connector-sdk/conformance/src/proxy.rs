//! A proxy between a connector and a source on this machine: it counts requests, and can answer in the source's place.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

type Body = BoxBody<Bytes, hyper::Error>;

/// What is answered in the source's place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// This status, with this `Retry-After`.
    Status(u16, Option<&'static str>),
    /// The connection is closed without an answer.
    Gone,
}

/// Counts what goes through it to one source. Dropping it closes its address.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    source: String,
    fault: Option<Fault>,
    requests: Mutex<Vec<Instant>>,
    under_way: AtomicUsize,
}

impl Proxy {
    /// A proxy to `source` (`host:port`).
    pub(crate) async fn start(source: &str, fault: Option<Fault>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            source: source.to_owned(),
            fault,
            requests: Mutex::default(),
            under_way: AtomicUsize::new(0),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self { address, state, task })
    }

    /// When requests came, in order.
    pub(crate) fn requests(&self) -> Vec<Instant> {
        self.state.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests are being answered.
    pub(crate) fn under_way(&self) -> usize {
        self.state.under_way.load(Ordering::Relaxed)
    }

    /// An address of the source, as one of this proxy.
    fn replace(&self, url: &str) -> Option<String> {
        let (host, authority) = local_authority(url)?;
        (authority == self.state.source)
            .then(|| url.replacen(authority, &format!("{host}:{}", self.address.port()), 1))
    }

    /// Settings in which the source's address is this proxy's.
    pub(crate) fn lead(&self, settings: &Value) -> Value {
        match settings {
            Value::String(text) => Value::String(self.replace(text).unwrap_or_else(|| text.clone())),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.lead(item)).collect()),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(name, value)| (name.clone(), self.lead(value))).collect())
            }
            other => other.clone(),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The first address of this machine in settings, as host and `host:port`.
pub(crate) fn source_in(settings: &Value) -> Option<(String, String)> {
    match settings {
        Value::String(text) => {
            local_authority(text).map(|(host, authority)| (host.to_owned(), authority.to_owned()))
        }
        Value::Array(items) => items.iter().find_map(source_in),
        Value::Object(fields) => fields.values().find_map(source_in),
        _ => None,
    }
}

/// Host and authority of an `http://` address on this machine with a port.
fn local_authority(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = authority.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    ["127.0.0.1", "localhost"].contains(&host).then_some((host, authority))
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // Connections end with the proxy.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        if matches!(state.fault, Some(Fault::Gone)) {
            state.requests.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            continue;
        }
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&state)));
            // A connector that goes away in the middle is what some checks are about.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, hyper::Error> {
    state.requests.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    let _under_way = UnderWay::begin(&state);
    match state.fault {
        Some(Fault::Status(status, retry_after)) => Ok(refusal(status, retry_after)),
        _ => forward(request, &state.source).await.or_else(|_| Ok(refusal(502, None))),
    }
}

/// Hands a request on over a connection of its own. The answer's body flows as the source writes it.
async fn forward(
    request: Request<Incoming>,
    source: &str,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(source).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    Ok(answer.map(BodyExt::boxed))
}

fn refusal(status: u16, retry_after: Option<&'static str>) -> Response<Body> {
    let body = Full::new(Bytes::from_static(b"{\"error\": \"answered by the conformance kit\"}"));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
    if let Some(value) = retry_after {
        headers.insert(HeaderName::from_static("retry-after"), HeaderValue::from_static(value));
    }
    response
}

/// Counts a request as under way while it lives.
struct UnderWay(Arc<State>);

impl UnderWay {
    fn begin(state: &Arc<State>) -> Self {
        state.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(state))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_led_through() {
        let settings = serde_json::json!({"a": ["http://example.com:80/x", "http://127.0.0.1:81/x?y"]});
        let (host, source) = source_in(&settings).unwrap();
        assert_eq!((host.as_str(), source.as_str()), ("127.0.0.1", "127.0.0.1:81"));
        assert_eq!(source_in(&serde_json::json!("https://127.0.0.1:81")), None);
        assert_eq!(source_in(&serde_json::json!("http://127.0.0.1/none")), None);
    }
}
