//! The page that is being filled, and how full it may get.

use std::sync::Arc;

use prost::encoding::encoded_len_varint;
use superfasttt_proto::connector::v1::{Change, Checkpoint, Page, PullLimits};

use crate::limits::{MAX_CHANGE_BYTES, MAX_ID_BYTES};

const DEFAULT_PAGE_BYTES: u32 = 1024 * 1024;
const DEFAULT_PAGE_CHANGES: u32 = 500;

/// How full a page may get.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    max_bytes: usize,
    max_changes: usize,
}

impl PageLimits {
    /// The limits of a request. Whatever it asks, a page stays under 4 MiB with its scope and cursor.
    pub(crate) fn from_proto(limits: Option<&PullLimits>) -> Self {
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        let (bytes, changes) =
            limits.map_or((0, 0), |limits| (limits.max_page_bytes, limits.max_page_changes));
        // The scope's name is part of the page.
        let max_bytes = (or(bytes, DEFAULT_PAGE_BYTES) as usize).min(MAX_CHANGE_BYTES);
        Self {
            max_bytes: max_bytes.saturating_sub(MAX_ID_BYTES + 8),
            max_changes: or(changes, DEFAULT_PAGE_CHANGES) as usize,
        }
    }
}

/// Changes of one scope that wait for the page to be full.
#[derive(Debug)]
pub(crate) struct OpenPage {
    limits: PageLimits,
    scope: Arc<str>,
    changes: Vec<Change>,
    bytes: usize,
}

impl OpenPage {
    pub(crate) fn new(limits: PageLimits, scope: Arc<str>) -> Self {
        Self { limits, scope, changes: Vec::new(), bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether a change of `scope` with this encoded size can join. An empty page takes any change, because a
    /// change over the page's limit still has to travel.
    pub(crate) fn has_room(&self, scope: &str, change_bytes: usize) -> bool {
        self.is_empty()
            || (*self.scope == *scope
                && self.changes.len() < self.limits.max_changes
                && self.bytes + framed_len(change_bytes) <= self.limits.max_bytes)
    }

    /// Adds a change that [`Self::has_room`] said yes to.
    pub(crate) fn push(&mut self, scope: &Arc<str>, change: Change, change_bytes: usize) {
        if self.is_empty() && !Arc::ptr_eq(&self.scope, scope) {
            self.scope = Arc::clone(scope);
        }
        self.changes.push(change);
        self.bytes += framed_len(change_bytes);
    }

    /// Takes what is there as a page, if anything is there.
    pub(crate) fn take(&mut self) -> Option<Page> {
        if self.is_empty() {
            return None;
        }
        // The next page will likely hold as many: one allocation instead of a doubling series.
        let capacity = self.changes.len();
        let changes = std::mem::replace(&mut self.changes, Vec::with_capacity(capacity));
        self.bytes = 0;
        Some(Page { scope: self.scope.as_ref().to_owned(), changes, checkpoint: None })
    }

    /// Takes what is there as the page that carries `checkpoint` of `scope`; `None` while changes of another
    /// scope have to go first.
    pub(crate) fn take_with(&mut self, scope: &str, checkpoint: &Checkpoint) -> Option<Page> {
        if !self.is_empty() && *self.scope != *scope {
            return None;
        }
        let mut page = self.take().unwrap_or_else(|| Page { scope: scope.to_owned(), ..Page::default() });
        page.checkpoint = Some(checkpoint.clone());
        Some(page)
    }
}

/// What a change adds to its page: field number, length, and itself.
fn framed_len(change_bytes: usize) -> usize {
    1 + encoded_len_varint(change_bytes as u64) + change_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_CURSOR_BYTES;
    use prost::Message;
    use superfasttt_proto::connector::v1::{Present, change::Kind};

    fn limits(max_page_bytes: u32, max_page_changes: u32) -> PageLimits {
        let limits = PullLimits { max_page_bytes, max_page_changes, credential_lifetime: None };
        PageLimits::from_proto(Some(&limits))
    }

    fn present(id: String) -> Change {
        Change { kind: Some(Kind::Present(Present { id, version: "1".into() })) }
    }

    /// Fills pages with `count` changes and gives them with their encoded sizes.
    fn fill(limits: PageLimits, count: usize, id_bytes: usize) -> Vec<Page> {
        let scope: Arc<str> = "s".into();
        let mut open = OpenPage::new(limits, scope.clone());
        let mut pages = Vec::new();
        for number in 0..count {
            let change = present(format!("{number:0id_bytes$}"));
            let bytes = change.encoded_len();
            if !open.has_room(&scope, bytes) {
                pages.extend(open.take());
            }
            open.push(&scope, change, bytes);
        }
        pages.extend(open.take());
        pages
    }

    #[test]
    fn pages_stay_under_both_limits_and_lose_nothing() {
        let pages = fill(limits(64 * 1024, 100), 1000, 900);
        assert_eq!(pages.iter().map(|page| page.changes.len()).sum::<usize>(), 1000);
        assert!(pages.iter().all(|page| page.encoded_len() <= 64 * 1024 && page.changes.len() <= 100));
    }

    #[test]
    fn a_request_cannot_ask_for_pages_of_four_mebibytes() {
        let pages = fill(limits(u32::MAX, u32::MAX), 10_000, 1000);
        let largest = pages.iter().map(Message::encoded_len).max().unwrap();
        assert!(largest + MAX_CURSOR_BYTES < 4 * 1024 * 1024, "{largest}");
        assert!(pages.len() > 1);
    }

    #[test]
    fn a_checkpoint_waits_for_the_changes_of_another_scope() {
        let mut open = OpenPage::new(limits(0, 0), "".into());
        open.push(&"a".into(), present("1".into()), 5);
        let checkpoint = Checkpoint { cursor: b"c".to_vec(), ..Default::default() };
        assert_eq!(open.take_with("b", &checkpoint), None);
        assert_eq!(open.take().unwrap().scope, "a");
        let page = open.take_with("b", &checkpoint).unwrap();
        assert_eq!((page.scope.as_str(), page.checkpoint), ("b", Some(checkpoint)));
    }
}
