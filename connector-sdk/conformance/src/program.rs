//! How a connector's folder says what to start: the rule of connectord's catalogue.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::manifest::Manifest;

/// The program (an absolute path) and its arguments.
///
/// # Errors
///
/// Why there is nothing to start, and what to do.
pub(crate) fn command(manifest: &Manifest, folder: &Path) -> Result<Vec<String>, String> {
    if let Some(endpoint) = &manifest.runtime.endpoint {
        return Err(format!(
            "the manifest says that it runs elsewhere: name {endpoint} instead of the folder"
        ));
    }
    let Some((program, arguments)) = manifest.runtime.command.split_first() else {
        return conventional(folder);
    };
    let mut command = vec![text(&resolve(program, folder)?)];
    command.extend_from_slice(arguments);
    Ok(command)
}

/// A manifest without `runtime` starts `connector`, or `connector.py`, in its folder.
fn conventional(folder: &Path) -> Result<Vec<String>, String> {
    let program = folder.join("connector");
    if is_executable(&program) {
        return Ok(vec![text(&program)]);
    }
    let script = folder.join("connector.py");
    if !script.is_file() {
        return Err(
            "the folder has no executable `connector` and no `connector.py`; build the one, or say in \
                    `runtime.command` how to start it"
                .to_owned(),
        );
    }
    let python = on_path("python3").ok_or("connector.py needs python3, which is not on PATH; install it")?;
    Ok(vec![text(&python), text(&script)])
}

/// A program with a slash is relative to the folder; a bare name is looked for in the folder, then on PATH.
fn resolve(program: &str, folder: &Path) -> Result<PathBuf, String> {
    let in_folder = folder.join(program);
    if is_executable(&in_folder) {
        return Ok(in_folder);
    }
    if !program.contains('/') {
        return on_path(program).ok_or_else(|| {
            format!("`runtime.command` names {program:?}, which is neither in the folder nor on PATH; install or build it")
        });
    }
    let problem = if in_folder.is_file() {
        "is not executable; run chmod +x on it"
    } else {
        "does not exist; build it"
    };
    Err(format!("{} {problem}", in_folder.display()))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
