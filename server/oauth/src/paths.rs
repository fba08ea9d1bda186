//! Where in a reply a value is: dotted paths, the first that leads somewhere wins.

use serde::{Deserialize, Deserializer};

/// Dotted paths such as `authed_user.scope`; a number is an index of a list. In a manifest one text or a list of
/// them; an empty list is "nowhere".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths(Vec<String>);

impl Paths {
    /// These, in this order.
    pub fn new(paths: &[&str]) -> Self {
        Self(paths.iter().map(ToString::to_string).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrSeveral {
            One(String),
            Several(Vec<String>),
        }
        Ok(match OneOrSeveral::deserialize(deserializer)? {
            OneOrSeveral::One(path) => Self(vec![path]),
            OneOrSeveral::Several(paths) => Self(paths),
        })
    }
}
