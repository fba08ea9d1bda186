//! What is tried: a connector's folder, or one that runs.

use std::path::{Path, PathBuf};

use crate::manifest::Manifest;

/// What is tried.
#[derive(Debug)]
pub enum Target {
    /// A folder with `manifest.json`: its program is started, as often as needed.
    Folder(PathBuf),
    /// A connector that runs. It is not killed and its memory is not seen, so `survives` cannot be reached.
    Running(Box<Endpoint>),
}

/// Where a connector runs.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// How it is reached, with TLS where that is wanted.
    pub channel: tonic::transport::Endpoint,
    /// What it is shown on every call.
    pub token: Option<String>,
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// What was asked for cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// The manifest is not valid.
    #[error("the manifest is not valid:\n{}", .0.join("\n"))]
    Manifest(Vec<String>),
    /// The source, or what has to be done to it first, does not work.
    #[error("{0}")]
    Source(String),
}

/// Reads the manifest of a folder.
///
/// # Errors
///
/// There is none, or it is not valid.
pub(crate) fn manifest(folder: &Path) -> Result<Manifest, TargetError> {
    let file = folder.join("manifest.json");
    let text = std::fs::read_to_string(&file).map_err(|error| {
        TargetError::Usage(format!("{} cannot be read: {error}; name a connector's folder", file.display()))
    })?;
    Manifest::parse(&text).map_err(TargetError::Manifest)
}
