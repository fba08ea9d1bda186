//! Health, as connectord waits for it and as tools ask for a service by its name.

use tonic_health::pb::health_check_response::ServingStatus;

use crate::outcome::{Finding, Outcome, Verdict};
use crate::pull::told;
use crate::workbench::Workbench;

const READY: &str = "\"Ready is health `SERVING` for \\\"\\\" and for `superfasttt.connector.v1.Connector`.\" (connector-sdk/README.md, Serving)";

pub(super) async fn check(bench: &mut Workbench) -> Verdict {
    let wire = bench.wire().await?;
    let mut findings = Vec::new();
    for service in ["", "superfasttt.connector.v1.Connector"] {
        let seen = match wire.health(service).await {
            Ok(ServingStatus::Serving) => continue,
            Ok(status) => format!("health of {service:?} is {status:?}"),
            Err(status) => format!("health of {service:?} answers {}", told(&status)),
        };
        findings.push(Finding::new(
            seen,
            READY,
            format!("set the status of {service:?} to SERVING once calls are taken"),
        ));
    }
    Ok(Outcome::of(findings, ""))
}
