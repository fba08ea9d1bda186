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
    /// The rates, each against its bare side.
    pub ratios: Vec<Ratio>,
    /// Peak memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Time to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
}

/// A rate against its bare side.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// What is measured.
    pub name: &'static str,
    /// What the bare side is.
    pub bare: &'static str,
    /// How many documents each repetition has.
    pub documents: u64,
    /// Documents a second, of connectord: the median.
    pub documents_per_s: f64,
    /// Documents a second, of the bare side: the median.
    pub bare_documents_per_s: f64,
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
    /// Documents a second, of connectord.
    pub documents_per_s: f64,
    /// Documents a second, of the bare side.
    pub bare_documents_per_s: f64,
    /// The first in terms of the second.
    pub ratio: f64,
    /// Processor time that connectord alone used for a document. Other work on the machine disturbs it least.
    pub cpu_us_per_document: f64,
}

impl Repetition {
    /// Both sides did the same documents in these times.
    pub fn new(documents: u64, took: Duration, bare_took: Duration, cpu: Duration) -> Self {
        let per_s = |took: Duration| documents as f64 / took.as_secs_f64();
        let (documents_per_s, bare_documents_per_s) = (per_s(took), per_s(bare_took));
        Self {
            documents_per_s,
            bare_documents_per_s,
            ratio: documents_per_s / bare_documents_per_s,
            cpu_us_per_document: cpu.as_secs_f64() * 1e6 / documents as f64,
        }
    }
}

impl Ratio {
    /// Takes the medians.
    pub fn new(
        name: &'static str,
        bare: &'static str,
        target_ratio: f64,
        documents: u64,
        repetitions: Vec<Repetition>,
    ) -> Self {
        let of = |value: fn(&Repetition) -> f64| median(repetitions.iter().map(value));
        let ratio = of(|repetition| repetition.ratio);
        Self {
            name,
            bare,
            documents,
            documents_per_s: of(|repetition| repetition.documents_per_s),
            bare_documents_per_s: of(|repetition| repetition.bare_documents_per_s),
            ratio,
            target_ratio,
            reached: ratio >= target_ratio,
            repetitions,
        }
    }
}

impl Report {
    /// Every target is met.
    pub fn reached(&self) -> bool {
        self.ratios.iter().all(|ratio| ratio.reached)
            && self.memory.as_ref().is_none_or(|memory| memory.reached)
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut rows = vec![["", "connectord", "bare", "ratio", "target", ""].map(str::to_owned)];
        let verdict = |reached| if reached { "reached" } else { "MISSED" }.to_owned();
        for ratio in &self.ratios {
            rows.push([
                format!("{} ({} documents)", ratio.name, ratio.documents),
                format!("{:.0}/s", ratio.documents_per_s),
                format!("{:.0}/s", ratio.bare_documents_per_s),
                format!("{:.2}", ratio.ratio),
                format!(">= {:.2}", ratio.target_ratio),
                verdict(ratio.reached),
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
        aligned(&rows)
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
pub fn progress(name: &str, measured: Option<&Repetition>) {
    if let Some(measured) = measured {
        note(&format!(
            "{name}: {:.0} documents/s, bare {:.0}/s, ratio {:.2}; connectord used {:.1} us of processor for each",
            measured.documents_per_s,
            measured.bare_documents_per_s,
            measured.ratio,
            measured.cpu_us_per_document
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
        let ratio = |target| Ratio::new("ingest", "", target, 1000, vec![repetition]);
        let mut report = Report {
            date: None,
            machine: Machine::this(),
            ratios: vec![ratio(0.2)],
            memory: None,
            start: None,
        };
        assert!(report.reached() && !report.table().contains("MISSED"));
        report.ratios.push(ratio(0.3));
        assert!(!report.reached() && report.table().contains("MISSED"));
    }
}
