//! A server on a free port, and the binary run against it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_stream::wrappers::TcpListenerStream;

use crate::fake::Fake;

/// The id of the only connection, named "docs".
pub const CONNECTION: &str = "0197f3a0-0000-7000-8000-000000000001";

/// The id of the only run.
pub const RUN: &str = "0197f3a0-0000-7000-8000-0000000000aa";

/// A server that is up; it goes down with the test.
pub struct Server {
    /// Where it listens.
    pub url: String,
    /// What it answers, and what it was asked.
    pub fake: Arc<Fake>,
}

impl Server {
    /// Serves `fake` on a free port.
    pub async fn start(fake: Fake) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Arc::new(fake);
        let routes = Fake::routes(&fake).await;
        tokio::spawn(routes.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url, fake }
    }

    /// The command line, words apart by spaces, against this server.
    pub fn command(&self, line: &str) -> Command {
        command(&self.url, line)
    }

    /// Runs the command line to its end.
    pub async fn run(&self, line: &str) -> Ran {
        Ran::of(self.command(line)).await
    }
}

/// The command line against the server at `url`, with nothing of the environment that changes what it does.
pub fn command(url: &str, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connectorctl"));
    command.args(["--server", url]).args(line.split(' '));
    for name in ["TOKEN", "SERVER", "ORGANIZATION", "CA_FILE", "CLIENT_CERT", "CLIENT_KEY"] {
        command.env_remove(format!("CONNECTORCTL_{name}"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Puts the program of the Rust template into a folder, where its manifest wants it.
pub fn template_program(folder: &Path) {
    // Cargo builds examples before it runs integration tests, beside the folder of this test's binary.
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/template-connector");
    let release = folder.join("target/release");
    std::fs::create_dir_all(&release).unwrap();
    std::os::unix::fs::symlink(program, release.join("connector")).unwrap();
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// What was on stdout.
    pub out: String,
    /// What was on stderr.
    pub err: String,
}

impl Ran {
    /// Runs a command to its end.
    pub async fn of(mut command: Command) -> Self {
        let Output { status, stdout, stderr } = command.output().await.unwrap();
        Self {
            code: status.code().expect("it ended by itself"),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// The lines of stdout as JSON.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
