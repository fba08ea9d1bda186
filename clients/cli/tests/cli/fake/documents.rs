//! The fake's documents and its short feed.

use std::sync::atomic::Ordering;

use prost_types::Value;
use prost_types::value::Kind as ValueKind;
use superfasttt_proto::connector::v1::DocumentEnvelope;
use superfasttt_proto::control::v1 as control;
use superfasttt_proto::control::v1::feed_entry::Kind;
use superfasttt_proto::control::v1::{FeedEntry, Tombstone};
use tokio_stream::iter;
use tonic::{Request, Response, Status};

use super::{Answer, Answers, Fake, group};
use crate::support::CONNECTION;

/// A document of the feed.
pub fn document(number: usize) -> FeedEntry {
    let envelope = DocumentEnvelope {
        id: format!("doc-{number}"),
        title: format!("Rapport d'été {number}"),
        content: Some(format!("text {number}")),
        metadata: Some(group([("size", Value { kind: Some(ValueKind::NumberValue(2048.0)) })])),
        ..Default::default()
    };
    FeedEntry {
        organization: "default".into(),
        connection: CONNECTION.into(),
        position: format!("p{number}"),
        kind: Some(Kind::Document(envelope)),
        content_length: 6,
        ..Default::default()
    }
}

fn tombstone(number: usize) -> FeedEntry {
    FeedEntry { kind: Some(Kind::Tombstone(Tombstone { id: format!("doc-{number}") })), ..document(number) }
}

#[tonic::async_trait]
impl control::document_service_server::DocumentService for Fake {
    type ReadContentStream = Answers<control::ReadContentResponse>;
    type WatchDocumentsStream = Answers<control::WatchDocumentsResponse>;

    async fn get_document(
        &self,
        request: Request<control::GetDocumentRequest>,
    ) -> Answer<control::GetDocumentResponse> {
        if request.get_ref().document != "doc-long" {
            return Err(Status::not_found("there is no such document"));
        }
        let mut entry = FeedEntry { content_length: 3_000_000, ..document(1) };
        if let Some(Kind::Document(document)) = &mut entry.kind {
            document.id = "doc-long".into();
            document.content = None;
        }
        Ok(Response::new(control::GetDocumentResponse { entry: Some(entry) }))
    }

    async fn list_documents(
        &self,
        request: Request<control::ListDocumentsRequest>,
    ) -> Answer<control::ListDocumentsResponse> {
        let request = request.into_inner();
        let start: usize = request.page_token.parse().unwrap_or(0);
        let end = self.documents.min(start + usize::try_from(request.page_size).unwrap());
        let next_page_token = if end < self.documents { end.to_string() } else { String::new() };
        Ok(Response::new(control::ListDocumentsResponse {
            entries: (start..end).map(document).collect(),
            next_page_token,
        }))
    }

    async fn read_content(
        &self,
        request: Request<control::ReadContentRequest>,
    ) -> Answer<Self::ReadContentStream> {
        if request.get_ref().document != "doc-long" {
            return Err(Status::not_found("there is no such document"));
        }
        let parts =
            ["one ", "two ", "three"].map(|part| Ok(control::ReadContentResponse { text: part.into() }));
        Ok(Response::new(Box::pin(iter(parts))))
    }

    async fn watch_documents(
        &self,
        request: Request<control::WatchDocumentsRequest>,
    ) -> Answer<Self::WatchDocumentsStream> {
        let request = request.into_inner();
        self.asked.watches.lock().unwrap().push(request.clone());
        let message = |entries, position: &str| control::WatchDocumentsResponse {
            entries,
            position: position.into(),
            ..Default::default()
        };
        let first =
            control::WatchDocumentsResponse { snapshot_begin: true, ..message(vec![document(1)], "p1") };
        let second =
            control::WatchDocumentsResponse { snapshot_end: true, ..message(vec![tombstone(2)], "p2") };
        let breaks =
            self.breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if breaks {
            return Ok(Response::new(Box::pin(iter([
                Ok(first),
                Err(Status::unavailable("the server stops")),
            ]))));
        }
        let left = if request.position.is_empty() { vec![Ok(first), Ok(second)] } else { vec![Ok(second)] };
        Ok(Response::new(Box::pin(iter(left))))
    }

    async fn commit_position(
        &self,
        request: Request<control::CommitPositionRequest>,
    ) -> Answer<control::CommitPositionResponse> {
        self.asked.commits.lock().unwrap().push(request.into_inner());
        Ok(Response::new(control::CommitPositionResponse::default()))
    }
}
