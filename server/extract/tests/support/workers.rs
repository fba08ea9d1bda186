//! Finding and killing the worker processes of one test: each test runs its own link to the program, so that its workers
//! are told from those of the tests beside it.
#![allow(dead_code, reason = "each test binary uses its own part of this module")]
#![allow(clippy::unwrap_used, reason = "a panic here is the failure report of a test")]

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use superfasttt_extract::{Pool, PoolConfig};

/// A program under a name that no other test uses.
pub struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    /// The real worker.
    pub fn worker() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_extract-worker"), folder.path().join("program"))
            .unwrap();
        Self { folder }
    }

    /// A shell script in its place, told by `$0`.
    pub fn script(script: &str) -> (Self, PoolConfig) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, script).unwrap();
        let config = PoolConfig::new("/bin/sh".into(), vec![path.to_str().unwrap().to_owned()]);
        (Self { folder }, config)
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("program")
    }

    /// A file beside the program, for a script to write.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> PoolConfig {
        PoolConfig::new(self.path(), Vec::new())
    }

    pub fn pool(&self, change: impl FnOnce(&mut PoolConfig)) -> Pool {
        let mut config = self.config();
        change(&mut config);
        Pool::new(config)
    }

    /// The process ids of the running workers.
    pub fn pids(&self) -> Vec<i32> {
        let path = self.path().to_str().unwrap().to_owned();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let runs_it = |pid: &i32| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split('\0').any(|argument| argument == path))
        };
        pids.filter(runs_it).collect()
    }

    pub async fn wait_for_workers(&self, count: usize) -> Vec<i32> {
        eventually(|| self.pids().len() == count).await;
        self.pids()
    }

    pub fn kill(&self, pid: i32) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
}

/// Waits until `true`; a state that never comes fails the test.
pub async fn eventually(mut is_so: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("what the test waits for does not come");
}
