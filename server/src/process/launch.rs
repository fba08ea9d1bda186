//! Starts programs: a clean environment, a process group of its own, no new privileges, no sight of other processes, and
//! an end together with this process.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, Uid, getppid};
use secrecy::{ExposeSecret, SecretString};
use superfasttt_confine::Domain;
use tokio::process::Child;
use tokio::sync::oneshot;

use super::hardening::RunAs;

/// What a program is started with.
pub(super) struct Launch<'a> {
    /// The program and its arguments.
    pub(super) command: &'a [String],
    /// Where it is started.
    pub(super) folder: &'a Path,
    /// The socket that it binds.
    pub(super) socket: &'a Path,
    /// What callers will show it.
    pub(super) token: &'a SecretString,
    /// Who it runs as; `None`: as this process.
    pub(super) run_as: Option<RunAs>,
    /// The control file through which it joins its cgroup.
    pub(super) cgroup: Option<File>,
    /// What keeps it from the memory of every other process; `None`: this kernel cannot.
    pub(super) domain: Option<Domain>,
}

impl Launch<'_> {
    fn command(self) -> io::Result<std::process::Command> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(io::Error::other("the command is empty"));
        };
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder)
            .env_clear()
            .env("CONNECTOR_SOCKET", self.socket)
            .env("CONNECTOR_TOKEN", self.token.expose_secret())
            .env("CONNECTOR_LOG", log_level())
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
fn before_exec(
    command: &mut std::process::Command,
    cgroup: Option<File>,
    domain: Option<Domain>,
    keeps_root: bool,
) {
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

fn log_level() -> &'static str {
    use tracing::level_filters::LevelFilter;
    match LevelFilter::current() {
        LevelFilter::OFF | LevelFilter::ERROR => "error",
        LevelFilter::WARN => "warn",
        LevelFilter::INFO => "info",
        LevelFilter::DEBUG => "debug",
        _ => "trace",
    }
}

type Request = (std::process::Command, oneshot::Sender<io::Result<Child>>);

/// The thread that starts programs. The kernel ends a child when the *thread* that started it ends, not the process;
/// a runtime's threads come and go, so this one lives as long as the host, and dropping the host ends all connectors.
#[derive(Debug)]
pub(super) struct Launcher {
    requests: mpsc::Sender<Request>,
}

impl Launcher {
    /// Starts the thread, inside of a Tokio runtime.
    pub(super) fn start() -> io::Result<Self> {
        let (requests, queue) = mpsc::channel::<Request>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("launcher".to_owned()).spawn(move || {
            let _runtime = runtime.enter();
            for (command, reply) in queue {
                let mut command = tokio::process::Command::from(command);
                command.kill_on_drop(true);
                // Whoever asked may have gone; the child is then dropped, and with it killed.
                let _ = reply.send(command.spawn());
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts a program.
    pub(super) async fn launch(&self, launch: Launch<'_>) -> io::Result<Child> {
        let command = launch.command()?;
        let (reply, child) = oneshot::channel();
        let gone = || io::Error::other("the launcher thread has ended");
        self.requests.send((command, reply)).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}
