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

use crate::access::Permission;

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
    #[error("the token is none of this server's; check it against server.token, or ask for an API token")]
    TokenWrong,
    /// It was good until a while ago.
    #[error("the token has expired; ask an administrator for a new one: connectorctl tokens create")]
    TokenExpired,
    /// A person ended it.
    #[error("the token was revoked; ask an administrator for a new one: connectorctl tokens create")]
    TokenRevoked,
    /// It is good, and not for this.
    #[error("this needs the permission {0}, which the token does not have; use one that has it")]
    PermissionMissing(Permission),
    /// Nobody can tell whether it is good.
    #[error("the store failed; the server's log says more")]
    StoreFailed,
}

impl Refusal {
    /// The answer to a request that came with `headers`.
    pub(super) fn answer(self, headers: &HeaderMap) -> Response {
        if is_grpc(headers) {
            return grpc_answer(headers, self.status());
        }
        let http_status = match self.told().0 {
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        };
        let mut response = (http_status, format!("{self}\n")).into_response();
        if http_status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl Refusal {
    /// As a status.
    pub(super) fn status(self) -> Status {
        let (code, reason) = self.told();
        let actor = match self {
            Refusal::PermissionMissing(_) | Refusal::StoreFailed => Actor::Admin,
            _ => Actor::User,
        };
        let mut metadata = HashMap::from([("actor".to_owned(), actor.as_str().to_owned())]);
        if let Refusal::PermissionMissing(permission) = self {
            metadata.insert("permission".to_owned(), permission.as_str().to_owned());
        }
        let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata);
        Status::with_error_details(code, self.to_string(), details)
    }

    /// The code and the reason, as in docs/errors.
    pub(super) fn told(self) -> (Code, &'static str) {
        match self {
            Refusal::HostRefused => (Code::PermissionDenied, "HOST_REFUSED"),
            Refusal::OriginRefused => (Code::PermissionDenied, "ORIGIN_REFUSED"),
            Refusal::TokenRequired => (Code::Unauthenticated, "TOKEN_REQUIRED"),
            Refusal::TokenWrong => (Code::Unauthenticated, "TOKEN_WRONG"),
            Refusal::TokenExpired => (Code::Unauthenticated, "TOKEN_EXPIRED"),
            Refusal::TokenRevoked => (Code::Unauthenticated, "TOKEN_REVOKED"),
            Refusal::PermissionMissing(_) => (Code::PermissionDenied, "PERMISSION_MISSING"),
            Refusal::StoreFailed => (Code::Unavailable, "STORE_FAILED"),
        }
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
