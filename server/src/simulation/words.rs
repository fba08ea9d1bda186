//! How the connector of the simulation says things: cursors, envelopes and raw items, changes and pages, and what each is
//! in a trace.
//!
//! A cursor is `c:N.L`: it covers every change up to number N, and goes on from listing number L. `l:N.L:ID` is a listing
//! in full, of number L, that began at change N and has come to document ID; a connector that cannot prove a listing
//! complete goes on with changes from there. `p:N.L:ID` and, at its end, `q:N.L` are the same of a listing of ids.

use prost::Message;
use superfasttt_proto::connector::pulled;
use superfasttt_proto::connector::v1::{
    self, Change, Checkpoint, Container, Deletion, DocumentEnvelope, ItemError, Page, Permissions,
    PermissionsChange, Present, PullResponse, RawItem, Reason, ScopeError, ScopeRemoved, change, deletion,
    item_error, pull_response, scope_removed,
};
use superfasttt_proto::error::ConnectorError;

use super::source::{Item, Source};

/// A cursor, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor<'a> {
    pub kind: &'a str,
    /// The change up to which it covers everything, or at which its listing began.
    pub change: i64,
    /// The listing that it is of, or goes on from.
    pub listing: u64,
    /// Where a listing has come to.
    pub after: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let mut parts = text.splitn(3, ':');
        let kind = parts.next().unwrap_or_default();
        let (change, listing) = parts.next().and_then(|part| part.split_once('.')).unwrap_or_default();
        let (change, listing) = (change.parse().unwrap_or_default(), listing.parse().unwrap_or_default());
        Self { kind, change, listing, after: parts.next().unwrap_or_default() }
    }
}

/// The change up to which a cursor of changes covers everything.
pub(super) fn covered_by(cursor: &[u8]) -> i64 {
    Cursor::parse(&text(cursor)).change
}

/// The listing that a cursor goes on from.
pub(super) fn listing_of(cursor: &[u8]) -> u64 {
    Cursor::parse(&text(cursor)).listing
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The text of a document of this version.
pub(super) fn text_of(id: &str, item: &Item) -> Option<String> {
    // Not each change of a document changes its text.
    (!item.heavy).then(|| format!("text {} of {id}", item.version / 2))
}

/// A document as the connector tells it.
pub(super) fn envelope(id: &str, item: &Item) -> DocumentEnvelope {
    DocumentEnvelope {
        id: id.to_owned(),
        title: format!("{id} at {}", item.version / 3),
        content: text_of(id, item),
        content_ref: if item.heavy { id.to_owned() } else { String::new() },
        version: item.version.to_string(),
        permissions: Some(permissions_of(item)),
        parent_id: item.folder.clone(),
        locator: format!("at/{id}"),
        ..DocumentEnvelope::default()
    }
}

/// Whether a connector that is asked for raw items has one of this document. It may send envelopes all the same.
pub(super) fn has_raw(item: &Item) -> bool {
    item.version % 5 != 0
}

/// What stands between a title and the number of the Normalize that made it.
const MADE_BY: char = '~';

/// What Normalize number `normalizer` makes of a raw item.
pub(super) fn normalized(item: &RawItem, normalizer: u32) -> Option<DocumentEnvelope> {
    let mut envelope = DocumentEnvelope::decode(&item.data[..]).ok()?;
    envelope.id.clone_from(&item.id);
    envelope.title = made_by(&envelope.title, normalizer);
    Some(envelope)
}

/// A title as Normalize gives it.
pub(super) fn made_by(title: &str, normalizer: u32) -> String {
    format!("{title}{MADE_BY}{normalizer}")
}

/// A title, whoever gave it.
pub(super) fn plain_title(title: &str) -> &str {
    title.split_once(MADE_BY).map_or(title, |(plain, _)| plain)
}

fn permissions_of(item: &Item) -> Permissions {
    let allow = vec![format!("user:{}", item.acl)];
    Permissions { visibility: "organization".to_owned(), allow, deny: Vec::new() }
}

pub(super) fn document(id: &str, item: &Item) -> Change {
    Change { kind: Some(change::Kind::Document(envelope(id, item))) }
}

/// The same before Normalize: id and version are the engine's already.
pub(super) fn raw(id: &str, item: &Item) -> Change {
    let mut envelope = envelope(id, item);
    envelope.id.clear();
    let raw = RawItem {
        id: id.to_owned(),
        version: std::mem::take(&mut envelope.version),
        content_ref: std::mem::take(&mut envelope.content_ref),
        schema: "simulated".to_owned(),
        data: envelope.encode_to_vec().into(),
    };
    Change { kind: Some(change::Kind::Raw(raw)) }
}

pub(super) fn present(id: &str, item: &Item) -> Change {
    let present = Present { id: id.to_owned(), version: item.version.to_string() };
    Change { kind: Some(change::Kind::Present(present)) }
}

pub(super) fn permissions(id: &str, item: &Item) -> Change {
    let permissions = Some(permissions_of(item));
    Change { kind: Some(change::Kind::Permissions(PermissionsChange { id: id.to_owned(), permissions })) }
}

pub(super) fn deletion(id: &str, with_descendants: bool, by_locator: bool) -> Change {
    let target = if by_locator {
        deletion::Target::Locator(format!("at/{id}"))
    } else {
        deletion::Target::Id(id.to_owned())
    };
    Change { kind: Some(change::Kind::Deletion(Deletion { target: Some(target), with_descendants })) }
}

pub(super) fn folder(source: &Source, scope: &str, id: &str) -> Option<Change> {
    source.folders.get(id).filter(|of| *of == scope)?;
    let container = Container {
        id: id.to_owned(),
        name: id.to_owned(),
        locator: format!("at/{id}"),
        ..Container::default()
    };
    Some(Change { kind: Some(change::Kind::Container(container)) })
}

pub(super) fn cannot_read(id: &str) -> Change {
    item_error_of(Some(item_error::Target::Id(id.to_owned())), false)
}

pub(super) fn cannot_read_under(folder: &str) -> Change {
    item_error_of(Some(item_error::Target::Id(folder.to_owned())), true)
}

/// Something of a scope cannot be read, and nobody can name it.
pub(super) fn cannot_read_something() -> Change {
    item_error_of(None, false)
}

fn item_error_of(target: Option<item_error::Target>, with_descendants: bool) -> Change {
    Change { kind: Some(change::Kind::ItemError(unreadable(target, with_descendants))) }
}

pub(super) fn unreadable(target: Option<item_error::Target>, with_descendants: bool) -> ItemError {
    let error = Some(ConnectorError::new(Reason::AccessDenied, "it cannot be read").to_proto());
    ItemError { target, with_descendants, error }
}

pub(super) fn gone(scope: &str) -> PullResponse {
    let removed = ScopeRemoved { scope: scope.to_owned(), reason: scope_removed::Cause::Gone.into() };
    PullResponse { kind: Some(pull_response::Kind::ScopeRemoved(removed)) }
}

pub(super) fn not_this_scope(scope: String) -> PullResponse {
    let error = Some(ConnectorError::new(Reason::AccessDenied, "not this scope").to_proto());
    PullResponse { kind: Some(pull_response::Kind::ScopeError(ScopeError { scope, error })) }
}

pub(super) fn page_of(scope: &str, changes: Vec<Change>, checkpoint: Option<Checkpoint>) -> PullResponse {
    let page = Page { scope: scope.to_owned(), changes, checkpoint };
    PullResponse { kind: Some(pull_response::Kind::Page(page)) }
}

/// A message as the engine reads it: with documents as they came.
pub(super) fn as_pulled(message: &PullResponse) -> pulled::PullResponse {
    pulled::PullResponse::decode(message.encode_to_vec().as_slice()).expect("both are the same on the wire")
}

/// A change in a word, for the trace.
pub(super) fn shown(change: &Change) -> String {
    use v1::change::Kind;
    match &change.kind {
        Some(Kind::Document(envelope)) => format!("{}@{}", envelope.id, envelope.version),
        Some(Kind::Raw(raw)) => format!("<{}@{}>", raw.id, raw.version),
        Some(Kind::Present(present)) => format!("={}@{}", present.id, present.version),
        Some(Kind::Permissions(change)) => format!("{}~", change.id),
        Some(Kind::Deletion(deletion)) => {
            let wide = if deletion.with_descendants { "/*" } else { "" };
            match &deletion.target {
                Some(deletion::Target::Id(id) | deletion::Target::Locator(id)) => format!("-{id}{wide}"),
                None => "-".to_owned(),
            }
        }
        Some(Kind::Container(container)) => format!("[{}]", container.id),
        Some(Kind::ItemError(error)) => match &error.target {
            Some(item_error::Target::Id(id) | item_error::Target::Locator(id)) => format!("!{id}"),
            None => "!".to_owned(),
        },
        None => "?".to_owned(),
    }
}
