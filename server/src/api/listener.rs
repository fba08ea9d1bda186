//! The control listener: one port for gRPC, gRPC-Web and plain paths such as `/healthz`. A request passes, in this order, the access log,
//! the guard against web pages, the token, and then goes by its content type to the gRPC services or to the plain
//! paths. Messages are taken up to 4 MiB, tonic's default and that of every gRPC library.

mod access_log;
mod authenticate;
mod authority;
mod certificate;
mod connection;
mod door;
mod ending;
mod fallback;
mod guard;
mod prefixed;
mod redaction;
mod refusal;
mod standing;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use http::StatusCode;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower::ServiceExt;

use super::health::Health;
use crate::access::Access;
pub(super) use authenticate::Peer;
pub use certificate::CertificateError;
pub use door::BindError;
pub(super) use door::Door;
use guard::Guard;
pub use tls::Tls;

/// The bound control listener.
#[derive(Debug)]
pub struct Listener {
    door: Door,
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
        let door = Door::open(address, "control", "server.control_listen").await?;
        let draining = CancellationToken::new();
        let app = app(routes, pages, &health, access, door.address(), &draining);
        Ok(Self { door, app, health, draining })
    }

    /// Lets in who speaks TLS, and nobody else; with `None`, who speaks plainly.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { door: self.door.with_tls(tls), ..self }
    }

    /// Where it listens, with the port that was found for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.door.address()
    }

    /// Answers until `shutdown`. Then health says NOT_SERVING, nothing new is accepted, streams that wait are ended with
    /// UNAVAILABLE, and calls under way have `drain_timeout` to end before their connections are closed.
    pub async fn serve(self, shutdown: CancellationToken, drain_timeout: Duration) {
        let Self { door, app, health, draining } = self;
        let drain = async || {
            health.draining().await;
            draining.cancel();
        };
        door.serve(app, shutdown, drain_timeout, drain).await;
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
        .layer(from_fn(redaction::redact_statuses))
        // Outside of the layers above, so that their statuses are put into the form of gRPC-Web too.
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
