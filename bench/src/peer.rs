//! The other sides of *peers*: the same records through a source of the Airbyte Python CDK and through a tap of
//! `singer-sdk`, each into a local target that is usual for it (`peers/`).
//!
//! - **Airbyte**: PyAirbyte, which runs the source as a process and writes into its cache, a DuckDB file. It is Airbyte's
//!   own way without its platform, whose destinations are containers.
//! - **Singer**: the tap's output through a pipe into `target-jsonl`, the most downloaded local target and the fastest of
//!   those that still run (`target-duckdb` and `meltanolabs-target-csv` took 1.5 and 2.5 times its processor time,
//!   `target-sqlite` does not start on Python 3.10 and newer). It never syncs its file, so we do that at the end: one
//!   `fsync` for all records is the least that makes them durable.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::{Child, Command};

use crate::connectord::Programs;
use crate::venv;

/// Where the scripts lie, and what makes the records of both.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../connector-sdk/python/bench");

/// A program that does the same as connectord with a connector, as far as it does.
#[derive(Debug)]
pub enum Peer {
    /// PyAirbyte: its Python.
    Airbyte(PathBuf),
    /// A Singer tap and its target: the Python of the first, and the second.
    Singer(PathBuf, PathBuf),
}

impl Peer {
    /// Installs PyAirbyte beside the programs.
    ///
    /// # Errors
    /// Where pip does.
    pub async fn airbyte(programs: &Programs) -> anyhow::Result<Self> {
        let requirements = include_str!("../peers/requirements-airbyte.txt");
        let bin = venv::install(&programs.folder, "bench-airbyte", requirements).await?;
        Ok(Self::Airbyte(bin.join("python")))
    }

    /// Installs the tap and the target beside the programs.
    ///
    /// # Errors
    /// Where pip does.
    pub async fn singer(programs: &Programs) -> anyhow::Result<Self> {
        let requirements = include_str!("../peers/requirements-singer.txt");
        let tap = venv::install(&programs.folder, "bench-singer", requirements).await?;
        let requirements = include_str!("../peers/requirements-singer-target.txt");
        let target = venv::install(&programs.folder, "bench-singer-target", requirements).await?;
        Ok(Self::Singer(tap.join("python"), target.join("target-jsonl")))
    }

    /// What people call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Airbyte(_) => "Airbyte",
            Self::Singer(..) => "Singer",
        }
    }

    /// Writes so many records into its target, in a folder that is there and empty. Gives the time from the first record
    /// until all are durable and the programs have ended.
    ///
    /// # Errors
    /// Where a program fails, or does not write them all.
    pub async fn sync(&self, folder: &Path, documents: u64) -> anyhow::Result<Duration> {
        nix::unistd::sync();
        let began = folder.join("began");
        match self {
            Self::Airbyte(python) => airbyte(python, folder, documents).await?,
            Self::Singer(python, target) => singer(python, target, folder, documents).await?,
        }
        let modified = std::fs::metadata(began).context("no record was made")?.modified()?;
        let took = modified.elapsed()?;
        if let Self::Singer(..) = self {
            let lines = std::fs::read_to_string(singer_file(folder))?.lines().count() as u64;
            ensure!(lines == documents, "{documents} records are {lines} lines");
        }
        Ok(took)
    }
}

/// `airbyte_sync.py` says itself whether all records came.
async fn airbyte(python: &Path, folder: &Path, documents: u64) -> anyhow::Result<()> {
    // PyAirbyte starts a program by its name alone.
    let source = folder.join("source-documents");
    let script = format!("#!/bin/sh\nexec '{}' '{SCRIPTS}/airbyte_source.py' \"$@\"\n", python.display());
    std::fs::write(&source, script)?;
    std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o700))?;
    let mut sync = command(python, folder);
    sync.arg(format!("{SCRIPTS}/airbyte_sync.py")).arg(&source).arg(folder).arg(documents.to_string());
    ended("PyAirbyte", sync.spawn()?, folder).await
}

async fn singer(python: &Path, target: &Path, folder: &Path, documents: u64) -> anyhow::Result<()> {
    let write = |name: &str, config: serde_json::Value| {
        let path = folder.join(name);
        std::fs::write(&path, config.to_string()).map(|()| path)
    };
    let of_tap = serde_json::json!({"documents": documents, "began": folder.join("began")});
    let of_target = serde_json::json!({"destination_path": folder, "do_timestamp_file": false});
    let mut tap = command(python, folder);
    tap.arg(format!("{SCRIPTS}/singer_tap.py")).arg("--config").arg(write("tap.json", of_tap)?);
    let mut tap = tap.stdout(Stdio::piped()).spawn()?;
    let records: Stdio = tap.stdout.take().context("its stdout is a pipe")?.try_into()?;
    let mut into = command(target, folder);
    into.arg("--config").arg(write("target.json", of_target)?);
    let into = into.stdin(records).spawn()?;
    tokio::try_join!(ended("the tap", tap, folder), ended("the target", into, folder))?;
    std::fs::File::open(singer_file(folder))?.sync_all()?;
    Ok(())
}

fn singer_file(folder: &Path) -> PathBuf {
    folder.join("documents.jsonl")
}

fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("PYTHONPATH", format!("{SCRIPTS}:{RECORDS}"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // PyAirbyte tells nobody of this, and puts its files here.
        .env("AIRBYTE_OFFLINE_MODE", "1")
        .env("DO_NOT_TRACK", "1")
        .env("AIRBYTE_PROJECT_DIR", folder)
        .env("TMPDIR", folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log(folder).map_or_else(|_| Stdio::null(), Stdio::from))
        .kill_on_drop(true);
    command
}

fn log(folder: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log"))
}

async fn ended(name: &str, mut process: Child, folder: &Path) -> anyhow::Result<()> {
    let status = process.wait().await?;
    ensure!(
        status.success(),
        "{name} ended with {status}: {}",
        std::fs::read_to_string(folder.join("log")).unwrap_or_default().trim()
    );
    Ok(())
}
