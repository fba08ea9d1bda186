//! A cursor that is not the source's is refused: one that is damaged, one of another version of the connector, and one
//! that the source will only come to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use superfasttt_proto::connector::v1::{PullMode, PullRequest, Reason, ScopeState};
use superfasttt_proto::error::reason_info;

use crate::model::Model;
use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::{End, Pulled, pull, told};
use crate::workbench::Workbench;

const INVALID: &str = "\"The source no longer takes this cursor. Nobody acts: that scope is listed in full.\" (errors.proto, REASON_CURSOR_INVALID)";
const ALIVE: &str =
    "a cursor is what was stored long ago, and never a reason to end (connector.proto, No memory)";
const FIX: &str = "read the cursor in a way that can fail, and compare it with what the source has; answer CURSOR_INVALID by a status or for the scope";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    if bench.capabilities().incremental { of_changes(bench).await } else { of_a_listing(bench).await }
}

/// Cursors of changes outlive versions of the connector, and the source's restored backups.
async fn of_changes(bench: &mut Workbench) -> Verdict {
    // Taken before the source is changed, where that can be: what a bad cursor loses then shows.
    let before = bench.before_changes().await.ok();
    let now = bench.baseline().await?;
    let model = before.as_ref().map_or(&now.model, |before| &before.model);
    let states = model.states(PullMode::Incremental);
    let Some(state) = states.first() else {
        return Ok(Outcome::failed(
            "a listing left no cursor to take changes from",
            INVALID,
            "checkpoint at its end",
        ));
    };
    let mut findings = Vec::new();
    let mut tried = 0;
    for (what, cursor) in bad(&state.cursor) {
        tried += 1;
        let pulled = pull_from(bench, PullMode::Incremental, &states, cursor).await?;
        findings.extend(of_answer(bench, what, &pulled));
    }
    for cursor in future(&state.cursor).into_iter().filter(|_| before.is_some()) {
        tried += 1;
        let what = format!("a cursor from the future ({:?})", String::from_utf8_lossy(&cursor));
        let pulled = pull_from(bench, PullMode::Incremental, &states, cursor).await?;
        let mut held = model.clone();
        held.commit_all(PullMode::Incremental, &pulled.messages);
        // Not every number in a cursor is a position: one that changes nothing does no harm.
        if pulled.error().is_some() || held.compare(&now.model).told().is_some() {
            findings.extend(of_answer(bench, &what, &pulled));
        }
    }
    Ok(Outcome::of(findings, format!("{tried} cursors of changes")))
}

/// A listing may as well begin anew: it names everything then, and costs only time.
async fn of_a_listing(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let wire = bench.wire().await?;
    let request = bench.request_in_small_pages(PullMode::Full, baseline.model.ids().len());
    let mut under_way = Model::default();
    for message in &pull(&wire, request, None).await.messages {
        under_way.commit(PullMode::Full, message);
        if !under_way.states(PullMode::Full).is_empty() {
            break;
        }
    }
    let states = under_way.states(PullMode::Full);
    let Some(state) = states.first() else {
        return Ok(Outcome::not_applicable(
            "a listing of the test source is too short for a cursor in its middle",
        ));
    };
    let mut findings = Vec::new();
    for (what, cursor) in bad(&state.cursor) {
        let pulled = pull_from(bench, PullMode::Full, &states, cursor).await?;
        let mut listed = Model::default();
        listed.commit_all(PullMode::Full, &pulled.messages);
        if pulled.error().is_some() || listed.compare(&baseline.model).told().is_some() {
            findings.extend(of_answer(bench, what, &pulled));
        }
    }
    Ok(Outcome::of(findings, "3 cursors of a listing"))
}

/// A pull in which the first scope's cursor is another.
async fn pull_from(
    bench: &mut Workbench,
    mode: PullMode,
    states: &[ScopeState],
    cursor: Vec<u8>,
) -> Result<Pulled, Outcome> {
    let wire = bench.wire().await?;
    let mut states = states.to_vec();
    states[0].cursor = cursor;
    Ok(pull(&wire, PullRequest { states, ..bench.request(mode) }, None).await)
}

fn of_answer(bench: &mut Workbench, what: &str, pulled: &Pulled) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !bench.is_alive() {
        let fix = "read the cursor in a way that can fail";
        findings.push(Finding::new(format!("the process ended at {what}"), ALIVE, fix));
        return findings;
    }
    let seen = match (pulled.error(), &pulled.end) {
        (Some(error), _) if error.reason == Reason::CursorInvalid => return findings,
        (_, End::Error(status)) => format!("{what} was answered with {}", told(status)),
        (Some(error), _) => {
            let reason = reason_info(error.reason).name;
            format!("{what} was answered with {reason} for the scope ({})", error.message)
        }
        (None, _) => {
            let changes = pulled.changes().count();
            format!(
                "{what} was taken: the pull ended well with {changes} changes, and what else there was is lost"
            )
        }
    };
    findings.push(Finding::new(seen, INVALID, FIX));
    findings
}

fn bad(cursor: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let another = br#"{"version":2147483647,"conformance":{"position":[true,null]}}"#;
    [
        ("a damaged cursor", cursor.iter().map(|byte| byte ^ 0x80).collect()),
        ("a cursor of zero bytes", vec![0; 16]),
        ("a cursor of another version", another.to_vec()),
    ]
}

/// The cursor with one of its numbers grown by a digit, for each of them; also where it is text in base64.
fn future(cursor: &[u8]) -> Vec<Vec<u8>> {
    let grown_in = |text: &str| grown(text).into_iter().map(String::into_bytes);
    let inner = STANDARD.decode(cursor).ok().and_then(|inner| String::from_utf8(inner).ok());
    // Words and numbers decode too, to what nobody would write.
    let readable = |inner: &String| inner.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    match (inner.filter(readable), std::str::from_utf8(cursor)) {
        (Some(inner), _) => grown_in(&inner).map(|inner| STANDARD.encode(inner).into_bytes()).collect(),
        (None, Ok(plain)) => grown_in(plain).collect(),
        (None, Err(_)) => Vec::new(),
    }
}

fn grown(text: &str) -> Vec<String> {
    let mut grown = Vec::new();
    let mut before = '\0';
    for (at, character) in text.char_indices() {
        let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
        // Within what counters and clocks have: 19 digits would leave 64 bits.
        if !before.is_ascii_digit() && (1..18).contains(&digits) {
            grown.push(format!("{}9{}", &text[..at], &text[at..]));
        }
        before = character;
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_from_the_future_has_a_larger_number() {
        assert_eq!(future(b"250"), [b"9250"]);
        assert_eq!(
            future(br#"{"v":1,"since":12}"#),
            [br#"{"v":91,"since":12}"#.to_vec(), br#"{"v":1,"since":912}"#.to_vec()]
        );
        let encoded = STANDARD.encode("since=7");
        assert_eq!(future(encoded.as_bytes()), [STANDARD.encode("since=97").into_bytes()]);
        assert!(future(b"done").is_empty() && future(&[0xff, 0x31]).is_empty());
    }
}
