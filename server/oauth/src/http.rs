//! The HTTP client of OAuth calls: https by rustls and ring, no proxy, no redirect, no second try, limits on time
//! and size, and only to addresses that the egress rules allow. The rules are applied where names are resolved, to
//! the very addresses that are then connected to, so a name that answers otherwise the second time gains nothing.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls_pki_types::CertificateDer;
use url::Url;
use zeroize::Zeroizing;

use crate::body::SecretBytes;
use crate::egress::{self, Egress};
use crate::tls;

/// A token reply has a few kilobytes; more than this is no token reply.
const MAX_REPLY_BYTES: usize = 1024 * 1024;

/// Resolves names, where the system's resolver is not to be asked.
pub trait Lookup: Send + Sync + 'static {
    /// The addresses of a host.
    fn lookup(&self, host: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;
}

/// How calls are made.
#[derive(Clone)]
pub struct HttpOptions {
    /// Certificates of authorities to trust beside the web's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Which addresses may be connected to.
    pub egress: Egress,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a call may take, from its begin to the last byte of the reply.
    pub timeout: Duration,
    /// Who resolves names; `None`: the system.
    pub lookup: Option<Arc<dyn Lookup>>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            extra_roots: Vec::new(),
            egress: Egress::default(),
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            lookup: None,
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A certificate that the operator added is not usable.
    #[error("an added root certificate cannot be used ({0}); the operator must correct it")]
    Roots(rustls::Error),
    /// The HTTP library does not start.
    #[error("the HTTP client cannot be made: {0}")]
    Client(reqwest::Error),
}

/// The HTTP client. Cheap to clone; connections are shared.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    egress: Arc<Egress>,
}

impl fmt::Debug for Http {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Http").field("egress", &self.egress).finish_non_exhaustive()
    }
}

impl Http {
    /// A client with these options.
    ///
    /// # Errors
    ///
    /// A root certificate that cannot be used, or a library that does not start.
    pub fn new(options: HttpOptions) -> Result<Self, HttpError> {
        let egress = Arc::new(options.egress);
        let resolver = Resolver { egress: Arc::clone(&egress), lookup: options.lookup };
        let config = tls::client_config(&options.extra_roots).map_err(HttpError::Roots)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .dns_resolver(Arc::new(resolver))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A refresh token that may be used once must not be sent twice behind our back.
            .retry(reqwest::retry::never())
            .http1_only()
            .user_agent(concat!("superfasttt-connectors/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout)
            .pool_idle_timeout(Duration::from_secs(20))
            .build()
            .map_err(HttpError::Client)?;
        Ok(Self { client, egress })
    }

    /// Sends a request and reads the reply to its end.
    pub(crate) async fn send(&self, request: Request) -> Result<Reply, SendError> {
        if !self.egress.allows_url(&request.url) {
            return Err(SendError::Egress);
        }
        let mut builder = self.client.request(request.method, request.url).header(ACCEPT, "application/json");
        for (name, value) in request.headers {
            builder = builder.header(name, value);
        }
        if let Some((media_type, body)) = request.body {
            // The bytes are cleared when the last of hyper's handles on them is dropped.
            builder = builder.header(CONTENT_TYPE, media_type).body(Bytes::from_owner(ClearedBody(body)));
        }
        let mut response = builder.send().await.map_err(SendError::from)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
        if announced.is_some_and(|length| length > MAX_REPLY_BYTES) {
            return Err(SendError::TooLarge { status });
        }
        let mut body = SecretBytes::with_capacity(announced.unwrap_or(8 * 1024));
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.push(&chunk, MAX_REPLY_BYTES) => {}
                Ok(Some(_)) => return Err(SendError::TooLarge { status }),
                Ok(None) => break,
                Err(error) if error.is_timeout() => return Err(SendError::TimedOut),
                Err(error) => return Err(SendError::CutOff(causes(&error))),
            }
        }
        Ok(Reply { status, headers, body })
    }
}

/// A request, with all that is secret in memory that is cleared.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
}

struct ClearedBody(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for ClearedBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A header value that is cleared and that no log shows.
pub(crate) fn secret_header(value: Zeroizing<Vec<u8>>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(ClearedBody(value))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A reply, whatever its status.
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: SecretBytes,
}

impl Reply {
    pub(crate) fn media_type(&self) -> String {
        let text = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    pub(crate) fn retry_after(&self) -> Option<&str> {
        self.headers.get(RETRY_AFTER)?.to_str().ok()
    }
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The rules do not let us call there. Nothing was sent.
    Egress,
    /// No connection. Nothing was sent.
    Unreachable(String),
    /// It took too long.
    TimedOut,
    /// The connection ended too early.
    CutOff(String),
    /// The reply is no token reply.
    TooLarge {
        /// What it began with.
        status: u16,
    },
}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if inner.is::<NotAllowed>() {
                return SendError::Egress;
            }
            cause = inner.source();
        }
        if error.is_connect() || error.is_builder() {
            return SendError::Unreachable(causes(&error));
        }
        if error.is_timeout() { SendError::TimedOut } else { SendError::CutOff(causes(&error)) }
    }
}

/// The causes of an error without its own text, in which reqwest writes the URL: that may hold secrets.
fn causes(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    texts.dedup();
    texts.join(": ")
}

#[derive(Debug, thiserror::Error)]
#[error("the name has no address that may be connected to")]
struct NotAllowed;

struct Resolver {
    egress: Arc<Egress>,
    lookup: Option<Arc<dyn Lookup>>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = Arc::clone(&self.egress);
        let lookup = self.lookup.clone();
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let addresses: Vec<IpAddr> = match lookup {
                // No resolver may say that this machine's own name is elsewhere: http is allowed to it.
                _ if egress::is_localhost(&host) => {
                    vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
                }
                Some(lookup) => lookup.lookup(host).await?,
                None => tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect(),
            };
            let allowed: Vec<SocketAddr> = addresses
                .into_iter()
                .filter(|address| egress.allows(*address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if allowed.is_empty() {
                return Err(NotAllowed.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
