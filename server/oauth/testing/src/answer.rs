//! What the provider answers, also badly: late, cut off, or never.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

/// One answer.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// What it says of its length, where that is not true.
    announced: Option<usize>,
    /// Whether the connection stays open where the body is cut.
    stalls: bool,
    /// Whether its length is not said.
    pieces: bool,
    when: When,
}

#[derive(Debug)]
enum When {
    Now,
    Never,
    Held(oneshot::Receiver<()>, Option<oneshot::Sender<()>>),
}

/// Holds an answer back.
#[derive(Debug)]
pub struct Gate {
    open: oneshot::Sender<()>,
    reached: oneshot::Receiver<()>,
}

impl Gate {
    /// Waits until the request is there.
    pub async fn reached(&mut self) {
        // A provider that is gone has nothing to wait for.
        let _ = (&mut self.reached).await;
    }

    /// Lets the answer go.
    pub fn open(self) {
        let _ = self.open.send(());
    }
}

impl Answer {
    /// A JSON document.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::text(status, "application/json", &value.to_string())
    }

    /// A body of this media type.
    pub fn text(status: u16, media_type: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), media_type.to_owned())];
        Self {
            status,
            headers,
            body: body.as_bytes().to_vec(),
            announced: None,
            stalls: false,
            pieces: false,
            when: When::Now,
        }
    }

    /// Nothing but a status.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            announced: None,
            stalls: false,
            pieces: false,
            when: When::Now,
        }
    }

    /// No answer; the connection stays open.
    pub fn never() -> Self {
        Self { when: When::Never, ..Self::empty(200) }
    }

    /// With a header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Announces the whole body, sends its begin, and ends the connection.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.announced = Some(self.body.len());
        self.body.truncate(bytes);
        self
    }

    /// Announces the whole body, sends its begin, and then nothing more.
    #[must_use]
    pub fn stall_after(mut self, bytes: usize) -> Self {
        self.stalls = true;
        self.cut_after(bytes)
    }

    /// Sent in pieces, without a word on its length.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.pieces = true;
        self
    }

    /// Held back until the gate is opened.
    pub fn held(mut self) -> (Self, Gate) {
        let (open, opened) = oneshot::channel();
        let (arrived, reached) = oneshot::channel();
        self.when = When::Held(opened, Some(arrived));
        (self, Gate { open, reached })
    }

    pub(crate) async fn into_response(mut self) -> Response<Body> {
        match &mut self.when {
            When::Now => {}
            When::Never => std::future::pending().await,
            When::Held(opened, arrived) => {
                if let Some(arrived) = arrived.take() {
                    let _ = arrived.send(());
                }
                let _ = opened.await;
            }
        }
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let body = match self.announced {
            Some(length) => {
                response = response.header("content-length", length);
                let begin = futures::stream::iter([Ok(Bytes::from(self.body))]);
                let stalls = self.stalls;
                let end = futures::stream::once(async move {
                    if stalls {
                        std::future::pending::<()>().await;
                    }
                    Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
                });
                Body::from_stream(futures::StreamExt::chain(begin, end))
            }
            None if self.pieces => {
                let pieces: Vec<_> = self
                    .body
                    .chunks(16 * 1024)
                    .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
                    .collect();
                Body::from_stream(futures::stream::iter(pieces))
            }
            None => Body::from(self.body),
        };
        response
            .body(body)
            .unwrap_or_else(|error| panic!("a test wrote an answer that HTTP does not allow: {error}"))
    }
}
