//! Tries the checks one after another.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::checks;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::report::{CheckReport, Report};
use crate::target::{Target, TargetError};
use crate::workbench::Workbench;
use superfasttt_conformance_proof::{Level, PROOF_FILE};

/// How a connector is tried.
#[derive(Clone, Debug)]
pub struct Options {
    /// The level that is wanted; checks above it are left out.
    pub level: Level,
    /// Only these checks, and what they need. Empty: all.
    pub only: Vec<String>,
    /// Whether the process is killed at every boundary, however many there are.
    pub exhaustive: bool,
    /// Chooses the boundaries where not all are tried, so that a run can be had again.
    pub seed: u64,
    /// The plan, if it is not `conformance.json` in the folder.
    pub plan: Option<PathBuf>,
    /// Settings that win over those of the plan, key by key.
    pub settings: Map<String, Value>,
    /// A credential that wins over the plan's: a JSON object of its values, or the one value that is secret.
    pub credential: Option<String>,
    /// Whether the folder keeps what was reached, for connectord to read.
    pub write: bool,
    /// A recording that wins over the plan's. Relative to the connector's folder.
    pub replay: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: Level::Survives,
            only: Vec::new(),
            exhaustive: false,
            seed: 1,
            plan: None,
            settings: Map::new(),
            credential: None,
            replay: None,
            write: false,
        }
    }
}

impl Options {
    pub(crate) fn apply(&self, plan: &mut Plan) {
        plan.settings.extend(self.settings.clone());
        if let Some(replay) = &self.replay {
            plan.replay = Some(replay.clone());
        }
    }
}

/// Tries a connector, and tells each check as it ends.
///
/// It needs a runtime whose threads live as long as the call: the kernel ends what a thread started when that ends.
///
/// # Errors
///
/// There is nothing to try, or nothing to try it with.
pub async fn run(
    target: Target,
    options: &Options,
    mut told: impl FnMut(&CheckReport),
) -> Result<Report, TargetError> {
    if let Some(unknown) =
        options.only.iter().find(|name| checks::ALL.iter().all(|check| check.name != **name))
    {
        return Err(TargetError::Usage(format!("there is no check {unknown:?}")));
    }
    let chosen = chosen(options);
    let mut bench = Workbench::set_up(target, options).await?;
    let mut reports: Vec<CheckReport> = Vec::new();
    for check in checks::ALL.iter().filter(|check| chosen.contains(check.name)) {
        let began = Instant::now();
        let needed = check
            .needs
            .iter()
            .find(|needed| reports.iter().any(|report| report.name == **needed && !report.outcome.holds()));
        let outcome = match needed {
            Some(needed) => Outcome::not_tried(format!("it needs the check `{needed}`, which did not hold")),
            None => match (check.run)(&mut bench).await {
                Ok(outcome) | Err(outcome) => outcome,
            },
        };
        let report = CheckReport {
            name: check.name,
            level: check.level,
            title: check.title,
            outcome,
            seconds: began.elapsed().as_secs_f64(),
        };
        told(&report);
        reports.push(report);
    }
    let report = Report::new(&bench, options, reports);
    if options.write {
        bench
            .keep_proof(report.level)
            .map_err(|error| TargetError::Source(format!("{PROOF_FILE} cannot be written: {error}")))?;
    }
    Ok(report)
}

/// The names of the checks that are tried.
fn chosen(options: &Options) -> BTreeSet<&'static str> {
    let wanted = |check: &&checks::Check| {
        check.level <= options.level
            && (options.only.is_empty() || options.only.iter().any(|name| name == check.name))
    };
    let mut chosen: BTreeSet<&str> = checks::ALL.iter().filter(wanted).map(|check| check.name).collect();
    // A check stands behind all that it needs, so one way back is enough.
    for check in checks::ALL.iter().rev() {
        if chosen.contains(check.name) {
            chosen.extend(check.needs);
        }
    }
    chosen
}
