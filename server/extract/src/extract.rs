//! From a file to its text: the checks that cost nothing, the detection, the reader for the format, on a thread
//! whose stack is large enough for nested documents and whose panics are caught.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::detect::{Detected, HEAD_BYTES, detect};
use crate::normalize::Text;
use crate::{ExtractError, Format, formats};

/// Parsers of nested formats recurse; this stack holds what the formats' own depth limits allow.
pub(crate) const STACK_BYTES: usize = 32 << 20;

/// What the source says about a file. Both may be missing or wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// The media type, with parameters such as `charset` where the source gives them.
    pub media_type: Option<String>,
    /// The file's name; only its extension is used.
    pub file_name: Option<String>,
}

/// How much a document may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest file that is read, in bytes. Checked from the file's metadata before anything is read.
    pub max_input_bytes: u64,
    /// Largest text handed back, in bytes; longer ones are cut between characters and marked.
    pub max_text_bytes: usize,
    /// Most bytes that a container (DOCX, ODT, …) may unpack to, counted by unpacking it.
    pub max_unpacked_bytes: u64,
    /// Most entries in a container.
    pub max_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_input_bytes: 128 << 20,
            max_text_bytes: 16 << 20,
            max_unpacked_bytes: 256 << 20,
            max_entries: 10_000,
        }
    }
}

/// The text of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The text: `\n` line ends, no control characters but tab, at most two blank lines in a row, trimmed.
    pub text: String,
    /// Whether the document holds more text than was read.
    pub truncated: bool,
    /// The media type that was found, which may differ from the one given.
    pub media_type: String,
    /// The extractor's name (see [`Format::name`]).
    pub extractor: &'static str,
}

/// Reads the text of the file at `input`. An empty file has an empty text.
///
/// Safe against panics and deep nesting in the document, but not against one that takes long or much memory: for
/// that it must run in a [`worker`](crate::worker).
///
/// # Errors
/// See [`ExtractError`]; only [`ExtractError::Unavailable`] can go away by itself.
pub fn extract(input: &Path, hints: &Hints, limits: &Limits) -> Result<Extracted, ExtractError> {
    contained(|| extract_here(input, hints, limits))
}

/// Runs a reader on a thread with a large stack, where a panic ends the reader and not the process.
fn contained<T: Send>(read: impl FnOnce() -> Result<T, ExtractError> + Send) -> Result<T, ExtractError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("extract".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, read)
            .map_err(|error| ExtractError::unavailable("no thread could be started", &error))?;
        thread.join().unwrap_or(Err(ExtractError::damaged("its reader failed on it")))
    })
}

fn extract_here(path: &Path, hints: &Hints, limits: &Limits) -> Result<Extracted, ExtractError> {
    let unreadable = |error: std::io::Error| ExtractError::unreadable(&error);
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        let error = std::io::Error::new(ErrorKind::InvalidInput, "not a regular file");
        return Err(unreadable(error));
    }
    let mut head = Vec::with_capacity(HEAD_BYTES);
    file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(unreadable)?;
    let found = if head.is_empty() {
        Ok(empty_as(hints))
    } else {
        file.rewind().map_err(unreadable)?;
        detect(&file, &head, hints)
    };
    let within_size = metadata.len() <= limits.max_input_bytes;
    let found = match found {
        // Whatever is or is not in a file this large, its size is the reason to give.
        Err(ExtractError::Damaged { .. }) if !within_size => return Err(too_large(limits)),
        Err(ExtractError::Unsupported { media_type })
            if !within_size && media_type == "application/octet-stream" =>
        {
            return Err(too_large(limits));
        }
        Err(error) => return Err(error),
        Ok(_) if !within_size => return Err(too_large(limits)),
        Ok(found) => found,
    };
    file.rewind().map_err(unreadable)?;

    let mut text = Text::new(limits.max_text_bytes);
    formats::read(&found, &mut formats::Source { path, file, hints, limits }, &mut text)?;
    let (text, truncated) = text.finish();
    Ok(Extracted { text, truncated, media_type: found.media_type, extractor: found.format.name() })
}

/// An empty file is an empty text, reported as the type that its hints say.
fn empty_as(hints: &Hints) -> Detected {
    let media_type = hints.media_type.clone().unwrap_or_else(|| Format::Text.media_type().to_owned());
    Detected { format: Format::Text, media_type }
}

fn too_large(limits: &Limits) -> ExtractError {
    ExtractError::TooLarge { what: "the file's size in bytes".into(), limit: limits.max_input_bytes }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn an_empty_file_is_an_empty_text() {
        let file = written(b"");
        let hints = Hints { media_type: Some("application/pdf".into()), file_name: None };
        let extracted = extract(file.path(), &hints, &Limits::default()).unwrap();
        assert_eq!((extracted.text.as_str(), extracted.truncated), ("", false));
        assert_eq!(extracted.media_type, "application/pdf");
    }

    #[test]
    fn a_sparse_file_of_3_gb_is_refused_unread() {
        let file = written(b"");
        file.as_file().set_len(3 << 30).unwrap();
        for name in ["big.txt", "big.pdf", "big"] {
            let hints = Hints { media_type: None, file_name: Some(name.into()) };
            let error = extract(file.path(), &hints, &Limits::default()).unwrap_err();
            assert_eq!(error.code(), "too_large", "{name}");
        }
    }

    #[test]
    fn a_panic_in_a_reader_is_a_verdict_on_the_document() {
        let read = contained(|| -> Result<(), _> { panic!("as a parser might") });
        assert_eq!(read.unwrap_err().code(), "damaged");
    }

    #[test]
    fn a_large_film_is_unsupported_rather_than_too_large() {
        let file = written(b"\0\0\0\x20ftypisom");
        file.as_file().set_len(3 << 30).unwrap();
        let error = extract(file.path(), &Hints::default(), &Limits::default()).unwrap_err();
        assert_eq!(error, ExtractError::Unsupported { media_type: "video/mp4".into() });
    }

    #[test]
    fn a_missing_file_is_no_verdict_on_the_document() {
        let error = extract(Path::new("/nowhere/at/all"), &Hints::default(), &Limits::default()).unwrap_err();
        assert!(!error.is_permanent());
    }

    #[test]
    fn the_cap_cuts_between_characters_and_says_so() {
        let file = written("é".repeat(1000).as_bytes());
        let limits = Limits { max_text_bytes: 11, ..Limits::default() };
        let extracted = extract(file.path(), &Hints::default(), &limits).unwrap();
        assert_eq!(extracted.text, "é".repeat(5));
        assert!(extracted.truncated);
    }
}
