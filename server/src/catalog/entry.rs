//! One connector in the catalogue: its manifest, what is wrong with it, and how it is started.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::{Manifest, Tls};
use super::problem::Problem;

/// A connector's folder as the catalogue knows it.
#[derive(Debug)]
pub struct ConnectorEntry {
    /// The manifest's id; the folder's name where no manifest could be read.
    pub id: String,
    /// The connector's folder.
    pub folder: PathBuf,
    /// The newest manifest that was good; `None` where there never was one.
    pub manifest: Option<Arc<Manifest>>,
    /// What is wrong with the file as it is now. Beside a manifest: the file was changed, and the last good
    /// version is kept.
    pub problems: Vec<Problem>,
    /// How the connector is started.
    pub runnable: Runnable,
}

/// How a connector is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runnable {
    /// By this program (an absolute path) and its arguments, in the connector's folder.
    Command(Vec<String>),
    /// It runs elsewhere.
    Endpoint(Endpoint),
    /// Not at all, and why.
    NotRunnable(String),
}

/// Where a connector runs, if not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host:port`, or `http://` on the loopback.
    pub url: String,
    /// Whom to trust and who we are, with absolute paths.
    pub tls: Option<Tls>,
    /// The file of the token that it is shown, with an absolute path.
    pub token_file: Option<PathBuf>,
}

impl Endpoint {
    /// The files that a channel to it is made with.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let tls = self.tls.iter().flat_map(|tls| {
            [Some(&tls.ca_file), tls.certificate_file.as_ref(), tls.private_key_file.as_ref()]
        });
        tls.chain([self.token_file.as_ref()]).flatten().cloned()
    }
}

/// Finds out how the connector of this manifest is started.
pub(super) fn runnable(manifest: &Manifest, folder: &Path) -> Runnable {
    let Some(runtime) = &manifest.runtime else { return by_command(folder, &[]) };
    if let Some(url) = &runtime.endpoint {
        let tls = runtime.tls.clone().map(|tls| Tls {
            ca_file: folder.join(tls.ca_file),
            certificate_file: tls.certificate_file.map(|file| folder.join(file)),
            private_key_file: tls.private_key_file.map(|file| folder.join(file)),
            server_name: tls.server_name,
        });
        let token_file = runtime.token_file.as_ref().map(|file| folder.join(file));
        let url = url.trim_end_matches('/').to_owned();
        return Runnable::Endpoint(Endpoint { url, tls, token_file });
    }
    by_command(folder, &runtime.command)
}

fn by_command(folder: &Path, runtime_command: &[String]) -> Runnable {
    match superfasttt_launch::command(folder, runtime_command) {
        Ok(command) => Runnable::Command(command),
        Err(reason) => Runnable::NotRunnable(reason),
    }
}
