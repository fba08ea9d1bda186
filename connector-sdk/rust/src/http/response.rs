//! An answer of the source, read at once or piece by piece.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use serde::de::DeserializeOwned;
use superfasttt_proto::connector::v1::{ContentHeader, Reason};
use superfasttt_proto::error::ConnectorError;

use crate::content::ContentWriter;
use crate::http::har::Answered;

/// The largest answer that is read at once. Without a bound a source could fill the memory of all its neighbours.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Reading more costs more than another connection.
const MAX_DISCARDED_BYTES: usize = 64 * 1024;
const DISCARD_WITHIN: Duration = Duration::from_secs(1);

/// An answer whose head has come.
#[derive(Debug)]
pub struct HttpResponse {
    /// The request that it answers, for messages.
    name: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Streamed(reqwest::Response),
    /// Taken by the first read.
    Whole(Bytes),
}

impl HttpResponse {
    pub(super) fn streamed(name: String, response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { name, status, headers, body: Body::Streamed(response) }
    }

    pub(super) fn whole(name: String, answered: Answered) -> Self {
        Self { name, status: answered.status, headers: answered.headers, body: Body::Whole(answered.body) }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// SOURCE_UNAVAILABLE when it breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ConnectorError> {
        match &mut self.body {
            Body::Streamed(response) => {
                response.chunk().await.map_err(|error| broken_off(&self.name, &error))
            }
            Body::Whole(bytes) => Ok(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty())),
        }
    }

    /// The whole body, 64 MiB at most.
    ///
    /// # Errors
    ///
    /// CONTENT_TOO_LARGE for more; SOURCE_UNAVAILABLE when it breaks off.
    pub async fn bytes(mut self) -> Result<Bytes, ConnectorError> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut body = BytesMut::from(first.as_ref());
        let mut next = Some(second);
        while let Some(chunk) = next {
            if body.len() + chunk.len() > MAX_BYTES {
                let message = format!("{} has over {MAX_BYTES} bytes: ask for smaller pages", self.name);
                return Err(ConnectorError::new(Reason::ContentTooLarge, message));
            }
            body.extend_from_slice(&chunk);
            next = self.chunk().await?;
        }
        Ok(body.freeze())
    }

    /// The body read as JSON.
    ///
    /// # Errors
    ///
    /// As [`HttpResponse::bytes`]; SOURCE_UNAVAILABLE for what is not the JSON that was expected.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ConnectorError> {
        let name = self.name.clone();
        serde_json::from_slice(&self.bytes().await?).map_err(|error| {
            // The parser's own message may quote the data, so only the place is told.
            let (line, column) = (error.line(), error.column());
            let message = format!("{name} is not the JSON that was expected: line {line}, column {column}");
            ConnectorError::new(Reason::SourceUnavailable, message)
        })
    }

    /// The body as text. What is no UTF-8 is replaced.
    ///
    /// # Errors
    ///
    /// As [`HttpResponse::bytes`].
    pub async fn text(self) -> Result<String, ConnectorError> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// Gives the body on as a document's bytes, piece by piece, with the type and the length that the source tells.
    ///
    /// # Errors
    ///
    /// CONTENT_TOO_LARGE when the server takes less; SOURCE_UNAVAILABLE when it breaks off.
    pub async fn stream_to(mut self, content: &mut ContentWriter) -> Result<(), ConnectorError> {
        let text = |name| self.headers.get(name).and_then(|value| value.to_str().ok());
        let header = ContentHeader {
            media_type: text(CONTENT_TYPE).unwrap_or_default().to_owned(),
            length_bytes: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            ..ContentHeader::default()
        };
        content.header(header).await?;
        while let Some(chunk) = self.chunk().await? {
            content.write(chunk).await?;
        }
        Ok(())
    }

    /// Reads what is left of a small answer that nobody wants, so that its connection can be used again.
    pub(super) async fn discard(mut self) {
        let read = async {
            let mut bytes = 0;
            while let Ok(Some(chunk)) = self.chunk().await {
                bytes += chunk.len();
                if bytes > MAX_DISCARDED_BYTES {
                    break;
                }
            }
        };
        tokio::time::timeout(DISCARD_WITHIN, read).await.ok();
    }

    /// Reads it to its end, for the recording.
    pub(super) async fn read(self) -> Result<Answered, ConnectorError> {
        let (status, headers) = (self.status, self.headers.clone());
        Ok(Answered { status, headers, body: self.bytes().await? })
    }
}

/// No answer, or half of one. The kind of the error is told and not its text, which has the address with its query in it.
pub(super) fn broken_off(name: &str, error: &reqwest::Error) -> ConnectorError {
    let how = if error.is_timeout() {
        "is not answered in time"
    } else if error.is_connect() {
        "cannot be asked: there is no connection"
    } else {
        "is not answered to the end"
    };
    ConnectorError::new(Reason::SourceUnavailable, format!("{name} {how}"))
}
