//! Reads what was sealed with Fernet: AES-128-CBC under HMAC-SHA256, as the specification at
//! <https://github.com/fernet/spec/blob/master/Spec.md> has it. The age of a token is not asked for: what it holds is as good as
//! it was. Nothing is sealed this way any more.

use aes::Aes128;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Some libraries leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The first byte of a token.
const VERSION: u8 = 0x80;
/// Version and time.
const HEAD_BYTES: usize = 1 + 8;
const BLOCK_BYTES: usize = 16;
const MAC_BYTES: usize = 32;

/// Why a token or a key cannot be used. No part of it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FernetError {
    /// A key is 32 bytes in base64.
    #[error("a Fernet key is 44 characters of base64, one to a line; line {0} is none")]
    Key(usize),
    /// There is no key at all.
    #[error("there is no Fernet key in it")]
    NoKey,
    /// It is no token.
    #[error("it is no Fernet token")]
    Token,
    /// None of the keys has sealed it, or it was changed since.
    #[error("none of the keys opens it: it was sealed with another one, or it was changed")]
    Sealed,
}

/// The keys that tokens may be sealed with.
pub struct Keys(Vec<Key>);

struct Key {
    signing: [u8; 16],
    encryption: [u8; 16],
}

impl Keys {
    /// Reads keys, one to a line.
    ///
    /// # Errors
    /// [`FernetError::Key`], [`FernetError::NoKey`].
    pub fn parse(text: &str) -> Result<Self, FernetError> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bytes = BASE64.decode(line.trim()).map_err(|_| FernetError::Key(number + 1))?;
            let bytes: [u8; 32] = bytes.try_into().map_err(|_| FernetError::Key(number + 1))?;
            let (mut signing, mut encryption) = ([0; 16], [0; 16]);
            signing.copy_from_slice(&bytes[..16]);
            encryption.copy_from_slice(&bytes[16..]);
            keys.push(Key { signing, encryption });
        }
        if keys.is_empty() { Err(FernetError::NoKey) } else { Ok(Self(keys)) }
    }

    /// What a token holds.
    ///
    /// # Errors
    /// [`FernetError::Token`], [`FernetError::Sealed`].
    pub fn open(&self, token: &str) -> Result<Vec<u8>, FernetError> {
        let bytes = BASE64.decode(token.trim()).map_err(|_| FernetError::Token)?;
        let (signed, mac) = bytes
            .len()
            .checked_sub(MAC_BYTES)
            .and_then(|signed| bytes.split_at_checked(signed))
            .ok_or(FernetError::Token)?;
        let sealed = signed.get(HEAD_BYTES..).ok_or(FernetError::Token)?;
        let (iv, sealed) = sealed.split_at_checked(BLOCK_BYTES).ok_or(FernetError::Token)?;
        let iv: [u8; BLOCK_BYTES] = iv.try_into().map_err(|_| FernetError::Token)?;
        let is_whole = !sealed.is_empty() && sealed.len().is_multiple_of(BLOCK_BYTES);
        if signed[0] != VERSION || !is_whole {
            return Err(FernetError::Token);
        }
        for key in &self.0 {
            let mut signature =
                Hmac::<Sha256>::new_from_slice(&key.signing).map_err(|_| FernetError::Sealed)?;
            signature.update(signed);
            // In constant time; nothing is decrypted that was not sealed with this key.
            if signature.verify_slice(mac).is_err() {
                continue;
            }
            let cipher = Decryptor::<Aes128>::new(&key.encryption.into(), &iv.into());
            let mut opened = sealed.to_vec();
            let length = cipher.decrypt_padded::<Pkcs7>(&mut opened).map_err(|_| FernetError::Sealed)?.len();
            opened.truncate(length);
            return Ok(opened);
        }
        Err(FernetError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // From the specification's own tests (generate.json, invalid.json).
    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const HELLO: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
    const OTHER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    #[test]
    fn what_the_specification_seals_is_opened() {
        assert_eq!(Keys::parse(KEY).unwrap().open(HELLO).unwrap(), b"hello");
        let keys = Keys::parse(&format!("{OTHER_KEY}\n\n{KEY}\n")).unwrap();
        assert_eq!(keys.open(HELLO.trim_end_matches('=')).unwrap(), b"hello", "with whichever key it was");
    }

    #[test]
    fn what_was_changed_or_sealed_by_others_is_not() {
        let keys = Keys::parse(KEY).unwrap();
        assert_eq!(Keys::parse(OTHER_KEY).unwrap().open(HELLO), Err(FernetError::Sealed));
        let mut bytes = BASE64.decode(HELLO).unwrap();
        for at in 1..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(keys.open(&BASE64.encode(&bytes)), Err(FernetError::Sealed), "byte {at}");
            bytes[at] ^= 1;
        }
        bytes[0] = 0x81;
        assert_eq!(keys.open(&BASE64.encode(&bytes)), Err(FernetError::Token));
        for short in 0..bytes.len() {
            assert!(
                keys.open(&BASE64.encode(&BASE64.decode(HELLO).unwrap()[..short])).is_err(),
                "{short} bytes"
            );
        }
        for nothing in ["", "gAAAAA", "no base64!", "hunter2"] {
            assert_eq!(keys.open(nothing), Err(FernetError::Token), "{nothing:?}");
        }
    }

    #[test]
    fn a_key_that_is_none_is_told_by_its_line() {
        assert_eq!(Keys::parse("").err(), Some(FernetError::NoKey));
        assert_eq!(Keys::parse(&format!("{KEY}\nsecret")).err(), Some(FernetError::Key(2)));
    }
}
