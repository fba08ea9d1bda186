//! What is wrong with a manifest, for the person who has to mend it.

use std::fmt;

/// One thing that is wrong, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The JSON path, such as `sync.frequency` or `auth.scopes[2]`; empty: the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), fix: fix.into() }
    }

    /// The same problem, seen from the object that holds `key`.
    #[must_use]
    pub(super) fn under(mut self, key: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{key}.{path}"),
        };
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(formatter, "manifest.json: ")?,
            path => write!(formatter, "`{path}`: ")?,
        }
        write!(formatter, "{}; {}", self.message, self.fix)
    }
}
