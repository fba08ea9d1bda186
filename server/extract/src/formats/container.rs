//! Zip containers, made safe to hand to a parser: every entry is unpacked once to nowhere and counted, because the
//! sizes in the headers are whatever the author of a zip bomb wrote there. Archives inside the archive stay shut.

use std::fs::File;
use std::io::{BufReader, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::Source;
use crate::ExtractError;

pub(super) type Archive = ZipArchive<BufReader<File>>;

/// Opens the container after checking what it unpacks to.
pub(super) fn open(source: &Source<'_>) -> Result<Archive, ExtractError> {
    let file = source
        .file
        .try_clone()
        .map_err(|error| ExtractError::unavailable("the file could not be read", &error))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(verdict)?;
    if archive.len() > source.limits.max_entries {
        return Err(ExtractError::TooLarge {
            what: "the number of parts in it".into(),
            limit: source.limits.max_entries as u64,
        });
    }
    let mut budget = source.limits.max_unpacked_bytes;
    let mut buffer = vec![0; 64 << 10];
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(verdict)?;
        loop {
            let read = match entry.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read as u64,
                Err(_) => return Err(ExtractError::damaged("a part of it does not unpack")),
            };
            budget = budget.checked_sub(read).ok_or_else(|| ExtractError::TooLarge {
                what: "what it unpacks to, in bytes,".into(),
                limit: source.limits.max_unpacked_bytes,
            })?;
        }
    }
    Ok(archive)
}

/// Reads one entry as bytes; `None` when the container has no such entry. The archive has been counted before.
pub(super) fn entry(archive: &mut Archive, name: &str) -> Result<Option<Vec<u8>>, ExtractError> {
    let mut entry = match archive.by_name(name) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(verdict(error)),
    };
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| {
        ExtractError::of_read(&error, ExtractError::damaged("a part of it does not unpack"))
    })?;
    Ok(Some(bytes))
}

fn verdict(error: ZipError) -> ExtractError {
    match error {
        ZipError::InvalidPassword | ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => {
            ExtractError::Encrypted
        }
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => {
            ExtractError::damaged("it is packed in a way that such documents never are")
        }
        _ => ExtractError::damaged("the container is cut short or not a whole archive"),
    }
}
