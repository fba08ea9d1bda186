//! TestConnection answers with checks, for a connection that works and for one that does not.

use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::connector::v1::check::Outcome as CheckOutcome;
use superfasttt_proto::connector::v1::{TestConnectionRequest, TestConnectionResponse};

use crate::credential::with_canaries;
use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::told;
use crate::workbench::Workbench;

const ANSWER: &str = "\"A failed check is an answer, not an error: the rpc itself ends OK.\" (connector.proto, rpc TestConnection)";
const CHECKS: &str = "\"Required, at least one. In the order in which a person should read them.\" (connector.proto, TestConnectionResponse)";
const NAME: &str =
    "\"Required. A stable snake_case name, such as \\\"root_readable\\\".\" (connector.proto, Check)";
const OUTCOME: &str = "\"Not set. Treated as failed.\" and \"Required. What was found, for a person.\" (connector.proto, Check)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let wire = bench.wire().await?;
    let request = TestConnectionRequest {
        settings: Some(bench.settings_struct()),
        credential: bench.credential.clone(),
        contract_revision: CONTRACT_REVISION,
    };
    let mut findings = Vec::new();
    let mut detail = String::new();
    match wire.client().test_connection(request.clone()).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            detail = format!("{} checks", answer.checks.len());
            findings.extend(of_answer(&answer));
            let failed = answer.checks.iter().find(|check| check.outcome() == CheckOutcome::Failed);
            if let Some(failed) = failed {
                let seen =
                    format!("the check {} of the test connection failed: {}", failed.name, failed.message);
                let fix = "give test settings and a credential with which the connection works";
                findings.push(Finding::new(
                    seen,
                    "the kit tries a connection that works (docs/conformance.md)",
                    fix,
                ));
            }
        }
        Err(status) => {
            findings.push(Finding::new(
                told(&status),
                ANSWER,
                "answer with a failed check that says what to do",
            ));
        }
    }
    if let (Some(wrong), true) = (with_canaries(&bench.manifest.auth, "wrong"), request.credential.is_some())
    {
        let request = TestConnectionRequest { credential: Some(wrong), ..request };
        match wire.client().test_connection(request).await {
            Ok(answer) => findings.extend(of_answer(answer.get_ref())),
            Err(status) => {
                let seen = format!("with a wrong credential it ends with {}", told(&status));
                findings.push(Finding::new(seen, ANSWER, "answer with a failed check that says what to do"));
            }
        }
    }
    Ok(Outcome::of(findings, detail))
}

fn of_answer(answer: &TestConnectionResponse) -> Vec<Finding> {
    let mut findings = Vec::new();
    if answer.checks.is_empty() {
        findings.push(Finding::new("it answers without a check", CHECKS, "name at least one check"));
    }
    for check in &answer.checks {
        let snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if check.name.is_empty() || !check.name.chars().all(snake) {
            let seen = format!("a check is named {:?}", check.name);
            findings.push(Finding::new(seen, NAME, "name it in snake_case, the same at each call"));
        }
        if check.outcome() == CheckOutcome::Unspecified || check.message.is_empty() {
            let seen = format!("the check {:?} has no outcome or no message", check.name);
            findings.push(Finding::new(seen, OUTCOME, "set both"));
        }
    }
    findings
}
