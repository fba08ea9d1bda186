//! A disk of a few megabytes that a test can fill. It is a `tmpfs` in a mount namespace of its own, in which the test runs
//! once more as a process: nothing of it is left when that ends, however it ends. Root may make one, and whoever may
//! make user namespaces; elsewhere the test is skipped, and says so on stderr.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the disk is, for the test within the namespace.
const VARIABLE: &str = "TEST_SMALL_DISK";
/// Mounts a disk of `$1` megabytes at `$2`, and becomes the rest.
const MOUNT: &str = r#"mount -t tmpfs -o "size=$1m,mode=755" small-disk "$2" && shift 2 && exec "$@""#;

/// The disk.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// A disk of this size for the test of this whole name, or `None` where the test has been through on one (or there can
    /// be none).
    ///
    /// # Panics
    /// Where the test failed on it.
    #[expect(clippy::print_stdout, reason = "the report of a test is that of the process it ran in")]
    pub fn of(test: &str, megabytes: u32) -> Option<Self> {
        if let Some(path) = std::env::var_os(VARIABLE) {
            return Some(Self { path: path.into() });
        }
        // Others have to come through it, such as the user that PostgreSQL runs as.
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
        let mut probe = within_namespace(folder.path(), megabytes);
        let probed = probe.arg("true").output();
        if !probed.as_ref().is_ok_and(|output| output.status.success()) {
            let why = probed.map_or_else(
                |error| error.to_string(),
                |output| String::from_utf8_lossy(&output.stderr).into_owned(),
            );
            // Past what captures the output of tests that go well.
            let skipped = format!("SKIPPED {test}: no small disk can be made here: {}\n", why.trim());
            std::io::stderr().write_all(skipped.as_bytes()).unwrap();
            return None;
        }
        let mut command = within_namespace(folder.path(), megabytes);
        command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
        let output = command.env(VARIABLE, folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "it failed on a disk of {megabytes} MB");
        assert!(said.contains("1 passed"), "there is no test {test}");
        None
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut filler = OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            let zeros = vec![0; size];
            loop {
                match filler.write(&zeros) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("the disk cannot be filled: {error}"),
                }
            }
        }
    }

    /// Gives it back.
    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

/// What runs a command where a new disk is mounted. The command has the same user as this process, so where that is not
/// root it comes to be so in two steps: as the root of a user namespace to mount, then itself again.
fn within_namespace(folder: &Path, megabytes: u32) -> Command {
    let root = nix::unistd::geteuid().is_root();
    let mut command = Command::new("unshare");
    command.args(if root {
        ["--mount"].as_slice()
    } else {
        ["--user", "--map-root-user", "--mount"].as_slice()
    });
    command.args(["sh", "-c", MOUNT, "sh", &megabytes.to_string()]).arg(folder);
    if !root {
        let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
        command.arg("unshare").args([format!("--map-user={user}"), format!("--map-group={group}")]);
    }
    command
}
