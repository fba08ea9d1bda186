//! One line per request at debug level. Neither headers, bodies nor queries: any of them may hold a secret.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use tonic::Status;

/// Middleware: logs when the answer's head is there. A stream goes on after its line.
pub(super) async fn access_log(request: Request, next: Next) -> Response {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return next.run(request).await;
    }
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    tracing::debug!(
        %method,
        path,
        status = response.status().as_u16(),
        // Only where the answer is no more than a status; otherwise it comes at the end of the body.
        grpc_code = Status::from_header_map(response.headers()).map(|status| i32::from(status.code())),
        duration_ms = begun.elapsed().as_millis(),
        "request answered"
    );
    response
}
