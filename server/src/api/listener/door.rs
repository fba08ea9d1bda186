//! A bound port, and the loop that lets connections in: the same for the control listener and the public one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::authenticate::Peer;
use super::connection::{self, HEAD_TIMEOUT};
use super::tls::Tls;

/// Connections at once; more wait in the kernel's queue. Well under the usual limit of 1,024 open files.
const MAX_CONNECTIONS: usize = 512;
/// How long to wait after a failed accept: what it lacks (file descriptors, memory) does not come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something listens there already.
    #[error("{address} is taken: another connectord runs there, or set {setting}")]
    Taken {
        /// Where it should have been.
        address: SocketAddr,
        /// What says so.
        setting: &'static str,
    },
    /// The address is not one of this machine, or the port needs rights that this process has not.
    #[error("cannot listen on {address}: {source}; set {setting}")]
    Failed {
        /// Where it should have been.
        address: SocketAddr,
        /// What says so.
        setting: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound port.
#[derive(Debug)]
pub(in crate::api) struct Door {
    listener: TcpListener,
    address: SocketAddr,
    name: &'static str,
    tls: Option<Tls>,
}

impl Door {
    /// Listens on `address` (port 0: any free one), which `setting` says. `name` is for the log. Nobody is let in before
    /// [`Self::serve`].
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(in crate::api) async fn open(
        address: SocketAddr,
        name: &'static str,
        setting: &'static str,
    ) -> Result<Self, BindError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken { address, setting },
            _ => BindError::Failed { address, setting, source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, name, tls: None })
    }

    /// Lets in who speaks TLS, and nobody else; with `None`, who speaks plainly.
    pub(in crate::api) fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Where it listens, with the port that was found for port 0.
    pub(in crate::api) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `app` to whoever comes, until `shutdown`. Then `drain` is called, and calls under way have `drain_timeout` to
    /// end before their connections are closed.
    pub(in crate::api) async fn serve(
        self,
        app: Router,
        shutdown: CancellationToken,
        drain_timeout: Duration,
        drain: impl AsyncFnOnce(),
    ) {
        let Self { listener, address, name, tls } = self;
        if tls.is_none() && !address.ip().to_canonical().is_loopback() {
            tracing::warn!(
                %address,
                "the {name} listener can be reached from other machines and speaks no TLS; that is right behind a proxy \
                 that does, otherwise give it a certificate (docs/tls.md)"
            );
        }
        let tls = tls.map(Arc::new);
        let _watch =
            tls.clone().map(|tls| AbortOnDropHandle::new(tokio::spawn(async move { tls.watch().await })));
        let (draining, closing) = (CancellationToken::new(), CancellationToken::new());
        let connections = TaskTracker::new();
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let accept = async || {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        loop {
            let (place, accepted) = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Small messages go out at once; a failure only costs latency.
                    let _ = stream.set_nodelay(true);
                    let app = app.clone().layer(Extension(Peer(peer)));
                    let tls = tls.clone();
                    let (draining, closing) = (draining.clone(), closing.clone());
                    connections.spawn(async move {
                        match tls {
                            None => connection::serve(stream, app, HEAD_TIMEOUT, draining, closing).await,
                            Some(tls) => {
                                let stream = draining.run_until_cancelled(tls.accept(stream)).await.flatten();
                                if let Some(stream) = stream {
                                    connection::serve(stream, app, HEAD_TIMEOUT, draining, closing).await;
                                }
                            }
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the {name} listener could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }

        std::mem::drop(listener);
        drain().await;
        draining.cancel();
        connections.close();
        if tokio::time::timeout(drain_timeout, connections.wait()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                drain_timeout_ms = drain_timeout.as_millis(),
                "calls of the {name} listener did not end in time; their connections are closed"
            );
            closing.cancel();
            connections.wait().await;
        }
    }
}
