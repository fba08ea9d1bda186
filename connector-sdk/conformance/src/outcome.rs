//! How a check ended.

use std::collections::HashSet;

use serde::Serialize;

/// What is wrong: what was seen, what the contract says, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What the connector did.
    pub seen: String,
    /// The sentence that it breaks, and where that stands.
    pub contract: &'static str,
    /// What its author can do.
    pub fix: String,
}

impl Finding {
    /// A finding.
    pub fn new(seen: impl Into<String>, contract: &'static str, fix: impl Into<String>) -> Self {
        Self { seen: seen.into(), contract, fix: fix.into() }
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Nothing wrong was seen.
    Passed {
        /// What was tried, in numbers.
        detail: String,
    },
    /// Something is wrong.
    Failed {
        /// What.
        findings: Vec<Finding>,
    },
    /// The connector does not promise what is checked here.
    NotApplicable {
        /// Why.
        reason: String,
    },
    /// It could not be tried, so nothing is known. The level is not reached.
    NotTried {
        /// What is missing, and where to give it.
        reason: String,
    },
}

/// What a check gives; an early end by `?` as well.
pub type Verdict = Result<Outcome, Outcome>;

/// Findings told for one check; the rest is counted.
const MOST_FINDINGS: usize = 5;

impl Outcome {
    pub(crate) fn passed(detail: impl Into<String>) -> Self {
        Outcome::Passed { detail: detail.into() }
    }

    pub(crate) fn not_applicable(reason: impl Into<String>) -> Self {
        Outcome::NotApplicable { reason: reason.into() }
    }

    pub(crate) fn not_tried(reason: impl Into<String>) -> Self {
        Outcome::NotTried { reason: reason.into() }
    }

    pub(crate) fn failed(seen: impl Into<String>, contract: &'static str, fix: impl Into<String>) -> Self {
        Outcome::Failed { findings: vec![Finding::new(seen, contract, fix)] }
    }

    /// Passed, unless something was found.
    pub(crate) fn of(findings: Vec<Finding>, detail: impl Into<String>) -> Self {
        let mut told = HashSet::new();
        let mut findings: Vec<Finding> =
            findings.into_iter().filter(|finding| told.insert(finding.seen.clone())).collect();
        if findings.is_empty() {
            return Outcome::passed(detail);
        }
        let more = findings.len().saturating_sub(MOST_FINDINGS);
        findings.truncate(MOST_FINDINGS);
        if let (Some(last), 1..) = (findings.last_mut(), more) {
            last.seen.push_str(&format!(" (and {more} more of the kind)"));
        }
        Outcome::Failed { findings }
    }

    /// Whether it stands in the way of its level.
    pub fn holds(&self) -> bool {
        matches!(self, Outcome::Passed { .. } | Outcome::NotApplicable { .. })
    }

    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Passed { .. } => "passed",
            Outcome::Failed { .. } => "failed",
            Outcome::NotApplicable { .. } => "not applicable",
            Outcome::NotTried { .. } => "not tried",
        }
    }
}
