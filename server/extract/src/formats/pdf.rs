//! PDF, page by page, so that a long document is never held as a whole model.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use unpdf::{ErrorKind, ErrorMode, PageSelection, PageStreamOptions, ParseEvent, ParseOptions, PdfParser};

use super::Source;
use crate::ExtractError;
use crate::normalize::Text;

/// A whole PDF ends with a pointer to its table of objects; readers accept some bytes after it.
const TAIL_BYTES: i64 = 64 << 10;

pub(super) fn read(source: &mut Source<'_>, text: &mut Text) -> Result<(), ExtractError> {
    let whole = has_end(source)?;
    let parser =
        PdfParser::open_with_options(source.path, ParseOptions::new().sequential()).map_err(verdict)?;
    // Without its end a reader can only guess at the pages; part of a document must not pass for all of it.
    if !whole {
        return Err(ExtractError::damaged("its end is missing"));
    }
    if parser.page_count() == 0 {
        return Err(ExtractError::damaged("it has no pages that can be found"));
    }
    // Spelled out rather than taken from `default()`, which would start a thread per core.
    let options = PageStreamOptions {
        error_mode: ErrorMode::Lenient,
        extract_text: true,
        extract_resources: false,
        min_image_dimension: 64,
        pages: PageSelection::All,
        password: None,
        parallel: false,
        suppress_low_confidence_ocr: true,
        window_size: 1,
        emit_progress_every: u32::MAX,
    };
    let (mut read, mut failed) = (0_u32, 0_u32);
    parser
        .for_each_page(options, |event| {
            match event {
                ParseEvent::PageParsed(page) => {
                    read += 1;
                    text.push_str(&page.plain_text());
                    text.end_paragraph();
                }
                ParseEvent::PageFailed { .. } => failed += 1,
                _ => {}
            }
            if text.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .map_err(verdict)?;
    match (read, failed) {
        (0, 1..) => Err(ExtractError::damaged("none of its pages can be read")),
        (_, 1..) => {
            text.mark_truncated();
            Ok(())
        }
        _ => Ok(()),
    }
}

fn has_end(source: &mut Source<'_>) -> Result<bool, ExtractError> {
    let failed = |error: std::io::Error| ExtractError::unreadable(&error);
    let length = source.file.seek(SeekFrom::End(0)).map_err(failed)?;
    let tail_length = TAIL_BYTES.min(i64::try_from(length).unwrap_or(i64::MAX));
    source.file.seek(SeekFrom::End(-tail_length)).map_err(failed)?;
    let mut tail = Vec::new();
    source.file.by_ref().take(TAIL_BYTES as u64).read_to_end(&mut tail).map_err(failed)?;
    Ok(tail.windows(9).any(|window| window == b"startxref"))
}

fn verdict(error: unpdf::Error) -> ExtractError {
    if let unpdf::Error::Io(error) = &error {
        return match error.kind() {
            // The parser's way to say that the bytes do not go on where they must; the file itself can be read.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                ExtractError::damaged("its structure cannot be read")
            }
            _ => ExtractError::unreadable(error),
        };
    }
    match error.kind() {
        ErrorKind::Encrypted | ErrorKind::InvalidPassword => ExtractError::Encrypted,
        ErrorKind::MissingObject => ExtractError::damaged("an object that it needs is missing"),
        _ => ExtractError::damaged("its structure cannot be read"),
    }
}
