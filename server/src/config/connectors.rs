//! Section `connectors`: where the connectors are, and what is set for one of them by its id.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use superfasttt_conformance_proof::Level;

use super::problem::Checks;

/// Where the connectors are, and what is set for one of them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectorsConfig {
    /// The folder with one sub-folder for each connector.
    pub dir: PathBuf,
    /// Whether changes are seen without a restart.
    pub watch: bool,
    /// The level of conformance that a connector must have been proved to reach before it is started. Absent: none.
    pub required_conformance: Option<Level>,
    /// The sections `connectors.ID`. They are no key of this one.
    #[serde(skip)]
    pub by_id: BTreeMap<String, ConnectorConfig>,
}

/// What is set for one connector.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectorConfig {
    /// Whether it may be used. A disabled one starts no process and no runs; nothing that is there is lost.
    pub enabled: bool,
    /// How many of its runs go on at the same time in all processes that share the store. Absent: as
    /// `sync.max_runs_per_connector` says.
    pub max_runs: Option<usize>,
}

impl Default for ConnectorsConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("connectors"),
            watch: true,
            required_conformance: None,
            by_id: BTreeMap::new(),
        }
    }
}

impl Default for ConnectorConfig {
    fn default() -> Self {
        Self { enabled: true, max_runs: None }
    }
}

impl ConnectorsConfig {
    /// The ids of the connectors that are disabled, in order.
    pub fn disabled(&self) -> Vec<String> {
        self.by_id.iter().filter(|(_, connector)| !connector.enabled).map(|(id, _)| id.clone()).collect()
    }

    /// How many runs of a connector may be under way, for those that have a limit of their own. Nothing of a disabled one
    /// is begun; what is queued waits.
    pub fn max_runs(&self) -> BTreeMap<String, usize> {
        let limit =
            |connector: &ConnectorConfig| if connector.enabled { connector.max_runs } else { Some(0) };
        self.by_id.iter().filter_map(|(id, connector)| Some((id.clone(), limit(connector)?))).collect()
    }

    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        for (id, connector) in &self.by_id {
            checks.at_least_one(&format!("{id}.max_runs"), connector.max_runs.unwrap_or(1) as u64);
        }
        checks.require(!self.dir.as_os_str().is_empty(), "dir", || "it is empty; name a folder".to_owned());
    }
}
