//! TARGETED answers exactly the ids that it was asked for.

use std::collections::{BTreeMap, BTreeSet};

use superfasttt_proto::connector::v1::{PullMode, PullRequest, change};

use crate::model::differing_fields;
use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::{id_of, pull};
use crate::workbench::Workbench;

const ANSWERS: &str = "\"Exactly the `ids` of the request. Each is answered with document, raw, deletion or item_error; an unanswered id counts as an item error, never as a deletion.\" (connector.proto, PullMode)";
const NO_CHECKPOINT: &str = "\"No checkpoint. Needs capability `targeted`.\" (connector.proto, PullMode)";
const MOST_IDS: usize = 50;

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    if !bench.capabilities().targeted {
        return Ok(Outcome::not_applicable("it does not declare `targeted`"));
    }
    let baseline = bench.baseline().await?;
    let wire = bench.wire().await?;
    let known: BTreeMap<&str, _> =
        baseline.model.documents().take(MOST_IDS).map(|document| (document.id.as_str(), document)).collect();
    let mut ids: Vec<String> = known.keys().map(|id| (*id).to_owned()).collect();
    let unknown = unknown_like(ids.last().map_or("", String::as_str));
    ids.push(unknown.clone());
    let asked = ids.len();
    let pulled =
        pull(&wire, PullRequest { ids: ids.clone(), ..bench.request(PullMode::Targeted) }, None).await;
    if let Some(failure) = pulled.failure() {
        let seen = format!("asked for {asked} ids, one of them unknown, it ended with {failure}");
        return Ok(Outcome::failed(
            seen,
            ANSWERS,
            "answer an unknown id with a deletion or an item error of NOT_FOUND",
        ));
    }
    let mut findings = Vec::new();
    let mut answered = BTreeSet::new();
    for kind in pulled.changes().filter_map(|(_, change)| change.kind.as_ref()) {
        let Some(id) = id_of(kind) else { continue };
        answered.insert(id);
        let is_answer = matches!(
            kind,
            change::Kind::Document(_)
                | change::Kind::Raw(_)
                | change::Kind::Deletion(_)
                | change::Kind::ItemError(_)
        );
        if !ids.iter().any(|asked| asked == id) || !is_answer {
            let seen = format!("{id:?} came, or came in another form, and was not asked for so");
            findings.push(Finding::new(seen, ANSWERS, "send what was asked for and nothing else"));
        }
        match kind {
            change::Kind::Document(_) | change::Kind::Raw(_) if id == unknown => {
                let seen = format!("{unknown:?}, which no source has, was answered with a document");
                findings.push(Finding::new(
                    seen,
                    ANSWERS,
                    "answer it with a deletion or an item error of NOT_FOUND",
                ));
            }
            change::Kind::Document(document) => {
                if let Some(listed) = known.get(id).filter(|listed| **listed != document) {
                    let seen = format!(
                        "{id:?} is other in TARGETED than in FULL: {}",
                        differing_fields(listed, document)
                    );
                    findings.push(Finding::new(seen, ANSWERS, "make both by the same code"));
                }
            }
            change::Kind::Deletion(_) if known.contains_key(id) => {
                let seen = format!("{id:?}, which a listing has just brought, was answered with a deletion");
                findings.push(Finding::new(seen, ANSWERS, "answer with the document"));
            }
            _ => {}
        }
    }
    for id in ids.iter().filter(|id| !answered.contains(id.as_str())) {
        findings.push(Finding::new(
            format!("{id:?} was not answered"),
            ANSWERS,
            "answer every id, an unknown one too",
        ));
    }
    if pulled.pages().any(|page| page.checkpoint.is_some()) {
        findings.push(Finding::new("a checkpoint came", NO_CHECKPOINT, "send none in TARGETED"));
    }
    Ok(Outcome::of(findings, format!("{asked} ids, one of them unknown")))
}

/// An id that no item has, in the form of one that an item has: only ids that a connector gave are ever asked for.
fn unknown_like(id: &str) -> String {
    match id.rfind(|c: char| c.is_ascii_digit()) {
        Some(last) => {
            let first = id[..last].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |before| before + 1);
            let first = (first..=last).find(|at| id.is_char_boundary(*at)).unwrap_or(last);
            format!("{}999{}", &id[..first], &id[first..])
        }
        None => format!("{id}-of-nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_id_has_the_form_of_the_others() {
        assert_eq!(unknown_like("12"), "99912");
        assert_eq!(unknown_like("é7.txt"), "é9997.txt");
        assert_eq!(unknown_like("readme"), "readme-of-nothing");
    }
}
