//! Plays the bytes of a document.

use std::time::Duration;

use bytes::Bytes;
use superfasttt_proto::connector::v1::{
    ContentHeader, FetchContentResponse, Reason, fetch_content_response::Kind,
};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::mpsc;
use tonic::Status;

use crate::script::Content;

const CHUNK_BYTES: u64 = 64 * 1024;

pub type Responses = mpsc::Sender<Result<FetchContentResponse, Status>>;

/// Plays the entry of a `content_ref`, or says that there is none.
pub async fn play(content: Option<Content>, responses: Responses) {
    let Some(content) = content else {
        let error = ConnectorError::new(Reason::NotFound, "the script has no such content");
        responses.send(Err(error.to_status())).await.ok();
        return;
    };
    tokio::time::sleep(Duration::from_millis(content.delay_ms)).await;
    if let Err(status) = play_bytes(content, &responses).await {
        responses.send(Err(status)).await.ok();
    }
}

async fn play_bytes(content: Content, responses: &Responses) -> Result<(), Status> {
    if let Some(failure) = content.fail {
        let error = failure.into_error();
        return Err(
            error.map_or_else(|error| Status::failed_precondition(format!("{error:#}")), Status::from)
        );
    }
    let bytes = match (content.text, content.file) {
        (Some(text), _) => Some(Bytes::from(text)),
        (None, Some(file)) => Some(Bytes::from(std::fs::read(&file)?)),
        (None, None) => None,
    };
    // Zeros are made chunk by chunk, so that a document of many gigabytes takes no memory here.
    let zeros = Bytes::from(vec![0; CHUNK_BYTES as usize]);
    let length = bytes.as_ref().map_or(content.size_bytes.unwrap_or(0), |bytes| bytes.len() as u64);
    let header = ContentHeader {
        media_type: content.media_type,
        length_bytes: Some(content.length_bytes.unwrap_or(length)),
        version: content.version,
    };
    if !send(responses, Kind::Header(header)).await {
        return Ok(());
    }
    let end = content.cut_after_bytes.map_or(length, |cut| cut.min(length));
    let mut sent = 0;
    while sent < end {
        let step = CHUNK_BYTES.min(end - sent);
        let chunk = match &bytes {
            Some(bytes) => bytes.slice(sent as usize..(sent + step) as usize),
            None => zeros.slice(..step as usize),
        };
        if !send(responses, Kind::Chunk(chunk)).await {
            return Ok(());
        }
        sent += step;
    }
    if content.cut_after_bytes.is_some() {
        return Err(ConnectorError::new(Reason::SourceUnavailable, "the script cuts here").to_status());
    }
    Ok(())
}

async fn send(responses: &Responses, kind: Kind) -> bool {
    responses.send(Ok(FetchContentResponse { kind: Some(kind) })).await.is_ok()
}
