//! The report as JUnit XML, which build servers read.

use std::fmt::Write as _;

use crate::outcome::Outcome;
use crate::report::Report;

/// One test suite with a case for each check. What was not tried is skipped there, and what does not apply too.
pub(crate) fn of(report: &Report) -> String {
    let count =
        |wanted: fn(&Outcome) -> bool| report.checks.iter().filter(|check| wanted(&check.outcome)).count();
    let failures = count(|outcome| matches!(outcome, Outcome::Failed { .. }));
    let skipped =
        count(|outcome| matches!(outcome, Outcome::NotTried { .. } | Outcome::NotApplicable { .. }));
    let seconds: f64 = report.checks.iter().map(|check| check.seconds).sum();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        xml,
        "  <testsuite name=\"conformance of {}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" \
         time=\"{seconds:.3}\">",
        escaped(&report.connector),
        report.checks.len(),
    );
    for check in &report.checks {
        let _ = write!(
            xml,
            "    <testcase classname=\"conformance.{}.{}\" name=\"{}\" time=\"{:.3}\"",
            escaped(&report.connector),
            check.level,
            check.name,
            check.seconds
        );
        let _ = match &check.outcome {
            Outcome::Passed { .. } => writeln!(xml, "/>"),
            Outcome::NotApplicable { reason } | Outcome::NotTried { reason } => {
                writeln!(xml, ">\n      <skipped message=\"{}\"/>\n    </testcase>", escaped(reason))
            }
            Outcome::Failed { findings } => {
                let told: Vec<String> = findings
                    .iter()
                    .map(|finding| {
                        format!(
                            "seen: {}\ncontract: {}\nmend: {}",
                            finding.seen, finding.contract, finding.fix
                        )
                    })
                    .collect();
                let first = findings.first().map_or("", |finding| &finding.seen);
                writeln!(
                    xml,
                    ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                    escaped(first),
                    escaped(&told.join("\n\n"))
                )
            }
        };
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Text for an attribute or an element. What XML 1.0 cannot hold at all is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {}
            other => escaped.push(other),
        }
    }
    escaped
}
