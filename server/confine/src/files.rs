//! Closing the file system.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use crate::kernel::{self, Ruleset};

const READ_FILE: u64 = 1 << 2;
/// The rights that each revision of Landlock knows, from the first on: 13 of them, then each a few more.
const RIGHTS: [u32; 5] = [13, 14, 15, 15, 16];
/// From this revision on the network can be closed as well: binding (1) and connecting (2) TCP.
const NETWORK_SINCE: u32 = 4;
const NETWORK_ALL: u64 = 0b11;
const SCOPES_SINCE: u32 = 6;
const SCOPE_ALL: u64 = 0b11;

/// Leaves the calling thread, and all that it starts from here on, nothing to open but the files below `folder`, to read
/// them; from Linux 6.7 on no TCP either. It has to have said that it wants no new privileges. `false`: the kernel has no
/// Landlock, and everything is open as before.
///
/// # Errors
///
/// There is no such folder, or the kernel refused.
pub fn only_read_below(folder: &Path) -> io::Result<bool> {
    let Some(revision) = kernel::revision() else { return Ok(false) };
    let known = RIGHTS[(revision as usize).min(RIGHTS.len()) - 1];
    let ruleset = Ruleset {
        files: (1 << known) - 1,
        network: if revision >= NETWORK_SINCE { NETWORK_ALL } else { 0 },
        scoped: if revision >= SCOPES_SINCE { SCOPE_ALL } else { 0 },
    };
    let length = match revision {
        ..NETWORK_SINCE => size_of::<u64>(),
        NETWORK_SINCE..SCOPES_SINCE => 2 * size_of::<u64>(),
        _ => size_of::<Ruleset>(),
    };
    let rules = kernel::create(&ruleset, length)?;
    kernel::allow_below(&rules, File::open(folder)?.as_fd(), READ_FILE)?;
    kernel::restrict_self(&rules)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_below_can_be_read_and_nothing_else_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("document"), "text").unwrap();
        fs::write(folder.path().join("key"), "secret").unwrap();
        let path = folder.path().to_owned();
        // The thread is closed for good, and only it.
        std::thread::spawn(move || {
            nix::sys::prctl::set_no_new_privs().unwrap();
            if !only_read_below(&inside).unwrap() {
                return skipped();
            }
            assert_eq!(fs::read_to_string(inside.join("document")).unwrap(), "text");
            for closed in
                [fs::read(path.join("key")), fs::read(inside.join("../key")), fs::read("/etc/hostname")]
            {
                assert_eq!(closed.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            }
            assert!(fs::write(inside.join("document"), "other").is_err(), "reading only");
            assert!(fs::write(inside.join("new"), "").is_err());
            assert!(fs::read_dir(&inside).is_err(), "nor looking around");
            assert!(std::net::TcpStream::connect("127.0.0.1:1").is_err());
        })
        .join()
        .unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("key")).unwrap(), "secret");
    }

    fn skipped() {
        eprintln!("SKIPPED: this kernel has no Landlock, so nothing is proved of it");
    }
}
