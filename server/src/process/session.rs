//! Connectors as the engine calls them: a process of the host behind the engine's port. What a failed call means is
//! decided here: a process that died under it is `CONNECTOR_CRASHED`, whatever the transport says.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use superfasttt_proto::connector::pulled::PullResponse;
use superfasttt_proto::connector::v1::log_record::Level;
use superfasttt_proto::connector::v1::{
    DiscoverRequest, DiscoverResponse, FetchContentRequest, FetchContentResponse, NormalizeRequest,
    NormalizeResponse, PullRequest, TestConnectionRequest, TestConnectionResponse,
};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::broadcast::error::RecvError;
use tonic::{Code, Status, Streaming};

use super::{Lease, ProcessHost, ProcessLine};
use crate::store::connections::Connection;
use crate::sync::port::{Connectors, Messages, Session, StderrLine};

#[async_trait]
impl Connectors for ProcessHost {
    async fn open(&self, connection: &Connection) -> Result<Arc<dyn Session>, ConnectorError> {
        let lease = self.acquire(&connection.connector, &connection.organization, &connection.id).await?;
        Ok(Arc::new(ProcessSession { lease: Arc::new(lease) }))
    }
}

/// A session with a process.
struct ProcessSession {
    lease: Arc<Lease>,
}

#[async_trait]
impl Session for ProcessSession {
    async fn pull(&self, request: PullRequest) -> Result<Messages<PullResponse>, ConnectorError> {
        let answer = self.lease.pull_client().pull(request).await;
        self.messages(answer).await
    }

    async fn normalize(
        &self,
        requests: Vec<NormalizeRequest>,
    ) -> Result<Messages<NormalizeResponse>, ConnectorError> {
        let answer = self.lease.client().normalize(futures::stream::iter(requests)).await;
        self.messages(answer).await
    }

    async fn fetch_content(
        &self,
        request: FetchContentRequest,
    ) -> Result<Messages<FetchContentResponse>, ConnectorError> {
        let answer = self.lease.client().fetch_content(request).await;
        self.messages(answer).await
    }

    async fn test_connection(
        &self,
        request: TestConnectionRequest,
    ) -> Result<TestConnectionResponse, ConnectorError> {
        match self.lease.client().test_connection(request).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(explain(&self.lease, status).await),
        }
    }

    async fn discover(&self, request: DiscoverRequest) -> Result<DiscoverResponse, ConnectorError> {
        match self.lease.client().discover(request).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(explain(&self.lease, status).await),
        }
    }

    fn stderr(&self) -> BoxStream<'static, StderrLine> {
        let Some(lines) = self.lease.subscribe_stderr() else { return futures::stream::empty().boxed() };
        futures::stream::unfold(lines, |mut lines| async move {
            loop {
                match lines.recv().await {
                    Ok(ProcessLine { level, text }) => {
                        let level = match level {
                            tracing::Level::ERROR => Level::Error,
                            tracing::Level::WARN => Level::Warn,
                            tracing::Level::INFO => Level::Info,
                            tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
                        };
                        return Some((StderrLine { level, text }, lines));
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }
}

impl ProcessSession {
    async fn messages<T: Send + 'static>(
        &self,
        answer: Result<tonic::Response<Streaming<T>>, Status>,
    ) -> Result<Messages<T>, ConnectorError> {
        match answer {
            Ok(answer) => {
                let lease = self.lease.clone();
                let messages = answer.into_inner().then(move |message| {
                    let lease = lease.clone();
                    async move {
                        match message {
                            Ok(message) => Ok(message),
                            Err(status) => Err(explain(&lease, status).await),
                        }
                    }
                });
                Ok(messages.boxed())
            }
            Err(status) => Err(explain(&self.lease, status).await),
        }
    }
}

/// What a failed call means.
async fn explain(lease: &Lease, status: Status) -> ConnectorError {
    let transport =
        matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled);
    if transport
        && status.details().is_empty()
        && let Some(crash) = lease.failure().await
    {
        return crash;
    }
    ConnectorError::from_status(&status)
}
