//! Memory limits by cgroup version 2, where the part of the tree that this process is in was delegated to it
//! (systemd: `Delegate=memory`). The kernel then keeps the limit itself, between any two looks.
//!
//! A group that gives its controllers to children may hold no process of its own. So this process moves into a
//! child `connectord`, beside which each connector gets a child of its own. Where anything of this does not work,
//! memory is sampled instead (`memory`).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The delegated group.
#[derive(Debug)]
pub(super) struct Delegated {
    path: PathBuf,
}

/// The group of one connector; removed when dropped.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
}

impl Delegated {
    /// Takes over the group of this process, if that was delegated to it.
    pub(super) fn find() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let path = Path::new("/sys/fs/cgroup").join(path);
        if !is_delegated(&path) {
            return None;
        }
        match Self::take_over(&path, std::process::id()) {
            Ok(delegated) => Some(delegated),
            Err(error) => {
                tracing::warn!(cgroup = %path.display(), "delegated cgroup is not used: {error}");
                None
            }
        }
    }

    fn take_over(path: &Path, own_pid: u32) -> io::Result<Self> {
        let controllers = fs::read_to_string(path.join("cgroup.controllers"))?;
        if !controllers.split_whitespace().any(|controller| controller == "memory") {
            return Err(io::Error::other("the memory controller is not in it; set Delegate=memory"));
        }
        // Somebody else's process is not ours to move, and with it in the group the controller stays off.
        let pids = fs::read_to_string(path.join("cgroup.procs"))?;
        if pids.split_whitespace().any(|pid| pid != own_pid.to_string()) {
            return Err(io::Error::other("other processes are in it"));
        }
        let leaf = path.join("connectord");
        match fs::create_dir(&leaf) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        write(&leaf.join("cgroup.procs"), &own_pid.to_string())?;
        write(&path.join("cgroup.subtree_control"), "+memory")?;
        Ok(Self { path: path.to_owned() })
    }

    /// Makes the group of one connector.
    pub(super) fn group(&self, name: &str, limit_bytes: u64) -> io::Result<Group> {
        let group = Group { path: self.path.join(name) };
        fs::create_dir(&group.path)?;
        write(&group.path.join("memory.max"), &limit_bytes.to_string())?;
        // All of a connector or nothing: half of its processes cannot work.
        write(&group.path.join("memory.oom.group"), "1")?;
        // Not every kernel accounts swap.
        let _ = write(&group.path.join("memory.swap.max"), "0");
        Ok(group)
    }
}

impl Group {
    /// The file through which a process joins: it writes "0", for itself.
    pub(super) fn join_file(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))
    }

    /// Whether the kernel ended it for its memory.
    pub(super) fn was_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    }

    /// Ends everything in it, also what left its process group.
    pub(super) fn kill(&self) {
        let _ = write(&self.path.join("cgroup.kill"), "1");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails while a process in it is still ending; an empty group costs nothing and goes with its parent.
        let _ = fs::remove_dir(&self.path);
    }
}

/// A group is delegated where systemd marks it so, or where it belongs to this user, who is not root.
fn is_delegated(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let marked = ["user.delegate", "trusted.delegate"].into_iter().any(|name| {
        let mut value = [0; 1];
        rustix::fs::getxattr(path, name, &mut value).is_ok() && value == *b"1"
    });
    let user = nix::unistd::Uid::effective();
    let owned = !user.is_root() && fs::metadata(path).is_ok_and(|metadata| metadata.uid() == user.as_raw());
    marked || owned
}

/// Control files are written in place: they cannot be created or cut.
fn write(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a delegated group of this process.
    fn fake_group(pids: &str, controllers: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in
            [("cgroup.procs", pids), ("cgroup.controllers", controllers), ("cgroup.subtree_control", "")]
        {
            fs::write(folder.path().join(file), text).unwrap();
        }
        fs::create_dir(folder.path().join("connectord")).unwrap();
        fs::write(folder.path().join("connectord/cgroup.procs"), "").unwrap();
        folder
    }

    #[test]
    fn a_delegated_group_is_taken_over() {
        let folder = fake_group("42\n", "cpu memory pids");
        Delegated::take_over(folder.path(), 42).unwrap();
        let read = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(read("connectord/cgroup.procs"), "42");
        assert_eq!(read("cgroup.subtree_control"), "+memory");
    }

    #[test]
    fn a_group_with_others_or_without_memory_is_left_alone() {
        for (pids, controllers) in [("42\n43\n", "memory"), ("42\n", "cpu pids")] {
            let folder = fake_group(pids, controllers);
            assert!(Delegated::take_over(folder.path(), 42).is_err());
            assert_eq!(fs::read_to_string(folder.path().join("cgroup.subtree_control")).unwrap(), "");
        }
    }

    #[test]
    fn an_end_for_memory_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let group = Group { path: folder.path().to_owned() };
        assert!(!group.was_out_of_memory());
        fs::write(folder.path().join("memory.events"), "oom 1\noom_kill 0\n").unwrap();
        assert!(!group.was_out_of_memory());
        fs::write(folder.path().join("memory.events"), "oom 1\noom_kill 2\n").unwrap();
        assert!(group.was_out_of_memory());
    }
}
