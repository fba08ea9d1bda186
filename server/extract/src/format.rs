//! The formats that text is read from, their names and media types.

/// A format with an extractor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Plain text, and everything that reads as text: source code, logs, configuration.
    Text,
    /// Markdown, kept as written.
    Markdown,
    /// HTML and XHTML.
    Html,
    /// Comma or tab separated values, kept as written.
    Csv,
    /// JSON, kept as written but for `\u` escapes of letters.
    Json,
    /// XML, kept as written but for numeric references to letters.
    Xml,
    /// Portable Document Format.
    Pdf,
    /// Word since 2007.
    Docx,
    /// Excel since 2007.
    Xlsx,
    /// PowerPoint since 2007.
    Pptx,
    /// Word 97-2003.
    Doc,
    /// Excel 97-2003.
    Xls,
    /// PowerPoint 97-2003.
    Ppt,
    /// OpenDocument text.
    Odt,
    /// OpenDocument spreadsheet.
    Ods,
    /// OpenDocument presentation.
    Odp,
    /// Rich Text Format.
    Rtf,
    /// One mail message (RFC 5322).
    Email,
}

use Format::{
    Csv, Doc, Docx, Email, Html, Json, Markdown, Odp, Ods, Odt, Pdf, Ppt, Pptx, Rtf, Text, Xls, Xlsx, Xml,
};

/// Format, name of its extractor, media type that it is reported as.
const FORMATS: &[(Format, &str, &str)] = &[
    (Text, "text", "text/plain"),
    (Markdown, "markdown", "text/markdown"),
    (Html, "html", "text/html"),
    (Csv, "csv", "text/csv"),
    (Json, "json", "application/json"),
    (Xml, "xml", "application/xml"),
    (Pdf, "pdf", "application/pdf"),
    (Docx, "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (Xlsx, "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (Pptx, "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    (Doc, "doc", "application/msword"),
    (Xls, "xls", "application/vnd.ms-excel"),
    (Ppt, "ppt", "application/vnd.ms-powerpoint"),
    (Odt, "odt", "application/vnd.oasis.opendocument.text"),
    (Ods, "ods", "application/vnd.oasis.opendocument.spreadsheet"),
    (Odp, "odp", "application/vnd.oasis.opendocument.presentation"),
    (Rtf, "rtf", "application/rtf"),
    (Email, "email", "message/rfc822"),
];

/// Other media types in use for a format.
const ALIASES: &[(&str, Format)] = &[
    ("text/x-markdown", Markdown),
    ("application/xhtml+xml", Html),
    ("application/csv", Csv),
    ("text/tab-separated-values", Csv),
    ("text/json", Json),
    ("application/x-ndjson", Json),
    ("text/xml", Xml),
    ("application/x-pdf", Pdf),
    ("text/rtf", Rtf),
    ("application/x-rtf", Rtf),
    ("application/eml", Email),
    // Templates and documents with macros are the same containers.
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.template", Docx),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.template", Xlsx),
    ("application/vnd.openxmlformats-officedocument.presentationml.template", Pptx),
    ("application/vnd.openxmlformats-officedocument.presentationml.slideshow", Pptx),
    ("application/vnd.ms-word.document.macroenabled.12", Docx),
    ("application/vnd.ms-excel.sheet.macroenabled.12", Xlsx),
    ("application/vnd.ms-powerpoint.presentation.macroenabled.12", Pptx),
    ("application/vnd.oasis.opendocument.text-template", Odt),
    ("application/vnd.oasis.opendocument.spreadsheet-template", Ods),
    ("application/vnd.oasis.opendocument.presentation-template", Odp),
];

impl Format {
    fn row(self) -> &'static (Format, &'static str, &'static str) {
        // Each variant has its row in the table above; a test walks over all of them.
        FORMATS.iter().find(|row| row.0 == self).unwrap_or(&FORMATS[0])
    }

    /// The extractor's name, as kept beside a text.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The media type that a document of this format is reported as.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        self.row().2
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        FORMATS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The format that a media type (lower case, without parameters) names.
    pub(crate) fn from_media_type(media_type: &str) -> Option<Self> {
        let named = FORMATS.iter().find(|row| row.2 == media_type).map(|row| row.0);
        let alias = || ALIASES.iter().find(|alias| alias.0 == media_type).map(|alias| alias.1);
        if let Some(format) = named.or_else(alias) {
            return Some(format);
        }
        match media_type {
            "image/svg+xml" => None,
            _ if media_type.ends_with("+json") => Some(Json),
            _ if media_type.ends_with("+xml") => Some(Xml),
            _ if media_type.starts_with("text/") => Some(Text),
            _ => None,
        }
    }

    /// Whether the file is characters through and through, so that any part of it can be read by itself.
    pub(crate) fn is_plain(self) -> bool {
        matches!(self, Text | Markdown | Html | Csv | Json | Xml)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_name_and_media_type() {
        for (format, name, media_type) in FORMATS {
            assert_eq!(format.name(), *name);
            assert_eq!(Format::from_name(name), Some(*format));
            assert_eq!(Format::from_media_type(media_type), Some(*format));
        }
        assert_eq!(FORMATS.len(), Email as usize + 1, "the last variant counts them all");
    }
}
