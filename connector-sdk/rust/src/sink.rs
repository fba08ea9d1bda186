//! What `pull` gives its changes to. The sink normalizes, fills pages, keeps their order, and waits where the
//! server is slower than the source.

use std::sync::Arc;

use superfasttt_proto::connector::v1::{
    Container, Permissions, PermissionsChange, Progress, ScopeError, ScopeRemoved, change, log_record::Level,
    pull_response, scope_removed::Cause,
};
use superfasttt_proto::error::ConnectorError;
use tokio_util::sync::CancellationToken;

use crate::change::{normalize, present, raw};
use crate::connector::Connector;
use crate::item::{Item, Target};
use crate::limits::{self, MAX_ID_BYTES};
use crate::listing::violation;
use crate::outlet::Outlet;
use crate::request::Mode;

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

/// One pull, in all its scopes.
struct Shared<C: Connector> {
    connector: Arc<C>,
    settings: Arc<C::Settings>,
    mode: Mode,
    want_raw: bool,
    cancel: CancellationToken,
    outlet: Arc<Outlet>,
}

impl<C: Connector> Sink<C> {
    pub(crate) fn new(
        connector: Arc<C>,
        settings: Arc<C::Settings>,
        (mode, want_raw): (Mode, bool),
        outlet: Arc<Outlet>,
        cancel: CancellationToken,
    ) -> Self {
        let shared = Shared { connector, settings, mode, want_raw, cancel, outlet };
        Self { shared: Arc::new(shared), scope: "".into() }
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
            return Err(self.shared.outlet.refuse(violation(message)));
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
        self.shared.outlet.note(|listing| listing.check_present())?;
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
        self.shared.outlet.checkpoint(&self.scope, cursor.into(), has_more).await
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
        self.shared.outlet.note(|listing| listing.declare_end(&self.scope, cursor.into()))
    }

    /// This scope stops here, the others go on. CURSOR_INVALID makes the server list the scope in full.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn scope_error(&self, error: &ConnectorError) -> Result<(), ConnectorError> {
        self.stop_scope()?;
        let error = Some(limits::clip_error(error.clone()).to_proto());
        let scope = self.scope.as_ref().to_owned();
        self.shared.outlet.send_in_order(pull_response::Kind::ScopeError(ScopeError { scope, error })).await
    }

    /// The source said that this scope is gone, or closed to the account, or no longer chosen.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn scope_removed(&self, cause: Cause) -> Result<(), ConnectorError> {
        self.stop_scope()?;
        let removed = ScopeRemoved { scope: self.scope.as_ref().to_owned(), reason: cause.into() };
        self.shared.outlet.send_in_order(pull_response::Kind::ScopeRemoved(removed)).await
    }

    /// Says how far the pull is; 0 for a count that is not known. Sent at most once a second, so it may be called
    /// for each item.
    pub fn progress(&self, items_seen: u64, items_total: u64, message: impl Into<String>) {
        self.shared.outlet.progress(Progress { items_seen, items_total, message: message.into() });
    }

    /// Writes a line to the run's log. Without secrets.
    ///
    /// # Errors
    ///
    /// When the pull has ended.
    pub async fn log(&self, level: Level, message: impl Into<String>) -> Result<(), ConnectorError> {
        self.shared.outlet.log(level, message.into()).await
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

    async fn push(&self, kind: change::Kind) -> Result<(), ConnectorError> {
        self.shared.outlet.push(&self.scope, kind).await
    }

    async fn push_beside_list(&self, kind: change::Kind) -> Result<(), ConnectorError> {
        match self.shared.mode {
            Mode::List => Ok(()),
            _ => self.push(kind).await,
        }
    }

    fn stop_scope(&self) -> Result<(), ConnectorError> {
        self.shared.outlet.note(|listing| {
            listing.stopped(&self.scope);
            Ok(())
        })
    }
}
