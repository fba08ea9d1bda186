//! Connectors as the engine calls them: a process of the host behind the engine's port. What a failed call means is
//! decided here: a process that died under it is `CONNECTOR_CRASHED`, whatever the transport says.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use prost_types::Struct;
use serde_json::Value;
use superfasttt_proto::connector::pulled::PullResponse;
use superfasttt_proto::connector::v1::log_record::Level;
use superfasttt_proto::connector::v1::{
    Credential, DiscoverRequest, DiscoverResponse, FetchContentRequest, FetchContentResponse,
    NormalizeRequest, NormalizeResponse, PullRequest, TestConnectionRequest, TestConnectionResponse,
};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::broadcast::error::RecvError;
use tonic::{Code, Status, Streaming};

use super::{Lease, ProcessHost, ProcessLine};
use crate::catalog::secret_values;
use crate::redact::{self, Kept};
use crate::store::connections::Connection;
use crate::sync::json;
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
        let kept = self.keep(request.settings.as_ref(), request.credential.as_ref());
        let answer = self.lease.pull_client().pull(request).await;
        self.messages(answer, kept).await
    }

    async fn normalize(
        &self,
        requests: Vec<NormalizeRequest>,
    ) -> Result<Messages<NormalizeResponse>, ConnectorError> {
        let answer = self.lease.client().normalize(futures::stream::iter(requests)).await;
        self.messages(answer, Kept::default()).await
    }

    async fn fetch_content(
        &self,
        request: FetchContentRequest,
    ) -> Result<Messages<FetchContentResponse>, ConnectorError> {
        let kept = self.keep(request.settings.as_ref(), request.credential.as_ref());
        let answer = self.lease.client().fetch_content(request).await;
        self.messages(answer, kept).await
    }

    async fn test_connection(
        &self,
        request: TestConnectionRequest,
    ) -> Result<TestConnectionResponse, ConnectorError> {
        let _kept = self.keep(request.settings.as_ref(), request.credential.as_ref());
        match self.lease.client().test_connection(request).await {
            Ok(answer) => Ok(told(answer.into_inner())),
            Err(status) => Err(explain(&self.lease, status).await),
        }
    }

    async fn discover(&self, request: DiscoverRequest) -> Result<DiscoverResponse, ConnectorError> {
        let _kept = self.keep(request.settings.as_ref(), request.credential.as_ref());
        match self.lease.client().discover(request).await {
            Ok(answer) => Ok(shown(answer.into_inner())),
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
    /// What the connector is told in a call is kept out of what it says, until the call is over.
    fn keep(&self, settings: Option<&Struct>, credential: Option<&Credential>) -> Kept {
        let manifest = self.lease.manifest();
        let settings = settings.filter(|_| manifest.settings.has_secrets());
        let settings = settings.map(|settings| {
            let settings = Value::Object(json::from_struct(settings));
            secret_values(manifest, &settings)
        });
        let credential = credential.map(|credential| manifest.auth.secrets_of(credential));
        redact::keep(&(settings, credential))
    }

    async fn messages<T: Send + 'static>(
        &self,
        answer: Result<tonic::Response<Streaming<T>>, Status>,
        kept: Kept,
    ) -> Result<Messages<T>, ConnectorError> {
        match answer {
            Ok(answer) => {
                let lease = self.lease.clone();
                let messages = answer.into_inner().then(move |message| {
                    // It lives as long as the stream.
                    let (lease, _kept) = (lease.clone(), &kept);
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
    redact::error(ConnectorError::from_status(&status))
}

/// The outcome of a test without the secrets that it was made with.
fn told(mut outcome: TestConnectionResponse) -> TestConnectionResponse {
    for check in &mut outcome.checks {
        for text in [&mut check.name, &mut check.message, &mut check.fix] {
            *text = redact::string(std::mem::take(text));
        }
    }
    if let Some(account) = &mut outcome.account {
        for text in [&mut account.id, &mut account.display_name, &mut account.email] {
            *text = redact::string(std::mem::take(text));
        }
    }
    outcome
}

/// What a person may pick, without the secrets that it was asked for with.
fn shown(mut answer: DiscoverResponse) -> DiscoverResponse {
    for resource in &mut answer.resources {
        for text in [&mut resource.id, &mut resource.name, &mut resource.kind] {
            *text = redact::string(std::mem::take(text));
        }
    }
    answer
}
