//! What an author names things with: an item with its key, and the target of a deletion or an item error.

use superfasttt_proto::connector::v1::{deletion, item_error};

/// What the engine needs to know of an item before anything is made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemKey {
    /// The source's own stable identifier, unique within a connection, 1 to 1,024 bytes.
    pub id: String,
    /// The source's etag or revision; content is fetched again when it differs. Empty: the source has none.
    pub version: String,
    /// What `fetch_content` needs to read this item's bytes. Empty: there is nothing to fetch.
    pub content_ref: String,
}

/// An item as the source gave it, with its key.
#[derive(Clone, Debug)]
pub struct Item<R> {
    /// What the engine needs to know.
    pub key: ItemKey,
    /// What `normalize` makes the envelope from.
    pub raw: R,
}

impl<R> Item<R> {
    /// An item without version and content.
    pub fn new(id: impl Into<String>, raw: R) -> Self {
        Self { key: ItemKey { id: id.into(), ..ItemKey::default() }, raw }
    }

    /// Sets the source's etag or revision.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.key.version = version.into();
        self
    }

    /// Sets what `fetch_content` needs.
    #[must_use]
    pub fn with_content_ref(mut self, content_ref: impl Into<String>) -> Self {
        self.key.content_ref = content_ref.into();
        self
    }
}

/// What a deletion or an item error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    name: Name,
    with_descendants: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Id(String),
    Locator(String),
}

impl Target {
    /// The document or container of this id.
    pub fn id(id: impl Into<String>) -> Self {
        Self { name: Name::Id(id.into()), with_descendants: false }
    }

    /// The document or container of this locator, for sources that name them by path.
    pub fn locator(locator: impl Into<String>) -> Self {
        Self { name: Name::Locator(locator.into()), with_descendants: false }
    }

    /// And everything under it.
    #[must_use]
    pub fn with_descendants(mut self) -> Self {
        self.with_descendants = true;
        self
    }

    pub(crate) fn into_deletion(self) -> superfasttt_proto::connector::v1::Deletion {
        let target = match self.name {
            Name::Id(id) => deletion::Target::Id(id),
            Name::Locator(locator) => deletion::Target::Locator(locator),
        };
        superfasttt_proto::connector::v1::Deletion {
            target: Some(target),
            with_descendants: self.with_descendants,
        }
    }

    pub(crate) fn into_parts(self) -> (item_error::Target, bool) {
        let target = match self.name {
            Name::Id(id) => item_error::Target::Id(id),
            Name::Locator(locator) => item_error::Target::Locator(locator),
        };
        (target, self.with_descendants)
    }
}
