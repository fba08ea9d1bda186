//! Looks for secrets in what a connector wrote: as they are, percent-encoded, and as base64 at any of its three offsets.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A shorter value is a word that may stand anywhere.
const SHORTEST: usize = 6;
/// What is never percent-encoded (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The form in which one of `secrets` is in `text`, without the secret itself.
pub(crate) fn find(secrets: &[String], text: &[u8]) -> Option<&'static str> {
    secrets.iter().filter(|secret| secret.len() >= SHORTEST).find_map(|secret| form_of(secret, text))
}

fn form_of(secret: &str, text: &[u8]) -> Option<&'static str> {
    if holds(text, secret.as_bytes()) {
        return Some("as it is");
    }
    let encoded = utf8_percent_encode(secret, RESERVED).to_string();
    if holds(text, encoded.as_bytes()) || holds(text, lower_escapes(&encoded).as_bytes()) {
        return Some("percent-encoded");
    }
    base64_forms(secret.as_bytes()).iter().any(|form| holds(text, form.as_bytes())).then_some("as base64")
}

/// What of the secret's base64 does not depend on what stands before and after it.
fn base64_forms(secret: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3_usize {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret);
        let first = before.div_ceil(3) * 4;
        let last = bytes.len() / 3 * 4;
        for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            if first + 4 <= last {
                forms.push(text[first..last].to_owned());
            }
        }
    }
    forms
}

fn lower_escapes(encoded: &str) -> String {
    let mut lower = String::new();
    let mut escape = 0;
    for character in encoded.chars() {
        lower.push(if escape > 0 { character.to_ascii_lowercase() } else { character });
        escape = if character == '%' { 2 } else { usize::saturating_sub(escape, 1) };
    }
    lower
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_each_of_its_forms() {
        let secrets = ["s3cret/+value=".to_owned()];
        assert_eq!(find(&secrets, b"key s3cret/+value= refused"), Some("as it is"));
        assert_eq!(find(&secrets, b"?key=s3cret%2F%2Bvalue%3D"), Some("percent-encoded"));
        assert_eq!(find(&secrets, b"?key=s3cret%2f%2bvalue%3d"), Some("percent-encoded"));
        for user in ["", "u", "us", "use"] {
            let basic = STANDARD_NO_PAD.encode(format!("{user}:s3cret/+value=:x"));
            assert_eq!(find(&secrets, basic.as_bytes()), Some("as base64"), "{user}");
        }
        assert_eq!(find(&secrets, b"key [redacted] refused"), None);
    }

    #[test]
    fn a_word_is_no_secret() {
        assert_eq!(find(&["admin".to_owned()], b"asked as admin"), None);
    }
}
