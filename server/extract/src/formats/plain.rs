//! Files that are characters: decoded, and kept as they are but for HTML, whose markup goes, and the escapes of
//! JSON and XML, which hide letters from a reader.

use super::{Source, escapes, html};
use crate::normalize::Text;
use crate::{ExtractError, Format, charset};

/// Markup may take most of a file, so up to this many bytes are read for each byte of text that is wanted.
const READ_PER_TEXT_BYTE: u64 = 4;

pub(super) fn read(format: Format, source: &mut Source<'_>, text: &mut Text) -> Result<(), ExtractError> {
    let max_bytes = (source.limits.max_text_bytes as u64).saturating_mul(READ_PER_TEXT_BYTE).max(64 << 10);
    let bytes = source.read(max_bytes.saturating_add(1))?;
    let cut = bytes.len() as u64 > max_bytes;
    let label = declared_charset(format, source, &bytes);
    let decoded = charset::decode(&bytes, label.as_deref());
    match format {
        Format::Html => html::read(&decoded, text),
        Format::Json => text.push_str(&escapes::json(&decoded)),
        Format::Xml => text.push_str(&escapes::xml(&decoded)),
        _ => text.push_str(&decoded),
    }
    if cut {
        text.mark_truncated();
    }
    Ok(())
}

/// The character set that the source's media type names, or else the document itself.
fn declared_charset(format: Format, source: &Source<'_>, bytes: &[u8]) -> Option<String> {
    let media_type = source.hints.media_type.as_deref().unwrap_or_default();
    if let Some(label) = value_after(media_type, "charset") {
        return Some(label);
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
    match format {
        Format::Html => value_after(&head, "charset").or_else(|| value_after(&head, "encoding")),
        Format::Xml => value_after(&head, "encoding"),
        _ => None,
    }
}

/// The value in `… name="value"` or `… name=value`.
fn value_after(text: &str, name: &str) -> Option<String> {
    let at = text.to_ascii_lowercase().find(name)? + name.len();
    let value = text.get(at..)?.trim_start().strip_prefix('=')?.trim_start();
    let value = value.trim_start_matches(['"', '\'']);
    let end = value.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.:".contains(c))).unwrap_or(value.len());
    (end > 0).then(|| value[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charset_labels_are_found_in_every_usual_place() {
        for text in [
            "text/html; charset=windows-1252",
            "text/html;Charset=\"windows-1252\"",
            "<meta charset='windows-1252'>",
            "<meta http-equiv=content-type content='text/html; charset=windows-1252'>",
        ] {
            assert_eq!(value_after(text, "charset").as_deref(), Some("windows-1252"), "{text}");
        }
        assert_eq!(
            value_after("<?xml version='1.0' encoding='latin1'?>", "encoding").as_deref(),
            Some("latin1")
        );
        assert_eq!(value_after("text/plain", "charset"), None);
    }
}
