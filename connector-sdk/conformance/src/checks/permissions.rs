//! Every document says who may see it.

use superfasttt_proto::connector::v1::DocumentEnvelope;

use crate::outcome::{Finding, Outcome, Verdict};
use crate::workbench::Workbench;

const ABSENT: &str = "\"Optional. Who may see it. Absent means not known, and not known is treated as private.\" (document.proto, DocumentEnvelope); the kit wants it said";
const VISIBILITY: &str = "\"Required. One of \\\"private\\\" (only `allow`), \\\"organization\\\" (everyone in the organisation), \\\"public\\\".\" (document.proto, Permissions)";
const PRINCIPAL: &str = "\"Principals are compact strings, one per entry, at most 1,024 bytes each: `user:alex@acme.fr`, `group:google:eng@acme.fr`, `domain:acme.fr`.\" (document.proto, Permissions)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let baseline = bench.baseline().await?;
    let findings: Vec<Finding> = baseline.model.documents().filter_map(of_document).collect();
    Ok(Outcome::of(findings, ""))
}

fn of_document(document: &DocumentEnvelope) -> Option<Finding> {
    let id = &document.id;
    let Some(permissions) = &document.permissions else {
        let fix = "set permissions; where the source does not tell, \"private\" says so";
        return Some(Finding::new(format!("{id:?} has no permissions"), ABSENT, fix));
    };
    if !["private", "organization", "public"].contains(&permissions.visibility.as_str()) {
        let seen = format!("the visibility of {id:?} is {:?}", permissions.visibility);
        return Some(Finding::new(seen, VISIBILITY, "use one of the three words"));
    }
    let mut principals = permissions.allow.iter().chain(&permissions.deny);
    let wrong = principals.find(|principal| {
        let (kind, name) = principal.split_once(':').unwrap_or_default();
        !["user", "group", "domain"].contains(&kind) || name.is_empty() || principal.len() > 1024
    })?;
    let wrong: String = wrong.chars().take(100).collect();
    Some(Finding::new(
        format!("{id:?} names the principal {wrong:?}"),
        PRINCIPAL,
        "write KIND:NAME, by one of the three kinds",
    ))
}
