//! The connector of the simulation, as the engine calls it. `reading` is a pull under way, `words` how it says things; what
//! Normalize answers is here, and in bad weather it fails in every way that a connector fails in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use rand::Rng;
use superfasttt_proto::connector::pulled;
use superfasttt_proto::connector::v1::{
    ContentHeader, DiscoverRequest, DiscoverResponse, DocumentEnvelope, FetchContentRequest,
    FetchContentResponse, NormalizeRequest, NormalizeResponse, PullRequest, RawItem, Reason,
    TestConnectionRequest, TestConnectionResponse, fetch_content_response, item_error, normalize_request,
    normalize_response,
};
use superfasttt_proto::error::ConnectorError;

use super::port::Port;
use super::reading::Reading;
use super::words::{normalized, text, unreadable};
use super::world::{World, lock};
use crate::store::connections::Connection;
use crate::sync::port::{Connectors, Messages, Session, StderrLine};

/// The connectors as one replica meets them.
pub(super) struct SimulatedConnectors {
    pub world: Arc<World>,
    pub port: Arc<Port>,
}

struct SimulatedSession {
    world: Arc<World>,
    port: Arc<Port>,
    connection: String,
}

#[async_trait]
impl Connectors for SimulatedConnectors {
    async fn open(&self, connection: &Connection) -> Result<Arc<dyn Session>, ConnectorError> {
        self.port.pass().await;
        if self.world.happens(|weather| weather.source_fails) {
            return Err(ConnectorError::new(Reason::ConnectorCrashed, "it does not come up"));
        }
        let (world, port) = (self.world.clone(), self.port.clone());
        Ok(Arc::new(SimulatedSession { world, port, connection: connection.id.clone() }))
    }
}

#[async_trait]
impl Session for SimulatedSession {
    async fn pull(&self, request: PullRequest) -> Result<Messages<pulled::PullResponse>, ConnectorError> {
        self.port.pass().await;
        let (world, connection) = (self.world.clone(), self.connection.clone());
        world.tell(format_args!(
            "  {} pulls {connection} {} {:?} of {:?}, ids {:?}",
            self.port.name,
            request.mode().as_str_name(),
            request
                .states
                .iter()
                .map(|state| format!("{}={}", state.scope, text(&state.cursor)))
                .collect::<Vec<_>>(),
            request.scopes,
            request.ids,
        ));
        world.tokens.admit(&world, &connection, request.credential.as_ref())?;
        let reading = Reading::new(world, self.port.clone(), connection, request);
        let messages = stream::unfold(reading, |mut reading| async {
            let message = reading.next().await?;
            Some((message, reading))
        });
        Ok(messages.boxed())
    }

    async fn normalize(
        &self,
        requests: Vec<NormalizeRequest>,
    ) -> Result<Messages<NormalizeResponse>, ConnectorError> {
        self.port.pass().await;
        let (world, connection) = (self.world.clone(), self.connection.clone());
        let mut requests = requests.into_iter().filter_map(|request| request.kind);
        if !matches!(requests.next(), Some(normalize_request::Kind::Start(_))) {
            world.accuse("Normalize is asked before it is told the settings");
        }
        let items = requests.filter_map(|kind| match kind {
            normalize_request::Kind::Raw(item) => Some(item),
            normalize_request::Kind::Start(_) => None,
        });
        let items: VecDeque<RawItem> = items.collect();
        let ids = items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>().join(" ");
        world.tell(format_args!("  {} normalizes {connection}: {ids}", self.port.name));
        let normalizer = lock(&world.sources).get(&connection).map_or(0, |source| source.normalizer);
        let normalizing = Normalizing { world, port: self.port.clone(), normalizer, items };
        let answers = stream::unfold(normalizing, |mut normalizing| async {
            let answer = normalizing.next().await?;
            Some((answer, normalizing))
        });
        Ok(answers.boxed())
    }

    async fn fetch_content(
        &self,
        request: FetchContentRequest,
    ) -> Result<Messages<FetchContentResponse>, ConnectorError> {
        self.port.pass().await;
        self.world.tokens.admit(&self.world, &self.connection, request.credential.as_ref())?;
        if self.world.happens(|weather| weather.source_fails) {
            let reason = self.world.choose(|chance| {
                let reasons = [Reason::SourceUnavailable, Reason::RateLimited, Reason::ConnectorCrashed];
                reasons[chance.random_range(0..reasons.len())]
            });
            return Err(ConnectorError::new(reason, "the content cannot be had now"));
        }
        // Larger than is read: what is known of it is settled without a file or a worker.
        let header = ContentHeader {
            length_bytes: Some(u64::MAX),
            version: request.version,
            ..ContentHeader::default()
        };
        let header = FetchContentResponse { kind: Some(fetch_content_response::Kind::Header(header)) };
        Ok(stream::iter([Ok(header)]).boxed())
    }

    async fn test_connection(
        &self,
        _: TestConnectionRequest,
    ) -> Result<TestConnectionResponse, ConnectorError> {
        Err(ConnectorError::new(Reason::Unimplemented, "nobody asks in a simulation"))
    }

    async fn discover(&self, _: DiscoverRequest) -> Result<DiscoverResponse, ConnectorError> {
        Err(ConnectorError::new(Reason::Unimplemented, "nobody asks in a simulation"))
    }

    fn stderr(&self) -> BoxStream<'static, StderrLine> {
        stream::empty().boxed()
    }
}

/// A call of Normalize under way.
struct Normalizing {
    world: Arc<World>,
    port: Arc<Port>,
    normalizer: u32,
    items: VecDeque<RawItem>,
}

impl Normalizing {
    /// The answer about the next item; `None` at the end.
    async fn next(&mut self) -> Option<Result<NormalizeResponse, ConnectorError>> {
        self.port.pass().await;
        let world = self.world.clone();
        if world.happens(|weather| weather.source_is_slow) {
            tokio::time::sleep(world.while_up_to(Duration::from_secs(1))).await;
            self.port.pass().await;
        }
        if world.happens(|weather| weather.stalls) {
            world.tell("  Normalize says nothing more");
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        let item = self.items.pop_front()?;
        if world.happens(|weather| weather.source_fails) {
            let reasons = [Reason::SourceUnavailable, Reason::ConnectorCrashed, Reason::Internal];
            let reason = world.choose(|chance| reasons[chance.random_range(0..reasons.len())]);
            world.tell(format_args!("  Normalize fails at {}: {reason:?}", item.id));
            return Some(Err(ConnectorError::new(reason, "Normalize is cut")));
        }
        let refuses = world.happens(|weather| weather.refuses_raw);
        let mut document = normalized(&item, self.normalizer).filter(|_| !refuses);
        if world.happens(|weather| weather.bad_pages) {
            world.tell("  Normalize answers about something else");
            document = document.map(|document| DocumentEnvelope { id: "another".to_owned(), ..document });
        }
        let kind = match document {
            Some(document) => normalize_response::Kind::Document(document),
            None => {
                world.tell(format_args!("  Normalize can make nothing of {}", item.id));
                normalize_response::Kind::ItemError(unreadable(Some(item_error::Target::Id(item.id)), false))
            }
        };
        Some(Ok(NormalizeResponse { kind: Some(kind) }))
    }
}
