//! The parameters of a call, and the ways in which they travel. Values stay in memory that is cleared: buffers are
//! made large enough at once, because one that grows leaves a copy behind.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;
use zeroize::Zeroizing;

/// What `application/x-www-form-urlencoded` leaves as it is.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// Parameters in their order, each name once.
#[derive(Default)]
pub(crate) struct Params(Vec<(String, Zeroizing<String>)>);

impl Params {
    /// Adds one. The first of a name stays, so that what is declared cannot replace what was set before.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        if !self.0.iter().any(|(known, _)| known == name) {
            self.0.push((name.to_owned(), Zeroizing::new(value.to_owned())));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn form(&self) -> Zeroizing<Vec<u8>> {
        // Three bytes for one, two separators a pair.
        let capacity = self.0.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
        let mut body = Zeroizing::new(Vec::with_capacity(capacity));
        for (name, value) in &self.0 {
            if !body.is_empty() {
                body.push(b'&');
            }
            push_encoded(&mut body, name);
            body.push(b'=');
            push_encoded(&mut body, value);
        }
        body
    }

    pub(crate) fn json(&self) -> Zeroizing<Vec<u8>> {
        // Six bytes for one (`\u0000`), quotes, colon and comma.
        let capacity =
            self.0.iter().map(|(name, value)| 6 * (name.len() + value.len()) + 6).sum::<usize>() + 2;
        let mut body = Zeroizing::new(Vec::with_capacity(capacity));
        body.push(b'{');
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            push_quoted(&mut body, name);
            body.push(b':');
            push_quoted(&mut body, value);
        }
        body.push(b'}');
        body
    }

    /// Puts them behind what the URL's query holds. A URL cannot be cleared: a provider that wants its secrets there
    /// has them in its own logs as well.
    pub(crate) fn add_to_query(&self, url: &mut Url) {
        let mut pairs = url.query_pairs_mut();
        for (name, value) in &self.0 {
            pairs.append_pair(name, value);
        }
    }
}

/// Writes a text as RFC 6749 has it in forms and before it goes into a Basic header.
pub(crate) fn push_encoded(buffer: &mut Vec<u8>, text: &str) {
    for part in utf8_percent_encode(text, FORM) {
        if part == "%20" { buffer.push(b'+') } else { buffer.extend_from_slice(part.as_bytes()) }
    }
}

fn push_quoted(buffer: &mut Vec<u8>, text: &str) {
    buffer.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => buffer.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => {
                let digit = |value: u8| char::from_digit(u32::from(value), 16).map_or(b'0', |c| c as u8);
                buffer.extend_from_slice(b"\\u00");
                buffer.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
            }
            plain => buffer.push(plain),
        }
    }
    buffer.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_set_first_stays() {
        let mut params = Params::default();
        params.add("grant_type", "refresh_token");
        params.add("grant_type", "password");
        assert_eq!(params.form().as_slice(), b"grant_type=refresh_token");
    }

    proptest! {
        #[test]
        fn every_way_brings_the_same_values(values in proptest::collection::btree_map("[a-z_]{1,8}", any::<String>(), 0..5)) {
            let mut params = Params::default();
            for (name, value) in &values {
                params.add(name, value);
            }
            let form = params.form();
            let read: BTreeMap<String, String> = url::form_urlencoded::parse(&form).into_owned().collect();
            prop_assert_eq!(&read, &values);
            let read: BTreeMap<String, String> = serde_json::from_slice(&params.json()).unwrap();
            prop_assert_eq!(&read, &values);
            let mut url = Url::parse("https://x.example.org/t?v=1").unwrap();
            params.add_to_query(&mut url);
            let read: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(read.len(), values.len() + 1);
        }
    }
}
