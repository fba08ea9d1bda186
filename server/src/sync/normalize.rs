//! Normalize: raw items become envelopes in the connector's process. Each call has the items of one page, so that
//! whatever a connector waits for before it answers, it gets: all of them, and then the end of its requests. The
//! transport sends while answers are read, so that neither side ever waits for the other with full windows.

use std::time::Duration;

use futures::StreamExt;
use prost_types::Struct;
use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::{
    DocumentEnvelope, ItemError, NormalizeRequest, NormalizeResponse, NormalizeStart, RawItem, Reason,
    item_error, normalize_request, normalize_response,
};
use superfasttt_proto::error::ConnectorError;

use super::change::violation;
use super::envelope::{self, Fault};
use super::port::{Messages, Session};

/// How items of a connection are normalized.
#[derive(Clone, Debug)]
pub struct Normalizer {
    /// The connector's id, the source of envelopes that name none.
    pub connector: String,
    /// The connector's version.
    pub version: String,
    /// The settings without secrets.
    pub settings: Struct,
    /// How long a connector may say nothing while an item waits for its answer.
    pub stall_timeout: Duration,
}

/// What became of one item: its envelope as it is kept, or why there is none.
pub type Normalized = Result<DocumentEnvelope, ConnectorError>;

impl Normalizer {
    /// Begins to normalize items.
    ///
    /// # Errors
    /// What is wrong with the connector.
    pub async fn begin(&self, session: &dyn Session, items: Vec<RawItem>) -> Result<Answers, ConnectorError> {
        let settings = Some(self.settings.clone());
        let start = NormalizeStart { settings, contract_revision: CONTRACT_REVISION };
        let kinds = std::iter::once(normalize_request::Kind::Start(start))
            .chain(items.into_iter().map(normalize_request::Kind::Raw));
        let requests = kinds.map(|kind| NormalizeRequest { kind: Some(kind) }).collect();
        let opening = tokio::time::timeout(self.stall_timeout, session.normalize(requests)).await;
        let messages = opening.unwrap_or_else(|_| Err(stalled(self.stall_timeout)))?;
        Ok(Answers { messages, connector: self.connector.clone(), stall_timeout: self.stall_timeout })
    }
}

/// The answers of one call, which come in the order of the items.
pub struct Answers {
    messages: Messages<NormalizeResponse>,
    connector: String,
    stall_timeout: Duration,
}

impl Answers {
    /// The answer about the next item. An envelope that breaks a limit of the contract is that item's fault alone.
    ///
    /// # Errors
    /// What is wrong with the connector: it crashed, said nothing for too long, or answered about something else.
    pub async fn next(&mut self, item: &RawItem) -> Result<Normalized, ConnectorError> {
        let next = tokio::time::timeout(self.stall_timeout, self.messages.next()).await;
        let message = next.map_err(|_| stalled(self.stall_timeout))?.transpose()?;
        let Some(message) = message else {
            return Err(violation(format!("no answer about the raw item {:?}", item.id)));
        };
        let other =
            |id: &str| violation(format!("an answer about {id:?} where one about {:?} was due", item.id));
        match message.kind {
            None => Err(violation("an answer of Normalize without a kind that this server knows")),
            Some(normalize_response::Kind::Document(document)) if document.id != item.id => {
                Err(other(&document.id))
            }
            Some(normalize_response::Kind::Document(mut document)) => {
                document.version.clone_from(&item.version);
                document.content_ref.clone_from(&item.content_ref);
                let fault = envelope::accept(&mut document, &self.connector).err();
                Ok(match fault {
                    None => Ok(document),
                    // What cannot be kept is not known: nobody is let in.
                    Some(Fault::Permissions(_)) => {
                        document.permissions = Some(envelope::private());
                        Ok(document)
                    }
                    Some(Fault::Other(fault)) => Err(ConnectorError::new(Reason::ProtocolViolation, fault)),
                })
            }
            Some(normalize_response::Kind::ItemError(ItemError { target, error, .. })) => match target {
                Some(item_error::Target::Id(id)) if id == item.id => {
                    Ok(Err(ConnectorError::from_proto(error.unwrap_or_default())))
                }
                Some(item_error::Target::Id(name) | item_error::Target::Locator(name)) => Err(other(&name)),
                None => Err(other("")),
            },
        }
    }

    /// Waits for the end of the call: every item has its answer, and nothing else may come.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn end(mut self) -> Result<(), ConnectorError> {
        match tokio::time::timeout(self.stall_timeout, self.messages.next()).await {
            Ok(None) => Ok(()),
            Ok(Some(Ok(_))) => Err(violation("more answers than there were raw items")),
            Ok(Some(Err(error))) => Err(error),
            Err(_) => Err(stalled(self.stall_timeout)),
        }
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Answers").finish_non_exhaustive()
    }
}

fn stalled(waited: Duration) -> ConnectorError {
    let waited = humantime::format_duration(waited);
    let message = format!("the connector did not answer Normalize for {waited}");
    ConnectorError::new(Reason::SourceUnavailable, message)
}
