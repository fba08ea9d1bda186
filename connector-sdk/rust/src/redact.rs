//! Keeps the secrets of a call out of recordings, logs and errors.

use std::fmt::Write;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Stands where a secret was.
pub(crate) const REDACTED: &str = "[redacted]";
/// A shorter value says nothing, and would take harmless text with it.
const MIN_SECRET_BYTES: usize = 4;

/// Replaces the secrets of one call: plain, percent-encoded, as a text of JSON, and as base64.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redactor(Option<AhoCorasick>);

impl Redactor {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let long_enough = secrets.into_iter().filter(|secret| secret.len() >= MIN_SECRET_BYTES);
        let forms: Vec<String> = long_enough.flat_map(forms).filter(|form| !form.is_empty()).collect();
        if forms.is_empty() {
            return Self(None);
        }
        // The longest first: one form may be the beginning of another.
        let patterns = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(forms);
        Self(Some(patterns.expect("the values of a credential are far from the limits of an automaton")))
    }

    pub(crate) fn has_secrets(&self) -> bool {
        self.0.is_some()
    }

    #[cfg(any(test, feature = "http"))]
    pub(crate) fn mask(&self, text: &str) -> String {
        match &self.0 {
            Some(patterns) => patterns.replace_all(text, &vec![REDACTED; patterns.patterns_len()]),
            None => text.to_owned(),
        }
    }

    /// The same in what may be no text.
    pub(crate) fn mask_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        match &self.0 {
            Some(patterns) => patterns.replace_all_bytes(bytes, &vec![REDACTED; patterns.patterns_len()]),
            None => bytes.to_vec(),
        }
    }
}

fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), percent_encoded(secret, "%20"), percent_encoded(secret, "+")];
    let json = serde_json::Value::from(secret).to_string();
    forms.push(json[1..json.len() - 1].to_owned());
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        // Wherever it begins in the text that was encoded. The first and the last digit may also hold bits of what stands
        // before and after, so those are left out.
        for (before, digits) in [(0, 0), (1, 2), (2, 3)] {
            let mut padded = vec![0; before];
            padded.extend_from_slice(secret.as_bytes());
            let whole_digits = padded.len() * 8 / 6;
            forms.push(engine.encode(&padded)[digits..whole_digits].to_owned());
        }
    }
    forms
}

/// Everything encoded but what RFC 3986 never encodes, with `space` for a space.
fn percent_encoded(text: &str, space: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push_str(space),
            b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").unwrap_or_default(),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_each_of_its_forms() {
        let secret = "p\"ä ss/w+rd";
        let redactor = Redactor::new([secret, "p\"ä", "no"]);
        for text in [
            secret.to_owned(),
            "p%22%C3%A4%20ss%2Fw%2Brd".to_owned(),
            "p%22%C3%A4+ss%2Fw%2Brd".to_owned(),
            "p\\\"ä ss/w+rd".to_owned(),
        ] {
            assert_eq!(redactor.mask(&format!("<{text}>")), "<[redacted]>");
        }
        for name in ["", "u:", "us:", "use:"] {
            let masked = redactor.mask(&STANDARD_NO_PAD.encode(format!("{name}{secret}!")));
            assert!(masked.contains(REDACTED), "{masked}");
        }
        assert_eq!(redactor.mask("no secret"), "no secret");
        let bytes = [b"\xff", secret.as_bytes(), b"\xfe"].concat();
        assert_eq!(redactor.mask_bytes(&bytes), b"\xff[redacted]\xfe");
    }
}
