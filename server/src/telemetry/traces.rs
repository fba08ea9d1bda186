//! Spans to an OTLP collector. They are gathered and sent in batches by a thread of their own: a collector that is slow
//! or away costs spans, which are dropped when the queue is full, and never holds up a run. The log hears of it once, and
//! once more when it is back.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::{Status, TracerProvider};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tokio::runtime::Handle;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::metrics::TRACE_EXPORTS;
use crate::config::TelemetryConfig;
use crate::redact;

/// How long a batch may take to be taken.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the end of the process waits for the last spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp_endpoint cannot be used: {0}")]
pub struct TracesError(#[from] ExporterBuildError);

/// The sending of spans.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Sends what is left, for at most five seconds. Blocks; the runtime has to be there still.
    pub fn end(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans were not sent to the collector");
        }
    }
}

type BoxedLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// The layer that makes spans, and what sends them; `None` where no collector is named.
///
/// # Errors
/// The collector's address cannot be used.
pub(super) fn start<S>(config: &TelemetryConfig) -> Result<Option<(BoxedLayer<S>, Traces)>, TracesError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let exporter = Exporter {
        inner: Arc::new(exporter),
        runtime: Handle::current(),
        endpoint: endpoint.clone(),
        is_failing: AtomicBool::new(false),
    };
    let resource = Resource::builder()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(resource)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("connectord"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false);
    Ok(Some((Box::new(layer.with_filter(filter_fn(is_traced))), Traces { provider })))
}

/// Our own spans, and what is logged within them as a warning or worse. Not those of libraries: the exporter's own calls
/// would be traced.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    let ours = metadata.target().starts_with("connectord");
    let level = if metadata.is_span() { tracing::Level::DEBUG } else { tracing::Level::WARN };
    ours && *metadata.level() <= level
}

/// Sends within the runtime, counts, and tells when sending begins to fail and when it works again.
#[derive(Debug)]
struct Exporter {
    inner: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: Handle,
    endpoint: String,
    is_failing: AtomicBool,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let inner = self.inner.clone();
        let batch = batch.into_iter().map(without_secrets).collect();
        // The batch's own thread has no timers and no sockets.
        let sending = self.runtime.spawn(async move {
            let sent = tokio::time::timeout(EXPORT_TIMEOUT, inner.export(batch)).await;
            sent.unwrap_or(Err(OTelSdkError::Timeout(EXPORT_TIMEOUT)))
        });
        let result =
            sending.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        TRACE_EXPORTS.add([if result.is_ok() { "ok" } else { "failed" }], 1);
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_failing => tracing::warn!(
                %error,
                endpoint = self.endpoint,
                "traces cannot be sent to the collector and are dropped until it answers; look whether it runs, or \
                 leave out telemetry.otlp_endpoint"
            ),
            Ok(()) if was_failing => {
                tracing::info!(endpoint = self.endpoint, "the collector takes traces again");
            }
            Ok(()) | Err(_) => {}
        }
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Called while the provider is built: nothing is being sent yet.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }
}

/// The span without the secrets that are in use.
fn without_secrets(mut span: SpanData) -> SpanData {
    let text = |text: &mut StringValue| {
        if let Cow::Owned(redacted) = redact::text(text.as_str()) {
            *text = redacted.into();
        }
    };
    let attributes = |attributes: &mut Vec<KeyValue>| {
        for attribute in attributes {
            match &mut attribute.value {
                Value::String(value) => text(value),
                Value::Array(Array::String(values)) => values.iter_mut().for_each(text),
                _ => {}
            }
        }
    };
    attributes(&mut span.attributes);
    for event in &mut span.events.events {
        event.name = redact::string(std::mem::take(&mut event.name).into_owned()).into();
        attributes(&mut event.attributes);
    }
    if let Status::Error { description } = &mut span.status {
        *description = redact::string(std::mem::take(description).into_owned()).into();
    }
    span
}
