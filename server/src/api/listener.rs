//! The control listener: one port for gRPC, gRPC-Web and plain paths such as `/healthz`. A request passes, in this order, the access log,
//! the guard against web pages, the token, and then goes by its content type to the gRPC services or to the plain
//! paths. Messages are taken up to 4 MiB, tonic's default and that of every gRPC library.

mod access_log;
mod authenticate;
mod authority;
mod connection;
mod ending;
mod fallback;
mod guard;
mod refusal;
mod standing;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Extension, Router};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower::ServiceExt;

use super::health::Health;
use crate::access::Access;
use authenticate::Peer;
use connection::HEAD_TIMEOUT;
use guard::Guard;

/// Connections at once; more wait in the kernel's queue. Well under the usual limit of 1,024 open files.
const MAX_CONNECTIONS: usize = 512;
/// How long to wait after a failed accept: what it lacks (file descriptors, memory) does not come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something listens there already.
    #[error("{0} is taken: another connectord runs there, or set server.control_listen")]
    Taken(SocketAddr),
    /// The address is not one of this machine, or the port needs rights that this process has not.
    #[error("cannot listen on {address}: {source}; set server.control_listen")]
    Failed {
        /// Where it should have been.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// The bound control listener.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    app: Router,
    health: Health,
    draining: CancellationToken,
}

impl Listener {
    /// Listens on `address` (port 0: any free one) for the control services in `routes`; health and reflection are added
    /// here. `pages` are answered to plain HTTP. Who may call what is for `access` to say. Nothing is answered before [`Self::serve`].
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn bind(
        address: SocketAddr,
        routes: Routes,
        pages: Router,
        health: Health,
        access: Access,
    ) -> Result<Self, BindError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken(address),
            _ => BindError::Failed { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let draining = CancellationToken::new();
        let app = app(routes, pages, &health, access, address, &draining);
        Ok(Self { listener, address, app, health, draining })
    }

    /// Where it listens, with the port that was found for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`. Then health says NOT_SERVING, nothing new is accepted, streams that wait are ended with
    /// UNAVAILABLE, and calls under way have `drain_timeout` to end before their connections are closed.
    pub async fn serve(self, shutdown: CancellationToken, drain_timeout: Duration) {
        let Self { listener, app, health, draining, .. } = self;
        let closing = CancellationToken::new();
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
                    let serving = connection::serve(
                        stream,
                        app.clone().layer(Extension(Peer(peer))),
                        HEAD_TIMEOUT,
                        draining.clone(),
                        closing.clone(),
                    );
                    connections.spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control listener could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }

        drop(listener);
        health.draining().await;
        draining.cancel();
        connections.close();
        if tokio::time::timeout(drain_timeout, connections.wait()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                drain_timeout_ms = drain_timeout.as_millis(),
                "calls did not end in time; their connections are closed"
            );
            closing.cancel();
            connections.wait().await;
        }
    }
}

fn app(
    routes: Routes,
    pages: Router,
    health: &Health,
    access: Access,
    address: SocketAddr,
    draining: &CancellationToken,
) -> Router {
    let grpc = health
        .add_reflection_to(health.add_to(routes))
        .into_axum_router()
        .fallback(fallback::unknown_service)
        .layer(from_fn_with_state(draining.clone(), ending::end_with_server))
        .layer(from_fn(standing::end_with_token))
        // Outside of the layers above, so that their last status is put into the form of gRPC-Web too.
        .layer(GrpcWebLayer::new());
    let plain = Router::new()
        .route("/healthz", get(healthz))
        .with_state(health.clone())
        .merge(pages)
        .fallback(fallback::not_found);
    let by_content_type = tower::service_fn(move |request: Request| {
        let router = if refusal::is_grpc(request.headers()) { grpc.clone() } else { plain.clone() };
        router.oneshot(request)
    });
    let guard = Guard { is_loopback: address.ip().to_canonical().is_loopback() };
    Router::new()
        .fallback_service(by_content_type)
        .layer(from_fn_with_state(access.clone(), authenticate::authenticate))
        .layer(from_fn_with_state((guard, access.audit().clone()), guard::guard))
        .layer(from_fn(access_log::access_log))
}

/// For probes that speak plain HTTP: 200 while serving, 503 while starting or draining.
async fn healthz(State(health): State<Health>) -> (StatusCode, &'static str) {
    let status = if health.is_serving() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, health.told())
}
