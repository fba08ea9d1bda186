//! Calls to a connector, as connectord makes them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use superfasttt_proto::connector::v1::connector_client::ConnectorClient;
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// More than the contract lets a connector send, so that what is too large can be told and not only refused.
const MOST_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// Small windows, so that a connector with little to send still has to wait for its reader.
const WINDOW_BYTES: u32 = 64 * 1024;

/// A connector that can be called.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

/// Adds the token to every call.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// A channel that carries the token.
pub type Authorized = InterceptedService<Channel, Bearer>;
/// A client whose calls are let in.
pub type Client = ConnectorClient<Authorized>;

impl Wire {
    /// A channel to a socket; it connects at the first call.
    pub(crate) fn unix(socket: &Path, token: &str) -> Self {
        let socket: PathBuf = socket.to_owned();
        let endpoint = windows(Endpoint::from_static("http://localhost"));
        let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }));
        Self { channel, token: bearer(token) }
    }

    /// A channel to a connector that runs elsewhere.
    pub(crate) fn remote(endpoint: Endpoint, token: Option<&str>) -> Self {
        let endpoint = windows(endpoint.connect_timeout(Duration::from_secs(10)));
        Self { channel: endpoint.connect_lazy(), token: token.and_then(bearer) }
    }

    /// The same connector, shown another token or none.
    pub(crate) fn with_token(&self, token: Option<&str>) -> Self {
        Self { channel: self.channel.clone(), token: token.and_then(bearer) }
    }

    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// What every service beside the connector's own is called through.
    pub(crate) fn authorized(&self) -> Authorized {
        InterceptedService::new(self.channel.clone(), Bearer(self.token.clone()))
    }

    pub(crate) fn client(&self) -> Client {
        ConnectorClient::new(self.authorized()).max_decoding_message_size(MOST_MESSAGE_BYTES)
    }

    /// Health of one service; "" for the whole.
    pub(crate) async fn health(&self, service: &str) -> Result<ServingStatus, Status> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(self.authorized()).check(request).await?;
        Ok(answer.get_ref().status())
    }

    /// Waits until health says SERVING, as connectord does.
    ///
    /// # Errors
    ///
    /// It answered something that waiting does not mend.
    pub(crate) async fn until_serving(&self) -> Result<(), Status> {
        let mut pause = Duration::from_millis(5);
        loop {
            match self.health("").await {
                Ok(ServingStatus::Serving) => return Ok(()),
                Err(status)
                    if matches!(
                        status.code(),
                        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented
                    ) =>
                {
                    return Err(status);
                }
                _ => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

fn bearer(token: &str) -> Option<MetadataValue<Ascii>> {
    let mut header: MetadataValue<Ascii> = format!("Bearer {token}").parse().ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn windows(endpoint: Endpoint) -> Endpoint {
    endpoint.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(16 * WINDOW_BYTES)
}
