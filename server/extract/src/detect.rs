//! What a file is. Bytes that name their format win over any label; then the media type given by the source, the
//! file name, and at last whether it looks like text at all.

use std::fs::File;
use std::io::{BufReader, Read};

use zip::ZipArchive;

use crate::format::Format;
use crate::{ExtractError, Hints, charset};

/// How much of the start of a file is looked at.
pub(crate) const HEAD_BYTES: usize = 8192;

/// What was found: the format, and the media type to report, which is finer than the format for plain text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Detected {
    pub(crate) format: Format,
    pub(crate) media_type: String,
}

impl From<Format> for Detected {
    fn from(format: Format) -> Self {
        Self { format, media_type: format.media_type().to_owned() }
    }
}

/// Starts of binary formats that hold no text we read.
const MAGIC: &[(usize, &[u8], &str)] = &[
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"BM", "image/bmp"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/x-matroska"),
    (8, b"AVI ", "video/x-msvideo"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
];

/// Decides what `file` is. `head` is its start; `Err` is always [`ExtractError::Unsupported`], or
/// [`ExtractError::Damaged`] where a label promises a format that the bytes are not.
pub(crate) fn detect(file: &File, head: &[u8], hints: &Hints) -> Result<Detected, ExtractError> {
    let hinted = hinted_media_type(hints);
    let text_like = looks_like_text(head);
    if let Some(format) = by_magic(head, text_like && hinted != Format::Pdf.media_type()) {
        return Ok(format.into());
    }
    if head.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return compound_file(file);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return zip_container(file, &hinted);
    }
    if !text_like && let Some(media_type) = unread_magic(head) {
        return unsupported(media_type);
    }
    let format = Format::from_media_type(&hinted);
    match format {
        Some(format) if format.is_plain() || format == Format::Email => {
            if text_like {
                Ok(Detected { format, media_type: hinted })
            } else {
                unsupported("application/octet-stream")
            }
        }
        // People do save plain text under these names.
        Some(Format::Rtf | Format::Doc) if text_like => Ok(Format::Text.into()),
        Some(_) => {
            Err(ExtractError::damaged("its bytes are not of the type that its name or media type says"))
        }
        None if hinted.starts_with("image/") => unsupported(&hinted),
        None if text_like => Ok(text_by_sight(head, &hinted)),
        None if hinted.is_empty() => unsupported("application/octet-stream"),
        None => unsupported(&hinted),
    }
}

/// The media type of the hints: the given one, or the file name's where none is given or it says little.
fn hinted_media_type(hints: &Hints) -> String {
    let given = hints.media_type.as_deref().map(essence).unwrap_or_default();
    let named = hints.file_name.as_deref().map(by_file_name).unwrap_or_default();
    let vague = matches!(
        given.as_str(),
        "" | "*/*"
            | "text/plain"
            | "application/octet-stream"
            | "binary/octet-stream"
            | "application/unknown"
    );
    let readable = Format::from_media_type(&named).is_some();
    if given.is_empty() || (vague && (readable || given != "text/plain") && !named.is_empty()) {
        return named;
    }
    if vague && given != "text/plain" { String::new() } else { given }
}

/// A media type without its parameters, in lower case.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn by_file_name(file_name: &str) -> String {
    let extension = file_name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("md" | "markdown") => "text/markdown".to_owned(),
        Some("eml") => "message/rfc822".to_owned(),
        Some("log" | "conf" | "cfg" | "rst" | "adoc" | "tex") => "text/plain".to_owned(),
        // The registry knows this one as MPEG transport streams, which have their own magic bytes.
        Some("ts") => String::new(),
        Some(extension) => {
            mime_guess::from_ext(extension).first_raw().map(str::to_ascii_lowercase).unwrap_or_default()
        }
        None => String::new(),
    }
}

/// `at_start`: look for the PDF header at the very start only, so that a text about PDF stays a text.
fn by_magic(head: &[u8], at_start: bool) -> Option<Format> {
    // The PDF reference lets readers look for the header in the first 1024 bytes.
    let start = &head[..head.len().min(1024)];
    let trimmed = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    if trimmed.starts_with(b"%PDF-") || (!at_start && start.windows(5).any(|window| window == b"%PDF-")) {
        return Some(Format::Pdf);
    }
    trimmed.starts_with(b"{\\rtf").then_some(Format::Rtf)
}

fn unread_magic(head: &[u8]) -> Option<&'static str> {
    MAGIC
        .iter()
        .find(|(at, magic, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
        .map(|row| row.2)
}

/// Characters or not: no zero bytes (unless it is UTF-16), and next to no control characters.
fn looks_like_text(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe")
        || head.starts_with(b"\xfe\xff")
        || charset::evident_utf16(head).is_some()
    {
        return true;
    }
    let odd = head.iter().filter(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127)).count();
    !head.contains(&0) && odd * 50 <= head.len()
}

/// Text without a label that we know: HTML and XML are told by how they begin.
fn text_by_sight(head: &[u8], hinted: &str) -> Detected {
    let start = charset::decode(&head[..head.len().min(512)], None).trim_start().to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Format::Html.into();
    }
    if start.starts_with("<?xml") {
        return Format::Xml.into();
    }
    match hinted {
        "" => Format::Text.into(),
        _ if hinted.starts_with("audio/") || hinted.starts_with("video/") => Format::Text.into(),
        _ => Detected { format: Format::Text, media_type: hinted.to_owned() },
    }
}

/// Which office document a compound file (OLE) is: Word, Excel and PowerPoint until 2003, or a newer one behind
/// a password.
fn compound_file(file: &File) -> Result<Detected, ExtractError> {
    use undoc::detect::{FormatType, detect_format_from_reader};
    match detect_format_from_reader(BufReader::new(file)) {
        Ok(FormatType::Doc) => Ok(Format::Doc.into()),
        Ok(FormatType::Xls) => Ok(Format::Xls.into()),
        Ok(FormatType::Ppt) => Ok(Format::Ppt.into()),
        Err(undoc::Error::Encrypted) => Err(ExtractError::Encrypted),
        Err(undoc::Error::UnsupportedFormat(what)) if what.contains("could not be read") => {
            Err(ExtractError::damaged("the directory of the container cannot be read"))
        }
        _ => unsupported("application/x-ole-storage"),
    }
}

/// Which document a zip container is, by what lies in it.
fn zip_container(file: &File, hinted: &str) -> Result<Detected, ExtractError> {
    let Ok(mut archive) = ZipArchive::new(BufReader::new(file)) else {
        // An archive that does not open is only a fault where a document was promised.
        return match Format::from_media_type(hinted) {
            Some(_) => Err(ExtractError::damaged("the container is cut short or not a whole archive")),
            None => unsupported("application/zip"),
        };
    };
    let mut declared = String::new();
    if let Ok(entry) = archive.by_name("mimetype") {
        // Some other bytes there only mean that it is not an OpenDocument.
        let _ = entry.take(200).read_to_string(&mut declared);
    }
    if !declared.is_empty() {
        let declared = essence(&declared);
        return match Format::from_media_type(&declared) {
            Some(format @ (Format::Odt | Format::Ods | Format::Odp)) => Ok(format.into()),
            _ => unsupported("application/zip"),
        };
    }
    let has = |part: &[u8]| archive.file_names_raw().any(|name| name.starts_with(part));
    if !has(b"[Content_Types].xml") {
        return unsupported("application/zip");
    }
    for (folder, format) in
        [(&b"word/"[..], Format::Docx), (&b"xl/"[..], Format::Xlsx), (&b"ppt/"[..], Format::Pptx)]
    {
        if has(folder) {
            return Ok(format.into());
        }
    }
    unsupported("application/zip")
}

fn unsupported(media_type: &str) -> Result<Detected, ExtractError> {
    Err(ExtractError::Unsupported { media_type: media_type.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn detected(
        bytes: &[u8],
        media_type: Option<&str>,
        file_name: Option<&str>,
    ) -> Result<Detected, ExtractError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let hints =
            Hints { media_type: media_type.map(str::to_owned), file_name: file_name.map(str::to_owned) };
        detect(&file, bytes, &hints)
    }

    fn format(bytes: &[u8], media_type: Option<&str>, file_name: Option<&str>) -> Format {
        detected(bytes, media_type, file_name).unwrap().format
    }

    #[test]
    fn bytes_win_over_labels() {
        assert_eq!(format(b"%PDF-1.7\n", Some("text/plain"), Some("a.txt")), Format::Pdf);
        assert_eq!(format(b"A PDF begins with %PDF-1.7", None, Some("a.txt")), Format::Text);
        assert_eq!(format(b"{\\rtf1\\ansi", None, Some("a.doc")), Format::Rtf);
    }

    #[test]
    fn a_vague_media_type_gives_way_to_the_name() {
        assert_eq!(format(b"# T", Some("text/plain; charset=utf-8"), Some("README.md")), Format::Markdown);
        assert_eq!(format(b"a,b", Some("application/octet-stream"), Some("A.CSV")), Format::Csv);
        assert_eq!(format(b"Subject: x\n\ny", Some("message/rfc822"), Some("x.txt")), Format::Email);
        assert_eq!(format(b"x", Some("text/plain"), Some("x.png")), Format::Text);
    }

    #[test]
    fn text_is_seen_without_any_label() {
        assert_eq!(format("déjà vu".as_bytes(), None, None), Format::Text);
        assert_eq!(format(b"<!DOCTYPE html><p>x", None, Some("page")), Format::Html);
        assert_eq!(format(b"let a: number = 1", None, Some("main.ts")), Format::Text);
        assert_eq!(detected(b"fn main() {}", None, Some("main.rs")).unwrap().media_type, "text/x-rust");
    }

    #[test]
    fn binary_without_text_is_unsupported_by_its_own_type() {
        for (bytes, name, media_type) in [
            (&b"\x89PNG\r\n\x1a\n\0\0"[..], "a.txt", "image/png"),
            (b"\0\0\0\x20ftypisom\0", "a", "video/mp4"),
            (b"\x01\x02\x03\x04\0\0", "a.bin", "application/octet-stream"),
            (b"PK\x03\x04 and then nothing", "a.zip", "application/zip"),
        ] {
            let error = detected(bytes, None, Some(name)).unwrap_err();
            assert_eq!(error, ExtractError::Unsupported { media_type: media_type.to_owned() });
        }
    }

    #[test]
    fn a_promise_that_the_bytes_do_not_keep_is_damage() {
        for name in ["a.pdf", "a.docx", "a.ods"] {
            assert_eq!(detected(b"\x01\x02\x03\0\0", None, Some(name)).unwrap_err().code(), "damaged");
        }
        assert_eq!(detected(b"PK\x03\x04rest", None, Some("a.docx")).unwrap_err().code(), "damaged");
    }
}
