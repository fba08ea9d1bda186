//! Reads the messages of one pull: checks them against the contract, and passes their parts on as fast as bytes in
//! flight allow.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use prost::Message;
use superfasttt_proto::connector::pulled::{PullResponse, pull_response::Kind};
use superfasttt_proto::connector::v1::{PullMode, Reason, log_record::Level, scope_removed::Cause};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::{Semaphore, mpsc};

use super::change::{self, Change, Part, PartEnd, violation};
use super::port::Messages;
use super::report::Report;
use super::scopes::Group;
use crate::store::item_errors::Target;

/// The longest cursor.
const MAX_CURSOR_BYTES: usize = 64 * 1024;
/// The longest name of a scope.
const MAX_SCOPE_BYTES: usize = 1024;
/// A message counts this many times its size, because what is decoded is larger than what came.
pub(super) const DECODED_FACTOR: usize = 3;

/// What one pull may bring, and through what it goes.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The connector's id, the source of envelopes that name none.
    pub connector: String,
    /// What was asked.
    pub mode: PullMode,
    /// The scopes that were asked for.
    pub group: Group,
    /// The ids that were asked for, in TARGETED.
    pub ids: HashSet<String>,
    /// Raw items were asked for.
    pub want_raw: bool,
    /// The connector declares that a listing names everything.
    pub full_listing: bool,
    /// How long to wait for a message. Time in which the engine itself is busy does not count.
    pub stall_timeout: Duration,
    /// Bytes in flight, for all runs together.
    pub in_flight: Arc<Semaphore>,
    /// How many permits `in_flight` has in all.
    pub in_flight_bytes: usize,
    /// What comes is mostly known: documents are left as they came. It only says who opens those that have to be, this
    /// task beside the commits or the commits themselves.
    pub mostly_known: Arc<AtomicBool>,
}

/// Reads until the stream ends, and passes on each part; the last thing that is passed on is why the stream ended, where
/// that was not OK. Ends early where nobody listens any more.
pub async fn read(
    reading: Reading,
    mut messages: Messages<PullResponse>,
    report: Arc<Report>,
    parts: mpsc::Sender<Result<Part, ConnectorError>>,
) {
    loop {
        let message = match tokio::time::timeout(reading.stall_timeout, messages.next()).await {
            Ok(None) => return,
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => {
                let _ = parts.send(Err(error)).await;
                return;
            }
            Err(_) => {
                let waited = humantime::format_duration(reading.stall_timeout);
                let message =
                    format!("the connector said nothing for {waited}, not even that it is still at work");
                let _ = parts.send(Err(ConnectorError::new(Reason::SourceUnavailable, message))).await;
                return;
            }
        };
        let size = message.encoded_len();
        let weight = (size * DECODED_FACTOR).clamp(1, reading.in_flight_bytes) as u32;
        let permit = reading.in_flight.clone().acquire_many_owned(weight).await.expect("it is never closed");
        let part = reading.part(message, &report);
        let Some(part) = part.transpose() else { continue };
        if part.as_ref().is_ok_and(|part| reading.group.except.contains(&*part.scope)) {
            // It does not know how to leave scopes out, and has begun them from nothing: what it sends of them is older
            // than where they stand, as far as their cursors go. Scopes that come behind it are found by a full listing.
            let message = "the connector cannot look for new scopes alone: the next full listing finds them";
            report.log(Level::Info, message, []);
            return;
        }
        let failed = part.is_err();
        let part = part.map(|mut part| {
            part.message_bytes = size as u64;
            part.permits.push(Arc::new(permit));
            part
        });
        if parts.send(part).await.is_err() || failed {
            return;
        }
    }
}

impl Reading {
    /// A message's part; `None` for one that only tells something.
    fn part(&self, message: PullResponse, report: &Report) -> Result<Option<Part>, ConnectorError> {
        let (scope, changes, end) = match message.kind {
            None => return Err(violation("a message without a kind that this server knows")),
            Some(Kind::Progress(progress)) => {
                report.progress(progress);
                return Ok(None);
            }
            Some(Kind::Log(record)) => {
                report.connector_log(record);
                return Ok(None);
            }
            Some(Kind::Page(page)) => {
                let unopened = self.mostly_known.load(Ordering::Relaxed);
                let (scope, changes, end) =
                    change::from_page(page, &self.connector, unopened, self.want_raw)?;
                if self.mode == PullMode::Targeted {
                    changes.iter().try_for_each(|change| self.check_answer(change))?;
                }
                if let PartEnd::Checkpoint(checkpoint) = &end {
                    self.check_checkpoint(checkpoint)?;
                }
                (scope, changes, end)
            }
            Some(Kind::ScopeError(failed)) => {
                let error = ConnectorError::from_proto(failed.error.unwrap_or_default());
                (failed.scope.into(), Vec::new(), PartEnd::ScopeError(error))
            }
            Some(Kind::ScopeRemoved(removed)) => {
                let cause = removed.reason();
                if cause == Cause::Unspecified {
                    return Err(violation("a removed scope without saying why"));
                }
                (removed.scope.into(), Vec::new(), PartEnd::ScopeRemoved(cause))
            }
        };
        if scope.len() > MAX_SCOPE_BYTES {
            return Err(violation(format!(
                "a scope of {} bytes; the limit is {MAX_SCOPE_BYTES}",
                scope.len()
            )));
        }
        if !self.group.scopes.is_empty() && !self.group.holds(&scope) {
            return Err(violation(format!("scope {scope:?}, which was not asked for")));
        }
        Ok(Some(Part { scope, changes, end, message_bytes: 0, permits: Vec::new() }))
    }

    /// A targeted pull says something of what was asked for, and of nothing else: what was not asked for may be older than
    /// what is stored. Folders may come along, so that an answer has its place.
    fn check_answer(&self, change: &Change) -> Result<(), ConnectorError> {
        let id = match change {
            Change::Document(document) => &document.envelope.id,
            Change::Unopened(document) => &document.id,
            Change::Raw(raw) => &raw.id,
            Change::Unnormalized { raw, .. } => &raw.id,
            Change::Permissions { id, fault: Some(_), .. } => id,
            Change::Deletion { target: Target::Id(id), .. } => id,
            Change::ItemError(error) => match &error.target {
                Target::Id(id) => id,
                Target::Locator(_) | Target::Unnamed => return Ok(()),
            },
            Change::Container { .. } => return Ok(()),
            Change::Present { .. } | Change::Permissions { .. } | Change::Deletion { .. } => {
                return Err(violation(
                    "an answer to a targeted pull that is neither a document, a deletion by id nor an item error",
                ));
            }
        };
        if self.ids.contains(id) {
            return Ok(());
        }
        Err(violation(format!("an answer for {id:?}, which was not asked for")))
    }

    fn check_checkpoint(
        &self,
        checkpoint: &superfasttt_proto::connector::v1::Checkpoint,
    ) -> Result<(), ConnectorError> {
        let listing = matches!(self.mode, PullMode::Full | PullMode::List);
        match checkpoint.cursor.len() {
            _ if self.mode == PullMode::Targeted => Err(violation("a checkpoint in a targeted pull")),
            0 => Err(violation("a checkpoint without a cursor")),
            length if length > MAX_CURSOR_BYTES => Err(violation(format!(
                "a cursor of {length} bytes; the limit is {MAX_CURSOR_BYTES}: use more scopes"
            ))),
            _ if checkpoint.listing_complete && !listing => {
                Err(violation("listing_complete outside of a listing"))
            }
            _ if checkpoint.listing_complete && !self.full_listing => {
                Err(violation("listing_complete, though its manifest does not declare full_listing"))
            }
            _ => Ok(()),
        }
    }
}
