//! Letters written as escapes in JSON (`\u00e9`) and XML (`&#233;`), turned back into letters. Everything below
//! U+0080 stays escaped, so the text remains valid JSON or XML with the same meaning.

use std::borrow::Cow;

/// JSON with its escaped letters as letters.
pub(super) fn json(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match json_letter(rest) {
            Some((letter, length)) => {
                out.push(letter);
                length
            }
            None => {
                // The backslash and what it escapes go together, so that the second of two is not taken for the
                // start of another escape.
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..length]);
                length
            }
        };
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The letter that the escape at the start of `text` stands for, and the escape's length.
fn json_letter(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    let (letter, length) = if (0xd800..0xdc00).contains(&first) {
        (char::decode_utf16([first, unit(6)?]).next()?.ok()?, 12)
    } else {
        (char::from_u32(first.into())?, 6)
    };
    is_letter(letter).then_some((letter, length))
}

/// XML with its numeric references to letters as letters.
pub(super) fn xml(text: &str) -> Cow<'_, str> {
    if !text.contains("&#") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("&#") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (written, length) = match xml_letter(rest) {
            Some((letter, length)) => (Cow::Owned(letter.to_string()), length),
            None => (Cow::Borrowed("&#"), 2),
        };
        out.push_str(&written);
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn xml_letter(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(12).position(|byte| byte == b';')?;
    let digits = &text[2..end];
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(code).filter(|letter| is_letter(*letter)).map(|letter| (letter, end + 1))
}

fn is_letter(c: char) -> bool {
    c >= '\u{80}' && !c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_letters_are_decoded_and_syntax_is_not() {
        assert_eq!(json(r#"{"a":"\u00e9t\u00e9 \u0022 \ud83d\ude00"}"#), r#"{"a":"été \u0022 😀"}"#);
        assert_eq!(json(r#""\\u00e9""#), r#""\\u00e9""#, "an escaped backslash before a u is no escape");
        assert_eq!(json(r#""\ud83d alone \u12"#), r#""\ud83d alone \u12"#);
        assert_eq!(json("\\"), "\\");
        assert_eq!(json("\\é\\u00e9"), "\\éé");
    }

    #[test]
    fn xml_letters_are_decoded_and_syntax_is_not() {
        assert_eq!(xml("<a>&#233;t&#xE9; &#38; &amp; &#; &#233</a>"), "<a>été &#38; &amp; &#; &#233</a>");
        assert_eq!(xml("&#é;"), "&#é;");
    }
}
