//! What the engine asks of a connector: a port, so that tests put a scripted one in the place of a process.

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::{Map, Value};
use superfasttt_proto::connector::pulled::PullResponse;
use superfasttt_proto::connector::v1::log_record::Level;
use superfasttt_proto::connector::v1::{
    DiscoverRequest, DiscoverResponse, FetchContentRequest, FetchContentResponse, NormalizeRequest,
    NormalizeResponse, PullRequest, TestConnectionRequest, TestConnectionResponse,
};
use superfasttt_proto::error::ConnectorError;

use crate::credentials::{Usable, UsedFor};
use crate::store::connections::Connection;

/// Messages of one streaming call.
pub type Messages<T> = BoxStream<'static, Result<T, ConnectorError>>;

/// A line that a connector's process wrote to stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StderrLine {
    /// How much it says that it matters.
    pub level: Level,
    /// The line.
    pub text: String,
}

/// Gives connections what they authenticate with.
#[async_trait]
pub trait CredentialSource: Send + Sync {
    /// The settings of a connection as its connector gets them, but for defaults: secret ones opened.
    ///
    /// # Errors
    /// `INTERNAL` where they cannot be opened.
    async fn settings(&self, connection: &Connection) -> Result<Map<String, Value>, ConnectorError>;

    /// What a connector authenticates with, good for a while from now, and never `refused` again. For a test
    /// also where it is not known yet whose account it opens. `None`: the connector asks for nothing.
    ///
    /// # Errors
    /// Of the closed reasons: who must act is theirs to say.
    async fn credential(
        self: std::sync::Arc<Self>,
        connection: &Connection,
        refused: Option<&Usable>,
        used_for: UsedFor<'_>,
    ) -> Result<Option<Usable>, ConnectorError>;

    /// The source takes `held` no more, and says that waiting or renewing does not help: a person has to act.
    async fn refused(&self, connection: &Connection, held: &Usable, error: &ConnectorError);

    /// The connection is being deleted: the provider is asked to end its grant. Where that cannot be, the log says so.
    async fn withdraw(self: std::sync::Arc<Self>, connection: &Connection);
}

/// Finds or starts connectors.
#[async_trait]
pub trait Connectors: Send + Sync {
    /// Opens a session with the connector of a connection. The process stays up as long as the session.
    ///
    /// # Errors
    /// `CONNECTOR_CRASHED` where the process does not come up, `NOT_FOUND` where there is none of this id.
    async fn open(&self, connection: &Connection) -> Result<std::sync::Arc<dyn Session>, ConnectorError>;
}

/// A connector that is ready to be called. Dropping a stream cancels its call.
#[async_trait]
pub trait Session: Send + Sync {
    /// Begins a pull.
    async fn pull(&self, request: PullRequest) -> Result<Messages<PullResponse>, ConnectorError>;

    /// Begins to normalize: `requests` are sent while answers are read.
    async fn normalize(
        &self,
        requests: Vec<NormalizeRequest>,
    ) -> Result<Messages<NormalizeResponse>, ConnectorError>;

    /// Begins to read a document's bytes.
    async fn fetch_content(
        &self,
        request: FetchContentRequest,
    ) -> Result<Messages<FetchContentResponse>, ConnectorError>;

    /// Tries a connection.
    async fn test_connection(
        &self,
        request: TestConnectionRequest,
    ) -> Result<TestConnectionResponse, ConnectorError>;

    /// Lists what a person may pick.
    async fn discover(&self, request: DiscoverRequest) -> Result<DiscoverResponse, ConnectorError>;

    /// What the connector's process writes to stderr from here on. Other connections that share the process may be
    /// what it writes about.
    fn stderr(&self) -> BoxStream<'static, StderrLine>;
}
