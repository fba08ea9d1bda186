//! The limits that the contract sets, checked before anything is sent: what breaks one becomes an item error, so
//! that one bad item never ends a pull.

use prost::Message;
use prost_types::{Struct, Value, value};
use superfasttt_proto::connector::v1::{
    Change, DocumentEnvelope, ItemError, RawItem, Reason, change::Kind, item_error::Target,
};
use superfasttt_proto::error::ConnectorError;

/// Ids and scopes, versions, parents.
pub(crate) const MAX_ID_BYTES: usize = 1024;
/// Inline text, and the data of a raw item.
pub(crate) const MAX_INLINE_BYTES: usize = 1024 * 1024;
/// Cursors.
pub(crate) const MAX_CURSOR_BYTES: usize = 64 * 1024;
/// One change. Pages stay under 4 MiB with room for their scope and cursor.
pub(crate) const MAX_CHANGE_BYTES: usize = 3 * 1024 * 1024;
/// Lines of a run's log.
pub(crate) const MAX_LOG_BYTES: usize = 4 * 1024;
const MAX_TITLE_BYTES: usize = 4096;
const MAX_LOCATOR_BYTES: usize = 4096;
const MAX_URL_BYTES: usize = 8 * 1024;
const MAX_CONTENT_REF_BYTES: usize = 8 * 1024;
const MAX_MEDIA_TYPE_BYTES: usize = 255;
const MAX_METADATA_BYTES: usize = 64 * 1024;
const MAX_METADATA_DEPTH: usize = 16;
const MAX_ERROR_BYTES: usize = 2 * 1024;
const MAX_ERROR_FACTS: usize = 16;
const MAX_ERROR_FACT_BYTES: usize = 256;
const MAX_CODE_BYTES: usize = 128;

/// What the contract takes of a change: itself, or the item error that tells what is wrong with it. With its
/// encoded size, which is worked out once.
pub(crate) fn fit(kind: Kind) -> (Change, usize) {
    let change = Change { kind: Some(enforce(kind)) };
    let bytes = change.encoded_len();
    match change.kind {
        Some(kind) if bytes > MAX_CHANGE_BYTES => {
            let message =
                format!("the item is {bytes} bytes encoded and at most {MAX_CHANGE_BYTES} are sent");
            let fault = ConnectorError::new(Reason::ContentTooLarge, message);
            let change = Change { kind: Some(item_error(name_of(kind), false, &fault)) };
            let bytes = change.encoded_len();
            (change, bytes)
        }
        kind => (Change { kind }, bytes),
    }
}

fn enforce(mut kind: Kind) -> Kind {
    let fault = match &mut kind {
        Kind::Document(document) => {
            clip(&mut document.title, MAX_TITLE_BYTES);
            document_fault(document)
        }
        Kind::Raw(raw) => raw_fault(raw),
        Kind::Present(present) => {
            id_fault(&present.id).or_else(|| text_fault("version", &present.version, MAX_ID_BYTES))
        }
        Kind::Permissions(permissions) => id_fault(&permissions.id),
        Kind::Container(container) => {
            clip(&mut container.name, MAX_TITLE_BYTES);
            id_fault(&container.id)
                .or_else(|| text_fault("parent_id", &container.parent_id, MAX_ID_BYTES))
                .or_else(|| text_fault("locator", &container.locator, MAX_LOCATOR_BYTES))
        }
        Kind::Deletion(_) => None,
        Kind::ItemError(error) => {
            if error.target.as_ref().is_some_and(|target| !may_name(target)) {
                error.target = None;
            }
            None
        }
    };
    match fault {
        None => kind,
        Some(fault) => item_error(name_of(kind), false, &fault),
    }
}

/// The change that says an item could not be read. A target that cannot be named is left out.
pub(crate) fn item_error(target: Option<Target>, with_descendants: bool, error: &ConnectorError) -> Kind {
    Kind::ItemError(ItemError {
        target: target.filter(may_name),
        with_descendants,
        error: Some(clip_error(error.clone()).to_proto()),
    })
}

/// An error within the sizes that the contract sets (and that HTTP/2 headers can carry).
pub(crate) fn clip_error(mut error: ConnectorError) -> ConnectorError {
    clip(&mut error.message, MAX_ERROR_BYTES);
    clip(&mut error.code, MAX_CODE_BYTES);
    if error.metadata.len() > MAX_ERROR_FACTS {
        let mut keys: Vec<String> = error.metadata.keys().cloned().collect();
        keys.sort();
        for key in keys.drain(MAX_ERROR_FACTS..) {
            error.metadata.remove(&key);
        }
    }
    for value in error.metadata.values_mut() {
        clip(value, MAX_ERROR_FACT_BYTES);
    }
    error
}

/// Cuts `text` to at most `max` bytes, at a character.
pub(crate) fn clip(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
}

fn document_fault(document: &DocumentEnvelope) -> Option<ConnectorError> {
    if let Some(content) = document.content.as_ref().filter(|content| content.len() > MAX_INLINE_BYTES) {
        let message = format!(
            "the text is {} bytes and at most {MAX_INLINE_BYTES} are sent inline: the connector's author must \
             give a content_ref and serve fetch_content",
            content.len()
        );
        return Some(ConnectorError::new(Reason::ContentTooLarge, message));
    }
    id_fault(&document.id)
        .or_else(|| text_fault("version", &document.version, MAX_ID_BYTES))
        .or_else(|| text_fault("content_ref", &document.content_ref, MAX_CONTENT_REF_BYTES))
        .or_else(|| text_fault("parent_id", &document.parent_id, MAX_ID_BYTES))
        .or_else(|| text_fault("locator", &document.locator, MAX_LOCATOR_BYTES))
        .or_else(|| text_fault("url", &document.url, MAX_URL_BYTES))
        .or_else(|| text_fault("media_type", &document.media_type, MAX_MEDIA_TYPE_BYTES))
        .or_else(|| metadata_fault(document.metadata.as_ref()?))
}

fn metadata_fault(metadata: &Struct) -> Option<ConnectorError> {
    if metadata.fields.values().any(|value| is_deeper(value, MAX_METADATA_DEPTH - 1)) {
        let message = format!("the item's metadata is nested over {MAX_METADATA_DEPTH} levels deep");
        let fault = ConnectorError::new(Reason::ContentTooLarge, message);
        return Some(fault.with_metadata("field", "metadata"));
    }
    size_fault("metadata", metadata.encoded_len(), MAX_METADATA_BYTES)
}

/// Whether more than `levels` objects and lists lie inside one another. Looks no deeper than that.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let deeper = |inner: &Value| is_deeper(inner, levels - 1);
    match &value.kind {
        Some(value::Kind::StructValue(object)) => levels == 0 || object.fields.values().any(deeper),
        Some(value::Kind::ListValue(list)) => levels == 0 || list.values.iter().any(deeper),
        _ => false,
    }
}

fn raw_fault(raw: &RawItem) -> Option<ConnectorError> {
    id_fault(&raw.id)
        .or_else(|| text_fault("version", &raw.version, MAX_ID_BYTES))
        .or_else(|| text_fault("content_ref", &raw.content_ref, MAX_CONTENT_REF_BYTES))
        .or_else(|| size_fault("raw data", raw.data.len(), MAX_INLINE_BYTES))
}

fn id_fault(id: &str) -> Option<ConnectorError> {
    if id.is_empty() {
        return Some(ConnectorError::new(Reason::Internal, "the item has no id"));
    }
    text_fault("id", id, MAX_ID_BYTES)
}

fn text_fault(field: &str, text: &str, max: usize) -> Option<ConnectorError> {
    size_fault(field, text.len(), max).map(|fault| {
        let start = &text[..text.floor_char_boundary(100)];
        fault.with_metadata("begins_with", start)
    })
}

fn size_fault(field: &str, bytes: usize, max: usize) -> Option<ConnectorError> {
    (bytes > max).then(|| {
        let message = format!("the item's {field} is {bytes} bytes and at most {max} are taken");
        ConnectorError::new(Reason::ContentTooLarge, message).with_metadata("field", field)
    })
}

/// How an item error can name the item of a change.
fn name_of(kind: Kind) -> Option<Target> {
    let (id, locator) = match kind {
        Kind::Document(document) => (document.id, document.locator),
        Kind::Container(container) => (container.id, container.locator),
        Kind::Raw(raw) => (raw.id, String::new()),
        Kind::Present(present) => (present.id, String::new()),
        Kind::Permissions(permissions) => (permissions.id, String::new()),
        Kind::Deletion(_) | Kind::ItemError(_) => return None,
    };
    [Target::Id(id), Target::Locator(locator)].into_iter().find(may_name)
}

fn may_name(target: &Target) -> bool {
    match target {
        Target::Id(id) => (1..=MAX_ID_BYTES).contains(&id.len()),
        Target::Locator(locator) => (1..=MAX_LOCATOR_BYTES).contains(&locator.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use superfasttt_proto::connector::v1::Permissions;

    fn error_of(kind: Kind) -> ItemError {
        match enforce(kind) {
            Kind::ItemError(error) => error,
            other => panic!("taken as it is: {other:?}"),
        }
    }

    #[test]
    fn inline_text_over_the_limit_becomes_an_item_error_that_says_what_to_do() {
        let content = Some("x".repeat(MAX_INLINE_BYTES + 1));
        let document = DocumentEnvelope { id: "a".into(), content, ..Default::default() };
        let error = error_of(Kind::Document(document));
        assert_eq!(error.target, Some(Target::Id("a".into())));
        let message = error.error.unwrap().message;
        assert!(message.contains("content_ref"), "{message}");
    }

    #[test]
    fn an_envelope_that_fits_no_message_becomes_an_item_error() {
        let permissions = Permissions { allow: vec!["u".repeat(1000); 4000], ..Default::default() };
        let document =
            DocumentEnvelope { id: "a".into(), permissions: Some(permissions), ..Default::default() };
        let (change, bytes) = fit(Kind::Document(document));
        assert!(matches!(change.kind, Some(Kind::ItemError(_))) && bytes < 1000);
    }

    #[test]
    fn an_id_that_is_too_long_is_named_by_its_locator_or_not_at_all() {
        let long = "i".repeat(MAX_ID_BYTES + 1);
        let mut document = DocumentEnvelope { id: long, locator: "a/b".into(), ..Default::default() };
        assert_eq!(error_of(Kind::Document(document.clone())).target, Some(Target::Locator("a/b".into())));
        document.locator.clear();
        assert_eq!(error_of(Kind::Document(document)).target, None);
    }

    #[test]
    fn metadata_that_no_reader_would_take_becomes_an_item_error() {
        let nested = |levels: usize| {
            let mut value = serde_json::json!("innermost");
            for level in 0..levels {
                value =
                    if level % 2 == 0 { serde_json::json!([value]) } else { serde_json::json!({"k": value}) };
            }
            let metadata = crate::json_to_struct(serde_json::Map::from_iter([("k".to_owned(), value)]));
            Kind::Document(DocumentEnvelope {
                id: "a".into(),
                metadata: Some(metadata),
                ..Default::default()
            })
        };
        assert!(matches!(enforce(nested(MAX_METADATA_DEPTH - 1)), Kind::Document(_)));
        for levels in [MAX_METADATA_DEPTH, 200] {
            assert!(error_of(nested(levels)).error.unwrap().message.contains("levels deep"));
        }
    }

    #[test]
    fn a_long_title_is_cut_at_a_character() {
        let document = DocumentEnvelope { id: "a".into(), title: "é".repeat(3000), ..Default::default() };
        let Kind::Document(document) = enforce(Kind::Document(document)) else { panic!("not a document") };
        assert_eq!(document.title, "é".repeat(2048));
    }

    #[test]
    fn errors_are_cut_to_what_headers_carry() {
        let mut error = ConnectorError::new(Reason::Internal, "m".repeat(10_000));
        for number in 0..40 {
            error = error.with_metadata(&format!("k{number}"), "v".repeat(1000));
        }
        let error = clip_error(error);
        assert_eq!((error.message.len(), error.metadata.len()), (MAX_ERROR_BYTES, MAX_ERROR_FACTS));
        assert!(error.metadata.values().all(|value| value.len() == MAX_ERROR_FACT_BYTES));
    }
}
