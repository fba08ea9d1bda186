//! Drive a connector in a test: the real service and a real client over a pipe in memory.
//!
//! ```no_run
//! # use superfasttt_connector::{Connector, testing};
//! # async fn test<C: Connector>(my_connector: C) {
//! let mut client = testing::connect(my_connector).await;
//! let request = testing::full_pull(serde_json::json!({"root": "/srv/documents"}));
//! let pulled = testing::collect_pull(&mut client, request).await;
//! assert_eq!(pulled.error, None);
//! assert_eq!(pulled.documents().count(), 3);
//! # }
//! ```

use std::future::{Future, pending};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use hyper_util::rt::TokioIo;
use prost_types::Struct;
use superfasttt_proto::connector::v1::{
    self, Change, Checkpoint, ContentHeader, DocumentEnvelope, FetchContentRequest, ItemError,
    NormalizeRequest, NormalizeStart, Page, PullMode, PullRequest, PullResponse, RawItem, change,
    connector_client::ConnectorClient, fetch_content_response, normalize_request, normalize_response,
    pull_response,
};
use superfasttt_proto::error::ConnectorError;
use superfasttt_proto::{CONTRACT_REVISION, MAX_MESSAGE_BYTES};
use tokio::task::JoinHandle;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::connector::Connector;
use crate::serve::serve_on;
use crate::traffic::Traffic;
use crate::values::json_to_struct;

const TOKEN: &str = "token-of-a-test";
const PIPE_BYTES: usize = 1024 * 1024;

/// Adds the token to every call.
#[derive(Clone)]
pub struct WithToken(MetadataValue<tonic::metadata::Ascii>);

impl tonic::service::Interceptor for WithToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A client whose calls are let in.
pub type Client = ConnectorClient<InterceptedService<Channel, WithToken>>;

/// Serves `connector` over a pipe in memory and connects a client. The service ends with the runtime.
///
/// # Panics
///
/// When the connector cannot be served, for example because its manifest is broken.
pub async fn connect<C: Connector>(connector: C) -> Client {
    connect_with(connector, &Traffic::Network).await
}

/// The same, with the connector's HTTP traffic recorded, or replayed offline.
///
/// # Panics
///
/// When the connector cannot be served, or the recording cannot be written or read.
pub async fn connect_with<C: Connector>(connector: C, traffic: &Traffic) -> Client {
    let (channel, _) = serve_in_memory(connector, traffic, pending()).await;
    client_of(channel)
}

/// The same with a service that is asked to stop.
#[cfg(test)]
pub(crate) async fn connect_until<C: Connector>(
    connector: C,
    stop: impl Future<Output = ()> + Send + 'static,
) -> (Client, JoinHandle<()>) {
    let (channel, service) = serve_in_memory(connector, &Traffic::Network, stop).await;
    (client_of(channel), service)
}

fn client_of(channel: Channel) -> Client {
    let bearer = MetadataValue::from_static("Bearer token-of-a-test");
    let client = ConnectorClient::with_interceptor(channel, WithToken(bearer));
    client.max_decoding_message_size(MAX_MESSAGE_BYTES)
}

/// The same without the token: a channel for any service beside the connector's, and for calls to be refused.
///
/// # Panics
///
/// When the connector cannot be served.
pub async fn channel<C: Connector>(connector: C) -> Channel {
    serve_in_memory(connector, &Traffic::Network, pending()).await.0
}

async fn serve_in_memory<C: Connector>(
    connector: C,
    traffic: &Traffic,
    stop: impl Future<Output = ()> + Send + 'static,
) -> (Channel, JoinHandle<()>) {
    let (client_end, server_end) = tokio::io::duplex(PIPE_BYTES);
    let incoming = futures::stream::once(async { Ok::<_, std::io::Error>(server_end) });
    let traffic = traffic.clone();
    let service = tokio::spawn(async move {
        // A refused manifest shows in the client's next call too; here it is told in words.
        let incoming = incoming.chain(futures::stream::pending());
        if let Err(error) = serve_on(connector, TOKEN, &traffic, incoming, stop).await {
            panic!("the connector cannot be served: {error}");
        }
    });
    let mut client_end = Some(client_end);
    let channel = Endpoint::from_static("http://connector.invalid")
        .connect_with_connector(tower::service_fn(move |_| {
            let end = client_end.take().map(TokioIo::new);
            async move { end.ok_or_else(|| std::io::Error::other("the connector has ended")) }
        }))
        .await
        .unwrap_or_else(|error| panic!("the connector does not answer: {error}"));
    (channel, service)
}

/// A FULL pull from nothing.
///
/// # Panics
///
/// When `settings` is not a JSON object.
pub fn full_pull(settings: serde_json::Value) -> PullRequest {
    PullRequest {
        settings: Some(settings_struct(settings)),
        mode: PullMode::Full.into(),
        contract_revision: CONTRACT_REVISION,
        ..PullRequest::default()
    }
}

/// Settings as they travel.
///
/// # Panics
///
/// When `settings` is not a JSON object.
pub fn settings_struct(settings: serde_json::Value) -> Struct {
    match settings {
        serde_json::Value::Object(fields) => json_to_struct(fields),
        other => panic!("settings are a JSON object, not {other}"),
    }
}

/// Everything that a pull brought, in order.
#[derive(Debug, Default)]
pub struct Pulled {
    /// The messages of the stream.
    pub responses: Vec<PullResponse>,
    /// The error that it ended with.
    pub error: Option<ConnectorError>,
}

impl Pulled {
    /// The pages, in order.
    pub fn pages(&self) -> impl Iterator<Item = &Page> {
        self.responses.iter().filter_map(|response| match &response.kind {
            Some(pull_response::Kind::Page(page)) => Some(page),
            _ => None,
        })
    }

    /// The changes of all pages, in order.
    pub fn changes(&self) -> impl Iterator<Item = &change::Kind> {
        self.pages().flat_map(|page| &page.changes).filter_map(|change: &Change| change.kind.as_ref())
    }

    /// The envelopes, in order.
    pub fn documents(&self) -> impl Iterator<Item = &DocumentEnvelope> {
        self.changes().filter_map(|kind| match kind {
            change::Kind::Document(document) => Some(document),
            _ => None,
        })
    }

    /// The raw items, in order.
    pub fn raw_items(&self) -> impl Iterator<Item = &RawItem> {
        self.changes().filter_map(|kind| match kind {
            change::Kind::Raw(raw) => Some(raw),
            _ => None,
        })
    }

    /// The folders and the like, in order.
    pub fn containers(&self) -> impl Iterator<Item = &v1::Container> {
        self.changes().filter_map(|kind| match kind {
            change::Kind::Container(container) => Some(container),
            _ => None,
        })
    }

    /// The items that failed, in order.
    pub fn item_errors(&self) -> impl Iterator<Item = &ItemError> {
        self.changes().filter_map(|kind| match kind {
            change::Kind::ItemError(error) => Some(error),
            _ => None,
        })
    }

    /// The checkpoints with their scopes, in order.
    pub fn checkpoints(&self) -> impl Iterator<Item = (&str, &Checkpoint)> {
        self.pages().filter_map(|page| Some((page.scope.as_str(), page.checkpoint.as_ref()?)))
    }

    /// The lines for the run's log, in order.
    pub fn logs(&self) -> impl Iterator<Item = &str> {
        self.responses.iter().filter_map(|response| match &response.kind {
            Some(pull_response::Kind::Log(record)) => Some(record.message.as_str()),
            _ => None,
        })
    }
}

/// Pulls to the end and keeps everything.
pub async fn collect_pull(client: &mut Client, request: PullRequest) -> Pulled {
    let mut pulled = Pulled::default();
    let mut stream = match client.pull(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => {
            pulled.error = Some(ConnectorError::from_status(&status));
            return pulled;
        }
    };
    loop {
        match stream.message().await {
            Ok(Some(response)) => pulled.responses.push(response),
            Ok(None) => return pulled,
            Err(status) => {
                pulled.error = Some(ConnectorError::from_status(&status));
                return pulled;
            }
        }
    }
}

/// Has raw items normalized, as the server does with those that it kept: for each its envelope, or why there is none.
///
/// # Errors
///
/// What the connector answered to the call as a whole.
///
/// # Panics
///
/// When `settings` is not a JSON object, or an answer carries nothing.
pub async fn normalize(
    client: &mut Client,
    settings: serde_json::Value,
    items: Vec<RawItem>,
) -> Result<Vec<Result<DocumentEnvelope, ConnectorError>>, ConnectorError> {
    let settings = Some(settings_struct(settings));
    let start = NormalizeStart { settings, contract_revision: CONTRACT_REVISION };
    let kinds = std::iter::once(normalize_request::Kind::Start(start))
        .chain(items.into_iter().map(normalize_request::Kind::Raw));
    let requests = futures::stream::iter(kinds.map(|kind| NormalizeRequest { kind: Some(kind) }));
    let read = async {
        let mut stream = client.normalize(requests).await?.into_inner();
        let mut answers = Vec::new();
        while let Some(response) = stream.message().await? {
            answers.push(match response.kind.expect("an answer carries an envelope or an error") {
                normalize_response::Kind::Document(document) => Ok(document),
                normalize_response::Kind::ItemError(error) => {
                    Err(ConnectorError::from_proto(error.error.unwrap_or_default()))
                }
            });
        }
        Ok(answers)
    };
    read.await.map_err(|status: Status| ConnectorError::from_status(&status))
}

/// Fetches a document's bytes to the end.
///
/// # Errors
///
/// What the connector answered.
pub async fn fetch_content(
    client: &mut Client,
    request: FetchContentRequest,
) -> Result<(ContentHeader, Bytes), ConnectorError> {
    let read = async {
        let mut stream = client.fetch_content(request).await?.into_inner();
        let (mut header, mut bytes) = (ContentHeader::default(), BytesMut::new());
        while let Some(response) = stream.message().await? {
            match response.kind {
                Some(fetch_content_response::Kind::Header(first)) => header = first,
                Some(fetch_content_response::Kind::Chunk(chunk)) => bytes.extend_from_slice(&chunk),
                None => {}
            }
        }
        Ok((header, bytes.freeze()))
    };
    read.await.map_err(|status: Status| ConnectorError::from_status(&status))
}
