//! The sending half of a pull: one stream of pages, checkpoints and notes, in the order in which they were given.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use superfasttt_proto::connector::v1::{
    Checkpoint, LogRecord, Page, Progress, PullResponse, Reason, change, item_error, log_record::Level,
    pull_response,
};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::mpsc;

use crate::limits::{self, MAX_LOG_BYTES};
use crate::listing::{Listing, ListingEnd};
use crate::page::{OpenPage, PageLimits};

/// Sends what all sinks of one pull are given.
pub(crate) struct Outlet {
    responses: mpsc::Sender<PullResponse>,
    state: Mutex<State>,
}

struct State {
    page: OpenPage,
    listing: Listing,
    progress: Option<Progress>,
    /// The first breach of the contract, so that an author who ignores a returned error still hears of it.
    violation: Option<ConnectorError>,
}

impl Outlet {
    pub(crate) fn new(responses: mpsc::Sender<PullResponse>, limits: PageLimits, listing: Listing) -> Self {
        let page = OpenPage::new(limits, "".into());
        Self { responses, state: Mutex::new(State { page, listing, progress: None, violation: None }) }
    }

    /// Adds a change to the open page.
    pub(crate) async fn push(&self, scope: &Arc<str>, kind: change::Kind) -> Result<(), ConnectorError> {
        let (change, bytes) = limits::fit(kind);
        let unnamed = matches!(&change.kind, Some(change::Kind::ItemError(error)) if error.target.is_none());
        if unnamed {
            self.state().listing.skipped_unnamed(scope);
        }
        if let Some(kind) = &change.kind {
            self.state().listing.answered(kind);
        }
        loop {
            {
                let mut state = self.state();
                if state.page.has_room(scope, bytes) {
                    state.page.push(scope, change, bytes);
                    return Ok(());
                }
            }
            // A full page goes out when the next change comes, so that a checkpoint can still join it.
            self.flush().await?;
        }
    }

    /// Sends the open page.
    async fn flush(&self) -> Result<(), ConnectorError> {
        let permit = self.responses.reserve().await.map_err(|_| ended())?;
        // Taken and sent under one lock, so that two callers cannot send their pages in the wrong order.
        let mut state = self.state();
        if let Some(page) = state.page.take() {
            permit.send(page_response(page));
        }
        Ok(())
    }

    /// Sends a checkpoint with the changes that it covers.
    pub(crate) async fn checkpoint(
        &self,
        scope: &str,
        cursor: Vec<u8>,
        has_more: bool,
    ) -> Result<(), ConnectorError> {
        let checked = self.state().listing.check_checkpoint(&cursor);
        checked.map_err(|error| self.refuse(error))?;
        self.send_checkpoint(scope, &Checkpoint { cursor, has_more, listing_complete: false }).await
    }

    async fn send_checkpoint(&self, scope: &str, checkpoint: &Checkpoint) -> Result<(), ConnectorError> {
        loop {
            let permit = self.responses.reserve().await.map_err(|_| ended())?;
            let mut state = self.state();
            if let Some(page) = state.page.take_with(scope, checkpoint) {
                permit.send(page_response(page));
                return Ok(());
            }
            if let Some(page) = state.page.take() {
                permit.send(page_response(page));
            }
        }
    }

    /// Sends what is not a page after the changes given before it.
    pub(crate) async fn send_in_order(&self, kind: pull_response::Kind) -> Result<(), ConnectorError> {
        self.flush().await?;
        let response = PullResponse { kind: Some(kind) };
        self.responses.send(response).await.map_err(|_| ended())
    }

    pub(crate) async fn log(&self, level: Level, mut message: String) -> Result<(), ConnectorError> {
        limits::clip(&mut message, MAX_LOG_BYTES);
        let record = LogRecord { level: level.into(), message, ..LogRecord::default() };
        self.send_in_order(pull_response::Kind::Log(record)).await
    }

    /// Keeps the newest progress for the next [`Self::tick`].
    pub(crate) fn progress(&self, progress: Progress) {
        self.state().progress = Some(progress);
    }

    /// Notes something about the listing of a scope; a breach of the contract fails the pull.
    pub(crate) fn note<T>(
        &self,
        note: impl FnOnce(&mut Listing) -> Result<T, ConnectorError>,
    ) -> Result<T, ConnectorError> {
        let noted = note(&mut self.state().listing);
        noted.map_err(|error| self.refuse(error))
    }

    /// Remembers a breach of the contract: the pull fails with it, whatever the author makes of the error.
    pub(crate) fn refuse(&self, error: ConnectorError) -> ConnectorError {
        self.state().violation.get_or_insert(error).clone()
    }

    /// Once a second: sends what would wait for a page to fill. While the server is behind there is no room, and
    /// nothing waits for want of a page.
    pub(crate) fn tick(&self) {
        let Ok(permit) = self.responses.try_reserve() else { return };
        let mut state = self.state();
        if let Some(page) = state.page.take() {
            permit.send(page_response(page));
        } else if let Some(progress) = state.progress.take() {
            permit.send(PullResponse { kind: Some(pull_response::Kind::Progress(progress)) });
        }
    }

    /// After the author's code: sends what is left, then the ends of the listings if it ended well.
    pub(crate) async fn finish(&self, result: Result<(), ConnectorError>) -> Result<(), ConnectorError> {
        if result.is_ok() && self.state().violation.is_none() {
            let unanswered = self.state().listing.take_unanswered();
            for id in unanswered {
                let error = ConnectorError::new(Reason::Internal, "the connector did not answer for this id");
                self.push(&"".into(), limits::item_error(Some(item_error::Target::Id(id)), false, &error))
                    .await?;
            }
        }
        self.flush().await?;
        let (ends, progress, violation) = {
            let mut state = self.state();
            (state.listing.take_ends(), state.progress.take(), state.violation.take())
        };
        if let Some(progress) = progress {
            self.send_in_order(pull_response::Kind::Progress(progress)).await?;
        }
        result.and_then(|()| violation.map_or(Ok(()), Err))?;
        for end in ends {
            match end {
                ListingEnd::Complete { scope, cursor } => {
                    let checkpoint = Checkpoint { cursor, has_more: false, listing_complete: true };
                    self.send_checkpoint(&scope, &checkpoint).await?;
                }
                ListingEnd::Incomplete { scope, reason, cursor } => {
                    let message = format!("the listing of scope {scope:?} is not complete: {reason}");
                    self.log(Level::Warn, message).await?;
                    if let Some(cursor) = cursor {
                        // Without it the last checkpoint would go on asking for another pull.
                        let checkpoint = Checkpoint { cursor, has_more: false, listing_complete: false };
                        self.send_checkpoint(&scope, &checkpoint).await?;
                    }
                }
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of the author runs under this lock, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn page_response(page: Page) -> PullResponse {
    PullResponse { kind: Some(pull_response::Kind::Page(page)) }
}

/// The stream is closed; whoever reads this error was about to be dropped.
fn ended() -> ConnectorError {
    ConnectorError::new(Reason::SourceUnavailable, "the pull has ended: the server has gone away")
}
