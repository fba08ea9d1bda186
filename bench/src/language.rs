//! The benchmark's source in each language: `source.rs` in Rust, and `connector-sdk/LANGUAGE/bench`. Each is one program
//! that is the connector, and with `bare SOCKET` the bare gRPC stream of the same documents.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Command;

use crate::connectord::Programs;
use crate::machine::find_program;
use crate::report::note;
use crate::venv::{self, succeeded};

/// Where the SDKs lie: they are built from the sources that this program was built from.
const SDKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../connector-sdk");
const PYTHON_REQUIREMENTS: &str = include_str!("../../connector-sdk/python/requirements.lock");

/// Whether Node is of the version that the SDK asks for.
const NODE_IS_NEW: &str = "const [a, b, c] = process.versions.node.split('.'); \
                           process.exit(+(a * 1e6 + b * 1e3 + +c < 20018001))";

/// One that a connector may be written in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Language {
    /// With its SDK.
    Rust,
    /// With its SDK.
    Python,
    /// With its SDK.
    TypeScript,
    /// With its SDK.
    Go,
    /// Without an SDK, around the classes of the example.
    Java,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rust, Self::Python, Self::TypeScript, Self::Go, Self::Java];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::TypeScript => "TypeScript",
            Self::Go => "Go",
            Self::Java => "Java",
        }
    }

    /// What is missing on this machine to build its program, and how to install it.
    pub fn missing(self) -> Option<String> {
        let lacks = |program| find_program(program).is_none();
        match self {
            Self::Rust => None,
            Self::Python => venv::missing(None),
            Self::TypeScript => (lacks("npm") || !venv::succeeds("node", &["-e", NODE_IS_NEW]))
                .then(|| "Node 20.18.1 or newer with npm is missing: https://nodejs.org".to_owned()),
            Self::Go => lacks("go")
                .then(|| "go is missing: install Go 1.26 or newer from https://go.dev/dl".to_owned()),
            Self::Java => (lacks("mvn") || lacks("javac")).then(|| {
                "a JDK or Maven is missing: apt-get install openjdk-17-jdk-headless maven".to_owned()
            }),
        }
    }

    /// Builds its program; gives the command that starts it.
    ///
    /// # Errors
    /// Where it cannot be built.
    pub async fn build(self, programs: &Programs) -> anyhow::Result<Vec<String>> {
        note(&format!("building the source in {}", self.name()));
        let sdks = std::fs::canonicalize(SDKS).with_context(|| format!("{SDKS} is not there"))?;
        let built = match self {
            Self::Rust => Ok(vec![text(&programs.source)]),
            Self::Python => python(programs, &sdks.join("python")).await,
            Self::TypeScript => typescript(&sdks.join("typescript")).await,
            Self::Go => go(programs, &sdks.join("go")).await,
            Self::Java => java(&sdks.join("java")).await,
        };
        built.with_context(|| format!("the source in {} cannot be built", self.name()))
    }
}

/// In a venv with the versions that the SDK's tests run with, and with the SDK itself as it lies there.
async fn python(programs: &Programs, sdk: &Path) -> anyhow::Result<Vec<String>> {
    let requirements = format!("{PYTHON_REQUIREMENTS}--editable {}\n", sdk.display());
    let bin = venv::install(&programs.folder, "bench-python", &requirements).await?;
    Ok(vec![text(&bin.join("python")), text(&sdk.join("bench/source.py"))])
}

async fn typescript(sdk: &Path) -> anyhow::Result<Vec<String>> {
    run(sdk, "npm", &["ci", "--no-audit", "--no-fund"]).await?;
    run(sdk, "npm", &["run", "build:bench"]).await?;
    Ok(vec!["node".to_owned(), text(&sdk.join("build/bench/source.js"))])
}

async fn go(programs: &Programs, sdk: &Path) -> anyhow::Result<Vec<String>> {
    let program = text(&programs.folder.join("bench-go"));
    run(sdk, "go", &["build", "-o", &program, "./bench"]).await?;
    Ok(vec![program])
}

/// The example's own classes, and those of the benchmark beside them; its memory is what the example's manifest says.
async fn java(example: &Path) -> anyhow::Result<Vec<String>> {
    run(example, "mvn", &["--batch-mode", "--quiet", "-DskipTests", "package"]).await?;
    let (connector, classes) = (text(&example.join("target/connector")), text(&example.join("target/bench")));
    let libraries = format!("{connector}/connector.jar:{connector}/lib/*");
    let sources = ["Source", "Bare", "Documents"].map(|class| format!("bench/{class}.java"));
    let mut arguments = vec!["-d", &classes, "-cp", &libraries];
    arguments.extend(sources.iter().map(String::as_str));
    run(example, "javac", &arguments).await?;
    let start =
        ["java", "-Xmx256m", "-cp", &format!("{classes}:{libraries}"), "com.superfasttt.tracker.Source"];
    Ok(start.map(str::to_owned).to_vec())
}

async fn run(folder: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    succeeded(command.output().await.with_context(|| format!("{program} cannot be started"))?)
}

fn text(path: &Path) -> String {
    PathBuf::from(path).to_string_lossy().into_owned()
}
