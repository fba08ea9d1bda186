//! Shared by the integration tests: fixtures and temporary files as inputs of [`extract`].
#![allow(dead_code, reason = "each test binary uses its own part of this module")]
#![allow(clippy::unwrap_used, reason = "a panic here is the failure report of a test")]

use std::io::Write;
use std::path::PathBuf;

use superfasttt_extract::{ExtractError, Extracted, Hints, Limits, extract};

/// The path of a committed fixture.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Hints with a file name alone, as the filesystem gives them.
pub fn named(file_name: &str) -> Hints {
    Hints { media_type: None, file_name: Some(file_name.to_owned()) }
}

/// A temporary file with these bytes.
pub fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// What comes out of these bytes under that file name, within the default limits.
pub fn extract_bytes(bytes: &[u8], file_name: &str) -> Result<Extracted, ExtractError> {
    extract(file_of(bytes).path(), &named(file_name), &Limits::default())
}

/// What comes out of a fixture, within the default limits.
pub fn extract_fixture(name: &str) -> Result<Extracted, ExtractError> {
    extract(&fixture(name), &named(name), &Limits::default())
}

/// A zip archive with these entries.
pub fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
