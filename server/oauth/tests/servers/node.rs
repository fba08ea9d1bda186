//! Starts a server of `tests/oidc-provider`, whose packages are installed once, as its lock file pins them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::support::{CLIENT_SECRET, REDIRECT_URI};

/// A server that ends with its standard input, and so with the test.
pub struct NodeServer {
    port: u16,
    _child: Child,
}

impl NodeServer {
    /// Starts a script; `None`: there is no Node on this machine.
    pub async fn start(script: &str) -> Option<Self> {
        static INSTALLED: OnceCell<Option<PathBuf>> = OnceCell::const_new();
        let folder = INSTALLED.get_or_init(install).await.as_ref()?;
        let mut child = Command::new("node")
            .arg(script)
            .current_dir(folder)
            .env("CLIENT_SECRET", CLIENT_SECRET)
            .env("REDIRECT_URI", REDIRECT_URI)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        let port = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("{script} did not start: run it by hand in {folder:?}"));
        Some(Self { port, _child: child })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests has to see what was left out")]
async fn install() -> Option<PathBuf> {
    for program in ["node", "npm"] {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().await;
        if !found.is_ok_and(|status| status.success()) {
            eprintln!(
                "SKIPPED: {program} is not on this machine, so nothing is proved against servers of others"
            );
            return None;
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc-provider");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc-provider");
    std::fs::create_dir_all(&folder).unwrap();
    // Another run of these tests may be doing the same.
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.unwrap().unwrap();
    for file in ["package.json", "provider.mjs", "mock.mjs"] {
        std::fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    let wanted = std::fs::read(source.join("package-lock.json")).unwrap();
    let installed = folder.join("installed.json");
    if std::fs::read(&installed).ok().as_ref() != Some(&wanted) {
        std::fs::write(folder.join("package-lock.json"), &wanted).unwrap();
        let output = Command::new("npm")
            .args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(&installed, &wanted).unwrap();
    }
    drop(lock);
    Some(folder)
}
