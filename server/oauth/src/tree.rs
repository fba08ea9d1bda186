//! A reply as a tree of values, all of them cleared when dropped: any may be a token.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// A value of a reply. It has no `Debug`, so that it cannot be printed.
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(Zeroizing<String>),
    Text(Zeroizing<String>),
    List(Vec<Tree>),
    Object(Vec<(Zeroizing<String>, Tree)>),
}

impl Tree {
    /// Reads a body: JSON whatever the media type says, or a form where it says that or nothing better.
    pub(crate) fn parse(media_type: &str, body: &[u8]) -> Option<Tree> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
        if matches!(body.first(), Some(b'{' | b'[')) {
            return serde_json::from_slice(body).ok();
        }
        let may_be_form = matches!(media_type, "application/x-www-form-urlencoded" | "text/plain" | "");
        let text = std::str::from_utf8(body).ok()?;
        if !may_be_form || !text.contains('=') || text.contains(char::is_whitespace) {
            return None;
        }
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((form_decoded(name)?, Tree::Text(form_decoded(value)?)))
        });
        pairs.collect::<Option<Vec<_>>>().map(Tree::Object)
    }

    /// The value at a dotted path; the empty path is the tree itself. Of names that are there twice the last counts.
    pub(crate) fn at(&self, path: &str) -> Option<&Tree> {
        if path.is_empty() {
            return Some(self);
        }
        path.split('.').try_fold(self, |tree, step| match tree {
            Tree::Object(pairs) => {
                pairs.iter().rev().find(|(name, _)| name.as_str() == step).map(|(_, value)| value)
            }
            Tree::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// A text or a number that is not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Tree::Text(text) | Tree::Number(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> &[Tree] {
        match self {
            Tree::List(items) => items,
            _ => &[],
        }
    }
}

/// Decodes `+` and `%xx` into memory that is cleared.
fn form_decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = rest.get(..2)?;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(digits[0])? << 4 | digit(digits[1])?;
                bytes.push(u8::try_from(value).ok()?);
                rest = &rest[2..];
            }
            plain => bytes.push(*plain),
        }
    }
    std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;

        impl<'de> Visitor<'de> for Values {
            type Value = Tree;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Number(Zeroizing::new(value.to_string())))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Number(Zeroizing::new(value.to_string())))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Number(Zeroizing::new(value.to_string())))
            }

            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Text(Zeroizing::new(value.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = access.next_element()? {
                    items.push(item);
                }
                Ok(Tree::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = access.next_entry::<String, Tree>()? {
                    pairs.push((Zeroizing::new(name), value));
                }
                Ok(Tree::Object(pairs))
            }
        }

        deserializer.deserialize_any(Values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(body: &str, path: &str) -> Option<String> {
        Tree::parse("application/json", body.as_bytes())?.at(path)?.text().map(str::to_owned)
    }

    #[test]
    fn values_are_found_by_dotted_paths() {
        let body = r#"{"team": {"id": "T1"}, "n": 7, "f": 1.5, "list": [{"a": "x"}], "null": null, "e": "", "n": 8}"#;
        for (path, expected) in [
            ("team.id", Some("T1")),
            ("n", Some("8")),
            ("f", Some("1.5")),
            ("list.0.a", Some("x")),
            ("list.1.a", None),
            ("team", None),
            ("null", None),
            ("e", None),
            ("team.id.x", None),
            ("x", None),
            ("list.-1", None),
        ] {
            assert_eq!(at(body, path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_form_is_read_where_it_may_be_one() {
        let form = b"access_token=gho_1%2B2+3&scope=repo%2Cgist&token_type=bearer";
        let tree = Tree::parse("application/x-www-form-urlencoded", form).unwrap();
        assert_eq!(tree.at("access_token").and_then(Tree::text), Some("gho_1+2 3"));
        assert_eq!(tree.at("scope").and_then(Tree::text), Some("repo,gist"));
        assert!(Tree::parse("text/html", form).is_none());
        assert!(Tree::parse("text/plain", b"Error in call: a=b").is_none());
        assert!(Tree::parse("text/plain", b"a=%zz").is_none());
        assert!(Tree::parse("text/plain", b"a=%ff").is_none());
    }

    #[test]
    fn what_is_neither_is_nothing() {
        let nested = "[".repeat(100_000);
        for body in ["", "<html>a=b</html>", "{\"access_token\": \"ab", "null", "\"text\"", &nested] {
            assert!(Tree::parse("application/json", body.as_bytes()).is_none());
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..3_usize) {
            let media_type = ["application/json", "text/plain", "application/x-www-form-urlencoded"][kind];
            if let Some(tree) = Tree::parse(media_type, &body) {
                let _ = tree.at("a.0.b").and_then(Tree::text);
            }
        }
    }
}
