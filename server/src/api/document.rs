//! `DocumentService`: documents as they are stored, and the feed. Envelopes are sent as the bytes that they are stored
//! as.

use std::pin::Pin;

use bytes::{BufMut, Bytes};
use futures::{Stream, StreamExt, stream};
use prost::encoding::{WireType, encode_key, encode_varint};
use superfasttt_proto::control::served::document_service_server::DocumentService;
use superfasttt_proto::control::served::*;
use tonic::{Request, Response, Status};

use super::bounds::within;
use super::convert::timestamp;
use super::error::ApiError;
use super::{Api, page};
use crate::access::Caller;
use crate::documents::{Batch, Position, Watch, entry_position, lag_offset};
use crate::store::ConnectionKey;
use crate::store::documents::ContentState;
use crate::store::feed::{FeedBounds, FeedFilter, FeedRow, ReadLimit, Texts};

/// The field number of `DocumentEnvelope.content`.
const CONTENT_FIELD: u32 = 3;
/// A message of the feed: large enough to be worth its overhead, far from the 4 MiB limit even when the last row holds
/// the longest text.
const BATCH: ReadLimit = ReadLimit { rows: 500, bytes: 1024 * 1024 };
/// A part of a text.
const TEXT_PART_BYTES: usize = 256 * 1024;

#[tonic::async_trait]
impl DocumentService for Api {
    async fn get_document(
        &self,
        request: Request<GetDocumentRequest>,
    ) -> Result<Response<GetDocumentResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let connection = self.connection(&caller, &request.connection).await?;
        let row = self.store.document(connection.key, &request.document).await.map_err(ApiError::from)?;
        let row = row.ok_or_else(|| ApiError::not_found("document", &request.document))?;
        let bounds = self.store.feed_bounds().await.map_err(ApiError::from)?;
        Ok(Response::new(GetDocumentResponse { entry: Some(entry(row, &bounds, -1, false)) }))
    }

    async fn list_documents(
        &self,
        request: Request<ListDocumentsRequest>,
    ) -> Result<Response<ListDocumentsResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let rows = page::size(request.page_size)?;
        let organization = within(&caller, &request.organization)?;
        let filters = ["documents", &request.connection, &organization];
        let after = page::key(&filters, &request.page_token)?.map(|key| after(&key)).transpose()?;
        if !request.connection.is_empty() {
            self.connection(&caller, &request.connection).await?;
        }
        let filter =
            FeedFilter { connection: request.connection.clone(), organization: organization.clone() };
        let texts = if request.include_content { Texts::ChangedAfter(-1) } else { Texts::Omit };
        let limit = ReadLimit { rows, ..BATCH };
        let (rows, more) =
            self.store.list_documents(filter, after, texts, limit).await.map_err(ApiError::from)?;
        let last = rows.last().map(|row| format!("{}.{}", row.connection_key.0, row.id));
        let next_page_token = match last {
            Some(last) if more => page::token(&filters, &last),
            _ => String::new(),
        };
        let bounds = self.store.feed_bounds().await.map_err(ApiError::from)?;
        let entries = rows.into_iter().map(|row| entry(row, &bounds, -1, false)).collect();
        Ok(Response::new(ListDocumentsResponse { entries, next_page_token }))
    }

    type ReadContentStream = Pin<Box<dyn Stream<Item = Result<ReadContentResponse, Status>> + Send>>;

    async fn read_content(
        &self,
        request: Request<ReadContentRequest>,
    ) -> Result<Response<Self::ReadContentStream>, Status> {
        let (caller, request) = Caller::of(request)?;
        let connection = self.connection(&caller, &request.connection).await?;
        let text = self.store.text(connection.key, &request.document).await.map_err(ApiError::from)?;
        let text =
            text.ok_or_else(|| ApiError::not_found("document", &request.document))?.unwrap_or_default();
        let parts = stream::unfold((text, 0), |(text, from)| async move {
            let to = text.floor_char_boundary(from + TEXT_PART_BYTES);
            let part = text.get(from..to).filter(|part| !part.is_empty())?.to_owned();
            Some((Ok(ReadContentResponse { text: part }), (text, to)))
        });
        Ok(Response::new(parts.boxed()))
    }

    type WatchDocumentsStream = Pin<Box<dyn Stream<Item = Result<WatchDocumentsResponse, Status>> + Send>>;

    async fn watch_documents(
        &self,
        request: Request<WatchDocumentsRequest>,
    ) -> Result<Response<Self::WatchDocumentsStream>, Status> {
        let (caller, request) = Caller::of(request)?;
        let organization = within(&caller, &request.organization)?;
        let mut filter = FeedFilter { connection: request.connection.clone(), organization };
        // The tombstones of a deleted connection are still to be read.
        let was = self.store.was_connection(caller.organization(), &request.connection);
        if !was.await.map_err(ApiError::from)? {
            if self.store.was_connection("", &request.connection).await.map_err(ApiError::from)? {
                caller.denied_other_organization("connection", &request.connection);
            }
            return Err(ApiError::not_found("connection", &request.connection).into());
        }
        let mut position = parse(&request.position)?;
        if !request.consumer.is_empty() {
            let name = consumer_name(&caller, &request.consumer)?;
            let owner = name.split_once('/').map_or("", |(owner, _)| owner);
            if filter.organization.is_empty() {
                owner.clone_into(&mut filter.organization);
            }
            if !owner.is_empty() && filter.organization != owner {
                let fault = format!("must be {owner:?}: that is whose consumer it is");
                return Err(ApiError::field("organization", fault).into());
            }
            let consumer =
                self.store.consumer(&name, filter.clone(), self.clock.now()).await.map_err(ApiError::from)?;
            caller.concerns_any("consumer", &name, &consumer.filter.organization);
            if filter != FeedFilter::default() && filter != consumer.filter {
                let message =
                    "a consumer's connection and organization are fixed by its first use: use another name";
                return Err(ApiError::Precondition(message.to_owned()).into());
            }
            filter = consumer.filter;
            if position == Position::Beginning {
                position = parse(&consumer.position)?;
            }
        }
        let watch = Watch::new(self.store.clone(), filter, position, !request.omit_content, BATCH);
        let until_caught_up = request.until_caught_up;
        let messages = stream::unfold(Some(watch), move |watch| async move {
            let mut watch = watch?;
            match watch.next(until_caught_up).await {
                Ok(batch) => {
                    let end = until_caught_up && batch.caught_up;
                    Some((Ok(message(batch)), (!end).then_some(watch)))
                }
                Err(error) => Some((Err(Status::from(ApiError::from(error))), None)),
            }
        });
        Ok(Response::new(messages.boxed()))
    }

    async fn commit_position(
        &self,
        request: Request<CommitPositionRequest>,
    ) -> Result<Response<CommitPositionResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let name = consumer_name(&caller, &request.consumer)?;
        let position = parse(&request.position)?;
        let bounds = self.store.feed_bounds().await.map_err(ApiError::from)?;
        if position == Position::Beginning {
            return Err(ApiError::field("position", "is required").into());
        }
        if !position.is_of(&bounds) {
            return Err(ApiError::field("position", "is not one that this feed has given").into());
        }
        let consumer =
            self.store.commit_position(&name, request.position, self.clock.now()).await.map_err(|error| {
                match error {
                    crate::store::StoreError::Missing(_) => {
                        ApiError::not_found("consumer", &request.consumer)
                    }
                    error => ApiError::from(error),
                }
            })?;
        caller.concerns_any("consumer", &name, &consumer.filter.organization);
        let lag = self
            .store
            .feed_lag(consumer.filter, lag_offset(position, &bounds))
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(CommitPositionResponse { position: consumer.position, lag: lag.entries }))
    }
}

fn parse(position: &str) -> Result<Position, ApiError> {
    position.parse().map_err(|error| ApiError::field("position", format!("is {error}")))
}

/// What a consumer is called in the store. Those of an organisation have its name before theirs, and read of that organisation
/// alone: so none hears of another's, whatever they are called, and the installation can name them all.
fn consumer_name(caller: &Caller, asked: &str) -> Result<String, ApiError> {
    let own = caller.organization();
    if !own.is_empty() {
        check_consumer(asked)?;
        return Ok(format!("{own}/{asked}"));
    }
    let (owner, name) = asked.split_once('/').unwrap_or(("default", asked));
    check_consumer(owner)?;
    check_consumer(name)?;
    Ok(asked.to_owned())
}

fn check_consumer(name: &str) -> Result<(), ApiError> {
    let letters = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_' | '.')
    };
    if name.is_empty() || name.len() > 63 || !name.chars().all(letters) {
        return Err(ApiError::field("consumer", "must be 1 to 63 of a-z, 0-9, \"-\", \"_\" and \".\""));
    }
    Ok(())
}

/// The key of a document after which a page begins.
fn after(key: &str) -> Result<(ConnectionKey, String), ApiError> {
    let parsed =
        key.split_once('.').and_then(|(connection, id)| Some((connection.parse().ok()?, id.to_owned())));
    let (connection, id) =
        parsed.ok_or_else(|| ApiError::field("page_token", "is not a token of this server"))?;
    Ok((ConnectionKey(connection), id))
}

fn message(batch: Batch) -> WatchDocumentsResponse {
    let (bounds, known_to, in_snapshot) = (&batch.bounds, batch.known_to, batch.in_snapshot);
    WatchDocumentsResponse {
        entries: batch.rows.into_iter().map(|row| entry(row, bounds, known_to, in_snapshot)).collect(),
        snapshot_begin: batch.snapshot_begin,
        snapshot_end: batch.snapshot_end,
        position: batch.position,
    }
}

/// An entry for a reader who knows every text that changed up to `known_to`.
fn entry(row: FeedRow, bounds: &FeedBounds, known_to: i64, in_snapshot: bool) -> FeedEntry {
    let kind = if row.gone {
        feed_entry::Kind::Tombstone(Tombstone { id: row.id })
    } else {
        feed_entry::Kind::Document(with_content(row.envelope, row.text.as_deref()))
    };
    FeedEntry {
        organization: row.organization,
        connection: row.connection,
        position: entry_position(bounds, row.offset, known_to, in_snapshot),
        content_unchanged: !row.gone && row.content_offset <= known_to,
        content_length: row.text_bytes,
        content_stale: row.content_state == ContentState::Stale,
        content_truncated: row.content_state == ContentState::Truncated,
        committed_at: Some(timestamp(row.committed_at)),
        kind: Some(kind),
    }
}

/// An encoded envelope with its text. Fields of an encoded message may come in any order, so the text goes behind.
fn with_content(mut envelope: Vec<u8>, text: Option<&str>) -> Bytes {
    if let Some(text) = text {
        envelope.reserve(text.len() + 16);
        encode_key(CONTENT_FIELD, WireType::LengthDelimited, &mut envelope);
        encode_varint(text.len() as u64, &mut envelope);
        envelope.put_slice(text.as_bytes());
    }
    envelope.into()
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use superfasttt_proto::connector::v1::DocumentEnvelope;

    use super::*;

    #[test]
    fn a_text_put_behind_an_encoded_envelope_is_its_content() {
        let envelope = DocumentEnvelope { id: "1".to_owned(), title: "é".to_owned(), ..Default::default() };
        for text in [None, Some(""), Some("œuvre")] {
            let sent = with_content(envelope.encode_to_vec(), text);
            let expected = DocumentEnvelope { content: text.map(str::to_owned), ..envelope.clone() };
            assert_eq!(DocumentEnvelope::decode(sent).unwrap(), expected);
        }
    }
}
