//! Where the traffic of a connector's HTTP clients goes.

use std::path::PathBuf;

/// Where the requests of a connector's HTTP clients go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Traffic {
    /// To the source.
    #[default]
    Network,
    /// To the source, and what goes to and fro into this file, without secrets: HAR 1.2, begun anew.
    Record(PathBuf),
    /// Nowhere: they are answered from this file, without waits and limits.
    Replay(PathBuf),
}

impl Traffic {
    /// Reads CONNECTOR_HTTP_REPLAY, and where that is not set CONNECTOR_HTTP_RECORD.
    pub fn from_env() -> Self {
        let path = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        match (path("CONNECTOR_HTTP_REPLAY"), path("CONNECTOR_HTTP_RECORD")) {
            (Some(path), _) => Self::Replay(path),
            (None, Some(path)) => Self::Record(path),
            (None, None) => Self::Network,
        }
    }
}
