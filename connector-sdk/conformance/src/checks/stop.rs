//! It ends when it is asked to, also in the middle of a pull.

use std::time::{Duration, Instant};

use superfasttt_proto::connector::v1::PullMode;

use crate::outcome::{Outcome, Verdict};
use crate::workbench::Workbench;

const STOP: &str = "\"End on SIGTERM; after `process.stop_grace` (5 s) the whole process group is killed.\" (docs/write-a-connector.md, Without an SDK)";
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    if bench.folder.is_none() {
        return Ok(Outcome::not_applicable("whoever runs it elsewhere ends it"));
    }
    let process = bench.start().await?;
    // Open until the end of this check, and not read any further. Whether it goes well is for others to say.
    let pull = process.wire.client().pull(bench.request(PullMode::Full)).await;
    let began = Instant::now();
    let ended = process.stop(GRACE).await;
    let took = began.elapsed();
    drop(pull);
    Ok(match ended {
        Some(status) => Outcome::passed(format!("{status} after {} ms", took.as_millis())),
        None => Outcome::failed(
            "5 s after SIGTERM it still ran, and was killed",
            STOP,
            "end the server on SIGTERM, and do not wait for calls that go on",
        ),
    })
}
