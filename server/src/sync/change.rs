//! Changes as they go through the engine: checked and hashed, ready to be planned.

use std::sync::Arc;

use prost::Message;
use superfasttt_proto::connector::pulled::{Page, change::Kind};
use superfasttt_proto::connector::v1::{
    Checkpoint, Container, DocumentEnvelope, Permissions, RawItem, Reason, deletion, item_error,
    scope_removed,
};
use superfasttt_proto::error::ConnectorError;
use tokio::sync::OwnedSemaphorePermit;

use super::envelope::{self, Fault, Hash};
use super::unopened::Unopened;
use crate::redact;
use crate::store::item_errors::{ItemError, Target};
use crate::store::raw_items::RawPut;

const MAX_ID_BYTES: usize = 1024;
const MAX_LOCATOR_BYTES: usize = 4096;
const MAX_SCHEMA_BYTES: usize = 255;

/// A part of a pull, in stream order. It holds its share of the bytes in flight until it is committed.
#[derive(Debug)]
pub struct Part {
    /// The scope that it belongs to.
    pub scope: Arc<str>,
    /// What happened in it, in order.
    pub changes: Vec<Change>,
    /// What follows the changes.
    pub end: PartEnd,
    /// The size of the message that it came in; 0 for a later part of the same message.
    pub message_bytes: u64,
    /// Its shares of the bytes in flight: of its message, and of the envelopes that were made of raw items.
    pub permits: Vec<Arc<OwnedSemaphorePermit>>,
}

/// What follows the changes of a part.
#[derive(Debug, PartialEq)]
pub enum PartEnd {
    /// Nothing.
    None,
    /// Everything so far is covered.
    Checkpoint(Checkpoint),
    /// The scope stops here.
    ScopeError(ConnectorError),
    /// The scope is gone.
    ScopeRemoved(scope_removed::Cause),
}

/// One change of one item.
#[derive(Debug)]
pub enum Change {
    /// A whole document.
    Document(Box<Document>),
    /// The same, as it came: most likely it is stored as it is.
    Unopened(Box<Unopened>),
    /// A document before Normalize, where that was asked for. It goes no further than the raw stage.
    Raw(Box<RawItem>),
    /// One that Normalize could make no envelope of: it is kept nevertheless.
    Unnormalized {
        /// What is kept.
        raw: Box<RawPut>,
        /// Why.
        error: ItemError,
    },
    /// A document exists.
    Present {
        /// Its id.
        id: String,
        /// Its version; empty for none.
        version: String,
    },
    /// A document's permissions alone.
    Permissions {
        /// Its id.
        id: String,
        /// All of them.
        permissions: Permissions,
        /// Why they are none of what the source has: it gave more than can be kept, so nobody is let in.
        fault: Option<Box<ItemError>>,
    },
    /// An item is gone.
    Deletion {
        /// Which; never unnamed.
        target: Target,
        /// What is under it too.
        with_descendants: bool,
    },
    /// A folder.
    Container {
        /// Its id.
        id: String,
        /// What holds it; empty for nothing.
        parent_id: String,
        /// Its name.
        name: String,
        /// Its second key; empty for none.
        locator: String,
    },
    /// An item that could not be read.
    ItemError(ItemError),
}

/// A document on its way into the store.
#[derive(Debug)]
pub struct Document {
    /// The envelope as it is kept: without content.
    pub envelope: DocumentEnvelope,
    /// The same, encoded.
    pub encoded: Vec<u8>,
    /// What is known of its text.
    pub text: Text,
    /// The hash, where the text is known: computed off the path of the commits.
    pub hash: Option<Hash>,
    /// The hash of the bytes that it came in, where they hold all there is to know of it.
    pub message_hash: Option<Hash>,
    /// What is kept of what it was made of.
    pub raw: Option<Box<RawPut>>,
}

/// What is known of a document's text.
#[derive(Debug, PartialEq)]
pub enum Text {
    /// It has none.
    None,
    /// This is it, with its hash; perhaps only its beginning.
    Known {
        /// The text.
        text: String,
        /// Its hash.
        hash: Hash,
        /// It was cut.
        truncated: bool,
        /// The version that it is of; empty for none.
        version: String,
    },
    /// It is behind `content_ref`, and what is stored is of this version already.
    Held,
    /// It stays as it is, whatever that is.
    Kept,
    /// It is behind `content_ref`, and nobody has looked yet.
    Unread,
    /// None can be had from this version's bytes; why, where a person should know.
    Unreadable(Option<ConnectorError>),
    /// It could not be fetched for now.
    Failed(ConnectorError),
}

impl Text {
    /// How long it is, where it is here.
    pub fn bytes(&self) -> usize {
        match self {
            Text::Known { text, .. } => text.len(),
            _ => 0,
        }
    }
}

impl Document {
    /// Takes an accepted envelope apart.
    pub(super) fn new(mut envelope: DocumentEnvelope, message_hash: Option<Hash>) -> Self {
        let version = envelope.version.clone();
        let text = match envelope.content.take() {
            Some(text) => Text::Known { hash: envelope::text_hash(&text), text, truncated: false, version },
            None if envelope.content_ref.is_empty() => Text::None,
            None => Text::Unread,
        };
        let encoded = envelope.encode_to_vec();
        let mut document = Self { envelope, encoded, text, hash: None, message_hash, raw: None };
        document.seal();
        document
    }

    /// Computes the hash, where the text is known.
    pub fn seal(&mut self) {
        self.hash = match &self.text {
            Text::None => Some(envelope::envelope_hash(&self.envelope, None)),
            Text::Known { hash, .. } => Some(envelope::envelope_hash(&self.envelope, Some(hash))),
            Text::Held | Text::Kept | Text::Unread | Text::Unreadable(_) | Text::Failed(_) => None,
        };
    }
}

/// Takes a page apart. A change that breaks a limit of the contract is an item error; one of an unknown kind fails the
/// pull, because nobody knows what would be passed over. With `unopened`, documents are left as they came where they
/// can be; with `want_raw`, raw items may be among the changes.
pub fn from_page(
    page: Page,
    connector: &str,
    unopened: bool,
    want_raw: bool,
) -> Result<(Arc<str>, Vec<Change>, PartEnd), ConnectorError> {
    let scope: Arc<str> = page.scope.into();
    let changes = page
        .changes
        .into_iter()
        .map(|change| from_change(change.kind, &scope, connector, unopened, want_raw));
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    let end = page.checkpoint.map_or(PartEnd::None, PartEnd::Checkpoint);
    Ok((scope, changes, end))
}

/// Takes a document apart. One that breaks a limit of the contract is an item error.
///
/// # Errors
/// The bytes are no envelope.
pub fn open(
    bytes: &[u8],
    message_hash: Option<Hash>,
    scope: &str,
    connector: &str,
) -> Result<Change, ConnectorError> {
    let mut envelope = DocumentEnvelope::decode(bytes)
        .map_err(|error| violation(format!("a document that cannot be decoded: {error}")))?;
    Ok(match envelope::accept(&mut envelope, connector) {
        Ok(()) => Change::Document(Box::new(Document::new(envelope, message_hash))),
        Err(Fault::Permissions(fault)) => nobody(scope, envelope.id, fault),
        Err(Fault::Other(fault)) => refused(scope, envelope.id, fault),
    })
}

/// Permissions that cannot be kept are not known: what is stored becomes private, because what it had may let in
/// somebody whom the source has shut out since.
fn nobody(scope: &str, id: String, fault: String) -> Change {
    match refused(scope, id.clone(), fault) {
        Change::ItemError(error) if error.target == Target::Id(id.clone()) => {
            let permissions = envelope::private();
            Change::Permissions { id, permissions, fault: Some(Box::new(error)) }
        }
        unnamed => unnamed,
    }
}

/// The item error of a change that breaks a limit of the contract.
fn refused(scope: &str, id: String, message: String) -> Change {
    let target = if envelope::check_id(&id).is_err() { Target::Unnamed } else { Target::Id(id) };
    let error = ConnectorError::new(Reason::ProtocolViolation, message);
    Change::ItemError(item_error(scope, target, false, error))
}

fn from_change(
    kind: Option<Kind>,
    scope: &str,
    connector: &str,
    unopened: bool,
    want_raw: bool,
) -> Result<Change, ConnectorError> {
    let refused = |id, message| refused(scope, id, message);
    Ok(match kind {
        None => return Err(violation("a change without a kind that this server knows")),
        Some(Kind::Raw(raw)) if want_raw => match check_raw(&raw) {
            Ok(()) => Change::Raw(Box::new(raw)),
            Err(fault) => refused(raw.id, fault),
        },
        Some(Kind::Raw(_)) => return Err(violation("a raw item, though envelopes were asked for")),
        Some(Kind::Document(bytes)) => match Unopened::new(&bytes) {
            Some(document) if unopened => Change::Unopened(Box::new(document)),
            document => open(&bytes, document.map(|document| document.hash), scope, connector)?,
        },
        Some(Kind::Present(present)) => match envelope::check_id(&present.id) {
            Ok(()) => Change::Present { id: present.id, version: present.version },
            Err(fault) => refused(present.id, fault),
        },
        Some(Kind::Permissions(change)) => {
            let mut permissions = change.permissions.unwrap_or_default();
            match envelope::accept_permissions(&mut permissions) {
                Ok(()) => Change::Permissions { id: change.id, permissions, fault: None },
                Err(fault) => nobody(scope, change.id, fault),
            }
        }
        Some(Kind::Deletion(deletion)) => {
            let target = match deletion.target {
                Some(deletion::Target::Id(id)) if !id.is_empty() => Target::Id(id),
                Some(deletion::Target::Locator(locator)) if !locator.is_empty() => Target::Locator(locator),
                _ => return Err(violation("a deletion that names nothing")),
            };
            Change::Deletion { target, with_descendants: deletion.with_descendants }
        }
        Some(Kind::Container(container)) => match check_container(&container) {
            Ok(()) => Change::Container {
                id: container.id,
                parent_id: container.parent_id,
                name: container.name,
                locator: container.locator,
            },
            Err(fault) => refused(container.id, fault),
        },
        Some(Kind::ItemError(failed)) => {
            let target = match failed.target {
                Some(item_error::Target::Id(id)) if envelope::check_id(&id).is_ok() => Target::Id(id),
                Some(item_error::Target::Locator(locator))
                    if !locator.is_empty() && locator.len() <= MAX_LOCATOR_BYTES =>
                {
                    Target::Locator(locator)
                }
                // Nothing that is stored has such a name.
                _ => Target::Unnamed,
            };
            let error = ConnectorError::from_proto(failed.error.unwrap_or_default());
            Change::ItemError(item_error(scope, target, failed.with_descendants, error))
        }
    })
}

/// Checks a raw item against the contract's limits.
fn check_raw(raw: &RawItem) -> Result<(), String> {
    envelope::check_id(&raw.id)?;
    let limits = [
        ("version", raw.version.len(), MAX_ID_BYTES),
        ("content_ref", raw.content_ref.len(), envelope::MAX_URL_BYTES),
        ("schema", raw.schema.len(), MAX_SCHEMA_BYTES),
        ("data", raw.data.len(), envelope::MAX_CONTENT_BYTES),
    ];
    match limits.into_iter().find(|(_, size, limit)| size > limit) {
        Some((field, size, limit)) => {
            Err(format!("a raw item's {field} is {size} bytes; the limit is {limit}"))
        }
        None => Ok(()),
    }
}

/// Checks a folder against the contract's limits.
fn check_container(container: &Container) -> Result<(), String> {
    envelope::check_id(&container.id)?;
    let limits = [
        ("parent_id", container.parent_id.len(), MAX_ID_BYTES),
        ("name", container.name.len(), MAX_LOCATOR_BYTES),
        ("locator", container.locator.len(), MAX_LOCATOR_BYTES),
    ];
    match limits.into_iter().find(|(_, size, limit)| size > limit) {
        Some((field, size, limit)) => {
            Err(format!("a container's {field} is {size} bytes; the limit is {limit}"))
        }
        None => Ok(()),
    }
}

/// An item error as it is stored. Its texts are cut to what the contract allows.
pub fn item_error(scope: &str, target: Target, with_descendants: bool, error: ConnectorError) -> ItemError {
    let error = redact::error(error);
    ItemError {
        scope: scope.to_owned(),
        target,
        with_descendants,
        reason: error.reason,
        code: cut(error.code, 128),
        message: cut(error.message, 2048),
        metadata: error
            .metadata
            .into_iter()
            .take(16)
            .map(|(name, value)| (cut(name, 256), cut(value, 256)))
            .collect(),
    }
}

/// The connector broke the contract.
pub fn violation(message: impl Into<String>) -> ConnectorError {
    ConnectorError::new(Reason::ProtocolViolation, format!("the connector sent {}", message.into()))
}

/// The beginning of a text, cut between characters.
pub fn cut(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

#[cfg(test)]
mod tests {
    use superfasttt_proto::connector::v1::{self, change::Kind};

    use super::*;

    fn take(kind: Option<Kind>) -> Result<Change, ConnectorError> {
        let page = v1::Page { scope: "a".to_owned(), changes: vec![v1::Change { kind }], checkpoint: None };
        let page = Page::decode(page.encode_to_vec().as_slice()).unwrap();
        from_page(page, "demo", false, false).map(|(_, mut changes, _)| changes.remove(0))
    }

    fn document(change: impl FnOnce(&mut DocumentEnvelope)) -> Option<Kind> {
        let mut envelope =
            DocumentEnvelope { id: "1".to_owned(), version: "v".to_owned(), ..Default::default() };
        change(&mut envelope);
        Some(Kind::Document(envelope))
    }

    fn failed(target: Option<item_error::Target>) -> Option<Kind> {
        Some(Kind::ItemError(v1::ItemError { target, with_descendants: true, error: None }))
    }

    #[test]
    fn what_nobody_knows_fails_the_pull_because_it_must_not_be_passed() {
        let nameless = v1::Deletion { target: None, with_descendants: true };
        let empty =
            v1::Deletion { target: Some(deletion::Target::Id(String::new())), with_descendants: false };
        let unknown = [
            None,
            Some(Kind::Raw(v1::RawItem::default())),
            Some(Kind::Deletion(nameless)),
            Some(Kind::Deletion(empty)),
        ];
        for kind in unknown {
            let told = format!("{kind:?}");
            assert_eq!(take(kind).unwrap_err().reason, Reason::ProtocolViolation, "{told}");
        }
    }

    #[test]
    fn i10_a_change_over_a_limit_is_an_error_of_its_item_alone() {
        let long = |bytes: usize| "x".repeat(bytes);
        let container = |change: &dyn Fn(&mut Container)| {
            let mut container = Container { id: "1".to_owned(), ..Container::default() };
            change(&mut container);
            Some(Kind::Container(container))
        };
        let named = [
            document(|envelope| envelope.title = long(5000)),
            document(|envelope| envelope.content = Some(long(2 << 20))),
            container(&|container| container.parent_id = long(1025)),
            container(&|container| container.name = long(4097)),
            container(&|container| container.locator = long(4097)),
        ];
        for kind in named {
            let Ok(Change::ItemError(error)) = take(kind) else { panic!("it was taken") };
            assert_eq!((error.target, error.reason), (Target::Id("1".to_owned()), Reason::ProtocolViolation));
            assert!(!error.with_descendants && error.message.len() < 200, "{}", error.message);
        }
        let crowd = || v1::Permissions { allow: vec![String::new(); 10_001], ..v1::Permissions::default() };
        let acl = |id: &str| {
            let permissions = Some(crowd());
            Some(Kind::Permissions(v1::PermissionsChange { id: id.to_owned(), permissions }))
        };
        for kind in [acl("1"), document(|envelope| envelope.permissions = Some(crowd()))] {
            let Ok(Change::Permissions { id, permissions, fault: Some(error) }) = take(kind) else {
                panic!("it was taken")
            };
            assert_eq!((id.as_str(), permissions), ("1", envelope::private()), "I7: nobody is let in");
            assert_eq!(error.target, Target::Id("1".to_owned()));
        }
        let nameless = [
            acl(""),
            document(|envelope| envelope.id = String::new()),
            document(|envelope| envelope.id = long(1025)),
            Some(Kind::Present(v1::Present { id: long(2000), version: String::new() })),
            failed(None),
            failed(Some(item_error::Target::Id(long(1 << 20)))),
            failed(Some(item_error::Target::Locator(long(1 << 20)))),
        ];
        for kind in nameless {
            let Ok(Change::ItemError(error)) = take(kind) else { panic!("it was taken") };
            assert_eq!(error.target, Target::Unnamed, "so that the listing proves nothing");
        }
    }

    #[test]
    fn a_document_is_kept_without_its_content_and_with_its_hash() {
        let Ok(Change::Document(given)) =
            take(document(|envelope| envelope.content = Some("text".to_owned())))
        else {
            panic!("refused")
        };
        assert_eq!((given.envelope.content.as_ref(), given.envelope.source.as_str()), (None, "demo"));
        assert_eq!(DocumentEnvelope::decode(given.encoded.as_slice()).unwrap(), given.envelope);
        let Text::Known { text, hash, truncated, version } = &given.text else { panic!("no text") };
        assert_eq!(
            (text.as_str(), *hash, *truncated, version.as_str()),
            ("text", envelope::text_hash("text"), false, "v")
        );
        assert_eq!(given.hash, Some(envelope::envelope_hash(&given.envelope, Some(hash))));
        let Ok(Change::Document(behind)) = take(document(|envelope| envelope.content_ref = "ref".to_owned()))
        else {
            panic!("refused")
        };
        assert_eq!((&behind.text, behind.hash), (&Text::Unread, None));
        let Ok(Change::Document(empty)) = take(document(|envelope| envelope.content = Some(String::new())))
        else {
            panic!("refused")
        };
        assert!(matches!(empty.text, Text::Known { .. }), "empty is not absent");
        let Ok(Change::Document(none)) = take(document(|_| {})) else { panic!("refused") };
        assert_eq!(none.text, Text::None);
    }

    #[test]
    fn the_texts_of_an_error_are_cut_between_characters() {
        let mut error =
            ConnectorError::new(Reason::AccessDenied, "é".repeat(2000)).with_code("é".repeat(100));
        for number in 0..40 {
            error = error.with_metadata(&format!("{number}"), "é".repeat(200));
        }
        let error = item_error("a", Target::Unnamed, false, error);
        assert_eq!((error.message.len(), error.code.len(), error.metadata.len()), (2048, 128, 16));
        assert!(error.metadata.values().all(|value| value.len() == 256));
        assert_eq!(cut("aé".to_owned(), 2), "a");
    }
}
