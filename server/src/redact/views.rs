//! What a text says beneath its escapes: with percent-encoding undone, with backslash escapes (JSON, and the `Debug` of
//! Rust) undone, and both. Each byte knows which part of the text it came of.

use std::ops::Range;

use zeroize::Zeroizing;

/// How often escapes are undone: JSON within JSON within a log of JSON.
const MAX_DEPTH: usize = 3;

/// A text beneath escapes.
struct View {
    bytes: Zeroizing<Vec<u8>>,
    /// For each byte, where in the text it came from.
    places: Vec<Range<usize>>,
}

/// Looks through a text, and adds where it found something.
pub(super) type Look<'a> = dyn FnMut(&[u8], &mut Vec<Range<usize>>) + 'a;

/// Calls `look` with the text itself and each view of it, and returns all that it found, as ranges of the text.
pub(super) fn each(text: &[u8], look: &mut Look<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    look(text, &mut found);
    deeper(text, None, 0, look, &mut found);
    found
}

fn deeper(
    bytes: &[u8],
    places: Option<&[Range<usize>]>,
    depth: usize,
    look: &mut Look<'_>,
    found: &mut Vec<Range<usize>>,
) {
    if depth == MAX_DEPTH {
        return;
    }
    for (mark, read) in [(b'\\', backslash as Reader), (b'%', percent as Reader)] {
        let Some(view) = without(bytes, places, mark, read) else { continue };
        let mut within = Vec::new();
        look(&view.bytes, &mut within);
        found.extend(
            within
                .into_iter()
                .filter(|range| !range.is_empty())
                .map(|range| view.places[range.start].start..view.places[range.end - 1].end),
        );
        deeper(&view.bytes, Some(&view.places), depth + 1, look, found);
    }
}

/// The bytes without backslash escapes; `None` where there are none.
pub(super) fn without_backslashes(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    without(bytes, None, b'\\', backslash).map(|view| view.bytes)
}

/// The bytes without percent-encoding; `None` where there is none.
pub(super) fn without_percents(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    without(bytes, None, b'%', percent).map(|view| view.bytes)
}

/// Reads an escape that begins with its mark: how long it is, and what it stands for.
type Reader = fn(&[u8]) -> Option<(usize, Meaning)>;

/// What an escape stands for: up to four bytes.
type Meaning = ([u8; 4], usize);

fn without(bytes: &[u8], places: Option<&[Range<usize>]>, mark: u8, read: Reader) -> Option<View> {
    if !bytes.contains(&mark) {
        return None;
    }
    let mut view = View {
        bytes: Zeroizing::new(Vec::with_capacity(bytes.len())),
        places: Vec::with_capacity(bytes.len()),
    };
    let mut at = 0;
    let mut any = false;
    while at < bytes.len() {
        let escape = if bytes[at] == mark { read(&bytes[at..]) } else { None };
        let (length, (meaning, count)) = escape.unwrap_or((1, ([bytes[at], 0, 0, 0], 1)));
        any |= escape.is_some();
        let place = match places {
            Some(places) => places[at].start..places[at + length - 1].end,
            None => at..at + length,
        };
        view.bytes.extend_from_slice(&meaning[..count]);
        view.places.extend(std::iter::repeat_n(place, count));
        at += length;
    }
    any.then_some(view)
}

fn one(byte: u8) -> Meaning {
    ([byte, 0, 0, 0], 1)
}

fn percent(escape: &[u8]) -> Option<(usize, Meaning)> {
    Some((3, one(u8::try_from(hex(escape.get(1..3)?)?).ok()?)))
}

fn backslash(escape: &[u8]) -> Option<(usize, Meaning)> {
    let plain = |byte| Some((2, one(byte)));
    match escape.get(1)? {
        b'n' => plain(b'\n'),
        b'r' => plain(b'\r'),
        b't' => plain(b'\t'),
        b'b' => plain(8),
        b'f' => plain(12),
        b'0' => plain(0),
        quoted @ (b'"' | b'\'' | b'\\' | b'/') => plain(*quoted),
        b'x' => Some((4, one(u8::try_from(hex(escape.get(2..4)?)?).ok()?))),
        b'u' if escape.get(2) == Some(&b'{') => {
            let length = escape.iter().take(10).position(|byte| *byte == b'}')?;
            Some((length + 1, meaning(hex(escape.get(3..length)?)?)?))
        }
        b'u' => {
            let first = hex(escape.get(2..6)?)?;
            if !(0xd800..0xdc00).contains(&first) {
                return Some((6, meaning(first)?));
            }
            // JSON writes characters beyond the first plane as two.
            let second = escape.get(6..12).filter(|second| second.starts_with(b"\\u"))?;
            let second = hex(&second[2..])?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            Some((12, meaning(0x10000 + ((first - 0xd800) << 10) + second)?))
        }
        _ => None,
    }
}

fn meaning(code: u32) -> Option<Meaning> {
    let mut bytes = [0; 4];
    let count = char::from_u32(code)?.encode_utf8(&mut bytes).len();
    Some((bytes, count))
}

/// The number that one to eight hexadecimal digits of either case make.
fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        without_backslashes(text.as_bytes()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn escapes_of_json_and_of_debug_are_read() {
        assert_eq!(read(r#"a\"b\\c\/d\n\t"#).unwrap(), "a\"b\\c/d\n\t");
        assert_eq!(read(r"\u00e9\u{e9}\u{1f600}\ud83d\ude00\x41\u002F").unwrap(), "éé😀😀A/");
        // What is no escape stays as it is.
        assert_eq!(read(r"\q \u12 \ud83d \x4 \u{110000} \u{} \"), None);
        assert_eq!(read(r"\\q\").unwrap(), r"\q\");
        assert_eq!(read("plain"), None);
    }

    #[test]
    fn percent_encoding_of_either_case_is_read() {
        let read = |text: &str| without_percents(text.as_bytes()).map(|bytes| bytes.to_vec());
        assert_eq!(read("a%2fb%2Fc%C3%a9%").unwrap(), "a/b/cé%".as_bytes());
        assert_eq!(read("100% sure, %zz"), None);
    }

    #[test]
    fn what_is_found_beneath_escapes_is_told_in_the_text() {
        // As a log line of JSON that quotes JSON would have it.
        let text = r#"{"m":"said {\"k\":\"x\\\"y%22z\"}"}"#;
        let mut views = Vec::new();
        each(text.as_bytes(), &mut |view, _| views.push(String::from_utf8(view.to_vec()).unwrap()));
        assert!(views.iter().any(|view| view.contains(r#""k":"x"y"z""#)), "{views:?}");
        let found = each(text.as_bytes(), &mut |view, found| {
            let wanted = br#"x"y"z"#;
            found.extend(
                view.windows(wanted.len()).position(|at| at == wanted).map(|at| at..at + wanted.len()),
            );
        });
        assert!(!found.is_empty());
        assert!(found.iter().all(|range| &text[range.clone()] == r#"x\\\"y%22z"#), "{found:?}");
    }
}
