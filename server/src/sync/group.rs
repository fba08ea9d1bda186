//! Parts that are committed together, and what their changes name.

use std::sync::Arc;

use super::change::{Change, Part, PartEnd};
use crate::store::item_errors::{ItemError, Target};

/// Changes that will be committed together.
#[derive(Default)]
pub struct Group {
    /// In stream order.
    pub parts: Vec<Part>,
    /// How many there are in them.
    pub changes: usize,
    /// About how much they write.
    pub bytes: usize,
}

impl Group {
    /// Takes one more part.
    pub fn add(&mut self, part: Part) {
        self.changes += part.changes.len();
        self.bytes += part.changes.iter().map(weight).sum::<usize>();
        self.parts.push(part);
    }

    /// The documents that it names.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().flat_map(|part| &part.changes).filter_map(id_of)
    }
}

/// About how many bytes a change writes.
fn weight(change: &Change) -> usize {
    match change {
        Change::Document(document) => {
            let raw = document.raw.as_ref().map_or(0, |raw| raw.data.len());
            document.encoded.len() + document.text.bytes() + raw
        }
        Change::Unnormalized { raw, .. } => raw.data.len(),
        Change::Unopened(document) => document.bytes.len(),
        _ => 64,
    }
}

/// A deletion by locator, or of a subtree.
pub struct Wide {
    /// Of what is named there only.
    pub scope: Arc<str>,
    /// What goes.
    pub target: Target,
    /// And what is under it.
    pub with_descendants: bool,
}

/// A part that deletes these.
pub fn deletions(scope: &Arc<str>, ids: impl IntoIterator<Item = String>) -> Part {
    let deletion = |id| Change::Deletion { target: Target::Id(id), with_descendants: false };
    let changes = ids.into_iter().map(deletion).collect();
    Part { scope: scope.clone(), changes, end: PartEnd::None, message_bytes: 0, permits: Vec::new() }
}

/// A deletion that needs the store to know what it means.
pub fn is_wide(change: &Change) -> bool {
    matches!(change, Change::Deletion { target, with_descendants } if *with_descendants || !matches!(target, Target::Id(_)))
}

/// The id of the document that a change is about.
pub fn id_of(change: &Change) -> Option<&str> {
    match change {
        Change::Document(document) => Some(&document.envelope.id),
        Change::Unopened(document) => Some(&document.id),
        Change::Raw(raw) => Some(&raw.id),
        Change::Unnormalized { raw, .. } => Some(&raw.id),
        Change::Present { id, .. } | Change::Permissions { id, .. } => Some(id),
        Change::Deletion { target: Target::Id(id), .. } => Some(id),
        Change::ItemError(ItemError { target: Target::Id(id), .. }) => Some(id),
        Change::Deletion { .. } | Change::Container { .. } | Change::ItemError(_) => None,
    }
}
