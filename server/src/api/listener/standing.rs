//! How streams end when the token of their caller does. A watch was let in once, and goes on for as long as its client likes:
//! so the token is looked at again now and then, and when it has expired or was revoked the stream ends with
//! UNAUTHENTICATED.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::refusal::Refusal;
use crate::access::gate::{Refused, Standing};

/// How often the token of an open stream is looked at again.
const EVERY: Duration = Duration::from_secs(15);

/// Middleware: the answer's body ends as told above.
pub(super) async fn end_with_token(request: Request, next: Next) -> Response {
    let Some(standing) = request.extensions().get::<Standing>().cloned() else {
        return next.run(request).await;
    };
    next.run(request).await.map(|inner| Body::new(StandingBody::new(inner, standing)))
}

/// Says why once a token opens nothing any more. Where nobody can tell, it goes on: it was good.
async fn ended(standing: Standing) -> Refusal {
    loop {
        tokio::time::sleep(EVERY).await;
        match standing.check().await {
            Err(Refused::Expired(_)) => return Refusal::TokenExpired,
            Err(Refused::Revoked(_)) => return Refusal::TokenRevoked,
            Ok(()) | Err(Refused::Required | Refused::Wrong | Refused::Store(_)) => {}
        }
    }
}

struct StandingBody {
    inner: Body,
    standing: Standing,
    /// Made at the first wait or the third frame: the answer of a unary call comes to neither and pays nothing.
    ended: Option<Pin<Box<dyn Future<Output = Refusal> + Send>>>,
    frames: u8,
    is_ended: bool,
}

impl StandingBody {
    fn new(inner: Body, standing: Standing) -> Self {
        Self { inner, standing, ended: None, frames: 0, is_ended: false }
    }
}

impl http_body::Body for StandingBody {
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
        // First, so that a stream which always has something to say ends too.
        if let Some(ended) = &mut this.ended
            && let Poll::Ready(refusal) = ended.as_mut().poll(context)
        {
            this.is_ended = true;
            return Poll::Ready(last_frame(refusal).map(Ok));
        }
        let frame = Pin::new(&mut this.inner).poll_frame(context);
        this.frames = this.frames.saturating_add(1);
        if this.ended.is_none() && (frame.is_pending() || this.frames > 2) {
            let mut ended: Pin<Box<dyn Future<Output = Refusal> + Send>> =
                Box::pin(ended(this.standing.clone()));
            // It only begins to wait here: nothing is ready before its first pause is over.
            let _ = ended.as_mut().poll(context);
            this.ended = Some(ended);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn last_frame(refusal: Refusal) -> Option<Frame<Bytes>> {
    let mut trailers = HeaderMap::new();
    // A plain text always fits a header; were it not to, the stream would end without a status.
    refusal.status().add_header(&mut trailers).ok().map(|()| Frame::trailers(trailers))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::sync::Arc;

    use chrono::DateTime;
    use futures::{StreamExt, stream};

    use super::*;
    use crate::access::{Access, Audit, Permission, gate};
    use crate::clock::MockClock;
    use crate::store::Store;
    use crate::store::api_tokens::NewApiToken;
    use crate::store::memory::MemoryStore;

    /// The grpc-status that a body ends with, once it does within a minute.
    async fn end(body: &mut Body) -> Option<String> {
        let ending = async {
            loop {
                let frame =
                    poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut *body), context)).await;
                match frame.unwrap().unwrap().into_trailers() {
                    Ok(trailers) => return trailers["grpc-status"].to_str().unwrap().to_owned(),
                    Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ending).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_its_token_is_revoked() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(false));
        let clock = Arc::new(MockClock::new(DateTime::UNIX_EPOCH));
        let new = NewApiToken {
            id: "t1".to_owned(),
            name: "watcher".to_owned(),
            hash: gate::hash(b"sfc_good"),
            organization: String::new(),
            permissions: vec![Permission::Read],
            expires_at: None,
        };
        store.create_api_token(new, DateTime::UNIX_EPOCH).await.unwrap();
        let audit = Audit::new(store.clone(), clock.clone());
        let access = Access::new(store.clone(), clock, None, false, audit);
        assert!(access.standing(b"s3cret").is_none(), "the server's own does not end");
        let standing = access.standing(b"sfc_good").unwrap();
        let silent = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let busy = Body::from_stream(stream::repeat(Ok::<_, Infallible>(Bytes::from_static(b"x"))).boxed());
        let mut bodies = [silent, busy].map(|inner| Body::new(StandingBody::new(inner, standing.clone())));
        for body in &mut bodies {
            assert_eq!(end(body).await, None, "it goes on while the token is good");
        }
        store.revoke_api_token("t1", DateTime::UNIX_EPOCH).await.unwrap();
        for body in &mut bodies {
            assert_eq!(end(body).await.as_deref(), Some("16"));
        }
    }
}
