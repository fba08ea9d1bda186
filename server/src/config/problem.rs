//! What is wrong with a configuration: all of it at once, each with its key and where the value came from.

use std::fmt;
use std::path::PathBuf;

use super::layers::Layers;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In a configuration file.
    File(PathBuf),
    /// In an environment variable of this name.
    Environment(String),
    /// In an argument of this name.
    Argument(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => formatter.write_str("the default"),
            Origin::File(path) => write!(formatter, "{}", path.display()),
            Origin::Environment(name) => formatter.write_str(name),
            Origin::Argument(name) => formatter.write_str(name),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key, such as `sync.sweep_share`; empty: a file as a whole.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Where it was written.
    pub origin: Origin,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        write!(formatter, "{} (from {})", self.message, self.origin)
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// Everything that is wrong, in the order of the sections.
    pub problems: Vec<ConfigProblem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(formatter, "the configuration has a problem:")?,
            count => write!(formatter, "the configuration has {count} problems:")?,
        }
        self.problems.iter().try_for_each(|problem| write!(formatter, "\n  {problem}"))
    }
}

/// Collects what the checks of one section find.
#[derive(Debug)]
pub struct Checks<'a> {
    section: &'static str,
    layers: &'a Layers,
    problems: &'a mut Vec<ConfigProblem>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(
        section: &'static str,
        layers: &'a Layers,
        problems: &'a mut Vec<ConfigProblem>,
    ) -> Self {
        Self { section, layers, problems }
    }

    /// Notes a problem with `key` of this section unless `holds`.
    pub(super) fn require(&mut self, holds: bool, key: &str, message: impl FnOnce() -> String) {
        if !holds {
            let origin = self.layers.origin(self.section, key);
            self.problems.push(ConfigProblem {
                key: format!("{}.{key}", self.section),
                message: message(),
                origin,
            });
        }
    }

    /// Requires a number of at least one.
    pub(super) fn at_least_one(&mut self, key: &str, value: u64) {
        self.require(value >= 1, key, || "0 is too little; write at least 1".to_owned());
    }

    /// Requires a duration that is not nothing.
    pub(super) fn not_zero(&mut self, key: &str, value: std::time::Duration) {
        self.require(!value.is_zero(), key, || "it is zero; write for example \"30s\"".to_owned());
    }

    /// Requires a share between 0 and 1.
    pub(super) fn share(&mut self, key: &str, value: f64) {
        let holds = (0.0..=1.0).contains(&value);
        self.require(holds, key, || format!("{value} is not a share; write a number from 0.0 to 1.0"));
    }

    /// Requires that a first pause is not longer than the longest one.
    pub(super) fn backoff(&mut self, key: &str, initial: std::time::Duration, max: std::time::Duration) {
        let max_text = humantime::format_duration(max);
        self.require(!initial.is_zero() && initial <= max, &format!("{key}_initial"), || {
            format!("it must be more than zero and at most {key}_max ({max_text})")
        });
    }
}
