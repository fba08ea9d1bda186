//! Nothing is said on stdout. It stands last, so that everything that was tried before counts.

use crate::outcome::{Outcome, Verdict};
use crate::workbench::Workbench;

const STDOUT: &str = "\"Nothing is said on stdout; a line on stderr becomes a log record.\" (connector.proto, Where it listens)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    bench.wire().await?;
    if bench.process().is_none() {
        return Ok(Outcome::not_tried(
            "what a running connector writes is not seen: name its folder instead",
        ));
    }
    let written = bench.output.lock();
    if written.stdout.is_empty() {
        return Ok(Outcome::passed(format!(
            "{} lines on stderr",
            written.stderr.split(|byte| *byte == b'\n').count() - 1
        )));
    }
    let text = String::from_utf8_lossy(&written.stdout);
    let line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    Ok(Outcome::failed(format!("on stdout was: {line:?}"), STDOUT, "write logs to stderr, and remove prints"))
}
