//! A streaming answer made by a task of its own. Dropping the stream, as the server does when the client cancels,
//! drops the author's future at its next await point.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use crate::limits::clip_error;

/// How many messages wait for the client at most. Small, so that a slow client holds the author's code back and
/// not the memory.
const MESSAGES_WAITING: usize = 4;

/// The answer of a streaming rpc.
pub(crate) struct TaskStream<T> {
    messages: mpsc::Receiver<T>,
    work: Work,
    /// Tells blocking work, which cannot be dropped, that nobody waits for it.
    _cancel: DropGuard,
}

enum Work {
    Running(AbortOnDropHandle<Result<(), ConnectorError>>),
    /// With the error that is still to be told.
    Ended(Option<ConnectorError>),
}

impl<T: Send + 'static> TaskStream<T> {
    /// Starts `work`. `stopping` ends it early with an error that says to come again.
    pub(crate) fn spawn<F, W>(stopping: &CancellationToken, work: W) -> Self
    where
        W: FnOnce(mpsc::Sender<T>, CancellationToken) -> F,
        F: Future<Output = Result<(), ConnectorError>> + Send + 'static,
    {
        let (sender, messages) = mpsc::channel(MESSAGES_WAITING);
        let cancel = CancellationToken::new();
        let (stopping, work) = (stopping.clone(), work(sender, cancel.clone()));
        let task = tokio::spawn(async move {
            tokio::select! {
                result = work => result,
                () = stopping.cancelled() => {
                    Err(ConnectorError::new(Reason::SourceUnavailable, "the connector is stopping: call again"))
                }
            }
        });
        Self { messages, work: Work::Running(AbortOnDropHandle::new(task)), _cancel: cancel.drop_guard() }
    }
}

impl<T> Stream for TaskStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Poll::Ready(Some(message)) = self.messages.poll_recv(context) {
                return Poll::Ready(Some(Ok(message)));
            }
            match &mut self.work {
                Work::Running(task) => {
                    let result = ready!(Pin::new(task).poll(context)).unwrap_or_else(died);
                    // Its last messages may have come after the look above, so look again. Closing says that
                    // senders which the author leaked into other tasks do not keep the stream open.
                    self.messages.close();
                    self.work = Work::Ended(result.err());
                }
                Work::Ended(error) => {
                    return Poll::Ready(error.take().map(|error| Err(clip_error(error).to_status())));
                }
            }
        }
    }
}

/// The author's code panicked. What it said went to the log by the panic hook; it may quote data, so it does not
/// travel in the error.
pub(crate) fn died<T, E>(_: E) -> Result<T, ConnectorError> {
    Err(ConnectorError::new(Reason::Internal, "the connector's code panicked: its log says where"))
}
