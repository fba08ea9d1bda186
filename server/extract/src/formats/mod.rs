//! One reader per family of formats. Each writes into a capped [`Text`] and turns its library's errors into
//! [`ExtractError`] by their kind, never by quoting them: a parser's message may carry text of the document.

mod container;
mod email;
mod escapes;
mod html;
mod office;
mod opendocument;
mod pdf;
mod plain;
mod rtf;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::detect::Detected;
use crate::normalize::Text;
use crate::{ExtractError, Format, Hints, Limits};

/// The document to read: its size is already within the limits.
pub(crate) struct Source<'a> {
    pub(crate) path: &'a Path,
    pub(crate) file: File,
    pub(crate) hints: &'a Hints,
    pub(crate) limits: &'a Limits,
}

impl Source<'_> {
    /// Reads at most `max_bytes` of the file, from its start.
    fn read(&mut self, max_bytes: u64) -> Result<Vec<u8>, ExtractError> {
        let mut bytes = Vec::new();
        self.file
            .by_ref()
            .take(max_bytes)
            .read_to_end(&mut bytes)
            .map_err(|error| ExtractError::unreadable(&error))?;
        Ok(bytes)
    }

    fn read_whole(&mut self) -> Result<Vec<u8>, ExtractError> {
        self.read(self.limits.max_input_bytes)
    }
}

pub(crate) fn read(found: &Detected, source: &mut Source<'_>, text: &mut Text) -> Result<(), ExtractError> {
    match found.format {
        Format::Text | Format::Markdown | Format::Csv | Format::Json | Format::Xml | Format::Html => {
            plain::read(found.format, source, text)
        }
        Format::Pdf => pdf::read(source, text),
        Format::Docx | Format::Xlsx | Format::Pptx => {
            container::open(source)?;
            office::read(source, text)
        }
        Format::Doc | Format::Xls | Format::Ppt => office::read(source, text),
        Format::Odt | Format::Ods | Format::Odp => opendocument::read(source, text),
        Format::Rtf => rtf::read(source, text),
        Format::Email => email::read(source, text),
    }
}
