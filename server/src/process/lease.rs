//! The right to use a process.

use std::sync::Arc;
use std::time::Duration;

use superfasttt_proto::MAX_MESSAGE_BYTES;
use superfasttt_proto::connector::pulled;
use superfasttt_proto::connector::v1::connector_client;
use superfasttt_proto::error::ConnectorError;
use tokio::sync::broadcast;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use super::channel::BearerToken;
use super::output::ProcessLine;
use super::running::Running;
use crate::catalog::Manifest;

/// A client of a connector; it puts the process's token on each call.
pub type ConnectorClient = connector_client::ConnectorClient<InterceptedService<Channel, BearerToken>>;

/// A client for pulls, which gives documents as they came.
pub type PullClient = pulled::connector_client::ConnectorClient<InterceptedService<Channel, BearerToken>>;

/// A page may be as large as the contract says; what gRPC adds must not make it too large.
const MESSAGE_SLACK_BYTES: usize = 64 * 1024;

/// A broken connection is seen before the end of the process that broke it.
const EXIT_WAIT: Duration = Duration::from_secs(1);

/// The right to use a process, which is not stopped for idleness while this is held.
#[derive(Debug)]
pub struct Lease {
    running: Arc<Running>,
}

impl Lease {
    pub(super) fn new(running: Arc<Running>) -> Self {
        running.lease_taken();
        Self { running }
    }

    /// What the connector declares.
    pub(super) fn manifest(&self) -> &Manifest {
        &self.running.stamp.manifest
    }

    /// A client; each has its own, all share one connection.
    #[must_use]
    pub fn client(&self) -> ConnectorClient {
        connector_client::ConnectorClient::with_interceptor(
            self.running.channel.clone(),
            self.running.token.clone(),
        )
        .max_decoding_message_size(MAX_MESSAGE_BYTES + MESSAGE_SLACK_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES + MESSAGE_SLACK_BYTES)
    }

    /// A client for pulls; it shares the connection of the others.
    #[must_use]
    pub fn pull_client(&self) -> PullClient {
        pulled::connector_client::ConnectorClient::with_interceptor(
            self.running.channel.clone(),
            self.running.token.clone(),
        )
        .max_decoding_message_size(MAX_MESSAGE_BYTES + MESSAGE_SLACK_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES + MESSAGE_SLACK_BYTES)
    }

    /// The process id; `None` for a remote connector.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.process.as_ref().map(|process| process.pid)
    }

    /// What the process writes from here on; `None` for a remote connector. Where a process is shared, lines
    /// about other connections are among them.
    #[must_use]
    pub fn subscribe_stderr(&self) -> Option<broadcast::Receiver<ProcessLine>> {
        self.running.process.as_ref().map(|process| process.output.subscribe())
    }

    /// Whether a call failed because the process ended: ask when a call ended with UNAVAILABLE, UNKNOWN, INTERNAL
    /// or CANCELLED. The answer tells the exit status and the last lines that the process wrote. `None`: the
    /// process lives (found out within a second), so the status of the call itself says what happened.
    pub async fn failure(&self) -> Option<ConnectorError> {
        self.running.process.as_ref()?;
        let exit = tokio::time::timeout(EXIT_WAIT, self.running.ended()).await.ok()?;
        Some(exit.error(&self.running.connector_id))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.running.lease_given_back();
    }
}
