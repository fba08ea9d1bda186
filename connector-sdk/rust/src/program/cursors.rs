//! What `--cursor` keeps between runs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use superfasttt_proto::connector::v1::{Checkpoint, PullMode, ScopeState};

use crate::program::Failure;

/// The cursor of each scope.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Cursors {
    /// They are those of a listing that has not come to its end.
    #[serde(default)]
    listing: bool,
    /// As base64.
    cursors: BTreeMap<String, String>,
}

impl Cursors {
    /// None yet where there is no such file.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|_| Failure::Usage(format!("{} is not a file that --cursor wrote", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::Usage(format!("{} cannot be read: {error}", path.display()))),
        }
    }

    /// Whether changes can be pulled from here.
    pub(super) fn has_changes(&self) -> bool {
        !self.listing && !self.cursors.is_empty()
    }

    /// Where a pull of this mode goes on: an incremental one from where a listing ended, a full one from where one was cut.
    pub(super) fn states_for(&self, mode: PullMode) -> Vec<ScopeState> {
        let goes_on = match mode {
            PullMode::Incremental => !self.listing,
            PullMode::Full => self.listing,
            _ => false,
        };
        let decode = |(scope, cursor): (&String, &String)| {
            let cursor = STANDARD.decode(cursor).ok()?;
            Some(ScopeState { scope: scope.clone(), cursor })
        };
        if goes_on { self.cursors.iter().filter_map(decode).collect() } else { Vec::new() }
    }

    /// Keeps a checkpoint, in a file that is whole at any time.
    pub(super) fn keep(
        &mut self,
        path: &Path,
        mode: PullMode,
        scope: &str,
        checkpoint: &Checkpoint,
    ) -> io::Result<()> {
        self.listing = mode == PullMode::Full && checkpoint.has_more;
        self.cursors.insert(scope.to_owned(), STANDARD.encode(&checkpoint.cursor));
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        fs::write(&beside, format!("{}\n", serde_json::to_string_pretty(self)?))?;
        fs::rename(&beside, path)
    }
}
