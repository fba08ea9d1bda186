//! `make bench`: measures, prints a table, and fails where a target is missed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use superfasttt_bench::cluster::Cluster;
use superfasttt_bench::connectord::Programs;
use superfasttt_bench::database::Database;
use superfasttt_bench::machine::Machine;
use superfasttt_bench::report::{Report, Skipped, note};
use superfasttt_bench::{
    claim, feed, growth, idle, ingest, languages, memory, peers, postgres, refresh, replicas, start,
    unchanged, vault,
};

/// Measures connectord against the bare limit of the machine it runs on.
#[derive(Debug, Parser)]
#[command(name = "superfasttt-bench", version)]
struct Args {
    /// What to measure; everything, where nothing is named
    #[arg(value_enum)]
    figures: Vec<Figure>,

    /// On which store, of the figures that are about both
    #[arg(long, value_enum, default_value = "both")]
    store: Stores,

    /// How many documents, instead of 200,000 (memory: 1,000,000 against a tenth of them; growth: 1,000,000)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    documents: Option<u64>,

    /// How many connections: claim instead of 1,000,000, idle instead of 10,000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    connections: Option<u64>,

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
    /// Documents into the feed, against a bulk upsert of the same rows
    Ingest,
    /// A full pull of unchanged documents, against a stream of the same messages
    Unchanged,
    /// The feed to a client, against a stream of the same messages
    Feed,
    /// Documents from a connector in each language, against the slower of a bare stream in it and a bulk upsert
    Languages,
    /// Documents from the Python and the Rust SDK, against the same records through Airbyte's and Singer's
    Peers,
    /// Incremental runs that find nothing, against the same as tasks of Celery
    Idle,
    /// One claim with a million connections, against one with a thousand
    Claim,
    /// A change of a thousand documents of many, against one of few
    Growth,
    /// Two replicas on one PostgreSQL, against one
    Replicas,
    /// Peak memory of many documents against few
    Memory,
    /// From the start of the process to SERVING
    Start,
    /// Secrets sealed and opened, against bare AES-256-GCM
    Vault,
    /// Ten thousand access tokens that are due at once, against bare calls to their provider
    Refresh,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Stores {
    /// Both
    Both,
    /// SQLite alone
    Sqlite,
    /// PostgreSQL alone
    Postgres,
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
    let wants = |figure| args.figures.is_empty() || args.figures.contains(&figure);
    let documents = args.documents.unwrap_or(200_000);
    let repetitions = args.repetitions.into();
    let machine = Machine::this();
    let mut report = Report {
        date: args.date.clone(),
        machine,
        ratios: Vec::new(),
        growths: Vec::new(),
        skipped: Vec::new(),
        memory: None,
        start: None,
    };
    let sqlite = args.store != Stores::Postgres;
    if wants(Figure::Ingest) && sqlite {
        report.ratios.push(ingest::measure(&programs, documents, repetitions).await?);
    }
    if wants(Figure::Unchanged) {
        report.ratios.push(unchanged::measure(&programs, documents, repetitions).await?);
    }
    if wants(Figure::Feed) {
        report.ratios.push(feed::measure(&programs, documents, repetitions).await?);
    }
    if wants(Figure::Languages) && sqlite {
        let (ratios, skipped) = languages::measure(&programs, documents, repetitions).await?;
        report.ratios.extend(ratios);
        report.skipped.extend(skipped);
    }
    if wants(Figure::Peers) && sqlite {
        match peers::measure(&programs, documents, repetitions).await? {
            Ok(ratios) => report.ratios.extend(ratios),
            Err(skipped) => report.skipped.push(skipped),
        }
    }
    let connections = args.connections.unwrap_or(1_000_000);
    if wants(Figure::Claim) && sqlite {
        report.growths.extend(claim::measure_sqlite(&programs, connections).await?);
    }
    let held = args.documents.unwrap_or(1_000_000);
    if wants(Figure::Growth) && sqlite {
        report.growths.push(growth::measure(&programs, held, None).await?);
    }
    if [Figure::Ingest, Figure::Idle, Figure::Claim, Figure::Growth, Figure::Replicas].into_iter().any(wants)
    {
        with_postgres(args, &programs, &mut report).await?;
    }
    if wants(Figure::Memory) {
        report.memory = Some(memory::measure(&programs, args.documents.unwrap_or(1_000_000)).await?);
    }
    if wants(Figure::Vault) {
        report.ratios.extend(vault::measure(repetitions).await?);
    }
    if wants(Figure::Refresh) {
        report.ratios.push(refresh::measure(repetitions).await?);
    }
    if wants(Figure::Start) {
        report.start = Some(start::measure(&programs).await?);
    }
    Ok(report)
}

/// The figures that need PostgreSQL, on either side.
async fn with_postgres(args: &Args, programs: &Programs, report: &mut Report) -> anyhow::Result<()> {
    let wants = |figure| args.figures.is_empty() || args.figures.contains(&figure);
    let repetitions = args.repetitions.into();
    let cluster = match postgres::start() {
        Ok(cluster) => cluster,
        Err(missing) => {
            report.skipped.push(Skipped::new("everything on PostgreSQL, and idle syncs", missing));
            return Ok(());
        }
    };
    if wants(Figure::Idle) {
        let connections = args.connections.unwrap_or(10_000).try_into()?;
        let stores = (args.store != Stores::Postgres, args.store != Stores::Sqlite);
        match idle::measure(programs, &cluster, stores, connections, repetitions).await? {
            Ok(ratios) => report.ratios.extend(ratios),
            Err(skipped) => report.skipped.push(skipped),
        }
    }
    if args.store == Stores::Sqlite {
        return Ok(());
    }
    if wants(Figure::Ingest) {
        let documents = args.documents.unwrap_or(200_000);
        let ratio = ingest::measure_postgres(programs, &cluster, documents, repetitions).await?;
        report.ratios.push(ratio);
    }
    if wants(Figure::Claim) {
        let connections = args.connections.unwrap_or(1_000_000);
        report.growths.extend(claim::measure_postgres(&cluster, connections).await?);
    }
    if wants(Figure::Growth) {
        let databases = [growth_database(&cluster, "few").await?, growth_database(&cluster, "many").await?];
        let documents = args.documents.unwrap_or(1_000_000);
        report.growths.push(growth::measure(programs, documents, Some(databases)).await?);
    }
    if wants(Figure::Replicas) {
        report.ratios.push(replicas::measure(programs, &cluster, repetitions).await?);
    }
    Ok(())
}

async fn growth_database(cluster: &Cluster, name: &str) -> anyhow::Result<Database> {
    Ok(Database::Postgres(postgres::create(cluster, name).await?))
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
