//! What came of it: for people in words, for programs as JSON, for build servers as JUnit.

use std::fmt::Write as _;

use serde::Serialize;

use crate::junit;
use crate::outcome::Outcome;
use crate::run::Options;
use crate::workbench::Workbench;
use superfasttt_conformance_proof::Level;

/// How one check ended.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Its name, as `docs/conformance.md` lists it.
    pub name: &'static str,
    /// The level that it belongs to.
    pub level: Level,
    /// What it checks.
    pub title: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
}

/// How a connector did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The connector's id.
    pub connector: String,
    /// The revision of the contract that the kit speaks.
    pub contract_revision: u32,
    /// The level that was wanted.
    pub wanted: Level,
    /// The level that was reached; none, also where only some checks were tried.
    pub level: Option<Level>,
    /// Whether everything that was tried holds, up to the level that was wanted.
    pub passed: bool,
    /// What the boundaries were chosen by.
    pub seed: u64,
    /// Each check, in the order in which they were tried.
    pub checks: Vec<CheckReport>,
}

impl Report {
    pub(crate) fn new(bench: &Workbench, options: &Options, checks: Vec<CheckReport>) -> Self {
        let holds = |level: &Level| {
            checks.iter().filter(|check| check.level <= *level).all(|check| check.outcome.holds())
        };
        let tried = Level::ALL.into_iter().filter(|level| *level <= options.level);
        let level = if options.only.is_empty() { tried.take_while(holds).last() } else { None };
        Self {
            connector: bench.manifest.id.clone(),
            contract_revision: superfasttt_proto::CONTRACT_REVISION,
            wanted: options.level,
            level,
            passed: checks.iter().all(|check| check.outcome.holds()),
            seed: options.seed,
            checks,
        }
    }

    /// The report as JUnit XML.
    pub fn to_junit(&self) -> String {
        junit::of(self)
    }

    /// The last line for a person.
    pub fn summary(&self) -> String {
        let count = |word: &str| self.checks.iter().filter(|check| check.outcome.as_str() == word).count();
        let counts = format!(
            "{} passed, {} failed, {} not tried, {} not applicable",
            count("passed"),
            count("failed"),
            count("not tried"),
            count("not applicable")
        );
        let level = match self.level {
            Some(level) => format!("{} reaches level {} ({level}) of 3", self.connector, level.number()),
            None if self.passed => format!("{} passed what was tried", self.connector),
            None => format!("{} reaches no level", self.connector),
        };
        format!("{level}: {counts}")
    }
}

impl CheckReport {
    /// The check for a person: a line, and what is wrong below it.
    pub fn to_text(&self) -> String {
        let mark = match &self.outcome {
            Outcome::Passed { .. } => "ok",
            Outcome::Failed { .. } => "FAILED",
            Outcome::NotApplicable { .. } => "-",
            Outcome::NotTried { .. } => "?",
        };
        let mut text = format!("{} {:<16} {mark:<7} {}", self.level.number(), self.name, self.title);
        // Writing to a string cannot fail.
        let _ = match &self.outcome {
            Outcome::Passed { detail } if detail.is_empty() => Ok(()),
            Outcome::Passed { detail } => write!(text, ": {detail}"),
            Outcome::NotApplicable { reason } => write!(text, ": not applicable, {reason}"),
            Outcome::NotTried { reason } => write!(text, ": not tried, {reason}"),
            Outcome::Failed { findings } => findings.iter().enumerate().try_for_each(|(number, finding)| {
                write!(text, "\n    seen:     {}", finding.seen)?;
                // Said once for several of the kind.
                let next = findings.get(number + 1);
                if next.is_some_and(|next| next.contract == finding.contract && next.fix == finding.fix) {
                    return Ok(());
                }
                write!(text, "\n    contract: {}\n    mend:     {}", finding.contract, finding.fix)
            }),
        };
        text
    }
}
