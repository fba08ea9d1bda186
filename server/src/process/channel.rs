//! The gRPC channel to a connector, and how it is found out that the connector is ready.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::catalog;
use crate::redact::{self, Kept};
use crate::telemetry::traceparent;

/// How much may be on its way in one stream, and in all streams of a process: enough that a connector need not
/// wait for each page, and little enough to stay bounded.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Puts a process's token, and the trace that the call is part of, on each call. Shows nothing of the token.
#[derive(Clone, Debug)]
pub struct BearerToken {
    /// `None` for a remote connector without one.
    header: Option<MetadataValue<Ascii>>,
    /// Nobody is to write it anywhere.
    _kept: Kept,
}

impl BearerToken {
    pub(super) fn new(token: &SecretString) -> Self {
        let header = MetadataValue::try_from(format!("Bearer {}", token.expose_secret())).ok();
        let header = header.map(|mut header| {
            header.set_sensitive(true);
            header
        });
        Self { header, _kept: redact::keep(token) }
    }

    pub(super) fn none() -> Self {
        Self { header: None, _kept: Kept::default() }
    }

    /// The token in this file.
    fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        // An editor ends a file with a newline.
        let token = Self::new(&SecretString::from(text.trim_end()));
        if token.header.is_some() && !text.trim_end().is_empty() {
            Ok(token)
        } else {
            Err(format!("{} holds no token: one line of visible characters", file.display()))
        }
    }
}

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.header {
            request.metadata_mut().insert("authorization", header.clone());
        }
        // The caller's span is the current one here, so the connector's own hang below it.
        if let Some(trace) = traceparent::current() {
            request.metadata_mut().insert(traceparent::TRACEPARENT, trace);
        }
        Ok(request)
    }
}

/// A channel to the socket of a process. It connects at the first call, and again when the connection breaks.
pub(super) fn unix(socket: &Path) -> Channel {
    let socket: PathBuf = socket.to_owned();
    // The address only fills the authority of requests; the connector function decides where they go.
    windows(Endpoint::from_static("http://localhost")).connect_with_connector_lazy(tower::service_fn(
        move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        },
    ))
}

/// A channel to a connector that runs elsewhere, and the token that it is shown.
///
/// # Errors
///
/// The address, the TLS files or the token's file cannot be used.
pub(super) fn remote(endpoint: &catalog::Endpoint) -> Result<(Channel, BearerToken), String> {
    let token = endpoint.token_file.as_deref().map_or_else(|| Ok(BearerToken::none()), BearerToken::read)?;
    let mut channel = Endpoint::from_shared(endpoint.url.clone())
        .map_err(|error| format!("{} is not an address: {error}", endpoint.url))?
        .connect_timeout(Duration::from_secs(10))
        // A connector behind a network may vanish without a word.
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    if let Some(tls) = &endpoint.tls {
        channel =
            channel.tls_config(tls_config(tls)?).map_err(|error| format!("TLS cannot be set up: {error}"))?;
    }
    Ok((windows(channel).connect_lazy(), token))
}

fn tls_config(tls: &catalog::Tls) -> Result<ClientTlsConfig, String> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&tls.ca_file)?));
    if let (Some(certificate), Some(key)) = (&tls.certificate_file, &tls.private_key_file) {
        config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    if let Some(name) = &tls.server_name {
        config = config.domain_name(name);
    }
    Ok(config)
}

fn windows(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

/// Asks for the connector's health; for how long to wait is the caller's to limit.
///
/// # Errors
///
/// It does not answer, or not what was asked.
pub(super) async fn is_serving(channel: &Channel, token: &BearerToken) -> Result<bool, Status> {
    let mut health = HealthClient::new(InterceptedService::new(channel.clone(), token.clone()));
    let answer = health.check(HealthCheckRequest { service: String::new() }).await?;
    Ok(answer.get_ref().status() == ServingStatus::Serving)
}

/// Waits until health says SERVING; for how long is the caller's to limit.
///
/// # Errors
///
/// The connector answered something that waiting does not mend.
pub(super) async fn wait_until_serving(channel: &Channel, token: &BearerToken) -> Result<(), Status> {
    let mut pause = Duration::from_millis(5);
    loop {
        match tokio::time::timeout(Duration::from_secs(5), is_serving(channel, token)).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Err(status)) if is_final(status.code()) => return Err(status),
            // Not listening yet, not serving yet, or busy.
            Ok(Ok(_) | Err(_)) | Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

fn is_final(code: Code) -> bool {
    matches!(code, Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented)
}
