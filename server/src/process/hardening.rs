//! What keeps a connector, which is code of somebody else, from reading the server's secrets and those of other
//! connectors: this process cannot be looked into, each connector is in a domain of its own
//! ([`superfasttt_confine::Domain`]), and where this process may, connectors run as another user.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use superfasttt_confine::Domain;
use superfasttt_launch::RunAs;

/// Makes this process one that others of the same user can neither trace nor read (`/proc/PID/mem`, `environ`),
/// and that leaves no core dump. Call it first thing in `main`.
///
/// # Errors
///
/// The kernel refused.
pub fn set_non_dumpable() -> std::io::Result<()> {
    nix::sys::prctl::set_dumpable(false).map_err(Into::into)
}

/// Finds the user that connectors run as. `None`: the same as this process; why is warned of here, once.
///
/// # Errors
///
/// There is no such user.
pub(super) fn run_as(name: Option<&str>) -> Result<Option<RunAs>, String> {
    let root = Uid::effective().is_root();
    let Some(name) = name else {
        tracing::warn!(
            "connectors run as the same user as connectord and can read its files; start it as root and set \
             process.run_as to separate them"
        );
        return Ok(None);
    };
    let user = User::from_name(name).map_err(|error| error.to_string())?;
    let user = user.ok_or_else(|| format!("there is no user {name:?} on this machine"))?;
    if user.uid == Uid::effective() {
        return Ok(None);
    }
    if !root {
        tracing::warn!(
            "process.run_as is {name:?}, but only root can start programs as another user; connectors run as the \
             same user as connectord"
        );
        return Ok(None);
    }
    Ok(Some(RunAs { uid: user.uid, gid: user.gid }))
}

/// Says, once, where the kernel cannot close the memory of other processes to connectors.
pub(super) fn warn_without_domains() {
    if matches!(Domain::new(), Ok(None)) {
        tracing::warn!(
            "this kernel has no Landlock: connectors of the same user can read each other's memory, and extraction \
             workers open any file; use Linux 5.13 or newer with `landlock` among the security modules that it starts"
        );
    }
}

/// Makes the folder that holds the sockets, absolute and closed to other users. Where connectors run as another
/// user it can be passed through, but not listed.
pub(super) fn make_runtime_dir(path: &Path, run_as: Option<RunAs>) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mode = if run_as.is_some() { 0o711 } else { 0o700 };
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
    Ok(path)
}
