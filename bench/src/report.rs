//! What was measured: for people as a table, for programs as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::machine::Machine;
use crate::memory::Memory;
use crate::start::Start;

/// All figures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The day, as whoever measured gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// On what.
    pub machine: Machine,
    /// The rates, each against its other side.
    pub ratios: Vec<Ratio>,
    /// The times of little against the times of much.
    pub growths: Vec<Growth>,
    /// What could not be measured here.
    pub skipped: Vec<Skipped>,
    /// Peak memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Time to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
}

/// A rate against that of another side.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// What is measured.
    pub name: String,
    /// What the other side is.
    pub bare: &'static str,
    /// What is counted: "documents", "syncs".
    pub unit: &'static str,
    /// How many of them a second, by connectord: the median.
    pub per_s: f64,
    /// How many of them a second, by the other side: the median.
    pub bare_per_s: f64,
    /// The median of the repetitions' ratios.
    pub ratio: f64,
    /// What the ratio should be at least.
    pub target_ratio: f64,
    /// It is.
    pub reached: bool,
    /// Each one.
    pub repetitions: Vec<Repetition>,
}

/// One measurement of both sides, one right after the other.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Repetition {
    /// A second, by connectord.
    pub per_s: f64,
    /// A second, by the other side.
    pub bare_per_s: f64,
    /// The first in terms of the second.
    pub ratio: f64,
    /// Processor time that connectord alone used for each. Other work on the machine disturbs it least.
    pub cpu_us_each: f64,
}

/// How much longer something takes where there is more of what it has nothing to do with.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    /// What is measured, with little and with much.
    pub name: String,
    /// Milliseconds with little.
    pub small_ms: f64,
    /// Milliseconds with much.
    pub large_ms: f64,
    /// The second in terms of the first.
    pub ratio: f64,
    /// What the ratio may be.
    pub target_ratio: f64,
    /// It is not more.
    pub reached: bool,
}

/// What was not measured, and what is missing for it.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    /// The figure.
    pub name: String,
    /// What to install.
    pub missing: String,
}

impl Repetition {
    /// Both sides did as much in these times.
    pub fn new(count: u64, took: Duration, bare_took: Duration, cpu: Duration) -> Self {
        let per_s = |took: Duration| count as f64 / took.as_secs_f64();
        Self::of_rates(per_s(took), per_s(bare_took), cpu.as_secs_f64() / count as f64)
    }

    /// The sides did so much a second; connectord used so many seconds of processor for each.
    pub fn of_rates(per_s: f64, bare_per_s: f64, cpu_s_each: f64) -> Self {
        Self { per_s, bare_per_s, ratio: per_s / bare_per_s, cpu_us_each: cpu_s_each * 1e6 }
    }
}

impl Ratio {
    /// Takes the medians.
    pub fn new(
        name: impl Into<String>,
        bare: &'static str,
        unit: &'static str,
        target_ratio: f64,
        repetitions: Vec<Repetition>,
    ) -> Self {
        let of = |value: fn(&Repetition) -> f64| median(repetitions.iter().map(value));
        let ratio = of(|repetition| repetition.ratio);
        Self {
            name: name.into(),
            bare,
            unit,
            per_s: of(|repetition| repetition.per_s),
            bare_per_s: of(|repetition| repetition.bare_per_s),
            ratio,
            target_ratio,
            reached: ratio >= target_ratio,
            repetitions,
        }
    }
}

impl Growth {
    /// Compares two times.
    pub fn new(name: impl Into<String>, small: Duration, large: Duration, target_ratio: f64) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (small_ms, large_ms) = (ms(small), ms(large));
        let ratio = large_ms / small_ms;
        let reached = ratio <= target_ratio;
        let growth = Self { name: name.into(), small_ms, large_ms, ratio, target_ratio, reached };
        note(&format!("{}: {small_ms:.2} ms, then {large_ms:.2} ms: {ratio:.2} times", growth.name));
        growth
    }
}

impl Skipped {
    /// Tells it at once, too.
    pub fn new(name: impl Into<String>, missing: impl Into<String>) -> Self {
        let skipped = Self { name: name.into(), missing: missing.into() };
        note(&format!("{}: SKIPPED: {}", skipped.name, skipped.missing));
        skipped
    }
}

impl Report {
    /// Every target is met.
    pub fn reached(&self) -> bool {
        self.ratios.iter().all(|ratio| ratio.reached)
            && self.growths.iter().all(|growth| growth.reached)
            && self.memory.as_ref().is_none_or(|memory| memory.reached)
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut rows = vec![["", "connectord", "other side", "ratio", "target", ""].map(str::to_owned)];
        let verdict = |reached| if reached { "reached" } else { "MISSED" }.to_owned();
        for ratio in &self.ratios {
            rows.push([
                format!("{} ({})", ratio.name, ratio.unit),
                format!("{:.0}/s", ratio.per_s),
                format!("{:.0}/s", ratio.bare_per_s),
                format!("{:.2}", ratio.ratio),
                format!(">= {:.2}", ratio.target_ratio),
                verdict(ratio.reached),
            ]);
        }
        for growth in &self.growths {
            rows.push([
                growth.name.clone(),
                format!("{:.2} ms", growth.large_ms),
                format!("{:.2} ms", growth.small_ms),
                format!("{:.2}", growth.ratio),
                format!("<= {:.2}", growth.target_ratio),
                verdict(growth.reached),
            ]);
        }
        if let Some(memory) = &self.memory {
            let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
            rows.push([
                format!("memory ({} against {})", memory.documents, memory.small_documents),
                mb(memory.peak_bytes),
                mb(memory.small_peak_bytes),
                format!("{:.2}", memory.ratio),
                format!("<= {:.2}, < {}", memory.target_ratio, mb(memory.target_bytes)),
                verdict(memory.reached),
            ]);
        }
        if let Some(start) = &self.start {
            let time = format!("{:.1} ms", start.median_ms);
            let name = format!("start ({} manifests)", start.manifests);
            rows.push([name, time, String::new(), String::new(), String::new(), String::new()]);
        }
        let mut table = aligned(&rows);
        for skipped in &self.skipped {
            writeln!(table, "{} SKIPPED: {}", skipped.name, skipped.missing)
                .expect("writing to a string cannot fail");
        }
        table
    }
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut table = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:<width$}  ").expect("writing to a string cannot fail");
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// The one in the middle; of an even number, the mean of the two.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Tells whoever waits how far the benchmark is.
#[expect(clippy::print_stderr, reason = "progress is for the person at the terminal; stdout has the report")]
pub fn note(line: &str) {
    eprintln!("{line}");
}

/// Tells of a repetition.
pub fn progress(name: &str, unit: &str, measured: Option<&Repetition>) {
    if let Some(measured) = measured {
        note(&format!(
            "{name}: {:.0} {unit}/s, other side {:.0}/s, ratio {:.2}; connectord used {:.1} us of processor for each",
            measured.per_s, measured.bare_per_s, measured.ratio, measured.cpu_us_each
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }

    #[test]
    fn a_missed_target_is_told_in_the_table_and_by_the_whole() {
        let second = Duration::from_secs(1);
        let repetition = Repetition::new(1000, second * 4, second, second);
        let ratio = |target| Ratio::new("ingest", "", "documents", target, vec![repetition]);
        let mut report = Report {
            date: None,
            machine: Machine::this(),
            ratios: vec![ratio(0.2)],
            growths: Vec::new(),
            skipped: Vec::new(),
            memory: None,
            start: None,
        };
        assert!(report.reached() && !report.table().contains("MISSED"));
        report.ratios.push(ratio(0.3));
        assert!(!report.reached() && report.table().contains("MISSED"));
    }

    #[test]
    fn what_was_skipped_is_told_and_is_no_failure() {
        let skipped = vec![Skipped::new("idle syncs", "apt-get install redis-server")];
        let report = Report {
            date: None,
            machine: Machine::this(),
            ratios: Vec::new(),
            growths: vec![Growth::new("claim", Duration::from_millis(1), Duration::from_millis(2), 3.0)],
            skipped,
            memory: None,
            start: None,
        };
        assert!(report.reached());
        assert!(report.table().contains("idle syncs SKIPPED: apt-get install redis-server"));
    }
}
