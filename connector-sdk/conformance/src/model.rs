//! What connectord would hold of a connection: a small model of its engine, to which the same messages are committed.

use std::collections::{BTreeMap, BTreeSet};

use superfasttt_proto::connector::v1::{
    Change, Checkpoint, Deletion, DocumentEnvelope, ItemError, PullMode, PullResponse, ScopeState, change,
    deletion, item_error, pull_response,
};

/// The documents and states of one connection. Nothing here is held back by a guard: what a connector says is done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    documents: BTreeMap<String, Held>,
    containers: BTreeMap<String, Place>,
    scopes: BTreeMap<String, Scope>,
    /// Ids that were only said to be present, at a version that is not held.
    wanted: BTreeSet<String>,
}

/// A document, owned by the scope that gave it last.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    scope: String,
    version: String,
    place: Place,
    content: Content,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    /// As it was given. Boxed, because the other is nothing.
    Given(Box<DocumentEnvelope>),
    /// From before: not what the source has.
    Old,
}

/// Where something stands among folders.
#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    parent: String,
    locator: String,
}

#[derive(Clone, Debug, Default)]
struct Scope {
    cursor: Option<Vec<u8>>,
    listing: Option<Listing>,
    has_more: bool,
    /// A scope error in the pull that goes on.
    failed: bool,
}

/// A listing that is under way.
#[derive(Clone, Debug, Default)]
struct Listing {
    cursor: Option<Vec<u8>>,
    seen: BTreeSet<String>,
    shielded: BTreeSet<String>,
    /// Something failed that has no name, so nothing may be taken as gone.
    unnamed: bool,
}

/// The id of a document that no source has: a complete listing removes it.
const PHANTOM: &str = "conformance-kit: no source has this";

impl Model {
    /// Commits a message of a pull in `mode`.
    pub(crate) fn commit(&mut self, mode: PullMode, message: &PullResponse) {
        match &message.kind {
            Some(pull_response::Kind::Page(page)) => {
                if is_listing(mode) {
                    self.scope(&page.scope).listing.get_or_insert_default();
                }
                self.scopes.entry(page.scope.clone()).or_default();
                for change in &page.changes {
                    self.change(&page.scope, change);
                }
                if let Some(checkpoint) = &page.checkpoint {
                    self.checkpoint(mode, &page.scope, checkpoint);
                }
            }
            Some(pull_response::Kind::ScopeError(error)) => self.scope(&error.scope).failed = true,
            Some(pull_response::Kind::ScopeRemoved(removed)) => {
                self.documents.retain(|_, held| held.scope != removed.scope);
                self.scopes.remove(&removed.scope);
            }
            _ => {}
        }
    }

    /// Commits messages in their order.
    pub(crate) fn commit_all<'a>(
        &mut self,
        mode: PullMode,
        messages: impl IntoIterator<Item = &'a PullResponse>,
    ) {
        for message in messages {
            self.commit(mode, message);
        }
    }

    fn scope(&mut self, scope: &str) -> &mut Scope {
        self.scopes.entry(scope.to_owned()).or_default()
    }

    fn change(&mut self, scope: &str, change: &Change) {
        match &change.kind {
            Some(change::Kind::Document(document)) => self.document(scope, document),
            Some(change::Kind::Raw(raw)) => {
                // Compared as an envelope that holds what the item does; raw items come only where they are asked for.
                let document = DocumentEnvelope {
                    id: raw.id.clone(),
                    version: raw.version.clone(),
                    ..Default::default()
                };
                self.document(scope, &document);
            }
            Some(change::Kind::Present(present)) => {
                self.see(scope, &present.id);
                if self
                    .documents
                    .get(&present.id)
                    .is_none_or(|held| held.version != present.version || held.content == Content::Old)
                {
                    self.wanted.insert(present.id.clone());
                }
            }
            Some(change::Kind::Permissions(permissions)) => {
                if let Some(Held { content: Content::Given(document), .. }) =
                    self.documents.get_mut(&permissions.id)
                {
                    document.permissions.clone_from(&permissions.permissions);
                }
            }
            Some(change::Kind::Deletion(deletion)) => self.delete(scope, deletion),
            Some(change::Kind::Container(container)) => {
                let place = Place { parent: container.parent_id.clone(), locator: container.locator.clone() };
                self.containers.insert(container.id.clone(), place);
            }
            Some(change::Kind::ItemError(error)) => self.shield(scope, error),
            None => {}
        }
    }

    fn document(&mut self, scope: &str, document: &DocumentEnvelope) {
        self.see(scope, &document.id);
        self.wanted.remove(&document.id);
        let held = Held {
            scope: scope.to_owned(),
            version: document.version.clone(),
            place: Place { parent: document.parent_id.clone(), locator: document.locator.clone() },
            content: Content::Given(Box::new(document.clone())),
        };
        self.documents.insert(document.id.clone(), held);
    }

    fn see(&mut self, scope: &str, id: &str) {
        if let Some(listing) = &mut self.scope(scope).listing {
            listing.seen.insert(id.to_owned());
        }
    }

    fn delete(&mut self, scope: &str, deletion: &Deletion) {
        let target = match &deletion.target {
            Some(deletion::Target::Id(id)) => Some(id.clone()),
            Some(deletion::Target::Locator(locator)) => self.by_locator(scope, locator),
            None => None,
        };
        let Some(target) = target else { return };
        let mut gone = BTreeSet::from([target.clone()]);
        if deletion.with_descendants {
            gone.extend(self.under(&target));
        }
        for id in gone {
            if self.documents.get(&id).is_some_and(|held| held.scope == scope) {
                self.documents.remove(&id);
            }
            self.containers.remove(&id);
            self.wanted.remove(&id);
        }
    }

    fn shield(&mut self, scope: &str, error: &ItemError) {
        let target = match &error.target {
            Some(item_error::Target::Id(id)) => Some(id.clone()),
            Some(item_error::Target::Locator(locator)) => self.by_locator(scope, locator),
            None => None,
        };
        let mut shielded = BTreeSet::new();
        if let Some(target) = &target {
            self.wanted.remove(target);
            shielded.insert(target.clone());
            if error.with_descendants {
                shielded.extend(self.under(target));
            }
        }
        // What has a locator that is not known was never stored, so there is nothing to spare, unless it is a folder.
        let unnamed = error.target.is_none() || (target.is_none() && error.with_descendants);
        if let Some(listing) = &mut self.scope(scope).listing {
            listing.shielded.extend(shielded);
            listing.unnamed |= unnamed;
        }
    }

    fn by_locator(&self, scope: &str, locator: &str) -> Option<String> {
        let document =
            self.documents.iter().find(|(_, held)| held.scope == scope && held.place.locator == locator);
        let container = || self.containers.iter().find(|(_, place)| place.locator == locator);
        document.map(|(id, _)| id.clone()).or_else(|| container().map(|(id, _)| id.clone()))
    }

    /// Everything under a container, at any depth.
    fn under(&self, container: &str) -> BTreeSet<String> {
        let places = self.documents.iter().map(|(id, held)| (id, &held.place)).chain(&self.containers);
        let places: Vec<_> = places.filter(|(_, place)| !place.parent.is_empty()).collect();
        let mut under = BTreeSet::from([container.to_owned()]);
        loop {
            let before = under.len();
            for (id, place) in &places {
                if under.contains(&place.parent) {
                    under.insert((*id).clone());
                }
            }
            if under.len() == before {
                under.remove(container);
                return under;
            }
        }
    }

    fn checkpoint(&mut self, mode: PullMode, name: &str, checkpoint: &Checkpoint) {
        let scope = self.scope(name);
        scope.has_more = checkpoint.has_more;
        if !is_listing(mode) {
            scope.cursor = Some(checkpoint.cursor.clone());
            return;
        }
        if !checkpoint.listing_complete {
            scope.listing.get_or_insert_default().cursor = Some(checkpoint.cursor.clone());
            return;
        }
        let listing = scope.listing.take().unwrap_or_default();
        if mode == PullMode::Full {
            scope.cursor = Some(checkpoint.cursor.clone());
        }
        if !listing.unnamed {
            let stays = |id: &String| listing.seen.contains(id) || listing.shielded.contains(id);
            self.documents.retain(|id, held| held.scope != name || stays(id));
        }
    }

    /// Where each scope stands, as the next pull in `mode` is told.
    pub(crate) fn states(&self, mode: PullMode) -> Vec<ScopeState> {
        let cursor = |scope: &Scope| match (is_listing(mode), &scope.listing) {
            (true, listing) => listing.as_ref().and_then(|listing| listing.cursor.clone()),
            (false, _) => scope.cursor.clone(),
        };
        let state = |(name, scope): (&String, &Scope)| {
            Some(ScopeState { scope: name.clone(), cursor: cursor(scope)? })
        };
        self.scopes.iter().filter_map(state).collect()
    }

    /// Begins a pull: what an earlier one said of its end is over.
    pub(crate) fn begin_pull(&mut self) {
        for scope in self.scopes.values_mut() {
            (scope.has_more, scope.failed) = (false, false);
        }
    }

    /// A pull ended with OK. A listing without `listing_complete` has gone as far as it goes: its cursor is where changes
    /// are taken from.
    pub(crate) fn end_full(&mut self) {
        for scope in self.scopes.values_mut().filter(|scope| !scope.has_more && !scope.failed) {
            if let Some(Listing { cursor: Some(cursor), .. }) = scope.listing.take() {
                scope.cursor = Some(cursor);
            }
        }
    }

    /// Whether a scope asks for another pull at once.
    pub(crate) fn wants_more(&self) -> bool {
        self.scopes.values().any(|scope| scope.has_more && !scope.failed)
    }

    /// The ids that TARGETED has to bring.
    pub(crate) fn take_wanted(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.wanted)
    }

    /// The same as it would be if everything in it were from long ago, with a document more that the source does not have:
    /// what a listing does not bring again then shows.
    pub(crate) fn aged(&self) -> Self {
        let mut aged = self.clone();
        for held in aged.documents.values_mut() {
            held.content = Content::Old;
        }
        for (number, name) in self.scopes.keys().enumerate() {
            let held = Held {
                scope: name.clone(),
                version: String::new(),
                place: Place::default(),
                content: Content::Old,
            };
            aged.documents.insert(format!("{PHANTOM} ({number})"), held);
        }
        for scope in aged.scopes.values_mut() {
            scope.listing = None;
        }
        aged
    }

    /// The ids of the documents.
    pub(crate) fn ids(&self) -> BTreeSet<&str> {
        self.documents.keys().map(String::as_str).collect()
    }

    /// The documents.
    pub(crate) fn documents(&self) -> impl Iterator<Item = &DocumentEnvelope> {
        self.documents.values().filter_map(|held| match &held.content {
            Content::Given(document) => Some(&**document),
            Content::Old => None,
        })
    }

    /// What is different from what should be there.
    pub(crate) fn compare(&self, expected: &Model) -> Difference {
        let mut difference = Difference::default();
        for (id, wanted) in &expected.documents {
            match self.documents.get(id) {
                None => difference.missing.push(id.clone()),
                Some(held) if held.content != wanted.content || held.scope != wanted.scope => {
                    difference.differing.push((id.clone(), fields(&held.content, &wanted.content)));
                }
                Some(_) => {}
            }
        }
        let surplus = self.documents.keys().filter(|id| !expected.documents.contains_key(*id));
        difference.surplus = surplus.cloned().collect();
        difference
    }
}

fn is_listing(mode: PullMode) -> bool {
    matches!(mode, PullMode::Full | PullMode::List)
}

/// How one set of documents differs from another.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// Documents that should be there.
    pub(crate) missing: Vec<String>,
    /// Documents that are other than they should be, and in what.
    pub(crate) differing: Vec<(String, String)>,
    /// Documents that should not be there.
    pub(crate) surplus: Vec<String>,
}

impl Difference {
    /// In words; `None`: there is none.
    pub(crate) fn told(&self) -> Option<String> {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("missing: {}", some(&self.missing)));
        }
        if let Some((id, what)) = self.differing.first() {
            parts.push(format!("different: {} of them, such as {id:?} ({what})", self.differing.len()));
        }
        if !self.surplus.is_empty() {
            parts.push(format!("too many: {}", some(&self.surplus)));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// The first of many, and how many there are.
pub(crate) fn some(ids: &[String]) -> String {
    let shown: Vec<String> =
        ids.iter().take(3).map(|id| format!("{:?}", id.chars().take(100).collect::<String>())).collect();
    match ids.len() {
        0..=3 => shown.join(", "),
        count => format!("{} and {} more", shown.join(", "), count - 3),
    }
}

fn fields(held: &Content, wanted: &Content) -> String {
    let (Content::Given(held), Content::Given(wanted)) = (held, wanted) else {
        return "it was not sent again".to_owned();
    };
    differing_fields(held, wanted)
}

/// The names of the fields in which two envelopes differ.
pub(crate) fn differing_fields(one: &DocumentEnvelope, other: &DocumentEnvelope) -> String {
    let fields = [
        ("id", one.id != other.id),
        ("title", one.title != other.title),
        ("content", one.content != other.content),
        ("source", one.source != other.source),
        ("url", one.url != other.url),
        ("metadata", one.metadata != other.metadata),
        ("permissions", one.permissions != other.permissions),
        ("version", one.version != other.version),
        ("content_ref", one.content_ref != other.content_ref),
        ("media_type", one.media_type != other.media_type),
        ("created_at", one.created_at != other.created_at),
        ("updated_at", one.updated_at != other.updated_at),
        ("parent_id", one.parent_id != other.parent_id),
        ("locator", one.locator != other.locator),
    ];
    let names: Vec<&str> = fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
    if names.is_empty() { "another scope".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
