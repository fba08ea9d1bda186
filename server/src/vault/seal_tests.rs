//! Sealed bytes: what opens where, and what never does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use secrecy::ExposeSecret;

use super::*;

fn place() -> Place {
    Place::of_connection("acme", "c-1", "refresh_token")
}

fn ring(keys: &[&Key]) -> KeyRing {
    let text: String = keys.iter().map(|key| format!("{}\n", key.to_base64().as_str())).collect();
    KeyRing::parse(&text).unwrap()
}

proptest! {
    #[test]
    fn what_was_sealed_opens_in_its_place_and_with_its_key(
        secret: Vec<u8>, organization: String, owner: String, field: String
    ) {
        let (key, newer) = (Key::generate(), Key::generate());
        let place = Place { organization, owner, field };
        let sealed = seal(&key, &place, &secret);
        let opened = open(&ring(&[&newer, &key]), &place, &sealed).unwrap();
        prop_assert_eq!(opened.expose_secret(), &secret);
        prop_assert_eq!(sealed.key(), Some(key.id()));
        prop_assert_ne!(sealed, seal(&key, &place, &secret), "each seal is another");
    }

    #[test]
    fn a_changed_byte_anywhere_does_not_open(at: prop::sample::Index, flip in 1u8..) {
        let key = Key::generate();
        let mut sealed = seal(&key, &place(), b"0123456789abcdef");
        let at = at.index(sealed.0.len());
        sealed.0[at] ^= flip;
        prop_assert!(open(&ring(&[&key]), &place(), &sealed).is_err());
    }

    #[test]
    fn bytes_of_anything_are_refused_and_never_panic(bytes: Vec<u8>, version: Option<bool>) {
        let key = Key::generate();
        // With a header that is right, so that what follows is looked at too.
        let header = version.map(|known| [&[u8::from(known)][..], &key.id().0].concat());
        let sealed = Sealed([header.unwrap_or_default(), bytes].concat());
        prop_assert!(open(&ring(&[&key]), &place(), &sealed).is_err());
    }
}

#[test]
fn a_cut_secret_does_not_open() {
    let key = Key::generate();
    let sealed = seal(&key, &place(), b"token");
    for length in 0..sealed.0.len() {
        let cut = Sealed(sealed.0[..length].to_vec());
        assert_eq!(open(&ring(&[&key]), &place(), &cut).unwrap_err(), VaultError::Damaged, "{length}");
    }
}

#[test]
fn what_was_moved_to_another_place_does_not_open() {
    let key = Key::generate();
    let sealed = seal(&key, &place(), b"token");
    let elsewhere = [
        Place { organization: "other".to_owned(), ..place() },
        Place::of_connection("acme", "c-2", "refresh_token"),
        Place::of_connection("acme", "c-1", "access_token"),
        Place::of_oauth_app("acme", "c-1", "refresh_token"),
        // The same letters, cut elsewhere.
        Place { organization: "acm".to_owned(), owner: "econnection/c-1".to_owned(), ..place() },
    ];
    for place in elsewhere {
        assert_eq!(open(&ring(&[&key]), &place, &sealed).unwrap_err(), VaultError::Damaged, "{place:?}");
    }
}

#[test]
fn a_missing_key_and_a_newer_layout_are_told() {
    let (key, other) = (Key::generate(), Key::generate());
    let mut sealed = seal(&key, &place(), b"token");
    assert_eq!(open(&ring(&[&other]), &place(), &sealed).unwrap_err(), VaultError::UnknownKey(key.id()));
    sealed.0[0] = 2;
    assert_eq!(open(&ring(&[&key]), &place(), &sealed).unwrap_err(), VaultError::TooNew(2));
}

/// Opens by what docs/vault.md says of the bytes, and nothing of this module.
#[test]
fn the_layout_is_the_documented_one() {
    struct Bytes(usize);
    impl hkdf::KeyType for Bytes {
        fn len(&self) -> usize {
            self.0
        }
    }
    let derived = |prk: &hkdf::Prk, info: &[&[u8]], length| {
        let mut out = vec![0; length];
        prk.expand(info, Bytes(length)).unwrap().fill(&mut out).unwrap();
        out
    };
    let key = Key::generate();
    let sealed = seal(&key, &place(), b"token").0;
    assert_eq!((sealed[0], sealed.len()), (1, 33 + 5 + 16));
    let master = STANDARD.decode(key.to_base64().as_str()).unwrap();
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"superfasttt vault").extract(&master);
    assert_eq!(sealed[1..9], derived(&prk, &[b"key id"], 8));
    let secret_key = derived(&prk, &[b"secret", &sealed[9..21]], 32);
    let mut aad = sealed[..33].to_vec();
    for part in ["acme", "connection/c-1", "refresh_token"] {
        aad.extend((part.len() as u64).to_be_bytes());
        aad.extend(part.as_bytes());
    }
    let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &secret_key).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(&sealed[21..33]).unwrap();
    let mut body = sealed[33..].to_vec();
    assert_eq!(aead.open_in_place(nonce, Aad::from(aad), &mut body).unwrap(), b"token");
}
