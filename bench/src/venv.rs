//! Python programs of PyPI, each kind in a venv of its own beside the programs, where it stays for the next time.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::ensure;
use tokio::process::Command;

use crate::report::note;

/// What is missing on this machine for a venv with Python 3.10 or newer, but not newer than 3.`newest` where that is given,
/// and what to do about it.
pub fn missing(newest: Option<u8>) -> Option<String> {
    if !succeeds("python3", &["-c", "import venv, ensurepip"]) {
        return Some("python3 with venv is missing: apt-get install python3-venv".to_owned());
    }
    let (before, range) = match newest {
        Some(newest) => (newest + 1, format!("3.10 to 3.{newest}")),
        None => (u8::MAX, "3.10 or newer".to_owned()),
    };
    let asked = format!("import sys; sys.exit(not (3, 10) <= sys.version_info < (3, {before}))");
    (!succeeds("python3", &["-c", &asked]))
        .then(|| format!("python3 is not {range}: put one that is first in PATH, with its venv"))
}

/// Whether a program is there and says yes.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    std::process::Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Installs these requirements, unless they are installed. Gives the folder of the programs.
///
/// # Errors
/// Where pip does.
pub async fn install(folder: &Path, name: &str, requirements: &str) -> anyhow::Result<PathBuf> {
    let folder = folder.join(name);
    let (programs, installed) = (folder.join("bin"), folder.join("requirements.txt"));
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == requirements) {
        return Ok(programs);
    }
    note(&format!("{name}: installing it from PyPI"));
    succeeded(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).output().await?)?;
    let wanted = folder.join("wanted.txt");
    std::fs::write(&wanted, requirements)?;
    let mut pip = Command::new(programs.join("pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted);
    succeeded(pip.kill_on_drop(true).output().await?)?;
    std::fs::rename(&wanted, &installed)?;
    Ok(programs)
}

/// Fails with what a program has said, where it failed.
///
/// # Errors
/// Where it failed.
pub fn succeeded(output: Output) -> anyhow::Result<()> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
