//! Where the key ring comes from: a file, the environment, or a command that asks a key management service.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::keys::{Key, KeyRing, KeyRingError};

/// How long a command may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);
/// The most that is read: more keys than a ring may hold.
const MAX_BYTES: u64 = 64 * 1024;

/// Where keys come from.
#[derive(Debug)]
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
    /// Others may read the file.
    #[error("the key file {} may be read by others (mode {mode:o}): `chmod 600 {}`", path.display(), path.display())]
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
    /// The file in the data folder of an embedded installation, made with a new key where it is missing.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn made_in(folder: &Path) -> Result<Self, SourceError> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let path = folder.join("vault.key");
        let told = |error| SourceError::File { path: path.clone(), error };
        let line = Zeroizing::new(format!("{}\n", Key::generate().to_base64().as_str()));
        // Under another name first: a file that was cut off in the middle of a key would be worse than none.
        let new = folder.join("vault.key.new");
        if !path.try_exists().map_err(told)? {
            let _ = std::fs::remove_file(&new);
            let mut options = std::fs::File::options();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&new).map_err(told)?;
            file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(told)?;
            std::fs::rename(&new, &path).map_err(told)?;
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(told)?;
        }
        Ok(Self::File(path))
    }

    /// Reads the ring.
    ///
    /// # Errors
    /// Where the keys cannot be read, or are none.
    pub async fn read(&self) -> Result<KeyRing, SourceError> {
        let ring = |text: &str, from: String| {
            KeyRing::parse(text).map_err(|error| SourceError::Ring { from, error })
        };
        match self {
            Self::File(path) => ring(&read_private(path).await?, format!("the file {}", path.display())),
            Self::Text(text) => ring(text.expose_secret(), "the configuration (vault.keys)".to_owned()),
            Self::Command(command) => {
                ring(&output(command).await?, format!("the command {:?}", command.first().map_or("", String::as_str)))
            }
        }
    }

    /// The file that they stand in, where they stand in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) | Self::Command(_) => None,
        }
    }
}

async fn read_private(path: &Path) -> Result<Zeroizing<String>, SourceError> {
    use std::os::unix::fs::PermissionsExt;
    use tokio::io::AsyncReadExt;
    let told = |error| SourceError::File { path: path.to_owned(), error };
    let file = tokio::fs::File::open(path).await.map_err(told)?;
    let mode = file.metadata().await.map_err(told)?.permissions().mode() & 0o777;
    // Secrets that an orchestrator mounts belong to root and are read by the group: others are what matters.
    if mode & 0o007 != 0 {
        return Err(SourceError::Open { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES).read_to_string(&mut text).await.map_err(told)?;
    Ok(text)
}

async fn output(command: &[String]) -> Result<Zeroizing<String>, SourceError> {
    let name = command.first().cloned().unwrap_or_default();
    let told = |what: String| SourceError::Command { command: name.clone(), what };
    let (program, arguments) = command.split_first().ok_or_else(|| told("is empty".to_owned()))?;
    let running = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(COMMAND_PATIENCE, running)
        .await
        .map_err(|_| told(format!("did not end within {} seconds", COMMAND_PATIENCE.as_secs())))?
        .map_err(|error| told(format!("could not be started: {error}")))?;
    let stdout = Zeroizing::new(output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(told(format!("ended with {}: {}", output.status, said.trim())));
    }
    let text = std::str::from_utf8(&stdout).map_err(|_| told("printed what is no text".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}
