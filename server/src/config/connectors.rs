//! Section `connectors`: where the connectors are.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::problem::Checks;

/// Where the connectors are.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectorsConfig {
    /// The folder with one sub-folder for each connector.
    pub dir: PathBuf,
    /// Whether changes are seen without a restart.
    pub watch: bool,
}

impl Default for ConnectorsConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("connectors"), watch: true }
    }
}

impl ConnectorsConfig {
    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        checks.require(!self.dir.as_os_str().is_empty(), "dir", || "it is empty; name a folder".to_owned());
    }
}
