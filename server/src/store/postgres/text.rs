//! Texts on their way to and from PostgreSQL, whose TEXT holds every character but NUL. What connectors send may hold
//! it, so it is written as two other characters, which are themselves written so that all come back as they were.

use std::borrow::Cow;
use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Begins what stands for NUL and for itself: the last private character, which hardly anything else uses.
const MARK: char = '\u{10FFFD}';

/// A text to be written.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Text<'a>(pub(in crate::store) &'a str);

impl ToSql for Text<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        encode(self.0).as_ref().to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <&str as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

/// A text that was read.
#[derive(Clone, Debug)]
pub(in crate::store) struct Plain(pub(in crate::store) String);

impl<'a> FromSql<'a> for Plain {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(decode(<&str>::from_sql(kind, raw)?)))
    }

    fn accepts(kind: &Type) -> bool {
        <&str as FromSql>::accepts(kind)
    }
}

fn encode(text: &str) -> Cow<'_, str> {
    // 0xF4 is the first byte of the mark in UTF-8: texts without either, nearly all, are looked through once.
    if !text.bytes().any(|byte| byte == 0 || byte == 0xF4) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\0' => encoded.extend([MARK, '0']),
            MARK => encoded.extend([MARK, '1']),
            other => encoded.push(other),
        }
    }
    Cow::Owned(encoded)
}

fn decode(text: &str) -> String {
    if !text.contains(MARK) {
        return text.to_owned();
    }
    let mut decoded = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            MARK => decoded.push(if letters.next() == Some('0') { '\0' } else { MARK }),
            other => decoded.push(other),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_comes_back_and_none_is_written_with_nul(
            parts in prop::collection::vec(prop_oneof!["\\PC{0,3}", Just("\0".to_owned()), Just(MARK.to_string())], 0..8)
        ) {
            let text = parts.concat();
            let encoded = encode(&text);
            prop_assert!(!encoded.contains('\0'));
            prop_assert_eq!(decode(&encoded), text);
        }
    }
}
