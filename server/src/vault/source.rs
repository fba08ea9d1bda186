//! Where the key ring comes from: a file, the configuration, or a command that asks a key management service.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::keys::{KeyRing, KeyRingError};
use super::{command, key_file};
use crate::config::Config;

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file, one key to a line.
    File(PathBuf),
    /// The same text, given with the configuration.
    Text(SecretString),
    /// A program and its arguments, which prints that text.
    Command(Vec<String>),
}

/// Why there is no key ring.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read or written.
    #[error("the key file {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Others may read or write the file.
    #[error("the key file {} is open to other users (mode {mode:o}): `chmod 600 {}`", path.display(), path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The command did not give any.
    #[error("the key command {command:?} {what}")]
    Command {
        /// The program, without its arguments.
        command: String,
        /// What happened.
        what: String,
    },
    /// What was given is no key ring.
    #[error("the keys of {from}: {error}")]
    Ring {
        /// Where they come from.
        from: String,
        /// What is wrong.
        error: KeyRingError,
    },
}

impl KeySource {
    /// Where the keys of this installation are: what its configuration names, else the file of an embedded one. `None`: it
    /// is on PostgreSQL and was given none.
    pub fn of(config: &Config) -> Option<Self> {
        let vault = &config.vault;
        // The configuration's checks see that one of them is given at most.
        if let Some(path) = &vault.key_file {
            Some(Self::File(path.clone()))
        } else if let Some(keys) = &vault.keys {
            Some(Self::Text(keys.clone()))
        } else if !vault.key_command.is_empty() {
            Some(Self::Command(vault.key_command.clone()))
        } else {
            let embedded = config.database.url.is_none();
            embedded.then(|| Self::File(key_file::in_folder(&config.data.dir)))
        }
    }

    /// Reads the ring.
    ///
    /// # Errors
    /// Where the keys cannot be read, or are none.
    pub async fn read(&self) -> Result<KeyRing, SourceError> {
        let parsed = match self {
            Self::File(path) => KeyRing::parse(&key_file::read_private(path).await?),
            Self::Text(text) => KeyRing::parse(text.expose_secret()),
            Self::Command(command) => KeyRing::parse(&command::output(command).await?),
        };
        parsed.map_err(|error| SourceError::Ring { from: self.name(), error })
    }

    /// The file that they stand in, where they stand in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) | Self::Command(_) => None,
        }
    }

    /// What people call it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => format!("the file {}", path.display()),
            Self::Text(_) => "the configuration (vault.keys)".to_owned(),
            // Its arguments may be nobody's business.
            Self::Command(command) => {
                format!("the command {:?}", command.first().map_or("", String::as_str))
            }
        }
    }
}
