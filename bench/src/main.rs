//! `make bench`: measures, prints a table, and fails where a target is missed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use superfasttt_bench::connectord::Programs;
use superfasttt_bench::machine::Machine;
use superfasttt_bench::report::{Report, note};
use superfasttt_bench::{feed, ingest, memory, start, unchanged};

/// Measures connectord against the bare limit of the machine it runs on.
#[derive(Debug, Parser)]
#[command(name = "superfasttt-bench", version)]
struct Args {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    figure: Figure,

    /// How many documents, instead of 200,000 (memory: 1,000,000 against a tenth of them)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    documents: Option<u64>,

    /// How often each ratio is measured; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    repetitions: u8,

    /// Write the report as JSON to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// The connectord to measure [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    connectord: Option<PathBuf>,

    /// The day to note in the report
    #[arg(long)]
    date: Option<String>,

    /// Only report: succeed even where a target is missed
    #[arg(long)]
    no_check: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Figure {
    /// Every figure
    All,
    /// Documents into the feed, against a bulk upsert of the same rows
    Ingest,
    /// A full pull of unchanged documents, against a stream of the same messages
    Unchanged,
    /// The feed to a client, against a stream of the same messages
    Feed,
    /// Peak memory of many documents against few
    Memory,
    /// From the start of the process to SERVING
    Start,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let measured = tokio::runtime::Runtime::new().context("no runtime").and_then(|runtime| {
        runtime.block_on(async {
            // Dropping what is measured stops its processes and removes its folders.
            tokio::select! {
                report = measure(&args) => report.map(Some),
                _ = tokio::signal::ctrl_c() => Ok(None),
            }
        })
    });
    match measured.and_then(|report| report.map(|report| tell(&args, &report)).transpose()) {
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => ExitCode::FAILURE,
        Ok(None) => ExitCode::from(130),
        Err(error) => {
            note(&format!("superfasttt-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> anyhow::Result<Report> {
    let programs = Programs::find(args.connectord.clone())?;
    let wants = |figure| args.figure == Figure::All || args.figure == figure;
    let documents = args.documents.unwrap_or(200_000);
    let repetitions = args.repetitions.into();
    let machine = Machine::this();
    let mut report =
        Report { date: args.date.clone(), machine, ratios: Vec::new(), memory: None, start: None };
    if wants(Figure::Ingest) {
        report.ratios.push(ingest::measure(&programs, documents, repetitions).await?);
    }
    if wants(Figure::Unchanged) {
        report.ratios.push(unchanged::measure(&programs, documents, repetitions).await?);
    }
    if wants(Figure::Feed) {
        report.ratios.push(feed::measure(&programs, documents, repetitions).await?);
    }
    if wants(Figure::Memory) {
        report.memory = Some(memory::measure(&programs, args.documents.unwrap_or(1_000_000)).await?);
    }
    if wants(Figure::Start) {
        report.start = Some(start::measure(&programs).await?);
    }
    Ok(report)
}

/// Gives out the report; says whether the process succeeds.
fn tell(args: &Args, report: &Report) -> anyhow::Result<bool> {
    write!(std::io::stdout(), "{}", report.table())?;
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(report)? + "\n";
        std::fs::write(path, json).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(args.no_check || report.reached())
}
