//! One pull: to its end, or cut off after some messages.

use std::time::Duration;

use superfasttt_proto::connector::v1::{
    Change, Page, PullRequest, PullResponse, ScopeError, change, pull_response,
};
use superfasttt_proto::error::ConnectorError;
use tonic::Status;

use crate::wire::Wire;

/// A pull that says nothing for so long is given up. connectord waits for five minutes; a test source has less to do.
const SILENCE: Duration = Duration::from_secs(60);

/// What a pull brought.
#[derive(Debug)]
pub(crate) struct Pulled {
    /// The messages, in order.
    pub(crate) messages: Vec<PullResponse>,
    /// How it ended.
    pub(crate) end: End,
}

/// How a pull ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With OK.
    Ok,
    /// With an error.
    Error(Status),
    /// We cut it off.
    Cut,
    /// Nothing came any more.
    Silent,
}

/// Pulls until the end, or until `cut_after` messages were read; the stream is dropped then.
pub(crate) async fn pull(wire: &Wire, request: PullRequest, cut_after: Option<usize>) -> Pulled {
    let mut messages = Vec::new();
    let call = async {
        if cut_after == Some(0) {
            // Sent, and dropped as soon as the connector has taken it.
            return match wire.client().pull(request).await {
                Ok(_) => End::Cut,
                Err(status) => End::Error(status),
            };
        }
        let mut stream = match wire.client().pull(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return End::Error(status),
        };
        loop {
            match tokio::time::timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(message))) => messages.push(message),
                Ok(Ok(None)) => return End::Ok,
                Ok(Err(status)) => return End::Error(status),
                Err(_) => return End::Silent,
            }
            if cut_after == Some(messages.len()) {
                return End::Cut;
            }
        }
    };
    let end = call.await;
    Pulled { messages, end }
}

impl Pulled {
    /// The pages, in order.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Page> {
        self.messages.iter().filter_map(|message| match &message.kind {
            Some(pull_response::Kind::Page(page)) => Some(page),
            _ => None,
        })
    }

    /// The changes with their scopes, in order.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&str, &Change)> {
        self.pages().flat_map(|page| page.changes.iter().map(|change| (page.scope.as_str(), change)))
    }

    /// The changes that say something of a document, other than that it could not be read.
    pub(crate) fn news(&self) -> impl Iterator<Item = &change::Kind> {
        self.changes()
            .filter_map(|(_, change)| change.kind.as_ref())
            .filter(|kind| !matches!(kind, change::Kind::ItemError(_) | change::Kind::Container(_)))
    }

    /// The errors of scopes.
    pub(crate) fn scope_errors(&self) -> impl Iterator<Item = &ScopeError> {
        self.messages.iter().filter_map(|message| match &message.kind {
            Some(pull_response::Kind::ScopeError(error)) => Some(error),
            _ => None,
        })
    }

    /// The error that it ended with, or that stopped a scope.
    pub(crate) fn error(&self) -> Option<ConnectorError> {
        if let End::Error(status) = &self.end {
            return Some(ConnectorError::from_status(status));
        }
        self.scope_errors()
            .next()
            .map(|scope| ConnectorError::from_proto(scope.error.clone().unwrap_or_default()))
    }

    /// How it did not end well; `None`: it did.
    pub(crate) fn failure(&self) -> Option<String> {
        match &self.end {
            End::Ok | End::Cut => None,
            End::Error(status) => Some(told(status)),
            End::Silent => Some(format!("nothing came for {} s", SILENCE.as_secs())),
        }
    }
}

/// A status in a line.
pub(crate) fn told(status: &Status) -> String {
    let error = ConnectorError::from_status(status);
    let message: String = status.message().chars().take(300).collect();
    format!("{:?} {} ({message})", status.code(), superfasttt_proto::error::reason_info(error.reason).name)
}

/// The id that a change is about, where it names one.
pub(crate) fn id_of(kind: &change::Kind) -> Option<&str> {
    use superfasttt_proto::connector::v1::{deletion, item_error};
    match kind {
        change::Kind::Document(document) => Some(&document.id),
        change::Kind::Raw(raw) => Some(&raw.id),
        change::Kind::Present(present) => Some(&present.id),
        change::Kind::Permissions(permissions) => Some(&permissions.id),
        change::Kind::Container(container) => Some(&container.id),
        change::Kind::Deletion(deletion) => match &deletion.target {
            Some(deletion::Target::Id(id)) => Some(id),
            _ => None,
        },
        change::Kind::ItemError(error) => match &error.target {
            Some(item_error::Target::Id(id)) => Some(id),
            _ => None,
        },
    }
}
