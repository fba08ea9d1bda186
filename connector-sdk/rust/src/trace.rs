//! The trace that a call is part of: connectord sends it as W3C `traceparent` when it makes traces.

use std::fmt;
use std::future::Future;
use std::str::FromStr;

use tonic::metadata::MetadataMap;
use tracing::Instrument;

tokio::task_local! {
    static CURRENT: TraceParent;
}

/// Where in a trace the server's call stands. What the connector does for it hangs below: give it on as the header
/// `traceparent` of requests to the source (it displays as that header's value), or make it the parent of spans of your
/// own.
///
/// Around each traced call the SDK opens the `tracing` span `connector.call` with the fields `rpc`, `trace_id` and
/// `parent_id`, so that log lines tell them too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// The text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no traceparent: version, trace id, parent id and flags as hexadecimal digits, with hyphens between"
)]
pub struct TraceParentError;

impl TraceParent {
    /// Of the call that this task works on. `None`: the server makes no traces, or this is a task that the author has
    /// spawned, into which it has to be moved.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|current| *current).ok()
    }

    /// Names the trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// Names the server's span: 16 hexadecimal digits.
    pub fn parent_id(&self) -> String {
        format!("{:016x}", self.parent_id)
    }

    /// Whether the trace is kept.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    pub(crate) fn of(metadata: &MetadataMap) -> Option<Self> {
        metadata.get("traceparent")?.to_str().ok()?.parse().ok()
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let parts: Vec<&str> = text.split('-').collect();
        let &[version, trace_id, parent_id, flags, ref rest @ ..] = parts.as_slice() else {
            return Err(TraceParentError);
        };
        let is_hex = |part: &str, digits: usize| {
            part.len() == digits && part.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        };
        // Later versions may add parts behind those of the first.
        let is_known = version != "ff" && (version != "00" || rest.is_empty());
        let is_form = [(version, 2), (trace_id, 32), (parent_id, 16), (flags, 2)];
        if !is_known || !is_form.into_iter().all(|(part, digits)| is_hex(part, digits)) {
            return Err(TraceParentError);
        }
        let parse = |_| TraceParentError;
        let trace_id = u128::from_str_radix(trace_id, 16).map_err(parse)?;
        let parent_id = u64::from_str_radix(parent_id, 16).map_err(parse)?;
        let flags = u8::from_str_radix(flags, 16).map_err(parse)?;
        if trace_id == 0 || parent_id == 0 {
            Err(TraceParentError)
        } else {
            Ok(Self { trace_id, parent_id, flags })
        }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

/// Does an author's `work` within the trace of its call.
pub(crate) async fn within<F: Future>(trace: Option<TraceParent>, rpc: &'static str, work: F) -> F::Output {
    let Some(trace) = trace else { return work.await };
    let (trace_id, parent_id) = (trace.trace_id(), trace.parent_id());
    let span = tracing::info_span!("connector.call", rpc, trace_id, parent_id);
    CURRENT.scope(trace, work.instrument(span)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written_as_it_is() {
        let trace: TraceParent = TRACE.parse().unwrap();
        assert_eq!(trace.to_string(), TRACE);
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.parent_id(), "00f067aa0ba902b7");
        assert!(trace.is_sampled());
        let later = TRACE.replacen("00", "cc", 1) + "-what-comes-later";
        assert_eq!(later.parse(), Ok(trace));
        assert!(!TRACE.replace("-01", "-00").parse::<TraceParent>().unwrap().is_sampled());
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        let zeros = |part: &str| TRACE.replace(part, &"0".repeat(part.len()));
        for wrong in [
            String::new(),
            TRACE.to_uppercase(),
            TRACE.replacen("00", "ff", 1),
            TRACE.replace("-01", ""),
            format!("{TRACE}-more"),
            TRACE.replace("4bf9", "+bf9"),
            TRACE.replace("4bf9", "bf9"),
            zeros("4bf92f3577b34da6a3ce929d0e0e4736"),
            zeros("00f067aa0ba902b7"),
        ] {
            assert_eq!(wrong.parse::<TraceParent>(), Err(TraceParentError), "{wrong}");
        }
    }
}
