//! What a connector is started with: a clean environment, a process group of its own, no new privileges, no sight of other
//! processes, and an end together with this one.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, getppid};
use superfasttt_confine::Domain;

/// What a connector's program is started with.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The program and its arguments.
    pub command: &'a [String],
    /// Where it is started.
    pub folder: &'a Path,
    /// The socket that it binds.
    pub socket: &'a Path,
    /// What callers will show it.
    pub token: &'a str,
    /// How much it logs: `error`, `warn`, `info`, `debug` or `trace`.
    pub log: &'a str,
    /// Who it runs as; `None`: as this process.
    pub run_as: Option<RunAs>,
    /// The control file through which it joins its cgroup.
    pub cgroup: Option<File>,
    /// What keeps it from the memory of every other process; `None`: this kernel cannot.
    pub domain: Option<Domain>,
}

/// A user that connectors run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// The user.
    pub uid: Uid,
    /// Its group.
    pub gid: Gid,
}

impl Launch<'_> {
    /// The command, which is not started yet.
    ///
    /// # Errors
    /// There is no program to start.
    pub fn command(self) -> io::Result<Command> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(io::Error::other("the command is empty"));
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder)
            .env_clear()
            .env("CONNECTOR_SOCKET", self.socket)
            .env("CONNECTOR_TOKEN", self.token)
            .env("CONNECTOR_LOG", self.log)
            // Without it names are not compared and printed as UTF-8 by many runtimes.
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // So that a stop reaches what the connector started, and Ctrl-C in a terminal only us.
            .process_group(0);
        // PATH: interpreters are found by name. TMPDIR: where this machine wants temporary files. Nothing else: our
        // environment may hold credentials of the machine's owner, and HOME would lead to more of them.
        for name in ["PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(run_as) = self.run_as {
            // The standard library drops supplementary groups along with root's user id.
            command.uid(run_as.uid.as_raw()).gid(run_as.gid.as_raw());
        }
        let keeps_root = self.run_as.is_none() && Uid::effective().is_root();
        before_exec(&mut command, self.cgroup, self.domain, keeps_root);
        Ok(command)
    }
}

/// What the new process does to itself before it becomes the program.
#[expect(unsafe_code, reason = "code between fork and exec; the closure keeps to system calls")]
fn before_exec(command: &mut Command, cgroup: Option<File>, domain: Option<Domain>, keeps_root: bool) {
    let parent = Pid::this();
    let prepare = move || -> io::Result<()> {
        if let Some(file) = &cgroup {
            nix::unistd::write(file, b"0")?;
        }
        if keeps_root {
            superfasttt_confine::drop_capabilities()?;
        }
        prctl::set_no_new_privs()?;
        if let Some(domain) = &domain {
            domain.enter()?;
        }
        // A core dump of a connector would hold credentials.
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        // After the change of user, which would clear it.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have ended before that line; then nobody would send the signal.
        if getppid() != parent {
            return Err(nix::errno::Errno::ESRCH.into());
        }
        Ok(())
    };
    // SAFETY: only system calls that are safe after a fork; nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(prepare) };
}
