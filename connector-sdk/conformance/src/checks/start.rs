//! It starts as connectord starts it.

use crate::outcome::{Outcome, Verdict};
use crate::workbench::Workbench;

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    bench.wire().await?;
    Ok(match bench.process() {
        Some(process) => Outcome::passed(format!("ready in {} ms", process.started_in.as_millis())),
        None => Outcome::passed("it runs elsewhere"),
    })
}
