//! The way to the server: one channel, the token on every call, and one constructor per service.

use std::path::PathBuf;
use std::time::Duration;

use superfasttt_proto::control::v1 as control;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_health::pb::health_client::HealthClient;

use crate::error::{Error, Result};
use crate::output::note;
use crate::trust;

/// How long to try to reach the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a silent connection lives before it is asked whether it still does.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Where the server is and what it wants to see.
pub struct Target {
    /// Its URL as it was given.
    pub server: String,
    /// The bearer token.
    pub token: Option<String>,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A channel that puts the token on each call.
pub type Transport = InterceptedService<Channel, Bearer>;

/// Puts the token on each call. It has no `Debug`, and the value is marked as sensitive.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// The services of one connectord. Cloning is cheap and shares the channel, which reconnects by itself.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// Connects. Nothing but the transport is tried: a wrong token shows at the first call.
    ///
    /// # Errors
    ///
    /// The URL or the token cannot be used (usage), or nobody answers there.
    pub async fn connect(target: &Target) -> Result<Self> {
        let bearer = bearer(target.token.as_deref())?;
        let url = complete_url(&target.server);
        let usage = |error: tonic::transport::Error| {
            Error::Usage(format!(
                "--server {:?} is not a URL of a server: {}",
                target.server,
                innermost(&error)
            ))
        };
        let mut endpoint = Endpoint::from_shared(url.clone()).map_err(usage)?;
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("https") => {
                let mut tls = trust::config(target.ca_file.as_deref())?;
                if let Some((certificate, key)) = &target.identity {
                    tls = tls.identity(trust::identity(certificate, key)?);
                }
                // What is wrong here is a file: the URL was read before.
                endpoint = endpoint.tls_config(tls).map_err(|error| {
                    Error::Usage(format!("the certificates cannot be used: {}", innermost(&error)))
                })?;
            }
            Some("http") if target.identity.is_some() => {
                return Err(Error::Usage("--client-cert is for https".to_owned()));
            }
            Some("http") if bearer.0.is_some() && !is_loopback(endpoint.uri().host()) => {
                note(&format!("warning: the token travels in the clear to {url}; use https"));
            }
            Some("http") => {}
            // The server sees a name that it knows as its own.
            Some("unix") => {
                endpoint = endpoint.origin(tonic::codegen::http::Uri::from_static("http://localhost"))
            }
            _ => {
                let message =
                    format!("--server {:?} must begin with http://, https:// or unix://", target.server);
                return Err(Error::Usage(message));
            }
        }
        let channel = endpoint
            .user_agent(concat!("connectorctl/", env!("CARGO_PKG_VERSION")))
            .map_err(usage)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .connect()
            .await
            .map_err(|error| Error::Unreachable(innermost(&error)))?;
        Ok(Self { transport: InterceptedService::new(channel, bearer) })
    }

    /// The kinds of sources.
    pub fn catalog(&self) -> control::catalog_service_client::CatalogServiceClient<Transport> {
        control::catalog_service_client::CatalogServiceClient::new(self.transport.clone())
    }

    /// The connections.
    pub fn connections(&self) -> control::connection_service_client::ConnectionServiceClient<Transport> {
        control::connection_service_client::ConnectionServiceClient::new(self.transport.clone())
    }

    /// What connections authenticate with.
    pub fn credentials(&self) -> control::credential_service_client::CredentialServiceClient<Transport> {
        control::credential_service_client::CredentialServiceClient::new(self.transport.clone())
    }

    /// The runs.
    pub fn sync(&self) -> control::sync_service_client::SyncServiceClient<Transport> {
        control::sync_service_client::SyncServiceClient::new(self.transport.clone())
    }

    /// The documents and their feed.
    pub fn documents(&self) -> control::document_service_client::DocumentServiceClient<Transport> {
        control::document_service_client::DocumentServiceClient::new(self.transport.clone())
    }

    /// What operators ask.
    pub fn admin(&self) -> control::admin_service_client::AdminServiceClient<Transport> {
        control::admin_service_client::AdminServiceClient::new(self.transport.clone())
    }

    /// Whether the server serves.
    pub fn health(&self) -> HealthClient<Transport> {
        HealthClient::new(self.transport.clone())
    }
}

fn bearer(token: Option<&str>) -> Result<Bearer> {
    let Some(token) = token else { return Ok(Bearer(None)) };
    let mut value = MetadataValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Error::Usage("--token holds characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(Bearer(Some(value)))
}

/// `127.0.0.1:7070` is what people type.
fn complete_url(server: &str) -> String {
    if server.contains("://") || server.starts_with("unix:") {
        server.to_owned()
    } else {
        format!("http://{server}")
    }
}

fn is_loopback(host: Option<&str>) -> bool {
    let host = host.unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What the lowest layer says: the layers above only say that something below went wrong.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<std::io::Error>() {
        // Without the number of the operating system: "Connection refused (os error 111)".
        Some(io) => match io.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            std::io::ErrorKind::NotFound => "no such socket".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => io.to_string(),
        },
        None => innermost.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_scheme_is_http() {
        assert_eq!(complete_url("127.0.0.1:7070"), "http://127.0.0.1:7070");
        assert_eq!(complete_url("https://a.example"), "https://a.example");
        assert_eq!(complete_url("unix:///run/c.sock"), "unix:///run/c.sock");
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        for host in ["localhost", "127.0.0.1", "127.8.0.1", "[::1]"] {
            assert!(is_loopback(Some(host)), "{host}");
        }
        for host in ["10.0.0.1", "example.org", "localhost.example.org"] {
            assert!(!is_loopback(Some(host)), "{host}");
        }
    }
}
