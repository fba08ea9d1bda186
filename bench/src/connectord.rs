//! connectord as a process of its own, with a fresh data folder beside the programs that were built, and what the
//! benchmark asks of it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use superfasttt_connector::testing::settings_struct;
use superfasttt_proto::control::v1::connection_service_client::ConnectionServiceClient;
use superfasttt_proto::control::v1::document_service_client::DocumentServiceClient;
use superfasttt_proto::control::v1::run::State;
use superfasttt_proto::control::v1::sync_service_client::SyncServiceClient;
use superfasttt_proto::control::v1::{
    Connection, CreateConnectionRequest, Run, StartSyncRequest, WatchDocumentsRequest, WatchRunRequest,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::source::{MANIFEST, Settings};

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
    folder: PathBuf,
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

    /// A folder for one measurement, removed when it is dropped, with so many connectors in it.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn folder(&self, connectors: usize) -> anyhow::Result<TempDir> {
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
    channel: Channel,
    /// From the start of the process until it served.
    pub started_in: Duration,
}

impl Connectord {
    /// Starts it in a folder that [`Programs::folder`] made, and waits until health says SERVING.
    ///
    /// # Errors
    /// Where it does not come to serve.
    pub async fn start(programs: &Programs, folder: &Path) -> anyhow::Result<Self> {
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
            .env("CONNECTORD_LOG__FILTER", "warn")
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

    /// Makes the connection and syncs it for the first time.
    ///
    /// # Errors
    /// Where the sync does not succeed with all of its documents.
    pub async fn first_sync(&self, settings: &Settings) -> anyhow::Result<(String, Synced)> {
        let connection = Connection {
            connector: "bench-source".to_owned(),
            name: "bench".to_owned(),
            settings: Some(settings_struct(serde_json::to_value(settings)?)),
            ..Default::default()
        };
        let request = CreateConnectionRequest { connection: Some(connection), ..Default::default() };
        let created = ConnectionServiceClient::new(self.channel.clone()).create_connection(request).await?;
        let connection = created.into_inner().connection.context("it was made")?;
        let synced = self.sync(&connection.id).await?;
        ensure!(
            synced.created == settings.documents,
            "the sync of {} documents made {}",
            settings.documents,
            synced.created
        );
        Ok((connection.id, synced))
    }

    /// Syncs in full: waits for the run that goes on, or starts one.
    ///
    /// # Errors
    /// Where it does not succeed.
    pub async fn sync(&self, connection: &str) -> anyhow::Result<Synced> {
        let mut client = SyncServiceClient::new(self.channel.clone());
        let cpu_before = self.cpu_time()?;
        let request = StartSyncRequest { connection: connection.to_owned(), full: true, at: None };
        let started = client.start_sync(request).await?.into_inner().run.context("a sync is a run")?;
        let mut states = client.watch_run(WatchRunRequest { run: started.id }).await?.into_inner();
        let mut last = None;
        while let Some(state) = states.message().await? {
            last = state.run;
        }
        let cpu = self.cpu_time()?.saturating_sub(cpu_before);
        Synced::new(&last.context("a watched run is told of")?, cpu)
    }

    /// Reads the feed from its beginning to its end; says how many entries it has.
    ///
    /// # Errors
    /// Where the feed breaks.
    pub async fn read_feed(&self) -> anyhow::Result<u64> {
        read_feed(self.channel.clone()).await
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
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        // The name, in parentheses, may hold spaces; user and system time are the 12th and 13th field behind it.
        let (_, fields) = stat.rsplit_once(')').context("no process name in /proc")?;
        let ticks: Vec<u64> =
            fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        // USER_HZ, which is 100 on every Linux that this runs on.
        Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
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

/// What a run did, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Synced {
    /// Documents that it made.
    pub created: u64,
    /// Documents that it saw unchanged.
    pub unchanged: u64,
    /// From its start to its end, as connectord has it.
    pub duration: Duration,
    /// The processor time that connectord used, the connector not counted.
    pub cpu: Duration,
}

impl Synced {
    fn new(run: &Run, cpu: Duration) -> anyhow::Result<Self> {
        if run.state() != State::Succeeded {
            let error = run.error.as_ref().map_or("", |error| &error.message);
            bail!("the run ended as {}: {error}", run.state().as_str_name());
        }
        let counts = run.counts.unwrap_or_default();
        let (started, ended) =
            run.started_at.zip(run.ended_at).context("a run that ended has both its times")?;
        let micros =
            |time: superfasttt_connector::Timestamp| time.seconds * 1_000_000 + i64::from(time.nanos) / 1000;
        let duration = Duration::from_micros((micros(ended) - micros(started)).try_into()?);
        Ok(Self { created: counts.created, unchanged: counts.unchanged, duration, cpu })
    }
}

/// Reads a feed to its end, decodes it and drops it; says how many entries it has.
///
/// # Errors
/// Where it breaks.
pub async fn read_feed(channel: Channel) -> anyhow::Result<u64> {
    let request = WatchDocumentsRequest { until_caught_up: true, ..Default::default() };
    let mut messages = DocumentServiceClient::new(channel).watch_documents(request).await?.into_inner();
    let mut entries = 0;
    while let Some(message) = messages.message().await? {
        entries += message.entries.len() as u64;
    }
    Ok(entries)
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
