//! Errors carry a reason, and with it who must act: for requests that cannot be meant, a wrong credential, and a source
//! that refuses or is gone.

use serde_json::Value;
use superfasttt_proto::connector::v1::{PullMode, PullRequest, Reason};
use superfasttt_proto::error::{ConnectorError, ERROR_DOMAIN, reason_by_name, reason_info};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::credential::with_canaries;
use crate::outcome::{Finding, Outcome, Verdict};
use crate::proxy::Fault;
use crate::pull::{End, Pulled, pull, told};
use crate::workbench::{Workbench, to_struct};

const INFO: &str = "\"A failed rpc ends with a gRPC status that carries a `google.rpc.ErrorInfo`: `domain` is \\\"connectors.superfasttt\\\", `reason` is the name of a value of `Reason` without its prefix\" (errors.proto)";
const ACTOR: &str = "\"Each line says who must act, whether trying again later can help, and how far the failure reaches.\" (errors.proto, Reason)";
const MODE: &str = "\"Not set: PROTOCOL_VIOLATION.\" (connector.proto, PullMode)";
const REASONS: &str = "each reason says when it is meant (errors.proto, Reason)";
const WAIT: &str = "\"Where waiting helps, a `google.rpc.RetryInfo` says how long.\" (errors.proto)";

/// A failure that is made, and the reasons that may come of it.
struct Bad {
    what: &'static str,
    request: PullRequest,
    reasons: &'static [Reason],
    contract: &'static str,
    /// Whether the source said how long to wait.
    waits: bool,
}

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let wire = bench.wire().await?;
    let full = || bench.request(PullMode::Full);
    let mut bad = vec![Bad {
        what: "a pull without a mode",
        request: PullRequest { mode: PullMode::Unspecified.into(), ..full() },
        reasons: &[Reason::ProtocolViolation],
        contract: MODE,
        waits: false,
    }];
    if needs_settings(&bench.manifest.settings) {
        bad.push(Bad {
            what: "a pull without the settings that are required",
            request: PullRequest { settings: Some(to_struct(&serde_json::json!({}))), ..full() },
            reasons: &[Reason::SettingsInvalid, Reason::NotFound],
            contract: REASONS,
            waits: false,
        });
    }
    // One for each fault, and alive as long as the pulls.
    let mut proxies = Vec::new();
    for (what, fault, reasons, waits) in FAULTS {
        let proxy =
            bench.new_proxy(Some(fault)).await.map_err(|error| Outcome::not_tried(error.to_string()))?;
        let Some(proxy) = proxy else { break };
        let request = PullRequest { settings: Some(to_struct(&proxy.lead(&bench.settings))), ..full() };
        bad.push(Bad { what, request, reasons, contract: REASONS, waits });
        proxies.push(proxy);
    }
    if let (Some(wrong), true, false) =
        (with_canaries(&bench.manifest.auth, "wrong"), bench.credential.is_some(), proxies.is_empty())
    {
        bad.push(Bad {
            what: "a pull with a wrong credential",
            request: PullRequest { credential: Some(wrong), ..full() },
            reasons: &[Reason::CredentialExpired, Reason::CredentialRevoked],
            contract: REASONS,
            waits: false,
        });
    }
    let tried = bad.len();
    let pulls = bad.into_iter().map(|bad| {
        let wire = wire.clone();
        async move {
            let pulled = pull(&wire, bad.request.clone(), None).await;
            of_failure(&bad, &pulled)
        }
    });
    let mut findings: Vec<Finding> = futures::future::join_all(pulls).await.into_iter().flatten().collect();
    if !bench.is_alive() {
        findings.push(Finding::new(
            "the process ended",
            "\"may be killed at any moment\", and does not end by itself (connector.proto, No memory)",
            "read its log",
        ));
    }
    let source = if proxies.is_empty() { "" } else { ", the source's refusals among them" };
    Ok(Outcome::of(findings, format!("{tried} failures{source}")))
}

const FAULTS: [(&str, Fault, &[Reason], bool); 4] = [
    (
        "a source that answers 401",
        Fault::Status(401, None),
        &[Reason::CredentialExpired, Reason::CredentialRevoked],
        false,
    ),
    (
        "a source that answers 503",
        Fault::Status(503, None),
        &[Reason::SourceUnavailable, Reason::RateLimited],
        false,
    ),
    (
        "a source that answers 429 with Retry-After: 600",
        Fault::Status(429, Some("600")),
        &[Reason::RateLimited, Reason::QuotaExhausted],
        true,
    ),
    ("a source that closes every connection", Fault::Gone, &[Reason::SourceUnavailable], false),
];

fn of_failure(bad: &Bad, pulled: &Pulled) -> Vec<Finding> {
    let wanted: Vec<&str> = bad.reasons.iter().map(|reason| reason_info(*reason).name).collect();
    let fix = format!("end it with {}", wanted.join(" or "));
    let Some(error) = pulled.error() else {
        let seen = match pulled.failure() {
            Some(failure) => format!("{}: {failure}", bad.what),
            None => format!("{} ended with OK", bad.what),
        };
        return vec![Finding::new(seen, bad.contract, fix)];
    };
    let mut findings = Vec::new();
    let mut waits = true;
    if let End::Error(status) = &pulled.end {
        findings.extend(of_status(bad.what, status));
        waits = status.get_error_details().retry_info().is_some();
    }
    if findings.is_empty() && !bad.reasons.contains(&error.reason) {
        let seen = format!("{} ended with {} ({})", bad.what, reason_info(error.reason).name, error.message);
        findings.push(Finding::new(seen, bad.contract, fix));
    }
    if findings.is_empty() && bad.waits && !waits {
        let seen = format!("{} ended without RetryInfo", bad.what);
        findings.push(Finding::new(seen, WAIT, "hand on the time that the source gives"));
    }
    findings
}

/// Whether a connection cannot be without settings: what has a default is filled in by the server.
fn needs_settings(schema: &Value) -> bool {
    let mut required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    required.any(|name| schema["properties"][name].get("default").is_none())
}

/// Whether a status tells its reason, and who must act.
pub(super) fn of_status(what: &str, status: &Status) -> Option<Finding> {
    let details = status.get_error_details();
    let Some(info) = details.error_info().filter(|info| info.domain == ERROR_DOMAIN) else {
        // What gRPC itself answers to a call that is not served needs no more.
        if status.code() == Code::Unimplemented {
            return None;
        }
        let seen = format!("{what} ended with {} without an ErrorInfo", told(status));
        return Some(Finding::new(seen, INFO, "add the details to every status; SDKs do it"));
    };
    let Some(reason) = reason_by_name(&info.reason) else {
        let seen = format!("{what} ended with the reason {:?}, which is not in the list", info.reason);
        return Some(Finding::new(
            seen,
            INFO,
            "use a reason of the list; a code of your own goes into metadata `code`",
        ));
    };
    let known = reason_info(reason);
    if let Some(actor) = info.metadata.get("actor").filter(|actor| **actor != known.actor.as_str()) {
        let seen = format!("{what} ended with {}, and says that {actor:?} must act", known.name);
        return Some(Finding::new(seen, ACTOR, format!("say {:?}, or leave it out", known.actor.as_str())));
    }
    let error = ConnectorError::from_status(status);
    (error.message.is_empty() || error.message.len() > 2048).then(|| {
        let seen = format!("{what} ended with a message of {} bytes", error.message.len());
        Finding::new(
            seen,
            "\"Required. What happened, for a person … at most 2 KiB.\" (errors.proto, Error)",
            "say what happened, in a line",
        )
    })
}
