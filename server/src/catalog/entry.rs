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
    let Some(runtime) = &manifest.runtime else { return conventional(folder) };
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
    let Some((program, arguments)) = runtime.command.split_first() else { return conventional(folder) };
    match resolve_program(program, folder) {
        Ok(program) => command(&program, arguments),
        Err(reason) => Runnable::NotRunnable(reason),
    }
}

/// A manifest without `runtime` starts `connector`, or `connector.py`, in its folder.
fn conventional(folder: &Path) -> Runnable {
    let program = folder.join("connector");
    if is_executable(&program) {
        return command(&program, &[]);
    }
    let script = folder.join("connector.py");
    if !script.is_file() {
        return Runnable::NotRunnable(
            "the folder has no executable `connector` and no `connector.py`; add one, or say in `runtime.command` \
             how to start it"
                .to_owned(),
        );
    }
    match find_on_path("python3") {
        Some(python) => command(&python, &[script.to_string_lossy().into_owned()]),
        None => {
            Runnable::NotRunnable("connector.py needs python3, which is not on PATH; install it".to_owned())
        }
    }
}

/// A program with a slash is relative to the folder; a bare name is looked for in the folder, then on PATH.
fn resolve_program(program: &str, folder: &Path) -> Result<PathBuf, String> {
    let in_folder = folder.join(program);
    if is_executable(&in_folder) {
        return Ok(in_folder);
    }
    if !program.contains('/') {
        if let Some(found) = find_on_path(program) {
            return Ok(found);
        }
        return Err(format!(
            "`runtime.command` names {program:?}, which is neither in the connector's folder nor on PATH; install \
             or build it"
        ));
    }
    if in_folder.is_file() {
        return Err(format!("{} is not executable; run chmod +x on it", in_folder.display()));
    }
    Err(format!("{} does not exist; build or install it", in_folder.display()))
}

fn command(program: &Path, arguments: &[String]) -> Runnable {
    let mut command = vec![program.to_string_lossy().into_owned()];
    command.extend_from_slice(arguments);
    Runnable::Command(command)
}

fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
