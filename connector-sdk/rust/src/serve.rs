//! From the environment that the server starts a connector in, to a service that answers.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures::Stream;
use superfasttt_proto::DESCRIPTORS;
use superfasttt_proto::connector::v1::connector_server::ConnectorServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::InterceptorLayer;
use tonic::transport::{Server, server::Connected};
use tonic_health::ServingStatus;

use crate::auth::BearerCheck;
use crate::connector::Connector;
use crate::log;
use crate::manifest::ManifestError;
use crate::service::ConnectorService;
use crate::traffic::Traffic;

/// After a signal, calls get this long to end.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// The largest message that is taken: more than the server sends, so that it may send more one day.
const MAX_TAKEN_BYTES: usize = 16 * 1024 * 1024;

/// Why a connector cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody started the program by hand.
    #[error(
        "this program is a connector: connectord starts it with CONNECTOR_SOCKET and CONNECTOR_TOKEN set, and \
         {0} is not. Put its folder under the server's --connectors-dir"
    )]
    StartedByHand(&'static str),
    /// `manifest.json` cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The socket cannot be bound.
    #[error("cannot listen on CONNECTOR_SOCKET={}: {source}", path.display())]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system refused something else that serving needs.
    #[error("cannot serve: {0}")]
    System(#[from] io::Error),
    /// The service ended by itself.
    #[error("the service ended: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Where to listen and who may call.
#[derive(Clone)]
pub struct ServeOptions {
    /// The path of the Unix socket to bind.
    pub socket: PathBuf,
    /// What every call has to carry as `authorization: Bearer`.
    pub token: String,
}

impl ServeOptions {
    /// Reads CONNECTOR_SOCKET and CONNECTOR_TOKEN.
    ///
    /// # Errors
    ///
    /// [`ServeError::StartedByHand`] when one of them is missing or empty.
    pub fn from_env() -> Result<Self, ServeError> {
        let read = |name: &'static str| {
            std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or(ServeError::StartedByHand(name))
        };
        Ok(Self { socket: read("CONNECTOR_SOCKET")?.into(), token: read("CONNECTOR_TOKEN")? })
    }
}

/// Serves as the environment says, logging to stderr, until SIGTERM or SIGINT.
pub(crate) fn serve_from_env<C: Connector>(connector: C) -> Result<(), ServeError> {
    let options = ServeOptions::from_env()?;
    log::to_stderr();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve_with(connector, options));
    // Blocking work of the author that does not ask whether it is cancelled must not hold the exit.
    runtime.shutdown_background();
    result
}

/// Serves `connector` on a Unix socket until SIGTERM or SIGINT, on a runtime that the caller brings.
///
/// # Errors
///
/// When the manifest or the socket cannot be used.
pub async fn serve_with<C: Connector>(connector: C, options: ServeOptions) -> Result<(), ServeError> {
    let bind = |source| ServeError::Bind { path: options.socket.clone(), source };
    // A socket left by a process that was killed would refuse the bind.
    match std::fs::remove_file(&options.socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(bind(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&options.socket).map_err(bind)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let result =
        serve_on(connector, &options.token, &Traffic::from_env(), UnixListenerStream::new(listener), stop)
            .await;
    // Best effort: the folder is the server's, which removes it too.
    std::fs::remove_file(&options.socket).ok();
    result
}

/// Serves `connector` on the connections that `incoming` brings, until `stop` ends.
pub(crate) async fn serve_on<C, I, IO>(
    connector: C,
    token: &str,
    traffic: &Traffic,
    incoming: I,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError>
where
    C: Connector,
    I: Stream<Item = io::Result<IO>>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let stopping = CancellationToken::new();
    let service = ConnectorServer::new(ConnectorService::new(connector, traffic, stopping.clone())?)
        .max_decoding_message_size(MAX_TAKEN_BYTES);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<ConnectorServer<ConnectorService<C>>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let invalid = |error| io::Error::other(format!("the contract's descriptors do not load: {error}"));
    let stopped = stopped_for_too_long(stopping.clone());
    let stop = async move {
        stop.await;
        health.set_service_status("", ServingStatus::NotServing).await;
        stopping.cancel();
    };
    let server = Server::builder()
        .layer(InterceptorLayer::new(BearerCheck::new(token)))
        .add_service(health_service)
        .add_service(reflection().build_v1().map_err(invalid)?)
        .add_service(reflection().build_v1alpha().map_err(invalid)?)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, stop);
    tokio::select! {
        result = server => Ok(result?),
        () = stopped => Ok(()),
    }
}

/// Ends when calls have had their time after the stop. A client that keeps a stream open does not hold the exit.
async fn stopped_for_too_long(stopping: CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(STOP_WITHIN).await;
}

#[cfg(test)]
mod tests {
    use superfasttt_proto::connector::v1::DocumentEnvelope;
    use superfasttt_proto::error::ConnectorError;
    use tonic::Code;

    use super::*;
    use crate::testing::{self, full_pull};
    use crate::{ItemKey, Pull, Sink};

    /// Checkpoints once and then waits for ever.
    struct Endless;

    impl Connector for Endless {
        type Settings = serde_json::Value;
        type Raw = ();

        fn manifest(&self) -> &str {
            r#"{"id": "endless"}"#
        }

        async fn pull(&self, _pull: Pull<Self::Settings>, sink: &Sink<Self>) -> Result<(), ConnectorError> {
            sink.checkpoint("begun", true).await?;
            std::future::pending().await
        }

        fn normalize(
            &self,
            _key: &ItemKey,
            (): (),
            _settings: &Self::Settings,
        ) -> Result<DocumentEnvelope, ConnectorError> {
            Ok(DocumentEnvelope::default())
        }
    }

    #[tokio::test]
    async fn a_stop_ends_running_pulls_with_an_error_that_says_to_call_again() {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async { stopped.await.unwrap_or_default() };
        let (mut client, service) = testing::connect_until(Endless, stopped).await;
        let mut stream = client.pull(full_pull(serde_json::json!({}))).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some());
        stop.send(()).unwrap();
        assert_eq!(stream.message().await.unwrap_err().code(), Code::Unavailable);
        // The client is still there, and holds nothing up.
        tokio::time::timeout(STOP_WITHIN * 2, service).await.unwrap().unwrap();
    }
}
