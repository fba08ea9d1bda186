//! Section `data`: where connectord keeps what must outlive it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::problem::Checks;

/// Where connectord keeps what must outlive it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The folder of the database and of what belongs to it.
    pub dir: PathBuf,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("data") }
    }
}

impl DataConfig {
    /// The SQLite database.
    pub fn database_path(&self) -> PathBuf {
        self.dir.join("connectord.db")
    }

    /// Where the sockets of connector processes are made.
    pub fn runtime_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        checks.require(!self.dir.as_os_str().is_empty(), "dir", || "it is empty; name a folder".to_owned());
    }
}
