//! `conformance`: proves a connector, in any language, against the contract. Everything that it knows is in the library
//! `superfasttt-conformance`; no server is needed.

use std::path::{Path, PathBuf};

use serde_json::Value;
use superfasttt_conformance::{
    Endpoint, Level, Options, Report, Target, TargetError, checks, run as try_all,
};

use crate::error::{Error, Result};
use crate::local_input::LocalInput;
use crate::output::text::printable_lines;
use crate::output::{Output, note};
use crate::trust;

const EXAMPLES: &str = "\
What the connector is tried with stands in conformance.json in its folder: settings, credential, a program that is its source, \
changes to make there. docs/conformance.md has all of it, and what each check wants.

Levels: 1 serves (it starts and says who it is), 2 syncs (what it sends is valid, also when it is cut off), 3 survives (killed, \
cancelled, used by many, used for long).

Examples:
  connectorctl conformance connectors/notes
  connectorctl conformance connectors/notes --level syncs --set file=/tmp/notes.txt
  connectorctl conformance . --only cut --exhaustive
  connectorctl conformance . --junit report.xml --output json
  CONNECTOR_TOKEN=… connectorctl conformance https://crm.internal:7443 --ca-file ca.pem --plan conformance.json

Exit codes: 0 the level is reached, 1 it is not, 2 usage.";

/// What is tried, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A connector's folder, or the address of one that runs: http://HOST:PORT, https://HOST:PORT, unix:///PATH
    #[arg(value_name = "PATH|URL", required_unless_present = "list")]
    target: Option<String>,
    /// The level that has to be reached: serves, syncs or survives, or its number
    #[arg(long, default_value = "survives")]
    level: Level,
    /// Only this check, and what it needs; may be given several times
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
    /// Kill and cut at every boundary, however many there are
    #[arg(long)]
    exhaustive: bool,
    /// Chooses the boundaries where not all are tried
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What it is tried with, if not conformance.json in its folder
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    input: LocalInput,
    /// Answer from a recording of the connector's HTTP traffic, instead of its source
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// For an address: the variable of the environment that holds the connector's token
    #[arg(long, value_name = "NAME", default_value = "CONNECTOR_TOKEN")]
    token_env: String,
    /// Write the report as JUnit XML as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Keep the level that was reached in the folder, as conformance-report.json, for connectord to read
    #[arg(long, conflicts_with = "only")]
    write: bool,
    /// List the checks
    #[arg(long, conflicts_with = "target")]
    list: bool,
}

/// How an address is reached: what the options for connectord say serves a connector too.
pub struct Trust {
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// `conformance PATH|URL`.
pub async fn run(args: Args, trust: &Trust, out: &mut Output) -> Result<()> {
    let Some(target) = &args.target else { return list(out) };
    let options = options(&args)?;
    let target = read_target(target, &args.token_env, trust)?;
    let told_as_it_comes = !out.is_json();
    let mut printed = Ok(());
    let told = |check: &superfasttt_conformance::CheckReport| {
        if told_as_it_comes && printed.is_ok() {
            printed = out.line(&printable_lines(&check.to_text())).and_then(|()| out.flush());
        }
    };
    let report = try_all(target, &options, told).await.map_err(refused)?;
    printed?;
    print(&report, out)?;
    if let Some(file) = &args.junit {
        std::fs::write(file, report.to_junit())
            .map_err(|error| Error::Failed(format!("cannot write {}: {error}", file.display())))?;
    }
    if report.passed { Ok(()) } else { Err(Error::Said) }
}

fn print(report: &Report, out: &mut Output) -> Result<()> {
    if out.is_json() {
        let json = serde_json::to_string(report)
            .map_err(|error| Error::Failed(format!("the report cannot be written as JSON: {error}")))?;
        out.line(&json)?;
    } else {
        note(&report.summary());
    }
    out.flush()
}

fn list(out: &mut Output) -> Result<()> {
    for check in checks::ALL {
        out.line(&format!("{} {:<16} {}", check.level.number(), check.name, check.title))?;
    }
    out.flush()
}

fn refused(error: TargetError) -> Error {
    match error {
        TargetError::Usage(message) => Error::Usage(message),
        other => Error::Failed(other.to_string()),
    }
}

fn options(args: &Args) -> Result<Options> {
    let settings = args.input.settings(schema(args))?;
    let credential = args.input.credential()?;
    Ok(Options {
        level: args.level,
        only: args.only.clone(),
        exhaustive: args.exhaustive,
        seed: args.seed,
        plan: args.plan.clone(),
        settings,
        credential,
        write: args.write,
        replay: args.replay.clone().map(|file| std::path::absolute(&file).unwrap_or(file)),
    })
}

/// The schema of the settings, where a folder says it: what is typed is read by it.
fn schema(args: &Args) -> Option<Value> {
    let manifest = Path::new(args.target.as_ref()?).join("manifest.json");
    let mut manifest: Value = serde_json::from_str(&std::fs::read_to_string(manifest).ok()?).ok()?;
    Some(manifest["settings"].take())
}

fn read_target(target: &str, token_env: &str, trust: &Trust) -> Result<Target> {
    let Some((scheme, _)) = target.split_once("://") else { return Ok(Target::Folder(target.into())) };
    let usage =
        |error: tonic::transport::Error| Error::Usage(format!("{target:?} is not an address: {error}"));
    let mut channel = tonic::transport::Endpoint::from_shared(target.to_owned()).map_err(usage)?;
    if scheme == "https" {
        let mut tls = trust::config(trust.ca_file.as_deref())?;
        if let Some((certificate, key)) = &trust.identity {
            tls = tls.identity(trust::identity(certificate, key)?);
        }
        channel = channel.tls_config(tls).map_err(usage)?;
    }
    if scheme == "unix" {
        // The connector sees a name that it knows as its own.
        channel = channel.origin(tonic::codegen::http::Uri::from_static("http://localhost"));
    }
    let token = std::env::var(token_env).ok().filter(|token| !token.is_empty());
    Ok(Target::Running(Box::new(Endpoint { channel, token })))
}
