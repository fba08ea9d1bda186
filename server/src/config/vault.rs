//! Section `vault`: the master keys that secrets are sealed with.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::problem::Checks;
use super::server::secret;
use crate::vault::KeyRing;

/// The master keys that secrets are sealed with: one of these, or none.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct VaultConfig {
    /// A file with the keys, one to a line, the newest first.
    pub key_file: Option<PathBuf>,
    /// The keys themselves.
    #[serde(with = "secret")]
    pub keys: Option<SecretString>,
    /// A program and its arguments, which prints the keys.
    pub key_command: Vec<String>,
}

impl VaultConfig {
    /// Whether any of them is given.
    pub fn is_given(&self) -> bool {
        self.given().next().is_some()
    }

    fn given(&self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("key_file", self.key_file.is_some()),
            ("keys", self.keys.is_some()),
            ("key_command", !self.key_command.is_empty()),
        ];
        keys.into_iter().filter_map(|(key, given)| given.then_some(key))
    }

    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        let mut given = self.given();
        if let Some(first) = given.next() {
            for other in given {
                checks.require(false, other, || format!("vault.{first} is given as well; keep one of them"));
            }
        }
        if let Some(path) = &self.key_file {
            checks
                .require(!path.as_os_str().is_empty(), "key_file", || "it is empty; name a file".to_owned());
        }
        if let Some(keys) = &self.keys {
            let ring = KeyRing::parse(keys.expose_secret());
            checks.require(ring.is_ok(), "keys", || {
                ring.err().map(|error| error.to_string()).unwrap_or_default()
            });
        }
        let program = self.key_command.first();
        checks.require(program.is_none_or(|program| !program.is_empty()), "key_command", || {
            "its first part is empty; name a program".to_owned()
        });
    }
}
