//! The trace of the current span, as W3C Trace Context writes it: on calls to connectors, and in the log.

use opentelemetry::trace::{SpanContext, TraceContextExt};
use tonic::metadata::{Ascii, MetadataValue};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The metadata that carries it.
pub const TRACEPARENT: &str = "traceparent";

/// The value of `traceparent` for a call made within the current span; `None` while nothing is traced.
pub fn current() -> Option<MetadataValue<Ascii>> {
    let span = context(&Span::current())?;
    let flags = span.trace_flags().to_u8();
    let value = format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id());
    MetadataValue::try_from(value).ok()
}

/// Writes the id of a span's trace into its field `trace_id`, so that the lines of log within it tell it.
pub fn record_trace_id(span: &Span) {
    if let Some(context) = context(span).filter(SpanContext::is_sampled) {
        span.record("trace_id", context.trace_id().to_string());
    }
}

fn context(span: &Span) -> Option<SpanContext> {
    let context = span.context();
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}
