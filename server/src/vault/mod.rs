//! The vault: seals secrets before they are stored, and opens them where they are used. `keys` has the key ring,
//! `source` where it comes from (`key_file`, `command`), `seal` the stored bytes, `handle` the [`Vault`] that everybody
//! shares, `canary` what tells a wrong ring at the start and a new key while the server runs, `rotate` how all that is
//! stored gets another key. What is sealed, and who may have it opened, is told in docs/vault.md.

mod canary;
mod command;
mod handle;
pub mod key_file;
mod keys;
pub mod rotate;
mod seal;
mod source;

pub use canary::{OpenError, open, watch};
pub use handle::Vault;
pub use keys::{Key, KeyId, KeyRing, KeyRingError};
pub use seal::{
    Place, Sealed, VaultError, connection_owner, oauth_app_owner, oauth_session_owner, open as open_with,
    seal as seal_with,
};
pub use source::{KeySource, SourceError};
