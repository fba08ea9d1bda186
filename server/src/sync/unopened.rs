//! A document as it came over the wire. One that came before byte for byte is known by the hash of its bytes, and is
//! never taken apart: no envelope is decoded, hashed and encoded only to find that nothing changed.

use bytes::Bytes;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use ring::digest::{Context, SHA256};

use super::envelope::Hash;

/// Part of each hash. Count it up where other things are made of the same bytes than before (a new field is kept, a
/// rule of [`super::envelope`] changes): then every document is taken apart once more.
const MADE_BY: &[u8] = b"envelope/1\n";

/// Field numbers of `DocumentEnvelope`.
const ID: u32 = 1;
const CONTENT_REF: u32 = 9;

/// A document that was not taken apart.
#[derive(Debug)]
pub struct Unopened {
    /// Its id.
    pub id: String,
    /// The encoded envelope.
    pub bytes: Bytes,
    /// The hash of the bytes.
    pub hash: Hash,
}

impl Unopened {
    /// Looks only for the id. `None` for what has to be taken apart in any case: a document whose text has to be fetched
    /// (whether it is due is not in its bytes alone), and bytes that are no envelope.
    pub fn new(bytes: &Bytes) -> Option<Self> {
        let mut rest = bytes.as_ref();
        let mut id = None;
        while rest.has_remaining() {
            let (field, wire_type) = decode_key(&mut rest).ok()?;
            match field {
                CONTENT_REF => return None,
                ID if wire_type == WireType::LengthDelimited => {
                    let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                    // Of a field that is there twice, the last one counts.
                    id = Some(rest.get(..length)?);
                    rest.advance(length);
                }
                _ => skip_field(wire_type, field, &mut rest, DecodeContext::default()).ok()?,
            }
        }
        let id = std::str::from_utf8(id?).ok()?.to_owned();
        Some(Self { id, hash: hash(bytes), bytes: bytes.clone() })
    }
}

/// The hash of a document as it came.
fn hash(bytes: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(MADE_BY);
    context.update(bytes);
    let mut hash = Hash::default();
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use superfasttt_proto::connector::v1::DocumentEnvelope;

    use super::*;

    fn envelope(id: &str) -> DocumentEnvelope {
        let content = Some("text".to_owned());
        DocumentEnvelope { id: id.to_owned(), title: "Title".to_owned(), content, ..Default::default() }
    }

    fn unopened(envelope: &DocumentEnvelope) -> Option<Unopened> {
        Unopened::new(&envelope.encode_to_vec().into())
    }

    #[test]
    fn the_id_is_found_and_every_byte_counts() {
        let first = unopened(&envelope("é-1")).unwrap();
        assert_eq!(first.id, "é-1");
        assert_eq!(first.hash, unopened(&envelope("é-1")).unwrap().hash);
        let other = DocumentEnvelope { version: "2".to_owned(), ..envelope("é-1") };
        assert_ne!(first.hash, unopened(&other).unwrap().hash);
    }

    #[test]
    fn what_needs_its_content_looked_at_is_opened() {
        let behind = DocumentEnvelope { content: None, content_ref: "r".to_owned(), ..envelope("1") };
        assert!(unopened(&behind).is_none());
        assert!(unopened(&DocumentEnvelope::default()).is_none(), "an envelope without id");
    }

    proptest! {
        #[test]
        fn hostile_bytes_name_the_same_document_as_when_they_are_decoded(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            id in "[a-z]{0,3}",
        ) {
            // Half of the fields of a real envelope before the noise, so that not all of it is refused at once.
            let bytes = Bytes::from([envelope(&id).encode_to_vec(), bytes].concat());
            if let (Some(unopened), Ok(decoded)) = (Unopened::new(&bytes), DocumentEnvelope::decode(bytes.clone())) {
                prop_assert_eq!(unopened.id, decoded.id);
            }
        }
    }
}
