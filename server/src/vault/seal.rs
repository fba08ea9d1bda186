//! The bytes of a sealed secret, and how they are made and read.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version of this layout: 1 |
//! | 1..9 | id of the master key |
//! | 9..33 | nonce, random |
//! | 33.. | AES-256-GCM of the secret, and its tag of 16 bytes |
//!
//! The key of a single secret is HKDF-SHA-256 of the master key with the first half of the nonce, and the other half is the
//! nonce of the AEAD: so one master key seals far more secrets than the 2^32 that GCM allows with random nonces alone. The
//! associated data are the bytes before the ciphertext and the [`Place`]: bytes that were moved to another row do not open.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use secrecy::SecretSlice;
use zeroize::{Zeroize, Zeroizing};

use super::keys::{Key, KeyId, KeyRing, fill_random};

const VERSION: u8 = 1;
const KEY_AT: usize = 1;
const NONCE_AT: usize = KEY_AT + 8;
const SECRET_AT: usize = NONCE_AT + 2 * NONCE_LEN;

/// Where a secret belongs. What was sealed for one place opens in no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The organisation that it belongs to.
    pub organization: &'a str,
    /// Whose it is: the id of a connection, an app, a session.
    pub owner: &'a str,
    /// Which of its secrets.
    pub field: &'a str,
}

impl Place<'_> {
    /// Each part with its length before it: no two places are written alike.
    fn aad(&self, header: &[u8]) -> Vec<u8> {
        let mut aad = header.to_vec();
        for part in [self.organization, self.owner, self.field] {
            aad.extend((part.len() as u64).to_be_bytes());
            aad.extend(part.as_bytes());
        }
        aad
    }
}

/// A sealed secret, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl Sealed {
    /// The key that it was sealed with; `None` where the bytes are too short to say.
    pub fn key(&self) -> Option<KeyId> {
        self.0.get(KEY_AT..NONCE_AT)?.try_into().ok().map(KeyId)
    }
}

/// Why something does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// No key of the ring has this id.
    #[error("it was sealed with key {0}, which is not among the keys of this installation: give that key back, or connect again")]
    UnknownKey(KeyId),
    /// It is not what was sealed for this place.
    #[error("what is stored is not what was sealed there: the database was changed or damaged; restore it, or connect again")]
    Damaged,
    /// The layout is newer than this program.
    #[error("it was sealed by a newer version of connectord (layout {0}): use that version or newer")]
    TooNew(u8),
    /// The keys could not be read again.
    #[error("the keys cannot be read: {0}")]
    Keys(String),
}

pub(super) fn seal(key: &Key, place: &Place<'_>, secret: &[u8]) -> Sealed {
    let mut sealed = Vec::with_capacity(SECRET_AT + secret.len() + MAX_TAG_LEN);
    sealed.push(VERSION);
    sealed.extend(key.id().0);
    let mut nonce = [0; 2 * NONCE_LEN];
    fill_random(&mut nonce);
    sealed.extend(nonce);
    let aad = Aad::from(place.aad(&sealed));
    let (key, nonce) = of_secret(key, &nonce);
    let mut body = Zeroizing::new(secret.to_vec());
    let tag = key.seal_in_place_separate_tag(nonce, aad, &mut body).expect("a secret is far below the limit of GCM");
    sealed.extend_from_slice(&body);
    sealed.extend(tag.as_ref());
    Sealed(sealed)
}

pub(super) fn open(ring: &KeyRing, place: &Place<'_>, sealed: &Sealed) -> Result<SecretSlice<u8>, VaultError> {
    let id = match (sealed.0.first(), sealed.key()) {
        (Some(&VERSION), Some(id)) => id,
        (Some(&version), _) if version > VERSION => return Err(VaultError::TooNew(version)),
        _ => return Err(VaultError::Damaged),
    };
    let key = ring.get(id).ok_or(VaultError::UnknownKey(id))?;
    let (header, body) = sealed.0.split_at_checked(SECRET_AT).ok_or(VaultError::Damaged)?;
    let (key, nonce) = of_secret(key, &header[NONCE_AT..]);
    let mut body = Zeroizing::new(body.to_vec());
    let opened = key.open_in_place(nonce, Aad::from(place.aad(header)), &mut body).map_err(|_| VaultError::Damaged)?;
    Ok(opened.to_vec().into())
}

/// The key of one secret, and the nonce for it.
fn of_secret(key: &Key, nonce: &[u8]) -> (LessSafeKey, Nonce) {
    let (select, nonce) = nonce.split_at(NONCE_LEN);
    let mut bytes = [0; 32];
    key.derive(&[b"secret", select], &mut bytes);
    let unbound = UnboundKey::new(&AES_256_GCM, &bytes).expect("it has the length of a key of AES-256");
    bytes.zeroize();
    (LessSafeKey::new(unbound), Nonce::try_assume_unique_for_key(nonce).expect("it has the length of a nonce"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    const PLACE: Place<'_> = Place { organization: "acme", owner: "c-1", field: "credential" };

    fn ring(keys: &[&Key]) -> KeyRing {
        let text: String = keys.iter().map(|key| format!("{}\n", key.to_base64().as_str())).collect();
        KeyRing::parse(&text).unwrap()
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_in_its_place_and_with_its_key(secret: Vec<u8>, organization: String, owner: String, field: String) {
            let (key, newer) = (Key::generate(), Key::generate());
            let place = Place { organization: &organization, owner: &owner, field: &field };
            let sealed = seal(&key, &place, &secret);
            let opened = open(&ring(&[&newer, &key]), &place, &sealed).unwrap();
            prop_assert_eq!(opened.expose_secret(), &secret);
            prop_assert_eq!(sealed.key(), Some(key.id()));
            prop_assert_ne!(sealed, seal(&key, &place, &secret), "each seal is another");
        }

        #[test]
        fn a_changed_byte_anywhere_does_not_open(at in 0usize..60, flip in 1u8..) {
            let key = Key::generate();
            let mut sealed = seal(&key, &PLACE, b"0123456789abcdef");
            let at = at % sealed.0.len();
            sealed.0[at] ^= flip;
            prop_assert!(open(&ring(&[&key]), &PLACE, &sealed).is_err());
        }

        #[test]
        fn bytes_of_anything_never_panic(bytes: Vec<u8>) {
            prop_assert!(open(&ring(&[&Key::generate()]), &PLACE, &Sealed(bytes)).is_err());
        }
    }

    #[test]
    fn what_was_moved_to_another_place_does_not_open() {
        let key = Key::generate();
        let sealed = seal(&key, &PLACE, b"token");
        let elsewhere = [
            Place { organization: "other", ..PLACE },
            Place { owner: "c-2", ..PLACE },
            Place { field: "verifier", ..PLACE },
            // The same letters, cut elsewhere.
            Place { organization: "acm", owner: "ec-1", ..PLACE },
        ];
        for place in elsewhere {
            assert_eq!(open(&ring(&[&key]), &place, &sealed).unwrap_err(), VaultError::Damaged, "{place:?}");
        }
    }

    #[test]
    fn a_missing_key_and_a_newer_layout_are_told() {
        let (key, other) = (Key::generate(), Key::generate());
        let mut sealed = seal(&key, &PLACE, b"token");
        assert_eq!(open(&ring(&[&other]), &PLACE, &sealed).unwrap_err(), VaultError::UnknownKey(key.id()));
        sealed.0[0] = 2;
        assert_eq!(open(&ring(&[&key]), &PLACE, &sealed).unwrap_err(), VaultError::TooNew(2));
    }
}
