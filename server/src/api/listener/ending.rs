//! How streams end when the server does. A watch would otherwise go on for as long as its client likes, and cutting the
//! connection reads as a fault. So once the listener drains, a stream that has nothing to say ends with UNAVAILABLE,
//! which every client takes as "connect again"; one that is still sending goes on until the drain's time is up.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

/// How long a stream must have said nothing to be ended. Longer than a page of the feed takes to be read from the store,
/// so that a client that is catching up is not cut between two pages.
const QUIET: Duration = Duration::from_millis(250);

/// Middleware: the answer's body ends as told above once `draining` is cancelled.
pub(super) async fn end_with_server(
    State(draining): State<CancellationToken>,
    request: Request,
    next: Next,
) -> Response {
    let body = |inner| Body::new(EndingBody { inner, draining, drained: None, quiet: None, is_ended: false });
    next.run(request).await.map(body)
}

struct EndingBody {
    inner: Body,
    draining: CancellationToken,
    /// Made at the first wait: the answer of a unary call never waits and pays nothing.
    drained: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    quiet: Option<Pin<Box<Sleep>>>,
    is_ended: bool,
}

impl http_body::Body for EndingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.is_ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            this.quiet = None;
            return Poll::Ready(frame);
        }
        let drained = this.drained.get_or_insert_with(|| Box::pin(this.draining.clone().cancelled_owned()));
        ready!(drained.as_mut().poll(context));
        let quiet = this.quiet.get_or_insert_with(|| Box::pin(tokio::time::sleep(QUIET)));
        ready!(quiet.as_mut().poll(context));
        this.is_ended = true;
        Poll::Ready(last_frame().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn last_frame() -> Option<Frame<Bytes>> {
    let mut trailers = HeaderMap::new();
    let status = Status::unavailable("the server is stopping; connect again to go on");
    // A plain text always fits a header; were it not to, the stream would end without a status.
    status.add_header(&mut trailers).ok().map(|()| Frame::trailers(trailers))
}
