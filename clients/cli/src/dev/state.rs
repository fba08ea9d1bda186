//! The cursors between two runs, in a file that people can read: what connectord would have committed.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use superfasttt_proto::connector::v1::{Checkpoint, PullMode, ScopeState};

use crate::error::{Error, Result};

/// Its name in the connector's folder.
pub const STATE_FILE: &str = ".dev-state.json";

/// Where each scope stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    connector: String,
    scopes: BTreeMap<String, Scope>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    /// Where the next INCREMENTAL starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<Cursor>,
    /// Where a listing that is not at its end goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listing: Option<Cursor>,
}

/// A cursor, as text where it is text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Cursor {
    Text(String),
    Bytes { base64: String },
}

impl Cursor {
    fn new(cursor: &[u8]) -> Self {
        std::str::from_utf8(cursor).map_or_else(
            |_| Self::Bytes { base64: STANDARD.encode(cursor) },
            |text| Self::Text(text.to_owned()),
        )
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            // Somebody has written in it: a cursor that no connector takes.
            Self::Bytes { base64 } => STANDARD.decode(base64).unwrap_or_else(|_| base64.clone().into_bytes()),
        }
    }
}

impl State {
    /// That of a connector of which nothing is known.
    pub fn new(connector: &str) -> Self {
        Self { connector: connector.to_owned(), scopes: BTreeMap::new() }
    }

    /// Reads a file; one that is not there is a new state.
    ///
    /// # Errors
    ///
    /// It cannot be read, is no state, or is another connector's; with what to do.
    pub fn read(file: &Path, connector: &str) -> Result<Self> {
        let failed = |why: String| {
            Error::Failed(format!(
                "{}: {why}; begin anew with --reset, or name another with --state",
                file.display()
            ))
        };
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::new(connector)),
            Err(error) => return Err(failed(error.to_string())),
        };
        let state: Self = serde_json::from_str(&text)
            .map_err(|error| failed(format!("it is no state of `dev`: {error}")))?;
        if state.connector != connector {
            return Err(failed(format!("it is the state of {:?}, not of {connector:?}", state.connector)));
        }
        Ok(state)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let written = || -> io::Result<()> {
            let mut text = serde_json::to_string_pretty(self)?;
            text.push('\n');
            let mut new = file.as_os_str().to_owned();
            new.push(".new");
            std::fs::write(&new, text)?;
            std::fs::rename(&new, file)
        };
        written().map_err(|error| {
            Error::Failed(format!(
                "the cursor cannot be kept in {}: {error}; name another file with --state",
                file.display()
            ))
        })
    }

    /// Whether a listing is under way.
    pub fn is_listing(&self) -> bool {
        self.scopes.values().any(|scope| scope.listing.is_some())
    }

    /// Whether there is something that changes can follow on.
    pub fn has_cursor(&self) -> bool {
        self.scopes.values().any(|scope| scope.cursor.is_some())
    }

    /// The states that a pull in `mode` is given.
    pub fn of(&self, mode: PullMode) -> Vec<ScopeState> {
        let state = |(name, scope): (&String, &Scope)| {
            let cursor = match mode {
                PullMode::Full | PullMode::List => &scope.listing,
                PullMode::Incremental => &scope.cursor,
                _ => &None,
            };
            Some(ScopeState { scope: name.clone(), cursor: cursor.as_ref()?.bytes() })
        };
        self.scopes.iter().filter_map(state).collect()
    }

    /// Takes a checkpoint in.
    pub fn checkpoint(&mut self, mode: PullMode, scope: &str, checkpoint: &Checkpoint) {
        let scope = self.scopes.entry(scope.to_owned()).or_default();
        let cursor = Some(Cursor::new(&checkpoint.cursor));
        if mode == PullMode::Incremental {
            scope.cursor = cursor;
        } else if checkpoint.listing_complete {
            (scope.listing, scope.cursor) = (None, cursor);
        } else {
            scope.listing = cursor;
        }
    }

    /// A listing has gone as far as it goes: where it did not say that it named everything, changes follow on it all the same.
    pub fn end_listing(&mut self, unfinished: &[String]) {
        for (name, scope) in &mut self.scopes {
            if !unfinished.contains(name)
                && let Some(cursor) = scope.listing.take()
            {
                scope.cursor = Some(cursor);
            }
        }
    }

    /// Forgets the listings that are under way.
    pub fn forget_listings(&mut self) {
        self.scopes.values_mut().for_each(|scope| scope.listing = None);
    }

    /// Forgets everything of a scope that is gone.
    pub fn forget(&mut self, scope: &str) {
        self.scopes.remove(scope);
    }

    /// Forgets every cursor.
    pub fn forget_all(&mut self) {
        self.scopes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(cursor: &[u8], listing_complete: bool) -> Checkpoint {
        Checkpoint { cursor: cursor.to_vec(), listing_complete, ..Checkpoint::default() }
    }

    #[test]
    fn a_listing_resumes_where_it_was_cut_and_changes_follow_on_its_end() {
        let mut state = State::new("wiki");
        state.checkpoint(PullMode::Full, "", &checkpoint(b"page 2", false));
        assert!(state.is_listing() && !state.has_cursor());
        assert_eq!(state.of(PullMode::Full)[0].cursor, b"page 2");
        assert!(state.of(PullMode::Incremental).is_empty());
        state.checkpoint(PullMode::Full, "", &checkpoint(b"end", true));
        assert!(!state.is_listing());
        assert_eq!(state.of(PullMode::Incremental)[0].cursor, b"end");
        assert!(state.of(PullMode::Full).is_empty(), "the next listing begins from nothing");
    }

    #[test]
    fn a_file_keeps_cursors_of_any_bytes_and_is_of_one_connector() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        let mut state = State::read(&file, "wiki").unwrap();
        state.checkpoint(PullMode::Incremental, "a", &checkpoint(b"\xff\x00", false));
        state.checkpoint(PullMode::Incremental, "b", &checkpoint(b"{\"since\":7}", false));
        state.write(&file).unwrap();
        assert_eq!(State::read(&file, "wiki").unwrap(), state);
        assert_eq!(state.of(PullMode::Incremental)[0].cursor, b"\xff\x00");
        let error = State::read(&file, "blog").unwrap_err().to_string();
        assert!(error.contains("--reset") && error.contains("\"wiki\""), "{error}");
        std::fs::write(&file, "{").unwrap();
        assert!(State::read(&file, "wiki").is_err());
    }
}
