//! Master keys: 256 random bits each, written as base64, one to a line, the newest first. The first one seals, all of them
//! open. In an environment variable they may stand on one line, with commas between them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::redact::{self, Kept};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Most keys of a ring: who rotates weekly has ten years.
const MAX_KEYS: usize = 512;

/// Names a key without telling it: derived from it, so that nobody gives the numbers out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A master key. Its bytes are wiped when it goes, and never printed.
pub struct Key {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    id: KeyId,
    /// Keys of single secrets are derived from it.
    derive: hkdf::Prk,
}

impl Key {
    /// A new key.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        fill_random(bytes.as_mut_slice());
        Self::new(bytes)
    }

    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let derive = hkdf::Salt::new(hkdf::HKDF_SHA256, b"superfasttt vault").extract(bytes.as_slice());
        let mut id = [0; 8];
        fill(&derive, &[b"key id"], &mut id);
        Self { bytes, id: KeyId(id), derive }
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// As it is written in a key file.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes.as_slice()))
    }

    /// Fills `out` with the key of a single secret.
    pub(super) fn derive(&self, info: &[&[u8]], out: &mut [u8]) {
        fill(&self.derive, info, out);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// What is wrong with a key ring as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// There is no key in it.
    #[error("there is no key in it; `connectord keys generate` prints one")]
    Empty,
    /// A line is no key. What stands there is not told: it may be most of one.
    #[error("line {0} is no key: a key is 32 bytes in base64, as `connectord keys generate` prints it")]
    Malformed(usize),
    /// A key stands there twice.
    #[error("line {0} has a key that stands there already")]
    Twice(usize),
    /// There are too many.
    #[error(
        "there are more than {MAX_KEYS} keys; remove those that seal nothing any more (`connectord keys status`)"
    )]
    TooMany,
}

/// All keys of an installation, the newest first. Never empty.
#[derive(Debug)]
pub struct KeyRing {
    keys: Vec<Key>,
    /// While it is there, none of them is written anywhere.
    _kept: Kept,
}

impl KeyRing {
    /// Reads keys, one to a line or with commas between them. Empty lines, and what follows a `#`, are passed over.
    ///
    /// # Errors
    /// Where a line is no key, a key is there twice, or there is none.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let mut keys: Vec<Key> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.split('#').next().unwrap_or_default();
            for written in line.split(',').map(str::trim).filter(|written| !written.is_empty()) {
                let key = read_key(written).ok_or(KeyRingError::Malformed(number))?;
                if keys.iter().any(|known| known.id == key.id) {
                    return Err(KeyRingError::Twice(number));
                }
                if keys.len() == MAX_KEYS {
                    return Err(KeyRingError::TooMany);
                }
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err(KeyRingError::Empty);
        }
        let bytes: Vec<&[u8]> = keys.iter().map(|key| key.bytes.as_slice()).collect();
        let kept = redact::keep(&bytes);
        Ok(Self { keys, _kept: kept })
    }

    /// The key that seals.
    pub fn newest(&self) -> &Key {
        &self.keys[0]
    }

    /// The key of this id.
    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The ids of all keys, the newest first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(Key::id)
    }
}

fn read_key(written: &str) -> Option<Key> {
    let decoded = Zeroizing::new(STANDARD.decode(written).ok()?);
    Some(Key::new(Zeroizing::new(decoded.as_slice().try_into().ok()?)))
}

/// Fills `bytes` with random ones of the operating system.
pub(super) fn fill_random(bytes: &mut [u8]) {
    SystemRandom::new()
        .fill(bytes)
        .expect("the operating system gives random bytes, or nothing here is safe");
}

fn fill(derive: &hkdf::Prk, info: &[&[u8]], out: &mut [u8]) {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let filled = derive.expand(info, Length(out.len())).and_then(|okm| okm.fill(out));
    filled.expect("it asks for fewer bytes than HKDF can give");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(keys: &[&Key]) -> String {
        keys.iter().map(|key| format!("{}\n", key.to_base64().as_str())).collect()
    }

    #[test]
    fn a_ring_is_read_with_comments_and_the_first_key_seals() {
        let (old, new) = (Key::generate(), Key::generate());
        let text =
            format!("# made in March\n\n  {}  # newest\n{}", new.to_base64().as_str(), written(&[&old]));
        let ring = KeyRing::parse(&text).unwrap();
        assert_eq!(ring.newest().id(), new.id());
        assert_eq!(ring.ids().collect::<Vec<_>>(), [new.id(), old.id()]);
        assert!(ring.get(old.id()).is_some() && ring.get(Key::generate().id()).is_none());
    }

    #[test]
    fn keys_may_stand_on_one_line() {
        let (old, new) = (Key::generate(), Key::generate());
        let text = format!("{}, {}", new.to_base64().as_str(), old.to_base64().as_str());
        let ring = KeyRing::parse(&text).unwrap();
        assert_eq!(ring.ids().collect::<Vec<_>>(), [new.id(), old.id()]);
    }

    #[test]
    fn what_is_no_key_is_told_by_its_line_and_never_shown() {
        let key = Key::generate();
        for bad in ["c2hvcnQ=", "not base64!", &written(&[&key]).trim()[..43]] {
            let error = KeyRing::parse(&format!("{}{bad}", written(&[&key]))).unwrap_err();
            assert_eq!(error, KeyRingError::Malformed(2));
            assert!(!error.to_string().contains(bad));
        }
        let many: Vec<Key> = (0..=MAX_KEYS).map(|_| Key::generate()).collect();
        let text = written(&many.iter().collect::<Vec<_>>());
        assert_eq!(KeyRing::parse(&text).unwrap_err(), KeyRingError::TooMany);
        assert_eq!(KeyRing::parse("# nothing\n").unwrap_err(), KeyRingError::Empty);
        assert_eq!(KeyRing::parse(&written(&[&key, &key])).unwrap_err(), KeyRingError::Twice(2));
        let debug = format!("{:?}", KeyRing::parse(&written(&[&key])).unwrap());
        assert!(!debug.contains(key.to_base64().as_str()) && debug.contains(&key.id().to_string()));
    }
}
