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

const INVALID: &str = "\"The source no longer takes this cursor. Nobody acts: that scope is listed in full.\" (errors.proto, REASON_CURSOR_INVALID) and \"`pull.cursor_json` … answers CURSOR_INVALID for one of an older form\" (docs/write-a-connector.md)";
const ALIVE: &str =
    "a cursor is what was stored long ago, and never a reason to end (connector.proto, No memory)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let incremental = bench.capabilities().incremental;
    let documents = baseline.model.ids().len();
    let (mode, states) = if incremental {
        (PullMode::Incremental, baseline.model.states(PullMode::Incremental))
    } else {
        (PullMode::Full, in_the_middle(bench, documents).await?)
    };
    let Some(state) = states.first() else {
        let reason = "a listing of the test source has no cursor in its middle: give it more items";
        return Ok(if incremental {
            Outcome::failed("a listing left no cursor to take changes from", INVALID, "checkpoint at the end")
        } else {
            Outcome::not_applicable(reason)
        });
    };
    let mut findings = Vec::new();
    let bad = bad_cursors(&state.cursor, incremental);
    let tried = bad.len();
    for (what, cursor) in bad {
        let wire = bench.wire().await?;
        let state = ScopeState { scope: state.scope.clone(), cursor };
        let request = PullRequest { states: vec![state], scopes: Vec::new(), ..bench.request(mode) };
        let pulled = pull(&wire, request, None).await;
        let mut model = Model::default();
        model.commit_all(mode, &pulled.messages);
        // A listing may as well begin anew: it names everything then, and costs only time.
        let began_anew =
            !incremental && pulled.failure().is_none() && model.compare(&baseline.model).told().is_none();
        if !began_anew {
            findings.extend(of_answer(what, &pulled));
        }
        if !bench.is_alive() {
            findings.push(Finding::new(
                format!("the process ended at {what}"),
                ALIVE,
                "read the cursor in a way that can fail",
            ));
        }
    }
    Ok(Outcome::of(findings, format!("{tried} cursors in {}", mode.as_str_name())))
}

fn of_answer(what: &str, pulled: &Pulled) -> Option<Finding> {
    let fix = "read the cursor in a way that can fail, and compare it with what the source has; answer CURSOR_INVALID by a status or for the scope";
    let seen = match (pulled.error(), &pulled.end) {
        (Some(error), _) if error.reason == Reason::CursorInvalid => return None,
        (_, End::Error(status)) => format!("{what} was answered with {}", told(status)),
        (Some(error), _) => format!(
            "{what} was answered with {} for the scope ({})",
            reason_info(error.reason).name,
            error.message
        ),
        (None, _) => format!(
            "{what} was taken: the pull ended well with {} changes, and what happened since is lost",
            pulled.changes().count()
        ),
    };
    Some(Finding::new(seen, INVALID, fix))
}

/// The states after the first checkpoint of a listing that is not its end.
async fn in_the_middle(bench: &mut Workbench, documents: usize) -> Result<Vec<ScopeState>, Outcome> {
    let wire = bench.wire().await?;
    let pulled = pull(&wire, bench.request_in_small_pages(PullMode::Full, documents), None).await;
    let mut model = Model::default();
    for message in &pulled.messages {
        model.commit(PullMode::Full, message);
        let states = model.states(PullMode::Full);
        if !states.is_empty() {
            return Ok(states);
        }
    }
    Ok(Vec::new())
}

fn bad_cursors(cursor: &[u8], incremental: bool) -> Vec<(&'static str, Vec<u8>)> {
    let mut bad = vec![
        ("a damaged cursor", cursor.iter().map(|byte| byte ^ 0x80).collect()),
        ("a cursor of zero bytes", vec![0; 16]),
        (
            "a cursor of another version",
            br#"{"version":2147483647,"conformance":{"position":[true,null]}}"#.to_vec(),
        ),
    ];
    // A listing is begun and ended in a short time: only a cursor of changes outlives a restored backup.
    if let (true, Some(future)) = (incremental, future(cursor)) {
        bad.push(("a cursor from the future", future));
    }
    bad
}

/// The cursor with every number in it grown by a digit, also where it is text in base64. `None`: there is no number.
fn future(cursor: &[u8]) -> Option<Vec<u8>> {
    if let Ok(text) = std::str::from_utf8(cursor)
        && let Some(grown) = grown(text)
    {
        return Some(grown.into_bytes());
    }
    let inner = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    Some(STANDARD.encode(grown(&inner)?).into_bytes())
}

fn grown(text: &str) -> Option<String> {
    let readable = text.chars().all(|c| !c.is_control());
    let mut grown = String::new();
    let (mut digits, mut numbers) = (0, 0);
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_digit() {
            digits += 1;
        } else if digits > 0 {
            // A number within what counters and clocks have; 19 digits would leave 64 bits.
            if digits < 18 {
                grown.insert(grown.len() - digits, '9');
                numbers += 1;
            }
            digits = 0;
        }
        if character != '\0' {
            grown.push(character);
        }
    }
    (readable && numbers > 0).then_some(grown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_from_the_future_has_larger_numbers() {
        assert_eq!(future(b"250").unwrap(), b"9250");
        assert_eq!(future(br#"{"since":12,"page":null}"#).unwrap(), br#"{"since":912,"page":null}"#);
        assert_eq!(
            future(STANDARD.encode("since=7").as_bytes()).map(|it| STANDARD.decode(it).unwrap()),
            Some(b"since=97".to_vec())
        );
        assert_eq!(future(b"done"), None);
        assert_eq!(future(&[0xff, 0x31]), None);
    }
}
