//! Bytes to characters. The order is from proof to guess: a byte order mark, UTF-16 that is evident from its zero bytes,
//! valid UTF-8, mostly valid UTF-8, what the document or its sender declares, and last a statistical guess.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// How much of a text the guess looks at; more makes it slower, not better.
const GUESS_BYTES: usize = 1 << 20;

/// With fewer bytes above ASCII than this, a guess needs a nudge.
const ACCENTS_TO_JUDGE_BY: usize = 100;

/// Decodes `bytes`, which may have been cut anywhere. `declared` is the label in a media type or in the document.
pub(crate) fn decode<'a>(bytes: &'a [u8], declared: Option<&str>) -> Cow<'a, str> {
    if let Some((encoding, mark_length)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark_length..]).0;
    }
    if let Some(encoding) = evident_utf16(bytes) {
        return encoding.decode_without_bom_handling(bytes).0;
    }
    match mostly_utf8(bytes) {
        Some(Ok(text)) => return Cow::Borrowed(text),
        Some(Err(())) => return String::from_utf8_lossy(bytes),
        None => {}
    }
    // A declaration of UTF-8 is refuted by now, and one of UTF-16 contradicts the absence of zero bytes.
    let declared = declared
        .and_then(|label| Encoding::for_label(label.trim().as_bytes()))
        .filter(|encoding| ![UTF_8, UTF_16LE, UTF_16BE].contains(encoding));
    if let Some(text) =
        declared.and_then(|encoding| encoding.decode_without_bom_handling_and_without_replacement(bytes))
    {
        return text;
    }
    guess(bytes).decode_without_bom_handling(bytes).0
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(&bytes[..bytes.len().min(GUESS_BYTES)], bytes.len() <= GUESS_BYTES);
    // The French top-level domain tips texts with few accents towards Windows-1252, which most of them are in. With more
    // to judge by, the letters speak for themselves.
    let accents = bytes.iter().filter(|byte| !byte.is_ascii()).take(ACCENTS_TO_JUDGE_BY).count();
    let top_level_domain = (accents < ACCENTS_TO_JUDGE_BY).then_some(&b"fr"[..]);
    detector.guess(top_level_domain, Utf8Detection::Deny)
}

/// UTF-16 without a mark: in text of most languages the high byte of nearly every unit is zero, the low one never,
/// and no unit is a control character.
pub(crate) fn evident_utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(4096) & !1];
    let units = sample.len() / 2;
    let fits = |from_bytes: fn([u8; 2]) -> u16| {
        let mut latin = 0;
        for unit in sample.chunks_exact(2).map(|unit| from_bytes([unit[0], unit[1]])) {
            match unit {
                9 | 10 | 13 | 0x20..=0x7e | 0xa0..=0xff => latin += 1,
                0..=0xff => return false,
                _ if unit & 0xff == 0 => return false,
                _ => {}
            }
        }
        latin * 10 >= units * 7
    };
    match units {
        0..3 => None,
        _ if fits(u16::from_le_bytes) => Some(UTF_16LE),
        _ if fits(u16::from_be_bytes) => Some(UTF_16BE),
        _ => None,
    }
}

/// `Ok` when all of it is UTF-8 (a character cut at the very end aside), `Err` when there are a few bad bytes among
/// many good multi-byte characters: such a file is UTF-8 that something damaged, and reading it as another
/// character set would spoil every accent in it.
fn mostly_utf8(bytes: &[u8]) -> Option<Result<&str, ()>> {
    let (mut good, mut bad, mut first_cut) = (0_usize, 0_usize, None);
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(text) if bad == 0 => return Some(Ok(text)),
            Ok(text) => {
                good += multi_byte_characters(text.as_bytes());
                break;
            }
            Err(error) => {
                let (valid, after) = rest.split_at(error.valid_up_to());
                good += multi_byte_characters(valid);
                let Some(length) = error.error_len() else {
                    first_cut.get_or_insert(bytes.len() - after.len());
                    break;
                };
                bad += 1;
                rest = &after[length..];
            }
        }
    }
    if bad == 0 {
        let whole = &bytes[..first_cut.unwrap_or(bytes.len())];
        // A lone lead byte after pure ASCII is more likely the last letter of a one-byte character set.
        let plausible = good > 0 || bytes.len() > GUESS_BYTES;
        return plausible.then(|| std::str::from_utf8(whole).map_err(|_| ()));
    }
    (good >= bad * 10).then_some(Err(()))
}

/// How many characters of more than one byte: each has exactly one lead byte of 0xC0 or above.
fn multi_byte_characters(valid: &[u8]) -> usize {
    valid.iter().filter(|byte| **byte >= 0xc0).count()
}

#[cfg(test)]
mod tests {
    use encoding_rs::{WINDOWS_1250, WINDOWS_1251, WINDOWS_1252};

    use super::*;

    const FRENCH: &str = "Le cœur de l’été : « où êtes-vous, Zoé ? » – 12 €, à Nîmes";

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn french_comes_out_right_from_every_usual_character_set() {
        let mut marked = b"\xff\xfe".to_vec();
        marked.extend(utf16(FRENCH, u16::to_le_bytes));
        let mut marked_utf8 = b"\xef\xbb\xbf".to_vec();
        marked_utf8.extend(FRENCH.as_bytes());
        let accents = "Société générale — œuvre complète, déjà vu";
        for (bytes, text) in [
            (FRENCH.as_bytes().to_vec(), FRENCH),
            (marked_utf8, FRENCH),
            (marked, FRENCH),
            (utf16(FRENCH, u16::to_be_bytes), FRENCH),
            (utf16(accents, u16::to_le_bytes), accents),
            (WINDOWS_1252.encode(FRENCH).0.into_owned(), FRENCH),
            (WINDOWS_1252.encode("été").0.into_owned(), "été"),
            (WINDOWS_1252.encode("Prix : 25 €").0.into_owned(), "Prix : 25 €"),
            (WINDOWS_1252.encode("un café").0.into_owned(), "un café"),
        ] {
            assert_eq!(decode(&bytes, None), text);
        }
    }

    #[test]
    fn the_guess_is_not_french_for_everything() {
        let russian = "Общество с ограниченной ответственностью «Ромашка» сообщает о собрании";
        assert_eq!(decode(&WINDOWS_1251.encode(russian).0, None), russian);
        let polish = "Pamiętaj, że przewodnik został zaprojektowany do nauki poprzez ćwiczenia. ".repeat(40);
        assert_eq!(decode(&WINDOWS_1250.encode(&polish).0, None), polish);
        let french = "Le règlement s’applique à l’été : « œuvre », 12 €, à Nîmes et à Besançon. ".repeat(40);
        assert_eq!(decode(&WINDOWS_1252.encode(&french).0, None), french);
    }

    #[test]
    fn a_declaration_decides_where_the_bytes_do_not() {
        let (bytes, _, _) = WINDOWS_1251.encode("дом");
        assert_eq!(decode(&bytes, Some("windows-1251")), "дом");
        assert_eq!(decode("été".as_bytes(), Some("iso-8859-1")), "été", "valid UTF-8 refutes the label");
        assert_eq!(decode(b"\xe9t\xe9", Some("utf-8")), "été", "invalid UTF-8 refutes the label");
    }

    #[test]
    fn one_bad_byte_does_not_spoil_a_utf8_text() {
        let mut bytes = FRENCH.as_bytes().to_vec();
        bytes.push(0xff);
        assert!(decode(&bytes, None).starts_with(FRENCH));
    }

    #[test]
    fn a_character_cut_at_the_end_is_left_out() {
        let bytes = "été à l’île".as_bytes();
        assert_eq!(decode(&bytes[..bytes.len() - 3], None), "été à l’");
    }

    #[test]
    fn zero_bytes_alone_are_not_utf16() {
        assert!(evident_utf16(&[0; 64]).is_none());
        assert!(evident_utf16(b"plain text").is_none());
    }
}
