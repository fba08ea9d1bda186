//! What `fetch_content` writes the bytes to.

use bytes::Bytes;
use superfasttt_proto::connector::v1::{
    ContentHeader, FetchContentResponse, Reason, fetch_content_response::Kind,
};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::listing::violation;

/// The largest chunk that is sent; larger ones are split without copying.
const MAX_CHUNK_BYTES: usize = 512 * 1024;

/// Takes the header and then the bytes of one document.
pub struct ContentWriter {
    responses: mpsc::Sender<FetchContentResponse>,
    cancel: CancellationToken,
    max_bytes: Option<u64>,
    header_sent: bool,
    announced_bytes: Option<u64>,
    sent_bytes: u64,
}

impl ContentWriter {
    pub(crate) fn new(
        responses: mpsc::Sender<FetchContentResponse>,
        cancel: CancellationToken,
        max_bytes: Option<u64>,
    ) -> Self {
        Self { responses, cancel, max_bytes, header_sent: false, announced_bytes: None, sent_bytes: 0 }
    }

    /// Says what the bytes are: once, before them.
    ///
    /// # Errors
    ///
    /// CONTENT_TOO_LARGE when the length is over what the server takes: nothing needs to be read then.
    /// PROTOCOL_VIOLATION for a second header. Pass either on with `?`.
    pub async fn header(&mut self, header: ContentHeader) -> Result<(), ConnectorError> {
        if self.header_sent {
            return Err(violation("the header of a document's bytes was given after its first message"));
        }
        if let Some(length) = header.length_bytes {
            self.check_size(length)?;
        }
        self.announced_bytes = header.length_bytes;
        self.header_sent = true;
        self.send(Kind::Header(header)).await
    }

    /// Writes bytes of any length. Without a header before them an empty one is sent.
    ///
    /// # Errors
    ///
    /// CONTENT_TOO_LARGE when more was written than the server takes; when nobody reads any more. Pass either on
    /// with `?`.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<(), ConnectorError> {
        if !self.header_sent {
            self.header(ContentHeader::default()).await?;
        }
        let mut bytes = bytes.into();
        self.sent_bytes += bytes.len() as u64;
        self.check_size(self.sent_bytes)?;
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(MAX_CHUNK_BYTES));
            self.send(Kind::Chunk(chunk)).await?;
        }
        Ok(())
    }

    /// Whether the server has gone away, for blocking work.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// After the author's code: a document without bytes still has a header, and a length is kept.
    pub(crate) async fn finish(&mut self) -> Result<(), ConnectorError> {
        if !self.header_sent {
            self.header(ContentHeader::default()).await?;
        }
        match self.announced_bytes {
            Some(announced) if announced != self.sent_bytes => {
                let message = format!("{announced} bytes were announced and {} were given", self.sent_bytes);
                Err(ConnectorError::new(Reason::Internal, message))
            }
            _ => Ok(()),
        }
    }

    fn check_size(&self, bytes: u64) -> Result<(), ConnectorError> {
        match self.max_bytes {
            Some(max) if bytes > max => {
                let message = format!("the document has {bytes} bytes or more and at most {max} are taken");
                Err(ConnectorError::new(Reason::ContentTooLarge, message))
            }
            _ => Ok(()),
        }
    }

    async fn send(&self, kind: Kind) -> Result<(), ConnectorError> {
        let response = FetchContentResponse { kind: Some(kind) };
        self.responses.send(response).await.map_err(|_| {
            ConnectorError::new(Reason::SourceUnavailable, "nobody reads the document's bytes any more")
        })
    }
}
