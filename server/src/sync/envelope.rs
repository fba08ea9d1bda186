//! What an envelope is worth: its limits, its canonical form, and the hash that says whether a consumer would see a
//! change.

use prost::Message;
use prost_types::{Struct, Timestamp, Value, value::Kind};
use ring::digest::{SHA256, digest};
use superfasttt_proto::connector::v1::{DocumentEnvelope, Permissions};

/// SHA-256.
pub type Hash = [u8; 32];

/// The visibilities that there are; anything else is private.
const VISIBILITIES: [&str; 3] = [PRIVATE, "organization", "public"];
const PRIVATE: &str = "private";

/// The longest text inside a message.
pub const MAX_CONTENT_BYTES: usize = 1024 * 1024;
const MAX_ID_BYTES: usize = 1024;
const MAX_TITLE_BYTES: usize = 4096;
/// The longest `url`, and `content_ref`.
pub const MAX_URL_BYTES: usize = 8 * 1024;
const MAX_METADATA_BYTES: usize = 64 * 1024;
const MAX_PRINCIPALS: usize = 10_000;
const MAX_PRINCIPAL_BYTES: usize = 1024;
/// An envelope without its content. With the longest text it is still far from the 4 MiB of a message.
const MAX_ENVELOPE_BYTES: usize = 1024 * 1024;

/// Checks an id against the contract's limits.
pub fn check_id(id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err("an item without id".to_owned()),
        length if length > MAX_ID_BYTES => {
            Err(format!("an id of {length} bytes; the limit is {MAX_ID_BYTES}"))
        }
        _ => Ok(()),
    }
}

/// What is wrong with an envelope, for the connector's author.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its permissions are over a limit.
    Permissions(String),
    /// Something else is.
    Other(String),
}

impl From<String> for Fault {
    fn from(fault: String) -> Self {
        Self::Other(fault)
    }
}

/// Permissions that let nobody in.
pub fn private() -> Permissions {
    Permissions { visibility: PRIVATE.to_owned(), ..Permissions::default() }
}

/// Checks an envelope against the contract's limits and puts it in the form in which it is kept: source filled in,
/// permissions never absent. What it says of a fault is for the connector's author.
pub fn accept(envelope: &mut DocumentEnvelope, connector: &str) -> Result<(), Fault> {
    check_id(&envelope.id)?;
    let limits = [
        ("title", envelope.title.len(), MAX_TITLE_BYTES),
        ("url", envelope.url.len(), MAX_URL_BYTES),
        ("version", envelope.version.len(), MAX_ID_BYTES),
        ("content_ref", envelope.content_ref.len(), MAX_URL_BYTES),
        ("media_type", envelope.media_type.len(), 255),
        ("parent_id", envelope.parent_id.len(), MAX_ID_BYTES),
        ("locator", envelope.locator.len(), MAX_TITLE_BYTES),
        ("content", envelope.content.as_ref().map_or(0, String::len), MAX_CONTENT_BYTES),
        ("metadata", envelope.metadata.as_ref().map_or(0, Message::encoded_len), MAX_METADATA_BYTES),
    ];
    if let Some((field, size, limit)) = limits.into_iter().find(|(_, size, limit)| size > limit) {
        return Err(format!("{field} is {size} bytes; the limit is {limit}").into());
    }
    if envelope.source.is_empty() {
        connector.clone_into(&mut envelope.source);
    }
    let permissions = envelope.permissions.get_or_insert_default();
    accept_permissions(permissions).map_err(Fault::Permissions)?;
    let size = envelope.encoded_len() - envelope.content.as_ref().map_or(0, String::len);
    if size > MAX_ENVELOPE_BYTES {
        // Everything else in it is bounded far below that.
        return Err(Fault::Permissions(format!(
            "the envelope is {size} bytes without its content; the limit is {MAX_ENVELOPE_BYTES}"
        )));
    }
    Ok(())
}

/// Puts permissions in the form in which they are kept: a visibility that is not known is private.
pub fn accept_permissions(permissions: &mut Permissions) -> Result<(), String> {
    if !VISIBILITIES.contains(&permissions.visibility.as_str()) {
        PRIVATE.clone_into(&mut permissions.visibility);
    }
    let principals = permissions.allow.len() + permissions.deny.len();
    if principals > MAX_PRINCIPALS {
        return Err(format!("permissions name {principals} principals; the limit is {MAX_PRINCIPALS}"));
    }
    let longest = permissions.allow.iter().chain(&permissions.deny).map(String::len).max().unwrap_or(0);
    if longest > MAX_PRINCIPAL_BYTES {
        return Err(format!("a principal is {longest} bytes; the limit is {MAX_PRINCIPAL_BYTES}"));
    }
    if permissions.encoded_len() > MAX_ENVELOPE_BYTES {
        return Err(format!(
            "permissions are {} bytes; the limit is {MAX_ENVELOPE_BYTES}",
            permissions.encoded_len()
        ));
    }
    Ok(())
}

/// The hash of a text.
pub fn text_hash(text: &str) -> Hash {
    sha256(text.as_bytes())
}

/// The hash of what a consumer sees of a document: equal hashes mean that nobody needs to be told. `version`,
/// `content_ref` and the text itself are not in it; the text's hash is.
///
/// The canonical form: each field as a tag byte, its length in eight bytes and its bytes; maps in the order of their
/// keys; principals sorted and each once.
pub fn envelope_hash(envelope: &DocumentEnvelope, text: Option<&Hash>) -> Hash {
    let mut form = Vec::with_capacity(512);
    put(&mut form, b'i', envelope.id.as_bytes());
    put(&mut form, b't', envelope.title.as_bytes());
    put(&mut form, b's', envelope.source.as_bytes());
    put(&mut form, b'u', envelope.url.as_bytes());
    put(&mut form, b'm', envelope.media_type.as_bytes());
    put(&mut form, b'p', envelope.parent_id.as_bytes());
    put(&mut form, b'l', envelope.locator.as_bytes());
    put_time(&mut form, b'c', envelope.created_at.as_ref());
    put_time(&mut form, b'd', envelope.updated_at.as_ref());
    if let Some(permissions) = &envelope.permissions {
        put(&mut form, b'v', permissions.visibility.as_bytes());
        put_set(&mut form, b'a', &permissions.allow);
        put_set(&mut form, b'n', &permissions.deny);
    }
    if let Some(metadata) = &envelope.metadata {
        form.push(b'M');
        put_struct(&mut form, metadata);
    }
    if let Some(text) = text {
        put(&mut form, b'x', text);
    }
    sha256(&form)
}

fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn put(form: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    form.push(tag);
    form.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    form.extend_from_slice(bytes);
}

fn put_time(form: &mut Vec<u8>, tag: u8, time: Option<&Timestamp>) {
    if let Some(time) = time {
        form.push(tag);
        form.extend_from_slice(&time.seconds.to_le_bytes());
        form.extend_from_slice(&time.nanos.to_le_bytes());
    }
}

fn put_set(form: &mut Vec<u8>, tag: u8, values: &[String]) {
    let mut sorted: Vec<&str> = values.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    for value in sorted {
        put(form, tag, value.as_bytes());
    }
}

fn put_struct(form: &mut Vec<u8>, fields: &Struct) {
    form.push(b'{');
    for (name, value) in &fields.fields {
        put(form, b'k', name.as_bytes());
        put_value(form, value);
    }
    form.push(b'}');
}

fn put_value(form: &mut Vec<u8>, value: &Value) {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => form.push(b'0'),
        Some(Kind::BoolValue(value)) => form.extend_from_slice(&[b'b', u8::from(*value)]),
        Some(Kind::NumberValue(number)) => {
            // Minus zero is zero, and every NaN is one.
            let number = if *number == 0.0 { 0.0 } else { *number };
            let bits = if number.is_nan() { f64::NAN.to_bits() } else { number.to_bits() };
            form.push(b'#');
            form.extend_from_slice(&bits.to_le_bytes());
        }
        Some(Kind::StringValue(text)) => put(form, b'"', text.as_bytes()),
        Some(Kind::StructValue(fields)) => put_struct(form, fields),
        Some(Kind::ListValue(list)) => {
            form.push(b'[');
            list.values.iter().for_each(|value| put_value(form, value));
            form.push(b']');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> DocumentEnvelope {
        let number = |number| Value { kind: Some(Kind::NumberValue(number)) };
        let fields = [("size".to_owned(), number(2048.0)), ("zero".to_owned(), number(0.0))].into();
        DocumentEnvelope {
            id: "12345".to_owned(),
            title: "Document.pdf".to_owned(),
            source: "google-drive".to_owned(),
            metadata: Some(Struct { fields }),
            permissions: Some(Permissions {
                visibility: "private".to_owned(),
                allow: vec!["user:a".to_owned(), "user:b".to_owned()],
                deny: vec![],
            }),
            version: "1".to_owned(),
            content_ref: "ref".to_owned(),
            ..Default::default()
        }
    }

    fn changed(change: impl FnOnce(&mut DocumentEnvelope)) -> bool {
        let mut other = envelope();
        change(&mut other);
        envelope_hash(&envelope(), None) != envelope_hash(&other, None)
    }

    #[test]
    fn what_a_consumer_sees_decides_the_hash() {
        assert!(changed(|e| e.title = "Other".to_owned()));
        assert!(changed(|e| e.url = "https://x".to_owned()));
        assert!(changed(|e| e.parent_id = "folder".to_owned()));
        assert!(changed(|e| e.updated_at = Some(Timestamp { seconds: 1, nanos: 0 })));
        assert!(changed(|e| e.metadata = None));
        assert!(changed(|e| e.permissions.as_mut().unwrap().visibility = "public".to_owned()));
        assert!(changed(|e| e.permissions.as_mut().unwrap().deny.push("user:c".to_owned())));
        assert_ne!(envelope_hash(&envelope(), None), envelope_hash(&envelope(), Some(&text_hash(""))));
    }

    #[test]
    fn version_content_ref_and_order_of_principals_do_not() {
        assert!(!changed(|e| e.version = "2".to_owned()));
        assert!(!changed(|e| e.content_ref = "elsewhere".to_owned()));
        assert!(!changed(|e| e.permissions.as_mut().unwrap().allow.reverse()));
        assert!(!changed(|e| e.permissions.as_mut().unwrap().allow.push("user:a".to_owned())));
        let minus_zero = Value { kind: Some(Kind::NumberValue(-0.0)) };
        assert!(!changed(|e| {
            e.metadata.as_mut().unwrap().fields.insert("zero".to_owned(), minus_zero);
        }));
    }

    #[test]
    fn i7_permissions_not_known_are_private() {
        let mut absent = DocumentEnvelope { id: "1".to_owned(), ..Default::default() };
        accept(&mut absent, "demo").unwrap();
        assert_eq!(absent.permissions.unwrap().visibility, "private");
        let mut unknown = envelope();
        unknown.permissions.as_mut().unwrap().visibility = "everyone".to_owned();
        accept(&mut unknown, "demo").unwrap();
        assert_eq!(unknown.permissions.unwrap().visibility, "private");
    }

    #[test]
    fn an_envelope_over_a_limit_is_refused_by_name() {
        let mut long = envelope();
        long.title = "x".repeat(5000);
        let Err(Fault::Other(fault)) = accept(&mut long, "demo") else { panic!("it was accepted") };
        assert!(fault.contains("title is 5000 bytes"), "{fault}");
        let mut crowded = envelope();
        crowded.permissions.as_mut().unwrap().allow = vec!["x".repeat(1000); 5000];
        let refused = accept(&mut crowded, "demo");
        assert!(matches!(refused, Err(Fault::Permissions(_))), "an envelope that no reader could be sent");
        let mut nameless = envelope();
        nameless.id.clear();
        assert!(accept(&mut nameless, "demo").is_err());
    }
}
