//! The forms in which a secret is known. What is written with escapes (percent, backslash) is not here: the text is
//! looked at without them instead ([`super::views`]), because what gets escaped differs from writer to writer.

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::index::WINDOW_BYTES;
use super::views;

/// Shorter values are not looked for: common words are that short, and texts would be torn to pieces where such a word
/// is somebody's password.
pub const MIN_BYTES: usize = WINDOW_BYTES;

/// A line of a secret of several lines that is looked for by itself has at least so many bytes.
const MIN_LINE_BYTES: usize = 16;

/// A form, wiped when it goes.
pub(super) type Form = Zeroizing<Vec<u8>>;

/// All forms of a secret. None, where it is too short.
pub(super) fn forms(secret: &[u8]) -> Vec<Form> {
    let mut forms = Forms(Vec::new());
    // What stands around it in a file is not part of it, and is lost where it is printed.
    let secret = secret.trim_ascii();
    if secret.len() < MIN_BYTES {
        return forms.0;
    }
    forms.add(secret);
    forms.add_encoded(secret);
    if secret.contains(&b' ') {
        let with_plus: Form =
            secret.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect::<Vec<_>>().into();
        forms.add(&with_plus);
    }
    // An OAuth client percent-encodes its secret before it makes base64 of it.
    let percent = percent_encoded(secret, b"-._~", UPPER);
    if percent.as_slice() != secret {
        forms.add_encoded(&percent);
    }
    // A key within JSON, such as that of a service account: who reads it has it without the escapes.
    if let Some(read) = views::without_backslashes(secret) {
        forms.add(read.trim_ascii());
        forms.add_lines(&read);
    }
    if let Some(read) = views::without_percents(secret) {
        let read = read.trim_ascii();
        forms.add(read);
        // Too short to be found beneath the escapes of an address, whose writer leaves a percent sign as it is.
        if read.len() < MIN_BYTES {
            [UPPER, LOWER].iter().for_each(|digits| forms.add(&percent_encoded(secret, b"%", digits)));
        }
    }
    forms.add_lines(secret);
    forms.0
}

struct Forms(Vec<Form>);

impl Forms {
    fn add(&mut self, form: &[u8]) {
        if form.len() >= MIN_BYTES && !self.0.iter().any(|known| known.as_slice() == form) {
            self.0.push(form.to_vec().into());
        }
    }

    /// Adds what base64 makes of it, wherever it lies in what was encoded: the characters that come of its bytes alone.
    fn add_encoded(&mut self, secret: &[u8]) {
        for before in 0..3 {
            for alphabet in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                self.add(&encoded(alphabet, before, secret));
            }
        }
    }

    /// Adds each line of a secret of several, such as a private key. The first and last of PEM say nothing.
    fn add_lines(&mut self, secret: &[u8]) {
        if !secret.contains(&b'\n') {
            return;
        }
        for line in secret.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            if line.len() >= MIN_LINE_BYTES && !line.starts_with(b"-----") {
                self.add(line);
            }
        }
    }
}

fn encoded(alphabet: &GeneralPurpose, before: usize, secret: &[u8]) -> Form {
    let mut bytes: Form = vec![0; before].into();
    bytes.extend_from_slice(secret);
    let text = Zeroizing::new(alphabet.encode(&bytes));
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    text.as_bytes()[first..end].to_vec().into()
}

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// With all encoded but letters, digits and what `plain` names (RFC 3986: `-._~`).
fn percent_encoded(secret: &[u8], plain: &[u8], digits: &[u8; 16]) -> Form {
    let mut text: Form = Vec::with_capacity(secret.len() * 3).into();
    for byte in secret {
        if byte.is_ascii_alphanumeric() || plain.contains(byte) {
            text.push(*byte);
        } else {
            text.extend([b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_have_no_form_and_plain_ones_few() {
        assert!(forms(b"hunter2").is_empty());
        assert!(forms(b"  hunter2 \n").is_empty());
        assert_eq!(forms(b"hunter22\n")[0].as_slice(), b"hunter22");
        assert!(forms(b"hunter22").len() <= 7);
    }

    #[test]
    fn the_inner_characters_of_base64_do_not_depend_on_what_stands_around() {
        for before in 0..3 {
            let around = [&b"xyz"[..before], b"hunter22", b"and more"].concat();
            let inner = encoded(&STANDARD_NO_PAD, before, b"hunter22");
            let text = STANDARD_NO_PAD.encode(around);
            assert!(text.contains(std::str::from_utf8(&inner).unwrap()), "{before}");
            assert!(inner.len() >= MIN_BYTES);
        }
    }
}
