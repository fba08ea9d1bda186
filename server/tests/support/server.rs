//! A connectord of a test's own.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use superfasttt_proto::control::v1::GetConnectorRequest;

use super::postgres::Database;
use super::script::{Script, Step};
use super::{Client, binaries, until};

/// Which store a server has whose test does not choose one: "sqlite", or "postgres" where `TEST_STORE` says so. Then each
/// has a database of its own, which a restart keeps.
pub fn store() -> &'static str {
    static STORE: LazyLock<&str> = LazyLock::new(|| match std::env::var("TEST_STORE").as_deref() {
        Err(_) | Ok("sqlite") => "sqlite",
        Ok("postgres") => "postgres",
        Ok(other) => panic!("TEST_STORE is {other:?}: there are \"sqlite\" and \"postgres\""),
    });
    &STORE
}

/// The connections of each server to its database: the cluster's 300 are enough for forty servers at once.
const DATABASE_CONNECTIONS: usize = 6;

/// The master key of servers that share a database: 32 zero bytes.
const VAULT_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What a server is started with.
#[derive(Default)]
pub struct ServerBuilder {
    variables: Vec<(String, String)>,
    data: Option<PathBuf>,
}

impl ServerBuilder {
    /// Sets `CONNECTORD_<key>`, such as `SYNC__SWEEP_MIN`.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.variables.push((format!("CONNECTORD_{key}"), value.to_string()));
        self
    }

    /// Its data folder is this one, which outlives it.
    pub fn data_in(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// Starts it, and waits until it serves.
    pub async fn start(mut self) -> Server {
        let folder = tempfile::tempdir().unwrap();
        binaries::assemble_connectors(&folder.path().join("connectors"));
        let chosen = self.variables.iter().any(|(name, _)| name == "CONNECTORD_DATABASE__URL");
        let database = if store() == "postgres" && !chosen { Some(Database::new().await) } else { None };
        if let Some(database) = &database {
            let own = std::mem::take(&mut self.variables);
            self = self
                .with("DATABASE__URL", database.url())
                // On SQLite the server makes its own.
                .with("VAULT__KEYS", VAULT_KEY)
                .with("DATABASE__MAX_CONNECTIONS", DATABASE_CONNECTIONS);
            // What the test says comes last, and counts.
            self.variables.extend(own);
        }
        if let Some(data) = &self.data {
            std::os::unix::fs::symlink(data, folder.path().join("data")).unwrap();
        }
        let (child, client) = launch(folder.path(), &self.variables).await;
        Server { folder, variables: self.variables, child, client, sources: AtomicUsize::new(0), database }
    }
}

/// A running connectord. It ends with the value; its log is shown where the test has failed.
pub struct Server {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    child: Child,
    /// Calls it. A restarted server has another port and so another client.
    pub client: Client,
    sources: AtomicUsize,
    /// Where the store is PostgreSQL.
    database: Option<Database>,
}

/// A connection of a scripted connector, and its script.
pub struct Source {
    /// The script.
    pub script: Script,
    /// The connection's id.
    pub connection: String,
}

impl Server {
    /// One with the defaults of tests.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// One that differs from them.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// A connection whose first pulls play these steps. Its schedule is paused: it syncs only when a test says so.
    pub async fn source<const N: usize>(&self, connector: &str, pulls: [Vec<Step>; N]) -> Source {
        let script = self.script();
        script.next_pulls(pulls);
        let connection = self.client.create_paused(connector, json!({"script": script.path()})).await;
        Source { script, connection }
    }

    /// Adds a scripted connector that authenticates so, and waits until the server knows it.
    pub async fn add_connector(&self, id: &str, auth: serde_json::Value) {
        binaries::add_scripted_with_auth(&self.folder.path().join("connectors"), id, auth);
        super::until_async(&format!("the connector {id}"), async || {
            let request = GetConnectorRequest { connector: id.to_owned() };
            self.client.catalog().get_connector(request).await.ok()
        })
        .await;
    }

    /// Where browsers reach it.
    pub fn public_url(&self) -> String {
        let log = self.log();
        let (_, rest) = log.rsplit_once("public_url=").expect("it serves");
        rest.split_whitespace().next().unwrap().to_owned()
    }

    /// A script that no connection plays yet.
    pub fn script(&self) -> Script {
        let number = self.sources.fetch_add(1, Ordering::Relaxed);
        Script::new(self.folder.path().join(format!("source-{number}")))
    }

    /// The folder that lives as long as the server: `data`, `connectors`, `connectord.log` are in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that it has said on stderr.
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(self.folder.path())).unwrap()
    }

    /// Everything that it has stored, as it lies in the file or comes from the database.
    pub async fn stored(&self) -> Vec<u8> {
        if let Some(database) = &self.database {
            return database.everything().await;
        }
        let data = self.folder.path().join("data");
        let files = ["connectord.db", "connectord.db-wal"].map(|file| fs::read(data.join(file)).unwrap());
        files.concat()
    }

    /// Has the store refuse every new version of a credential, or no longer: what a refresh brought cannot be written then.
    pub async fn refuse_credentials(&self, refuse: bool) {
        let statements = match (&self.database, refuse) {
            (None, true) => {
                "CREATE TRIGGER refuse BEFORE INSERT ON credentials
                 BEGIN SELECT RAISE(ABORT, 'refused for a test'); END"
            }
            (None, false) => "DROP TRIGGER refuse",
            (Some(_), true) => {
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN RAISE EXCEPTION 'refused for a test'; END $$;
                 CREATE TRIGGER refuse BEFORE UPDATE ON credentials FOR EACH ROW
                   WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION refuse()"
            }
            (Some(_), false) => "DROP TRIGGER refuse ON credentials; DROP FUNCTION refuse()",
        };
        self.execute(statements).await;
    }

    /// Runs these statements in its store.
    pub async fn execute(&self, statements: &str) {
        if let Some(database) = &self.database {
            return database.execute(statements).await;
        }
        let file = rusqlite::Connection::open(self.folder.path().join("data/connectord.db")).unwrap();
        file.busy_timeout(super::DEADLINE).unwrap();
        file.execute_batch(statements).unwrap();
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub async fn kill9(&mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL).unwrap();
        self.ended().await;
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        let status = self.ended().await;
        assert!(status.success(), "it stopped with {status}");
    }

    /// Sets `CONNECTORD_<key>` from the next start on.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        let name = format!("CONNECTORD_{key}");
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.to_string()));
    }

    /// Starts it again on the same data, as late as its leases ended: nobody waits for that here. The storms of
    /// `one_store::chaos` do.
    pub async fn restart(&mut self) {
        if let Some(database) = &self.database {
            database.end_leases().await;
        }
        (self.child, self.client) = launch(self.folder.path(), &self.variables).await;
    }

    /// Starts another one on the same data, which is expected to refuse; returns what it says.
    pub async fn start_another(&self) -> (ExitStatus, String) {
        let log = self.folder.path().join("another.log");
        let mut child = command(self.folder.path(), &self.variables, &log).spawn().unwrap();
        let mut ended = None;
        until("the end of the other server", || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        (ended.unwrap(), fs::read_to_string(log).unwrap())
    }

    /// A command of connectord's, such as `keys rotate`, with the server's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.folder.path(), &self.variables, &log_path(self.folder.path()));
        command.args(arguments);
        command
    }

    async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of connectord", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Server {
    #[expect(clippy::print_stdout, reason = "the report of a failed test")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- what connectord said:\n{}", self.log());
        }
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("connectord.log")
}

fn command(folder: &Path, variables: &[(String, String)], log: &Path) -> Command {
    let log: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
    let mut command = Command::new(binaries::connectord());
    command.env_clear();
    for name in ["PATH", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
        // The first free port; nothing else may listen there while the server is down.
        .env("CONNECTORD_SERVER__CONTROL_LISTEN", "127.0.0.1:0")
        .env("CONNECTORD_SERVER__PUBLIC_LISTEN", "127.0.0.1:0")
        .env("CONNECTORD_SYNC__RETRY_BACKOFF_INITIAL", "10ms")
        .env("CONNECTORD_SYNC__RETRY_BACKOFF_MAX", "100ms")
        .env("CONNECTORD_SYNC__SCHEDULE_POLL", "50ms")
        .env("CONNECTORD_PROCESS__RESTART_BACKOFF_INITIAL", "10ms")
        .env("CONNECTORD_PROCESS__RESTART_BACKOFF_MAX", "100ms")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .arg("--data-dir")
        .arg(folder.join("data"))
        .arg("--connectors-dir")
        .arg(folder.join("connectors"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command
}

async fn launch(folder: &Path, variables: &[(String, String)]) -> (Child, Client) {
    let log = log_path(folder);
    let before = fs::metadata(&log).map_or(0, |log| log.len() as usize);
    let mut child = command(folder, variables, &log).spawn().unwrap();
    let mut address = None;
    until("connectord is serving", || {
        let said = fs::read_to_string(&log).unwrap();
        let said = &said[before..];
        if let Some(status) = child.try_wait().unwrap() {
            panic!("connectord ended with {status}:\n{said}");
        }
        address = said
            .lines()
            .find(|line| line.contains("connectord is serving"))
            // As text or as JSON.
            .and_then(|line| line.split_once("address"))
            .map(|(_, rest)| rest.trim_start_matches(|letter: char| !letter.is_ascii_digit()))
            .and_then(|rest| rest.split([' ', '"', '\n']).next().map(str::to_owned));
        address.is_some()
    })
    .await;
    let token = variables.iter().find(|(name, _)| name == "CONNECTORD_SERVER__TOKEN");
    let client = Client::new(&address.unwrap(), token.map(|(_, token)| token.clone()));
    (child, client)
}
