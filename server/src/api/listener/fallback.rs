//! What is answered where nothing is served: a gRPC caller hears UNIMPLEMENTED, everything else a short 404.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;

/// The answer to a call of a gRPC service that this server does not have.
pub(super) async fn unknown_service(uri: Uri) -> Response {
    // A path is what the caller sent: as long as it likes.
    let path: String = uri.path().chars().take(200).collect();
    let message = format!(
        "this server has no gRPC service at {path}; grpc.reflection.v1.ServerReflection lists those it has"
    );
    ConnectorError::new(Reason::Unimplemented, message).to_status().into_http::<Body>()
}

/// The answer to any other path.
pub(super) async fn not_found() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, "nothing here: this is the control API of connectord, gRPC and gRPC-Web\n")
}
