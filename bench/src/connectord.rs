//! connectord as a process of its own, with a fresh data folder beside the programs that were built. `calls` has what
//! the benchmark asks of it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::source::MANIFEST;

/// How long connectord may take to serve.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// connectord.
    pub connectord: PathBuf,
    /// The connector, and the server of bare streams.
    pub source: PathBuf,
    /// Where data folders are made: the same file system for both sides, and a disk.
    pub folder: PathBuf,
}

impl Programs {
    /// Those that were built together with this one, unless another connectord is named.
    ///
    /// # Errors
    /// Where one is missing.
    pub fn find(connectord: Option<PathBuf>) -> anyhow::Result<Self> {
        let this = std::env::current_exe().context("the path of this program cannot be found")?;
        let folder = this.parent().context("a program lies in a folder")?.to_owned();
        let connectord = connectord.unwrap_or_else(|| folder.join("connectord"));
        let source = folder.join("bench-source");
        for program in [&connectord, &source] {
            ensure!(
                program.is_file(),
                "{} is not there: build it with `cargo build --release -p connectord -p superfasttt-bench`",
                program.display()
            );
        }
        Ok(Self { connectord: fs::canonicalize(connectord)?, source, folder })
    }

    /// A folder for one measurement, removed when it is dropped, whose only connector is that command, in any language.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn new_folder_of(&self, command: &[String]) -> anyhow::Result<TempDir> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&self.folder)?;
        let connector = folder.path().join("connectors/bench-source");
        fs::create_dir_all(&connector)?;
        let mut manifest: serde_json::Value = serde_json::from_str(MANIFEST)?;
        // Those in other languages than Rust list, and do nothing else.
        manifest["sync"] = serde_json::json!({"mode": "full"});
        manifest["capabilities"] = serde_json::json!(["full_listing"]);
        manifest["runtime"] = serde_json::json!({ "command": command });
        fs::write(connector.join("manifest.json"), serde_json::to_vec(&manifest)?)?;
        Ok(folder)
    }

    /// A folder for one measurement, removed when it is dropped, with so many connectors in it.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn new_folder(&self, connectors: usize) -> anyhow::Result<TempDir> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&self.folder)?;
        for number in 0..connectors {
            let id = if number == 0 { "bench-source".to_owned() } else { format!("bench-source-{number}") };
            let connector = folder.path().join("connectors").join(&id);
            fs::create_dir_all(&connector)?;
            let mut manifest: serde_json::Value = serde_json::from_str(MANIFEST)?;
            manifest["id"] = id.into();
            fs::write(connector.join("manifest.json"), serde_json::to_vec(&manifest)?)?;
            // A link and not a copy: nothing is written that the measurement would have to wait for.
            fs::hard_link(&self.source, connector.join("connector"))?;
        }
        Ok(folder)
    }
}

/// A running connectord. Killed when it is dropped.
#[derive(Debug)]
pub struct Connectord {
    process: Child,
    id: u32,
    address: SocketAddr,
    pub(crate) channel: Channel,
    /// From the start of the process until it served.
    pub started_in: Duration,
}

impl Connectord {
    /// Starts it in a folder that [`Programs::new_folder`] made, and waits until health says SERVING.
    ///
    /// # Errors
    /// Where it does not come to serve.
    pub async fn start(programs: &Programs, folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(programs, folder, &[]).await
    }

    /// As [`Self::start`], with this in its environment too.
    ///
    /// # Errors
    /// Where it does not come to serve.
    pub async fn start_with(
        programs: &Programs,
        folder: &Path,
        environment: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log_path = folder.join("connectord.log");
        let log = fs::File::create(&log_path)?;
        let mut command = Command::new(&programs.connectord);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CONNECTORD_") {
                command.env_remove(name);
            }
        }
        command
            .args(["--data-dir", "data", "--connectors-dir", "connectors"])
            .env("CONNECTORD_SERVER__CONTROL_LISTEN", address.to_string())
            .env("CONNECTORD_SERVER__PUBLIC_LISTEN", "127.0.0.1:0")
            .env("CONNECTORD_SERVER__PUBLIC_LISTEN", "127.0.0.1:0")
            .env("CONNECTORD_LOG__FILTER", "warn")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
        let begun = Instant::now();
        let mut process = command
            .spawn()
            .with_context(|| format!("{} cannot be started", programs.connectord.display()))?;
        let id = process.id().context("it was just started")?;
        while !is_serving(address, &channel).await {
            if let Some(status) = process.try_wait()? {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                bail!("connectord ended ({status}) before it served: {}", log.trim());
            }
            ensure!(begun.elapsed() < START_TIMEOUT, "connectord does not serve after {START_TIMEOUT:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let started_in = begun.elapsed();
        Ok(Self { process, id, address, channel, started_in })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The most memory that it ever held.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn peak_memory_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.context("no peak memory in /proc")?.trim().parse::<u64>()? * 1024)
    }

    /// The processor time that it has used.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        cpu_time_of(self.id)
    }

    /// The processor time that its connectors have used.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn connectors_cpu_time(&self) -> anyhow::Result<Duration> {
        let mut used = Duration::ZERO;
        for process in fs::read_dir("/proc")? {
            let name = process?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has ended meanwhile has nothing to read.
            used += match ProcessStat::read(id) {
                Ok(stat) if stat.parent == self.id => stat.cpu,
                _ => Duration::ZERO,
            };
        }
        Ok(used)
    }

    /// Stops it as an operator would, and waits for its end.
    ///
    /// # Errors
    /// Where it does not end well.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.id.try_into()?), Signal::SIGTERM)?;
        let status = self.process.wait().await?;
        ensure!(status.success(), "connectord ended with {status}");
        Ok(())
    }
}

async fn is_serving(address: SocketAddr, channel: &Channel) -> bool {
    // A refused connection is cheaper to find out than a failed call, and tonic would pause after it.
    if tokio::net::TcpStream::connect(address).await.is_err() {
        return false;
    }
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel.clone()).check(request).await;
    answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
}

/// The processor time that a process has used.
///
/// # Errors
/// Where the system does not tell.
pub fn cpu_time_of(id: u32) -> anyhow::Result<Duration> {
    Ok(ProcessStat::read(id)?.cpu)
}

/// What `/proc` says of a process.
struct ProcessStat {
    parent: u32,
    cpu: Duration,
}

impl ProcessStat {
    fn read(id: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name, in parentheses, may hold spaces. Behind it the second field is the parent; the 12th and 13th are user
        // and system time.
        let (_, fields) = stat.rsplit_once(')').context("no process name in /proc")?;
        let fields: Vec<_> = fields.split_whitespace().collect();
        let field = |place: usize| fields.get(place).context("too few fields in /proc");
        let ticks = field(11)?.parse::<u64>()? + field(12)?.parse::<u64>()?;
        // USER_HZ, which is 100 on every Linux that this runs on.
        Ok(Self { parent: field(1)?.parse()?, cpu: Duration::from_millis(ticks * 10) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_tells_the_parent_and_the_processor_time_of_a_process() {
        let stat = ProcessStat::read(std::process::id()).unwrap();
        assert_eq!(stat.parent, std::os::unix::process::parent_id());
        let begun = Instant::now();
        // What is waited for is that the clock of the processor moves, which it does while this runs.
        while cpu_time_of(std::process::id()).unwrap() <= stat.cpu {
            assert!(begun.elapsed() < START_TIMEOUT, "no processor time is counted");
        }
    }
}
