//! What `pull` gives its changes to. The sink normalizes, fills pages, keeps their order, and waits where the
//! server is slower than the source.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use superfasttt_proto::connector::v1::{
    Checkpoint, Container, LogRecord, Page, Permissions, PermissionsChange, Present, Progress, PullResponse,
    RawItem, Reason, ScopeError, ScopeRemoved, change, log_record::Level, pull_response,
    scope_removed::Cause,
};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::connector::Connector;
use crate::item::{Item, ItemKey, Target};
use crate::limits::{self, MAX_ID_BYTES, MAX_LOG_BYTES};
use crate::listing::{Listing, ListingEnd, violation};
use crate::page::{OpenPage, PageLimits};
use crate::request::Mode;
use crate::stream::died;

/// Takes the changes of one scope of one pull. It starts with the scope "" of a source that has only one;
/// [`Sink::scope`] gives the sink of another. All sinks of a pull share one stream, in the order of the calls.
///
/// Every method waits while the server is behind. A returned error ends the pull: pass it on with `?`.
pub struct Sink<C: Connector> {
    shared: Arc<Shared<C>>,
    scope: Arc<str>,
}

impl<C: Connector> Clone for Sink<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), scope: Arc::clone(&self.scope) }
    }
}

struct Shared<C: Connector> {
    connector: Arc<C>,
    settings: Arc<C::Settings>,
    mode: Mode,
    want_raw: bool,
    responses: mpsc::Sender<PullResponse>,
    cancel: CancellationToken,
    state: Mutex<State>,
}

struct State {
    page: OpenPage,
    listing: Listing,
    progress: Option<Progress>,
    /// The first breach of the contract, so that an author who ignores a returned error still hears of it.
    violation: Option<ConnectorError>,
}

/// How a pull is to be answered.
pub(crate) struct SinkOptions {
    pub(crate) mode: Mode,
    pub(crate) want_raw: bool,
    pub(crate) limits: PageLimits,
    pub(crate) listing: Listing,
}

impl<C: Connector> Sink<C> {
    pub(crate) fn new(
        connector: Arc<C>,
        settings: Arc<C::Settings>,
        options: SinkOptions,
        responses: mpsc::Sender<PullResponse>,
        cancel: CancellationToken,
    ) -> Self {
        let scope: Arc<str> = "".into();
        let state = State {
            page: OpenPage::new(options.limits, Arc::clone(&scope)),
            listing: options.listing,
            progress: None,
            violation: None,
        };
        let SinkOptions { mode, want_raw, .. } = options;
        let state = Mutex::new(state);
        let shared = Shared { connector, settings, mode, want_raw, responses, cancel, state };
        Self { shared: Arc::new(shared), scope }
    }

    /// The sink of another scope (a drive, a site, a channel) of the same pull.
    ///
    /// # Errors
    ///
    /// PROTOCOL_VIOLATION for a name over 1,024 bytes.
    pub fn scope(&self, scope: &str) -> Result<Self, ConnectorError> {
        if scope.len() > MAX_ID_BYTES {
            let message =
                format!("a scope's name has {} bytes, at most {MAX_ID_BYTES} are taken", scope.len());
            return Err(self.refuse(violation(message)));
        }
        Ok(Self { shared: Arc::clone(&self.shared), scope: scope.into() })
    }

    /// A document as the source has it now. Where the server keeps raw items it gets `item` itself, in a LIST its
    /// id and version only, else the envelope that `normalize` makes of it.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn document(&self, item: Item<C::Raw>) -> Result<(), ConnectorError> {
        let kind = match self.shared.mode {
            Mode::List => present(item.key.id, item.key.version),
            _ if self.shared.want_raw => raw::<C>(item),
            _ => normalize(&*self.shared.connector, &self.shared.settings, item),
        };
        self.push(kind).await
    }

    /// The document exists at this version, and nothing else is said. FULL and LIST only.
    ///
    /// # Errors
    ///
    /// PROTOCOL_VIOLATION in another mode; when the pull has ended.
    pub async fn present(
        &self,
        id: impl Into<String>,
        version: impl Into<String>,
    ) -> Result<(), ConnectorError> {
        let checked = self.state().listing.check_present();
        checked.map_err(|error| self.refuse(error))?;
        self.push(present(id.into(), version.into())).await
    }

    /// The permissions of a document alone. Left out of a LIST.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn permissions(
        &self,
        id: impl Into<String>,
        permissions: Permissions,
    ) -> Result<(), ConnectorError> {
        let change = PermissionsChange { id: id.into(), permissions: Some(permissions) };
        self.push_beside_list(change::Kind::Permissions(change)).await
    }

    /// The source said that it is gone from this scope. Left out of a LIST.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn deletion(&self, target: Target) -> Result<(), ConnectorError> {
        self.push_beside_list(change::Kind::Deletion(target.into_deletion())).await
    }

    /// A folder, or whatever else holds documents. Left out of a LIST.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn container(&self, container: Container) -> Result<(), ConnectorError> {
        self.push_beside_list(change::Kind::Container(container)).await
    }

    /// This item could not be read: it (and with [`Target::with_descendants`] what is under it) takes no part in
    /// deletion by absence, and the pull goes on.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn item_error(&self, target: Target, error: &ConnectorError) -> Result<(), ConnectorError> {
        let (target, with_descendants) = target.into_parts();
        self.push(limits::item_error(Some(target), with_descendants, error)).await
    }

    /// Something could not be read and cannot even be named: nothing in this scope is deleted by absence now.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn unnamed_error(&self, error: &ConnectorError) -> Result<(), ConnectorError> {
        self.push(limits::item_error(None, false, error)).await
    }

    /// "Everything given so far for this scope is covered by `cursor`." The next pull starts from it. With
    /// `has_more` the scope is pulled again at once after this pull ends; without, it is caught up.
    ///
    /// # Errors
    ///
    /// PROTOCOL_VIOLATION in a TARGETED pull, and for a cursor that is empty or over 64 KiB; when the pull has
    /// ended.
    pub async fn checkpoint(&self, cursor: impl Into<Vec<u8>>, has_more: bool) -> Result<(), ConnectorError> {
        let cursor = cursor.into();
        let checked = self.state().listing.check_checkpoint(&cursor);
        checked.map_err(|error| self.refuse(error))?;
        self.send_checkpoint(&Checkpoint { cursor, has_more, listing_complete: false }).await
    }

    /// Everything in this scope has been named since its listing began; `cursor` is where the next INCREMENTAL
    /// starts. It is sent when `pull` has returned `Ok`, and left out when something could not be named or the
    /// scope had an error, because then absence proves nothing.
    ///
    /// # Errors
    ///
    /// PROTOCOL_VIOLATION outside FULL and LIST, without the capability `full_listing`, and for a cursor that is
    /// empty or over 64 KiB.
    pub fn complete_listing(&self, cursor: impl Into<Vec<u8>>) -> Result<(), ConnectorError> {
        let declared = self.state().listing.declare_end(&self.scope, cursor.into());
        declared.map_err(|error| self.refuse(error))
    }

    /// This scope stops here, the others go on. CURSOR_INVALID makes the server list the scope in full.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn scope_error(&self, error: &ConnectorError) -> Result<(), ConnectorError> {
        self.state().listing.stopped(&self.scope);
        let error = Some(limits::clip_error(error.clone()).to_proto());
        let scope = self.scope.as_ref().to_owned();
        self.send_in_order(pull_response::Kind::ScopeError(ScopeError { scope, error })).await
    }

    /// The source said that this scope is gone, or closed to the account, or no longer chosen.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn scope_removed(&self, cause: Cause) -> Result<(), ConnectorError> {
        self.state().listing.stopped(&self.scope);
        let removed = ScopeRemoved { scope: self.scope.as_ref().to_owned(), reason: cause.into() };
        self.send_in_order(pull_response::Kind::ScopeRemoved(removed)).await
    }

    /// Says how far the pull is; 0 for a count that is not known. Sent at most once a second, so it may be called
    /// for each item.
    pub fn progress(&self, items_seen: u64, items_total: u64, message: impl Into<String>) {
        self.state().progress = Some(Progress { items_seen, items_total, message: message.into() });
    }

    /// Writes a line to the run's log. Without secrets.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn log(&self, level: Level, message: impl Into<String>) -> Result<(), ConnectorError> {
        let mut message = message.into();
        limits::clip(&mut message, MAX_LOG_BYTES);
        let record = LogRecord { level: level.into(), message, ..LogRecord::default() };
        self.send_in_order(pull_response::Kind::Log(record)).await
    }

    /// Whether the server has gone away. Blocking work asks this between steps; async code needs not, because it
    /// is dropped.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancel.is_cancelled()
    }

    /// A token that blocking work can take along to ask the same.
    pub fn cancellation(&self) -> CancellationToken {
        self.shared.cancel.clone()
    }

    async fn push_beside_list(&self, kind: change::Kind) -> Result<(), ConnectorError> {
        match self.shared.mode {
            Mode::List => Ok(()),
            _ => self.push(kind).await,
        }
    }

    async fn push(&self, kind: change::Kind) -> Result<(), ConnectorError> {
        let (change, bytes) = limits::fit(kind);
        let unnamed = matches!(&change.kind, Some(change::Kind::ItemError(error)) if error.target.is_none());
        if unnamed {
            self.state().listing.skipped_unnamed(&self.scope);
        }
        loop {
            {
                let mut state = self.state();
                if state.page.has_room(&self.scope, bytes) {
                    state.page.push(&self.scope, change, bytes);
                    return Ok(());
                }
            }
            // A full page goes out when the next change comes, so that a checkpoint can still join it.
            self.flush().await?;
        }
    }

    /// Sends the open page.
    async fn flush(&self) -> Result<(), ConnectorError> {
        let permit = self.shared.responses.reserve().await.map_err(|_| ended())?;
        // Taken and sent under one lock, so that two callers cannot send their pages in the wrong order.
        let mut state = self.state();
        if let Some(page) = state.page.take() {
            permit.send(page_response(page));
        }
        Ok(())
    }

    async fn send_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), ConnectorError> {
        loop {
            let permit = self.shared.responses.reserve().await.map_err(|_| ended())?;
            let mut state = self.state();
            if let Some(page) = state.page.take_with(&self.scope, checkpoint) {
                permit.send(page_response(page));
                return Ok(());
            }
            if let Some(page) = state.page.take() {
                permit.send(page_response(page));
            }
        }
    }

    /// Sends what is not a page after the changes given before it.
    async fn send_in_order(&self, kind: pull_response::Kind) -> Result<(), ConnectorError> {
        self.flush().await?;
        let response = PullResponse { kind: Some(kind) };
        self.shared.responses.send(response).await.map_err(|_| ended())
    }

    /// Once a second: sends what would wait for a page to fill. While the server is behind there is no room, and
    /// nothing waits for want of a page.
    pub(crate) fn tick(&self) {
        let Ok(permit) = self.shared.responses.try_reserve() else { return };
        let mut state = self.state();
        if let Some(page) = state.page.take() {
            permit.send(page_response(page));
        } else if let Some(progress) = state.progress.take() {
            permit.send(PullResponse { kind: Some(pull_response::Kind::Progress(progress)) });
        }
    }

    /// After the author's code: sends what is left, then the ends of the listings if it ended well.
    pub(crate) async fn finish(&self, result: Result<(), ConnectorError>) -> Result<(), ConnectorError> {
        self.flush().await?;
        let (ends, progress, refused) = {
            let mut state = self.state();
            (state.listing.take_ends(), state.progress.take(), state.violation.take())
        };
        if let Some(progress) = progress {
            self.send_in_order(pull_response::Kind::Progress(progress)).await?;
        }
        result.and_then(|()| refused.map_or(Ok(()), Err))?;
        for end in ends {
            match end {
                ListingEnd::Complete { scope, cursor } => {
                    let sink = Self { shared: Arc::clone(&self.shared), scope };
                    let checkpoint = Checkpoint { cursor, has_more: false, listing_complete: true };
                    sink.send_checkpoint(&checkpoint).await?;
                }
                ListingEnd::Incomplete { scope, reason } => {
                    let message = format!("the listing of scope {scope:?} is not complete: {reason}");
                    self.log(Level::Warn, message).await?;
                }
            }
        }
        Ok(())
    }

    /// Remembers a breach of the contract: the pull fails with it, whatever the author makes of the error.
    fn refuse(&self, error: ConnectorError) -> ConnectorError {
        self.state().violation.get_or_insert(error).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of the author runs under this lock, so a poisoned one still holds a whole state.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The envelope of an item, or the item error that says why there is none.
pub(crate) fn normalize<C: Connector>(
    connector: &C,
    settings: &C::Settings,
    item: Item<C::Raw>,
) -> change::Kind {
    let Item { key, raw } = item;
    let normalized = catch_unwind(AssertUnwindSafe(|| connector.normalize(&key, raw, settings)));
    match normalized.unwrap_or_else(died) {
        Ok(mut document) => {
            let ItemKey { id, version, content_ref } = key;
            (document.id, document.version, document.content_ref) = (id, version, content_ref);
            change::Kind::Document(document)
        }
        Err(error) => limits::item_error(named(key.id), false, &error),
    }
}

fn raw<C: Connector>(item: Item<C::Raw>) -> change::Kind {
    let Item { key, raw } = item;
    match serde_json::to_vec(&raw) {
        Ok(data) => change::Kind::Raw(RawItem {
            id: key.id,
            version: key.version,
            content_ref: key.content_ref,
            schema: C::RAW_SCHEMA.to_owned(),
            data: Bytes::from(data),
        }),
        Err(_) => {
            let error = ConnectorError::new(Reason::Internal, "the raw item cannot be written as JSON");
            limits::item_error(named(key.id), false, &error)
        }
    }
}

fn named(id: String) -> Option<superfasttt_proto::connector::v1::item_error::Target> {
    Some(superfasttt_proto::connector::v1::item_error::Target::Id(id))
}

fn present(id: String, version: String) -> change::Kind {
    change::Kind::Present(Present { id, version })
}

fn page_response(page: Page) -> PullResponse {
    PullResponse { kind: Some(pull_response::Kind::Page(page)) }
}

/// The stream is closed; whoever reads this error was about to be dropped.
fn ended() -> ConnectorError {
    ConnectorError::new(Reason::SourceUnavailable, "the pull has ended: the server has gone away")
}
