//! One call of the server: the trace that it is part of, and the secrets that it brought.

use std::future::Future;
use std::sync::Arc;

use superfasttt_proto::connector::v1;

use crate::log;
use crate::redact::Redactor;
use crate::trace::{TraceParent, within};

/// What is kept as long as a call runs.
pub(crate) struct Call {
    pub(crate) trace: Option<TraceParent>,
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "the log knows it as long as it is held here")
    )]
    pub(crate) redactor: Arc<Redactor>,
}

impl Call {
    /// From here on the log is without the secrets of the call.
    pub(crate) fn begin(trace: Option<TraceParent>, credential: Option<&v1::Credential>) -> Self {
        let redactor = Arc::new(Redactor::new(credential.iter().flat_map(|credential| credential.secrets())));
        log::keep_out(&redactor);
        Self { trace, redactor }
    }

    /// Does an author's `work` within the call.
    pub(crate) async fn run<F: Future>(&self, rpc: &'static str, work: F) -> F::Output {
        within(self.trace, rpc, work).await
    }
}
