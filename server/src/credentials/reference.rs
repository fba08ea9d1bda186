//! Values that are not stored but referred to: `$ENV:NAME` and `$FILE:PATH`, within what the operator allows. They are
//! resolved at each use, so that whoever rotates them does so where they are.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use secrecy::SecretString;

use crate::config::CredentialsConfig;

const ENV: &str = "$ENV:";
const FILE: &str = "$FILE:";
/// A secret in a file is no longer than this: a certificate chain with its key is a few kilobytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Why a reference cannot be resolved. Says nothing of what it refers to but whether that can be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The operator does not allow it.
    #[error("{0:?} is not among what {1} allows: an operator has to add it to connectord's configuration")]
    NotAllowed(String, &'static str),
    /// There is nothing there.
    #[error("{reference:?} cannot be read by connectord: {why}")]
    Unreadable {
        /// As it was entered.
        reference: String,
        /// In the words of the system.
        why: String,
    },
}

/// What a value stands for: itself, or what it refers to.
///
/// # Errors
/// [`ReferenceError`].
pub(super) fn resolve(value: &str, allowed: &CredentialsConfig) -> Result<SecretString, ReferenceError> {
    if let Some(name) = value.strip_prefix(ENV) {
        variable(value, name, allowed)
    } else if let Some(path) = value.strip_prefix(FILE) {
        file(value, Path::new(path), allowed)
    } else {
        Ok(SecretString::from(value))
    }
}

fn variable(
    reference: &str,
    name: &str,
    allowed: &CredentialsConfig,
) -> Result<SecretString, ReferenceError> {
    let matches = |rule: &String| match rule.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == rule,
    };
    if !allowed.allowed_env.iter().any(matches) {
        return Err(ReferenceError::NotAllowed(reference.to_owned(), "credentials.allowed_env"));
    }
    std::env::var(name).map(SecretString::from).map_err(|error| unreadable(reference, error))
}

fn file(reference: &str, path: &Path, allowed: &CredentialsConfig) -> Result<SecretString, ReferenceError> {
    let not_allowed = || ReferenceError::NotAllowed(reference.to_owned(), "credentials.allowed_files");
    // Before anything is looked at: whether another file exists is not told either.
    if !allowed.allowed_files.iter().any(|folder| path.starts_with(folder)) {
        return Err(not_allowed());
    }
    let real = path.canonicalize().map_err(|error| unreadable(reference, error))?;
    // Links and `..` lead where they lead; what counts is where that is.
    let within =
        |folder: &std::path::PathBuf| folder.canonicalize().is_ok_and(|folder| real.starts_with(folder));
    if !allowed.allowed_files.iter().any(within) {
        return Err(not_allowed());
    }
    let metadata = real.metadata().map_err(|error| unreadable(reference, error))?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(unreadable(reference, format!("it is no file of at most {MAX_FILE_BYTES} bytes")));
    }
    let mut text = String::new();
    let mut opened = File::open(&real).map_err(|error| unreadable(reference, error))?.take(MAX_FILE_BYTES);
    opened.read_to_string(&mut text).map_err(|error| unreadable(reference, error))?;
    // An editor ends a file with a newline; inside, as in a certificate, they belong to it.
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(SecretString::from(text))
}

fn unreadable(reference: &str, why: impl ToString) -> ReferenceError {
    ReferenceError::Unreadable { reference: reference.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use secrecy::ExposeSecret;

    use super::*;

    fn resolved(value: &str, allowed: &CredentialsConfig) -> Result<String, String> {
        let resolved = resolve(value, allowed);
        resolved.map(|secret| secret.expose_secret().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_read_at_each_use_from_where_it_may_be_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        std::fs::write(secrets.join("key"), "s3cret\r\n").unwrap();
        std::fs::write(folder.path().join("other"), "not yours").unwrap();
        symlink(folder.path().join("other"), secrets.join("link")).unwrap();
        symlink(secrets.join("key"), secrets.join("current")).unwrap();
        let allowed = CredentialsConfig { allowed_files: vec![secrets.clone()], ..Default::default() };
        let at = |path: &str| format!("$FILE:{}/{path}", secrets.display());

        assert_eq!(resolved(&at("key"), &allowed).unwrap(), "s3cret");
        assert_eq!(resolved(&at("current"), &allowed).unwrap(), "s3cret", "as mounted secrets are");
        std::fs::write(secrets.join("key"), "rotated").unwrap();
        assert_eq!(resolved(&at("key"), &allowed).unwrap(), "rotated");
        for outside in [at("link"), at("../other"), "$FILE:/etc/passwd".to_owned(), "$FILE:key".to_owned()] {
            let error = resolved(&outside, &allowed).unwrap_err();
            assert!(error.contains("credentials.allowed_files") && !error.contains("not yours"), "{error}");
        }
        std::fs::write(secrets.join("large"), vec![b'x'; 64 * 1024 + 1]).unwrap();
        for unreadable in [at("missing"), at("large"), at("")] {
            assert!(resolved(&unreadable, &allowed).unwrap_err().contains("cannot be read"), "{unreadable}");
        }
        assert!(resolved(&at("key"), &CredentialsConfig::default()).is_err(), "nothing is allowed by itself");
    }

    #[test]
    fn a_variable_is_read_where_its_name_is_allowed() {
        // Cargo sets this one for every test.
        let allowed =
            |rule: &str| CredentialsConfig { allowed_env: vec![rule.to_owned()], ..Default::default() };
        let here = resolved("$ENV:CARGO_PKG_NAME", &allowed("CARGO_PKG_NAME"));
        assert_eq!(here, resolved("$ENV:CARGO_PKG_NAME", &allowed("CARGO_PKG_*")));
        assert_eq!(here.unwrap(), "connectord");
        for rule in ["CARGO_PKG", "CARGO_PKG_NAME_*", "OTHER"] {
            let error = resolved("$ENV:CARGO_PKG_NAME", &allowed(rule)).unwrap_err();
            assert!(error.contains("credentials.allowed_env"), "{error}");
        }
        let error = resolved("$ENV:CARGO_PKG_NOTHING", &allowed("CARGO_PKG_*")).unwrap_err();
        assert!(error.contains("cannot be read"), "{error}");
    }

    #[test]
    fn what_only_looks_like_a_reference_is_itself() {
        for value in ["", "$env:HOME", "ENV:HOME", "$ENV", " $FILE:/etc/passwd", "pa$FILE:x"] {
            assert_eq!(resolved(value, &CredentialsConfig::default()).unwrap(), value);
        }
    }
}
