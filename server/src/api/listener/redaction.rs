//! No status that leaves the listener holds a secret that is in use, whoever made it: its headers or trailers are read
//! on the way out.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::redact;

/// Middleware: statuses without secrets. Inside of the layer of gRPC-Web, which puts trailers into the body.
pub(super) async fn redact_statuses(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    redact_headers(response.headers_mut());
    response.map(|inner| Body::new(RedactedBody(inner)))
}

fn redact_headers(headers: &mut HeaderMap) {
    let Some(status) = Status::from_header_map(headers) else { return };
    if let Some(redacted) = redacted(&status) {
        headers.remove(Status::GRPC_STATUS_DETAILS);
        // What was a header before is one now. Were it not, the status would be sent without its text.
        headers.remove(Status::GRPC_MESSAGE);
        let _ = redacted.add_header(headers);
    }
}

/// The status without secrets; `None` where it holds none.
fn redacted(status: &Status) -> Option<Status> {
    let (message, details) = (redact::text(status.message()), redact::bytes(status.details()));
    let is_clean = |bytes: &[u8], before: &[u8]| bytes == before;
    if is_clean(message.as_bytes(), status.message().as_bytes()) && is_clean(&details, status.details()) {
        return None;
    }
    // Texts within an encoded message have their lengths before them, so the details are made anew of what programs go by.
    let mut details = ErrorDetails::new();
    if let Some(info) = status.get_details_error_info() {
        let text = |text: String| redact::string(text);
        let metadata: HashMap<String, String> =
            info.metadata.into_iter().map(|(name, value)| (text(name), text(value))).collect();
        details.set_error_info(text(info.reason), info.domain, metadata);
    }
    if let Some(retry) = status.get_details_retry_info() {
        details.set_retry_info(retry.retry_delay);
    }
    if let Some(bad) = status.get_details_bad_request() {
        for fault in bad.field_violations {
            details.add_bad_request_violation(redact::string(fault.field), redact::string(fault.description));
        }
    }
    Some(Status::with_error_details(status.code(), message.into_owned(), details))
}

struct RedactedBody(Body);

impl http_body::Body for RedactedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context).map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                redact_headers(trailers);
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Code;

    use super::*;

    #[test]
    fn a_status_keeps_what_programs_go_by_and_loses_the_secret() {
        let _kept = redact::keep("a-canary-of-statuses");
        let mut details = ErrorDetails::with_error_info(
            "ACCESS_DENIED",
            "connectors.superfasttt",
            [("said".to_owned(), "a-canary-of-statuses".to_owned())],
        );
        details.set_retry_info(Some(Duration::from_secs(3)));
        details.set_help(vec![]);
        let status = Status::with_error_details(Code::PermissionDenied, "no: a-canary-of-statuses", details);
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        redact_headers(&mut headers);
        let after = Status::from_header_map(&headers).unwrap();
        assert_eq!((after.code(), after.message()), (Code::PermissionDenied, "no: [redacted]"));
        let info = after.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["said"].as_str()), ("ACCESS_DENIED", "[redacted]"));
        assert_eq!(after.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(3)));
        // Others go as they are.
        let plain =
            Status::with_error_details(Code::Aborted, "plain", ErrorDetails::with_error_info("X", "y", []));
        let mut headers = HeaderMap::new();
        plain.add_header(&mut headers).unwrap();
        let before = headers.clone();
        redact_headers(&mut headers);
        assert_eq!(headers, before);
    }
}
