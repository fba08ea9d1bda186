//! Servers that we did not write, and a browser that drives them: npm packages of `server/oauth/tests/oidc-provider`,
//! installed once, as their lock file pins them. They need Node; where there is none, whoever asks for them is told so.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

const SCRIPTS: [&str; 3] = ["provider.mjs", "mock.mjs", "browser.mjs"];

/// A server that ends with its standard input, and so with the test.
#[derive(Debug)]
pub struct NodeServer {
    port: u16,
    _child: Child,
}

impl NodeServer {
    /// Starts a script with these variables; `None`: there is no Node on this machine. Packages are installed under `folder`,
    /// which outlives the test.
    ///
    /// # Panics
    ///
    /// If the script does not say its port.
    pub async fn start(script: &str, variables: &[(&str, &str)], folder: &str) -> Option<Self> {
        let mut child =
            node(script, folder).await?.envs(variables.iter().copied()).spawn().expect("node starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was asked for");
        BufReader::new(stdout).read_line(&mut line).await.expect("a line of a script");
        let port = line.trim().parse();
        let port = port
            .unwrap_or_else(|_| panic!("{script} did not start: run it by hand in {folder}/oidc-provider"));
        Some(Self { port, _child: child })
    }

    /// The address of a path, such as `/token`.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// A script that can be started, with pipes, and killed when it is dropped; `None`: there is no Node on this machine.
pub async fn node(script: &str, folder: &str) -> Option<Command> {
    static INSTALLED: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    let folder = INSTALLED.get_or_init(|| install(folder)).await.as_ref()?;
    let mut command = Command::new("node");
    command.arg(script).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    Some(command)
}

/// A headless Chromium of this machine; `None`: there is none.
#[expect(clippy::print_stderr, reason = "whoever runs the tests has to see what was left out")]
pub fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)))
        .find(|program| program.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: no Chromium is on this machine, so nothing is proved with a real browser");
    }
    found
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests has to see what was left out")]
async fn install(folder: &str) -> Option<PathBuf> {
    for program in ["node", "npm"] {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().await;
        if !found.is_ok_and(|status| status.success()) {
            eprintln!(
                "SKIPPED: {program} is not on this machine, so nothing is proved against servers of others"
            );
            return None;
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oidc-provider");
    let folder = Path::new(folder).join("oidc-provider");
    let installed = tokio::task::spawn_blocking(move || install_in(&source, folder)).await;
    Some(installed.expect("the packages are installed"))
}

fn install_in(source: &Path, folder: PathBuf) -> PathBuf {
    std::fs::create_dir_all(&folder).expect("a folder for packages");
    // Another test program may be doing the same.
    let lock = std::fs::File::create(folder.join("lock")).expect("a lock");
    lock.lock().expect("the lock");
    for file in ["package.json"].iter().chain(&SCRIPTS) {
        // A script that another test is reading is never half of one.
        let draft = folder.join(format!("{file}.new"));
        std::fs::copy(source.join(file), &draft).expect("a file of the tests");
        std::fs::rename(draft, folder.join(file)).expect("its place");
    }
    let wanted = std::fs::read(source.join("package-lock.json")).expect("the lock file");
    let installed = folder.join("installed.json");
    if std::fs::read(&installed).ok().as_ref() != Some(&wanted) {
        std::fs::write(folder.join("package-lock.json"), &wanted).expect("the lock file's place");
        let output = std::process::Command::new("npm")
            .args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .output()
            .expect("npm starts");
        assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(&installed, &wanted).expect("a note of what is installed");
    }
    folder
}
