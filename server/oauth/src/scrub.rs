//! Takes secrets out of what a provider says before anybody reads it: some echo what they were sent.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

/// A shared run of this many characters with a secret is a part of it.
const PART: usize = 8;
/// What a person reads of a provider's message.
const MAX_CHARS: usize = 300;
/// Text that is read at all.
const MAX_READ_CHARS: usize = 4000;
/// A run of token characters this long is a token of some kind, also one that we never saw.
const OPAQUE: usize = 40;

/// What a provider said, as a person may read it: one short line without control characters, and without what looks like
/// a token. For what it says through the person's browser, where no secret of ours is known to be in it.
pub fn clean(said: &str) -> String {
    Scrubber::default().clean(said)
}

/// The secrets of one call.
#[derive(Default)]
pub(crate) struct Scrubber {
    /// Each secret in each form in which it may come back.
    forms: Vec<Zeroizing<String>>,
}

impl Scrubber {
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let forms = [
            secret.to_owned(),
            encoded.to_ascii_lowercase(),
            encoded,
            STANDARD.encode(secret),
            STANDARD_NO_PAD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
        ];
        for form in forms.map(Zeroizing::new) {
            if !self.forms.contains(&form) {
                self.forms.push(form);
            }
        }
    }

    /// One line of at most 300 characters, without control characters and without secrets or parts of them.
    pub(crate) fn clean(&self, text: &str) -> String {
        let read: Zeroizing<String> = Zeroizing::new(text.chars().take(MAX_READ_CHARS).collect());
        // Before control characters are replaced: one in the middle must not hide a secret.
        let visible: Zeroizing<String> = Zeroizing::new(
            read.chars().filter(|c| !is_invisible(*c) || matches!(c, '\n' | '\t' | '\r')).collect(),
        );
        let chars: Zeroizing<Vec<char>> = Zeroizing::new(visible.chars().collect());
        let hidden = self.hidden(&chars);
        let mut clean = String::new();
        let mut was_hidden = false;
        for (c, hide) in chars.iter().zip(hidden) {
            if hide && !was_hidden {
                clean.push_str("[REDACTED]");
            } else if !hide {
                clean.push(if c.is_control() { ' ' } else { *c });
            }
            was_hidden = hide;
        }
        let line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() <= MAX_CHARS {
            return line;
        }
        let start: String = line.chars().take(MAX_CHARS).collect();
        format!("{start}…")
    }

    fn hidden(&self, chars: &[char]) -> Vec<bool> {
        let mut hidden = vec![false; chars.len()];
        let mut parts: HashSet<Vec<char>> = HashSet::new();
        for form in &self.forms {
            let form: Vec<char> = form.chars().collect();
            let length = form.len().min(PART);
            parts.extend(form.windows(length).map(<[char]>::to_vec));
        }
        let lengths: HashSet<usize> = parts.iter().map(Vec::len).collect();
        for length in lengths {
            for (start, window) in chars.windows(length).enumerate() {
                if parts.contains(window) {
                    hidden[start..start + length].fill(true);
                }
            }
        }
        let mut start = 0;
        while start < chars.len() {
            let run = chars[start..].iter().take_while(|c| is_token_char(**c)).count();
            if run >= OPAQUE {
                hidden[start..start + run].fill(true);
            }
            start += run.max(1);
        }
        hidden
    }
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | '/' | '=' | '%')
}

/// Controls, and what turns or hides text without being seen.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(secret: &str, text: &str) -> String {
        let mut scrubber = Scrubber::default();
        scrubber.add(secret);
        scrubber.clean(text)
    }

    #[test]
    fn a_secret_in_any_form_is_taken_out_and_the_rest_stays() {
        let secret = "s3cr3t/with+signs=";
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for echoed in [
            secret.to_owned(),
            encoded.to_lowercase(),
            encoded,
            STANDARD.encode(secret),
            secret[..10].to_owned(),
            "s3cr\u{200b}3t/with+signs=".to_owned(),
            "s3cr\u{0}3t/with+signs=".to_owned(),
        ] {
            let cleaned = clean(secret, &format!("token \"{echoed}\" is not known"));
            assert_eq!(cleaned, "token \"[REDACTED]\" is not known", "{echoed:?}");
        }
        assert_eq!(clean("ab", "the code ab is over"), "the code [REDACTED] is over");
    }

    #[test]
    fn it_is_one_short_line() {
        assert_eq!(
            clean("", "AADSTS700082: expired.\r\nTrace ID: 1\u{1b}[31m\u{202e}x"),
            "AADSTS700082: expired. Trace ID: 1[31mx"
        );
        assert_eq!(clean("", &"é ".repeat(400)).chars().count(), 301);
        let guid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(clean("", guid), guid, "a trace id helps");
        assert_eq!(clean("", &"a1".repeat(30)), "[REDACTED]", "a token that we never saw");
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_comes_through(secret in "[!-~]{8,40}", before in "\\PC{0,20}", after in "\\PC{0,20}") {
            let cleaned = clean(&secret, &format!("{before}{secret}{after}"));
            prop_assert!(!cleaned.contains(&secret));
        }
    }
}
