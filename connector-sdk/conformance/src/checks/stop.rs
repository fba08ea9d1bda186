//! It ends when it is asked to, also in the middle of a pull.

use std::time::Duration;

use superfasttt_proto::connector::v1::PullMode;

use crate::outcome::{Outcome, Verdict};
use crate::pull::pull;
use crate::workbench::Workbench;

const STOP: &str = "\"End on SIGTERM; after `process.stop_grace` (5 s) the whole process group is killed.\" (docs/write-a-connector.md, Without an SDK)";
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let process = bench.start().await?;
    let wire = process.wire.clone();
    let request = bench.request(PullMode::Full);
    let pulling = tokio::spawn(async move { pull(&wire, request, None).await });
    let began = std::time::Instant::now();
    let ended = process.stop(GRACE).await;
    let took = began.elapsed();
    pulling.abort();
    Ok(match ended {
        Some(status) => Outcome::passed(format!("{status} after {} ms", took.as_millis())),
        None => Outcome::failed(
            "5 s after SIGTERM it still ran, and was killed",
            STOP,
            "end the server on SIGTERM, and do not wait for calls that go on",
        ),
    })
}
