//! A PostgreSQL cluster that lives as long as a test process: in a folder of its own, on a Unix socket, as the user
//! `postgres` where the tests run as root. Included by the store's tests, by tests of the whole server, and by benchmarks.
//!
//! Nothing of it outlives the process, however that ends: a small shell beside it waits for the end of a pipe whose other
//! end this process holds, then stops the cluster and removes the folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

/// The oldest version that connectord works with.
const OLDEST: u32 = 15;
/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Once its input ends, stops what runs on the data `$2`, and removes the folder `$1`.
const CARETAKER: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
pid=$(head -n 1 "$2/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$2" ]; then
  kill -QUIT "$pid"
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
fi
rm -rf "$1"
"#;

/// What a cluster is to be.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// What is committed outlives a crash of the machine: for benchmarks, which else would measure something else.
    pub fsync: bool,
    /// Listen on this port of 127.0.0.1 as well.
    pub port: Option<u16>,
    /// Where the data is to be, in an empty folder: for tests that fill its disk.
    pub data: Option<PathBuf>,
    /// More settings, such as `max_connections=200`.
    pub settings: Vec<String>,
}

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    binaries: PathBuf,
    user: Option<User>,
    options: ClusterOptions,
    server: Mutex<Option<Child>>,
    caretaker: Mutex<Child>,
}

impl Cluster {
    /// The one of this process, started when it is first asked for.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Cluster::start(ClusterOptions::default()))
    }

    /// Makes and starts a cluster.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed, or does not start.
    pub fn start(options: ClusterOptions) -> Self {
        let binaries = binaries();
        let root = nix::unistd::geteuid().is_root();
        let user = root.then(|| {
            let user = User::from_name("postgres").expect("users can be read");
            user.expect("there is no user postgres, as whom PostgreSQL runs: apt-get install postgresql-15")
        });
        let folder = tempfile::Builder::new()
            .prefix("connectord-pg-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a folder can be made")
            // The caretaker removes it, also when this process is killed.
            .keep();
        let data = options.data.clone().unwrap_or_else(|| folder.join("data"));
        if let Some(user) = &user {
            let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
            for folder in std::iter::once(&folder).chain(&options.data) {
                chown(folder, Some(uid), Some(gid)).expect("the folder can be given to postgres");
            }
        }
        let mut caretaker = Command::new("sh");
        caretaker
            .args(["-c", CARETAKER, "caretaker"])
            .arg(&folder)
            .arg(&data)
            .stdin(Stdio::piped())
            .process_group(0);
        let caretaker = as_user(&mut caretaker, &user, &folder).spawn().expect("sh can be started");
        let cluster = Self {
            folder,
            binaries,
            user,
            options,
            server: Mutex::new(None),
            caretaker: Mutex::new(caretaker),
        };
        cluster
            .run("initdb", &["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]);
        cluster.up();
        cluster
    }

    /// Where its socket is.
    #[allow(dead_code, reason = "for benchmarks, which share this file")]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.to_string_lossy().replace('/', "%2F");
        format!("postgres://postgres@{folder}/{database}")
    }

    /// The URL of one of its databases by TCP, where it has a port.
    pub fn tcp_url(&self, database: &str) -> String {
        let port = self.options.port.expect("the cluster was started with a port");
        format!("postgres://postgres@localhost:{port}/{database}")
    }

    /// Starts the server, on the data that is there.
    pub fn up(&self) {
        let mut command = Command::new(self.binaries.join("postgres"));
        command.arg("-D").arg(self.data());
        let mut settings = vec![
            format!("unix_socket_directories={}", self.folder.display()),
            "max_connections=300".to_owned(),
            "logging_collector=off".to_owned(),
        ];
        match self.options.port {
            None => settings.push("listen_addresses=".to_owned()),
            Some(port) => settings.extend(["listen_addresses=127.0.0.1".to_owned(), format!("port={port}")]),
        }
        if !self.options.fsync {
            settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
        }
        for setting in settings.iter().chain(&self.options.settings) {
            command.args(["-c", setting]);
        }
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log can be made");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let child = as_user(&mut command, &self.user, &self.folder).spawn().expect("postgres can be started");
        *self.server.lock().expect("no test panics with it") = Some(child);
        let began = Instant::now();
        while !self.is_ready() {
            assert!(began.elapsed() < PATIENCE, "PostgreSQL does not start:\n{}", self.what_it_said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server in order; its data stays.
    pub fn down(&self) {
        self.end(Signal::SIGINT);
    }

    /// Kills the server and all that it started, at once; its data stays.
    pub fn kill(&self) {
        self.end(Signal::SIGKILL);
    }

    fn end(&self, signal: Signal) {
        let Some(mut child) = self.server.lock().expect("no test panics with it").take() else { return };
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid is small"));
        if signal == Signal::SIGKILL {
            // Its children are in its process group.
            let _ = nix::sys::signal::killpg(pid, signal);
        }
        kill(pid, signal).expect("the server is this process's child");
        child.wait().expect("the server is this process's child");
        if signal == Signal::SIGKILL {
            self.wait_for_memory();
        }
    }

    /// A server that is started while what was killed still dies finds its memory in use.
    fn wait_for_memory(&self) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE && self.somebody_works_here() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
    }

    fn somebody_works_here(&self) -> bool {
        let Ok(processes) = fs::read_dir("/proc") else { return false };
        processes.flatten().any(|process| {
            fs::read_link(process.path().join("cwd")).is_ok_and(|folder| folder == self.data())
        })
    }

    /// Runs a program of PostgreSQL's on the data folder.
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.binaries.join(program));
        command.arg("-D").arg(self.data()).args(arguments);
        let output = as_user(&mut command, &self.user, &self.folder).output().expect("it can be started");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Whether the server answers.
    pub fn is_ready(&self) -> bool {
        let port = self.options.port.unwrap_or(5432).to_string();
        let mut command = Command::new(self.binaries.join("pg_isready"));
        command.arg("-q").arg("-h").arg(&self.folder).args(["-p", &port]);
        command.status().is_ok_and(|status| status.success())
    }

    /// The end of what the server said.
    pub fn what_it_said(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.options.data.clone().unwrap_or_else(|| self.folder.join("data"))
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Gives a file to whom the server runs as, who alone may read it.
    pub fn give(&self, file: &Path) {
        if let Some(user) = &self.user {
            chown(file, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("it can be given");
        }
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("its rights can be set");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
        if let Ok(caretaker) = self.caretaker.get_mut() {
            drop(caretaker.stdin.take());
            let _ = caretaker.wait();
        }
    }
}

/// The command as the user, in a folder that this user may be in, without this process's environment.
fn as_user<'a>(command: &'a mut Command, user: &Option<User>, folder: &Path) -> &'a mut Command {
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").current_dir(folder);
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// Where the newest PostgreSQL of this machine is.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .filter(|(version, path)| *version >= OLDEST && path.join("bin/initdb").exists())
        .max();
    if let Some((_, path)) = newest {
        return path.join("bin");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .expect("PostgreSQL 15 or newer is missing: apt-get install postgresql-15 (on Debian)")
}
