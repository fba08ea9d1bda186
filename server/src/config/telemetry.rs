//! Section `telemetry`: where the traces of runs go.

use serde::{Deserialize, Serialize};

use super::problem::Checks;

/// Where the traces of runs go.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// The collector's OTLP address over gRPC; `None`: no traces are made.
    pub otlp_endpoint: Option<String>,
    /// What this installation is called in traces.
    pub service_name: String,
    /// The share of runs whose trace is sent.
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, service_name: "connectord".to_owned(), sample_ratio: 1.0 }
    }
}

impl TelemetryConfig {
    pub(super) fn validate(&self, checks: &mut Checks<'_>) {
        if let Some(endpoint) = &self.otlp_endpoint {
            let address = endpoint.parse::<http::Uri>().ok();
            let holds = address
                .is_some_and(|address| address.authority().is_some() && address.scheme_str() == Some("http"));
            checks.require(holds, "otlp_endpoint", || {
                format!("{endpoint:?} is not an address of plain gRPC; write for example \"http://127.0.0.1:4317\"")
            });
        }
        checks.require(!self.service_name.is_empty(), "service_name", || {
            "it is empty; write for example \"connectord\"".to_owned()
        });
        checks.share("sample_ratio", self.sample_ratio);
    }
}
