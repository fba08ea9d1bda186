//! Re-normalization: documents made anew of kept raw items.

use futures::{Stream, stream};
use superfasttt_proto::control::v1::*;
use superfasttt_proto::error::ConnectorError;

use super::error::ApiError;
use super::{Api, convert};
use crate::access::Caller;
use crate::schedule::new_id;
use crate::store::connections::Connection;
use crate::store::runs::Queued;
use crate::sync::port::Connectors;
use crate::sync::renormalize::{Difference, DifferenceKind, Preview, PreviewError, Totals};

const DEFAULT_SAMPLE: usize = 100;
const MAX_SAMPLE: u32 = 1000;

impl Api {
    /// Asks for a re-normalization.
    pub(super) async fn renormalize(
        &self,
        caller: &Caller,
        connection: &str,
    ) -> Result<RenormalizeConnectionResponse, ApiError> {
        let connection = self.keeping(caller, connection).await?;
        if connection.disabled {
            return Err(ApiError::Precondition("the connection is disabled: enable it first".to_owned()));
        }
        let queued = self.store.queue_renormalization(new_id(), connection.key, self.clock.now()).await?;
        let (run, already_running) = match queued {
            Queued::New(run) => (run, false),
            Queued::Existing(run) if run.renormalizes => (run, true),
            Queued::Existing(run) | Queued::Follows(run) => {
                let message = format!("run {} syncs the connection: wait for it or cancel it first", run.id);
                return Err(ApiError::Precondition(message));
            }
        };
        caller.tells(|detail| detail.run.clone_from(&run.id));
        Ok(RenormalizeConnectionResponse { run: Some(convert::run(&run)), already_running })
    }

    /// Begins to tell what a re-normalization would change.
    pub(super) async fn preview(
        &self,
        caller: &Caller,
        request: PreviewRenormalizationRequest,
    ) -> Result<impl Stream<Item = Result<PreviewRenormalizationResponse, ApiError>> + use<>, ApiError> {
        let sample = match (request.all, request.sample_size) {
            (true, 0) => None,
            (false, 0) => Some(DEFAULT_SAMPLE),
            (false, size @ 1..=MAX_SAMPLE) => Some(size as usize),
            (true, _) => return Err(ApiError::field("sample_size", "must be 0 where all are asked for")),
            (false, _) => return Err(ApiError::field("sample_size", "must be 1 to 1,000")),
        };
        let connection = self.keeping(caller, &request.connection).await?;
        let manifest = self.catalog.get(&connection.connector).and_then(|entry| entry.manifest.clone());
        let Some(manifest) = manifest else {
            let message = format!("there is no connector {:?} that works", connection.connector);
            return Err(ApiError::Precondition(message));
        };
        let normalizer = self.scheduler.normalizer(&manifest, &connection);
        let session = self.host.open(&connection).await?;
        let in_flight = self.scheduler.renormalizing();
        let preview =
            Preview::new(self.store.clone(), connection, normalizer, session, in_flight, sample).await?;
        Ok(stream::unfold(Some(preview), |preview| async move {
            let mut preview = preview?;
            let next = preview.next().await;
            let totals = Some(totals(preview.totals()));
            let more = matches!(next, Ok(Some(_)));
            let message = next.map_err(ApiError::from).map(|next| PreviewRenormalizationResponse {
                done: next.is_none(),
                documents: next.unwrap_or_default().into_iter().map(difference).collect(),
                totals,
            });
            Some((message, more.then_some(preview)))
        }))
    }

    /// A connection that keeps raw items.
    async fn keeping(&self, caller: &Caller, connection: &str) -> Result<Connection, ApiError> {
        let connection = self.connection(caller, connection).await?;
        if connection.deleting_at.is_some() {
            return Err(ApiError::Precondition("the connection is being deleted".to_owned()));
        }
        if !connection.keep_raw {
            let message = "the connection keeps no raw items: set keep_raw, and sync it once";
            return Err(ApiError::Precondition(message.to_owned()));
        }
        Ok(connection)
    }
}

impl From<PreviewError> for ApiError {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::Store(error) => error.into(),
            PreviewError::Connector(error) => error.into(),
        }
    }
}

fn difference(difference: Difference) -> DocumentDifference {
    use document_difference::Kind;
    let kind = match difference.kind {
        DifferenceKind::Unchanged => Kind::Unchanged,
        DifferenceKind::Changed => Kind::Changed,
        DifferenceKind::BecomesError => Kind::BecomesError,
        DifferenceKind::NewlyReadable => Kind::NewlyReadable,
        DifferenceKind::StillError => Kind::StillError,
    };
    DocumentDifference {
        id: difference.id,
        scope: difference.scope,
        kind: kind.into(),
        fields: difference.fields,
        error: difference.error.as_ref().map(ConnectorError::to_proto),
    }
}

fn totals(totals: Totals) -> RenormalizationTotals {
    RenormalizationTotals {
        kept: totals.kept,
        examined: totals.examined,
        unchanged: totals.unchanged,
        changed: totals.changed,
        become_error: totals.become_error,
        newly_readable: totals.newly_readable,
        still_error: totals.still_error,
    }
}
