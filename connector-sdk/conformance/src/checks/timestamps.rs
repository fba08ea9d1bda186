//! Times are possible, and not ahead of now.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

use crate::outcome::{Finding, Outcome, Verdict};
use crate::workbench::Workbench;

const TIMES: &str = "\"When the source says that the document was made, UTC.\" and \"… last changed, UTC. Absent: the source does not say.\" (document.proto, DocumentEnvelope)";
/// Clocks of sources are not ours, and a time without its zone is off by half a day.
const DAY_S: i64 = 24 * 60 * 60;
/// No source is older than the first files that are kept.
const YEAR_1900_S: i64 = -2_208_988_800;

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let now = now_s();
    let (mut findings, mut times) = (Vec::new(), 0);
    for document in baseline.model.documents() {
        let id = &document.id;
        for (field, time) in [("created_at", &document.created_at), ("updated_at", &document.updated_at)] {
            let Some(time) = time else { continue };
            times += 1;
            if let Some(wrong) = of_time(time, now) {
                findings.push(Finding::new(
                    format!("{field} of {id:?} {wrong}"),
                    TIMES,
                    "leave it absent where the source has no good time; take care of milliseconds and zones",
                ));
            }
        }
        if let (Some(created), Some(updated)) = (&document.created_at, &document.updated_at)
            && updated.seconds < created.seconds - DAY_S
        {
            let seen = format!("{id:?} was changed before it was made");
            findings.push(Finding::new(seen, TIMES, "see that the two are not mixed up"));
        }
    }
    Ok(Outcome::of(findings, format!("{times} times")))
}

fn of_time(time: &Timestamp, now: i64) -> Option<String> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Some(format!("has {} nanoseconds", time.nanos));
    }
    if time.seconds > now + DAY_S {
        return Some(format!("lies {} days ahead of now", (time.seconds - now) / DAY_S));
    }
    if time.seconds < YEAR_1900_S {
        return Some("is before the year 1900".to_owned());
    }
    (time.seconds == 0 && time.nanos == 0).then(|| "is 1970-01-01, which a missing time reads as".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "the source's clock is compared with the real one")]
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
