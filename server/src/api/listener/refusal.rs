//! A request turned away before it reached a service: one reason, told in the way that the caller understands. gRPC and
//! gRPC-Web get a status with `google.rpc.ErrorInfo` (an HTTP error page would read as "unknown" or "unavailable" there),
//! everything else an HTTP status and a line of text.

use std::collections::HashMap;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use superfasttt_proto::error::{Actor, ERROR_DOMAIN};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It named a host that is not this machine, or none: a web page may have pointed its own name at us.
    #[error(
        "this server listens on loopback and answers only where the request's authority is a loopback name; call it as \
         localhost or 127.0.0.1, or set server.control_listen and server.token to let other machines in"
    )]
    HostRefused,
    /// A web page of another origin sent it.
    #[error("requests from web pages of another origin are refused; open the page from this server itself")]
    OriginRefused,
    /// The listener wants a token and there was none.
    #[error("a token is required; send `authorization: Bearer TOKEN` with the value of server.token")]
    TokenRequired,
    /// There was a token, but another one.
    #[error("the token is not the one of this server; check it against server.token")]
    TokenWrong,
}

impl Refusal {
    /// The answer to a request that came with `headers`.
    pub(super) fn answer(self, headers: &HeaderMap) -> Response {
        let (code, http_status, reason) = match self {
            Refusal::HostRefused => (Code::PermissionDenied, StatusCode::FORBIDDEN, "HOST_REFUSED"),
            Refusal::OriginRefused => (Code::PermissionDenied, StatusCode::FORBIDDEN, "ORIGIN_REFUSED"),
            Refusal::TokenRequired => (Code::Unauthenticated, StatusCode::UNAUTHORIZED, "TOKEN_REQUIRED"),
            Refusal::TokenWrong => (Code::Unauthenticated, StatusCode::UNAUTHORIZED, "TOKEN_WRONG"),
        };
        if is_grpc(headers) {
            let metadata = HashMap::from([("actor".to_owned(), Actor::User.as_str().to_owned())]);
            let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata);
            return grpc_answer(headers, Status::with_error_details(code, self.to_string(), details));
        }
        let mut response = (http_status, format!("{self}\n")).into_response();
        if http_status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Whether the caller speaks gRPC or gRPC-Web, by the content type of its request.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    content_type(headers).starts_with(b"application/grpc")
}

/// `status` as a whole answer: HTTP 200 with the status in its headers ("trailers only"), for a caller that sent
/// `headers`.
fn grpc_answer(headers: &HeaderMap, status: Status) -> Response {
    let mut response = status.into_http::<Body>();
    let content_type = content_type(headers);
    // A gRPC-Web client refuses an answer that is not typed as its own.
    let web_type = if content_type.starts_with(b"application/grpc-web-text") {
        Some("application/grpc-web-text+proto")
    } else if content_type.starts_with(b"application/grpc-web") {
        Some("application/grpc-web+proto")
    } else {
        None
    };
    if let Some(web_type) = web_type {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(web_type));
    }
    response
}

fn content_type(headers: &HeaderMap) -> &[u8] {
    headers.get(CONTENT_TYPE).map_or(b"", HeaderValue::as_bytes)
}
