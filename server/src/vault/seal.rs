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
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The organisation that it belongs to; empty: the whole installation.
    pub organization: String,
    /// Whose it is: `connection/…`, `oauth_app/…`, `oauth_session/…`; empty: the vault's own.
    pub owner: String,
    /// Which of its secrets.
    pub field: String,
}

impl Place {
    /// A secret of the credential of a connection, by the connection's id.
    pub fn of_connection(organization: &str, connection: &str, field: &str) -> Self {
        Self::of(organization, connection_owner(connection), field)
    }

    /// A secret of an OAuth app, by the app's id.
    pub fn of_oauth_app(organization: &str, app: &str, field: &str) -> Self {
        Self::of(organization, oauth_app_owner(app), field)
    }

    /// A secret of an authorization under way, by the session's id.
    pub fn of_oauth_session(organization: &str, session: &str, field: &str) -> Self {
        Self::of(organization, oauth_session_owner(session), field)
    }

    /// A secret of the vault itself.
    pub fn of_vault(field: &str) -> Self {
        Self::of("", String::new(), field)
    }

    fn of(organization: &str, owner: String, field: &str) -> Self {
        Self { organization: organization.to_owned(), owner, field: field.to_owned() }
    }

    /// Each part with its length before it: no two places are written alike.
    fn aad(&self, header: &[u8]) -> Vec<u8> {
        let mut aad = header.to_vec();
        for part in [&self.organization, &self.owner, &self.field] {
            aad.extend((part.len() as u64).to_be_bytes());
            aad.extend(part.as_bytes());
        }
        aad
    }
}

/// Whose the secrets of a connection are.
pub fn connection_owner(id: &str) -> String {
    format!("connection/{id}")
}

/// Whose the secrets of an OAuth app are.
pub fn oauth_app_owner(id: &str) -> String {
    format!("oauth_app/{id}")
}

/// Whose the secrets of an authorization under way are.
pub fn oauth_session_owner(id: &str) -> String {
    format!("oauth_session/{id}")
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

/// Why something cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is no key.
    #[error(
        "this installation has no keys to seal secrets with: give it some (vault.key_file, vault.keys or \
         vault.key_command in the configuration; `connectord keys generate` makes one) and restart it"
    )]
    NoKeys,
    /// No key of the ring has this id.
    #[error(
        "it was sealed with key {0}, which this installation does not have: give that key back, or connect again"
    )]
    UnknownKey(KeyId),
    /// It is not what was sealed for this place.
    #[error(
        "what is stored is not what was sealed there: the database was changed or damaged; restore it, or connect again"
    )]
    Damaged,
    /// The layout is newer than this program.
    #[error("it was sealed by a newer version of connectord (layout {0}): use that version or newer")]
    TooNew(u8),
    /// The keys could not be read again.
    #[error("the keys cannot be read: {0}")]
    Keys(String),
}

/// Seals a secret with one key. Those of this installation are [`super::Vault::seal`]'s.
pub fn seal(key: &Key, place: &Place, secret: &[u8]) -> Sealed {
    let mut sealed = Vec::with_capacity(SECRET_AT + secret.len() + MAX_TAG_LEN);
    sealed.push(VERSION);
    sealed.extend(key.id().0);
    let mut nonce = [0; 2 * NONCE_LEN];
    fill_random(&mut nonce);
    sealed.extend(nonce);
    let aad = Aad::from(place.aad(&sealed));
    let (key, nonce) = of_secret(key, &nonce);
    let mut body = Zeroizing::new(secret.to_vec());
    let tag = key
        .seal_in_place_separate_tag(nonce, aad, &mut body)
        .expect("a secret is far below the limit of GCM");
    sealed.extend_from_slice(&body);
    sealed.extend(tag.as_ref());
    Sealed(sealed)
}

/// Opens what was sealed for this place with a key of this ring.
///
/// # Errors
/// As [`super::Vault::open`].
pub fn open(ring: &KeyRing, place: &Place, sealed: &Sealed) -> Result<SecretSlice<u8>, VaultError> {
    let id = match (sealed.0.first(), sealed.key()) {
        (Some(&VERSION), Some(id)) => id,
        (Some(&version), _) if version > VERSION => return Err(VaultError::TooNew(version)),
        _ => return Err(VaultError::Damaged),
    };
    let key = ring.get(id).ok_or(VaultError::UnknownKey(id))?;
    let (header, body) = sealed.0.split_at_checked(SECRET_AT).ok_or(VaultError::Damaged)?;
    let (key, nonce) = of_secret(key, &header[NONCE_AT..]);
    let mut body = Zeroizing::new(body.to_vec());
    let opened =
        key.open_in_place(nonce, Aad::from(place.aad(header)), &mut body).map_err(|_| VaultError::Damaged)?;
    Ok(opened.to_vec().into())
}

/// The key of one secret, and the nonce for it.
fn of_secret(key: &Key, nonce: &[u8]) -> (LessSafeKey, Nonce) {
    let (select, nonce) = nonce.split_at(NONCE_LEN);
    let mut bytes = [0; 32];
    key.derive(&[b"secret", select], &mut bytes);
    let unbound = UnboundKey::new(&AES_256_GCM, &bytes).expect("it has the length of a key of AES-256");
    bytes.zeroize();
    (
        LessSafeKey::new(unbound),
        Nonce::try_assume_unique_for_key(nonce).expect("it has the length of a nonce"),
    )
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
