//! What a pull may say about scopes: which mode allows what, and whether a listing was complete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use superfasttt_proto::connector::v1::{
    Capabilities, Deletion, ItemError, Reason, change, deletion, item_error,
};
use superfasttt_proto::error::ConnectorError;

use crate::limits::MAX_CURSOR_BYTES;
use crate::request::Mode;

/// What was said of each scope in one pull. A listing's end is held back until the author's code has ended well:
/// only then is it sure that nothing was left out.
#[derive(Debug)]
pub(crate) struct Listing {
    mode: Mode,
    full_listing: bool,
    scopes: BTreeMap<Arc<str>, ScopeRecord>,
    /// Of the ids that a TARGETED pull asks for.
    unanswered: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct ScopeRecord {
    /// Items that failed without a name: any document might be one of them.
    skipped_unnamed: u64,
    /// A scope error, or the scope's removal.
    stopped: bool,
    /// The cursor of the listing's end, once the author has declared it.
    end: Option<Vec<u8>>,
}

/// How the listing of a scope ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ListingEnd {
    /// Everything was named: what was not is gone.
    Complete { scope: Arc<str>, cursor: Vec<u8> },
    /// Something was left out, for the reason told, so nothing may be taken as gone. The listing goes no further: the
    /// cursor still says so, unless an error stopped the scope before its end.
    Incomplete { scope: Arc<str>, reason: String, cursor: Option<Vec<u8>> },
}

impl Listing {
    pub(crate) fn new(mode: Mode, capabilities: &Capabilities, ids: &[String]) -> Self {
        let unanswered = ids.iter().cloned().collect();
        Self { mode, full_listing: capabilities.full_listing, scopes: BTreeMap::new(), unanswered }
    }

    /// Notes what was said of an id.
    pub(crate) fn answered(&mut self, change: &change::Kind) {
        let id = match change {
            change::Kind::Document(document) => &document.id,
            change::Kind::Raw(raw) => &raw.id,
            change::Kind::Deletion(Deletion { target: Some(deletion::Target::Id(id)), .. }) => id,
            change::Kind::ItemError(ItemError { target: Some(item_error::Target::Id(id)), .. }) => id,
            _ => return,
        };
        self.unanswered.remove(id);
    }

    /// The ids that a TARGETED pull asked for in vain.
    pub(crate) fn take_unanswered(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.unanswered)
    }

    /// Whether the mode and the contract allow this checkpoint.
    pub(crate) fn check_checkpoint(&self, cursor: &[u8]) -> Result<(), ConnectorError> {
        if self.mode == Mode::Targeted {
            return Err(violation("a checkpoint was made in a TARGETED pull, which has none"));
        }
        if cursor.is_empty() || cursor.len() > MAX_CURSOR_BYTES {
            let message = format!(
                "a cursor of {} bytes was given; it has 1 to {MAX_CURSOR_BYTES} bytes, more than that means more \
                 scopes",
                cursor.len()
            );
            return Err(violation(message));
        }
        Ok(())
    }

    /// Whether the mode allows `present`.
    pub(crate) fn check_present(&self) -> Result<(), ConnectorError> {
        if self.mode.is_listing() {
            return Ok(());
        }
        Err(violation("`present` was given outside FULL and LIST, where it says nothing"))
    }

    /// Notes that the author has named everything in `scope`.
    pub(crate) fn declare_end(&mut self, scope: &Arc<str>, cursor: Vec<u8>) -> Result<(), ConnectorError> {
        self.check_checkpoint(&cursor)?;
        if !self.mode.is_listing() {
            return Err(violation("a listing was completed outside FULL and LIST"));
        }
        if !self.full_listing {
            return Err(violation("a listing was completed and the manifest does not declare full_listing"));
        }
        self.record(scope).end = Some(cursor);
        Ok(())
    }

    /// Notes an item that failed and could not be named.
    pub(crate) fn skipped_unnamed(&mut self, scope: &Arc<str>) {
        self.record(scope).skipped_unnamed += 1;
    }

    /// Notes that `scope` goes no further.
    pub(crate) fn stopped(&mut self, scope: &Arc<str>) {
        self.record(scope).stopped = true;
    }

    /// How each listing ended whose end the author declared.
    pub(crate) fn take_ends(&mut self) -> Vec<ListingEnd> {
        let records = std::mem::take(&mut self.scopes).into_iter();
        records.filter_map(|(scope, record)| record.end_of(scope)).collect()
    }

    fn record(&mut self, scope: &Arc<str>) -> &mut ScopeRecord {
        self.scopes.entry(Arc::clone(scope)).or_default()
    }
}

impl ScopeRecord {
    fn end_of(self, scope: Arc<str>) -> Option<ListingEnd> {
        let cursor = self.end?;
        if self.stopped {
            let reason = "the scope ended with an error".to_owned();
            return Some(ListingEnd::Incomplete { scope, reason, cursor: None });
        }
        if self.skipped_unnamed > 0 {
            let reason = format!("{} items could not be read and not be named", self.skipped_unnamed);
            return Some(ListingEnd::Incomplete { scope, reason, cursor: Some(cursor) });
        }
        Some(ListingEnd::Complete { scope, cursor })
    }
}

pub(crate) fn violation(message: impl Into<String>) -> ConnectorError {
    ConnectorError::new(Reason::ProtocolViolation, message)
}
