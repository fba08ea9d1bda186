//! The fake's runs, as the script tells them.

use std::sync::atomic::Ordering;

use superfasttt_proto::connector::v1::Error;
use superfasttt_proto::control::v1 as control;
use superfasttt_proto::control::v1::Run;
use tokio_stream::iter;
use tonic::{Request, Response, Status};

use super::{Answer, Answers, Fake, Later, check, unused};
use crate::support::RUN;

#[tonic::async_trait]
impl control::sync_service_server::SyncService for Fake {
    type WatchRunStream = Answers<control::WatchRunResponse>;

    async fn start_sync(
        &self,
        request: Request<control::StartSyncRequest>,
    ) -> Answer<control::StartSyncResponse> {
        check(&request.get_ref().connection)?;
        let planned_at = request.get_ref().at;
        self.asked.syncs.lock().unwrap().push(request.into_inner());
        let run = self.script.first().cloned().filter(|_| planned_at.is_none());
        let already_running = self.already_running;
        Ok(Response::new(control::StartSyncResponse { run, already_running, planned_at }))
    }

    async fn renormalize_connection(
        &self,
        request: Request<control::RenormalizeConnectionRequest>,
    ) -> Answer<control::RenormalizeConnectionResponse> {
        check(&request.get_ref().connection)?;
        let run = self.script.first().cloned();
        Ok(Response::new(control::RenormalizeConnectionResponse {
            run,
            already_running: self.already_running,
        }))
    }

    type PreviewRenormalizationStream = Answers<control::PreviewRenormalizationResponse>;

    async fn preview_renormalization(
        &self,
        request: Request<control::PreviewRenormalizationRequest>,
    ) -> Answer<Self::PreviewRenormalizationStream> {
        self.asked.previews.lock().unwrap().push(request.into_inner());
        let answers = self.preview.clone().into_iter().map(Ok).collect::<Vec<_>>();
        Ok(Response::new(Box::pin(iter(answers))))
    }

    async fn watch_run(&self, request: Request<control::WatchRunRequest>) -> Answer<Self::WatchRunStream> {
        if request.get_ref().run != RUN {
            return Err(Status::not_found("there is no such run"));
        }
        let answer = |run: Run| Ok(control::WatchRunResponse { run: Some(run) });
        let breaks =
            self.breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if breaks {
            let first = answer(self.script[0].clone());
            return Ok(Response::new(Box::pin(iter([first, Err(Status::unavailable("the server stops"))]))));
        }
        let script = iter(self.script.clone().into_iter().map(answer).collect::<Vec<_>>());
        if self.hold {
            use tokio_stream::StreamExt as _;
            return Ok(Response::new(Box::pin(script.chain(tokio_stream::pending()))));
        }
        Ok(Response::new(Box::pin(script)))
    }

    async fn list_runs(&self, _: Request<control::ListRunsRequest>) -> Answer<control::ListRunsResponse> {
        let runs = self.script.last().cloned().into_iter().collect();
        Ok(Response::new(control::ListRunsResponse { runs, ..Default::default() }))
    }

    async fn get_run(&self, _: Request<control::GetRunRequest>) -> Answer<control::GetRunResponse> {
        Ok(Response::new(control::GetRunResponse { run: self.script.last().cloned() }))
    }

    async fn cancel_run(&self, _: Request<control::CancelRunRequest>) -> Answer<control::CancelRunResponse> {
        Ok(Response::new(control::CancelRunResponse { run: self.script.last().cloned() }))
    }

    async fn list_run_logs(
        &self,
        request: Request<control::ListRunLogsRequest>,
    ) -> Answer<control::ListRunLogsResponse> {
        let record = |message: &str| control::RunLogRecord {
            origin: "engine".into(),
            message: message.into(),
            fields: [("a", "1"), ("b", "2"), ("c", "3")]
                .map(|(key, value)| (key.into(), value.into()))
                .into(),
            ..Default::default()
        };
        // The run goes on at first, so an empty page still has a token; then it ends.
        let (records, next_page_token) = match request.get_ref().page_token.as_str() {
            "" => (vec![record("began")], "2".into()),
            "2" => (vec![], "3".into()),
            _ => (vec![record("ended")], String::new()),
        };
        Ok(Response::new(control::ListRunLogsResponse { records, next_page_token, dropped: 0 }))
    }

    async fn get_sync_state(
        &self,
        _: Request<control::GetSyncStateRequest>,
    ) -> Answer<control::GetSyncStateResponse> {
        let scopes = self.held.iter().map(|sweep| control::ScopeSyncState {
            scope: sweep.scope.clone(),
            cursor: vec![0xff, 0x00],
            held_sweep: Some(sweep.clone()),
            ..Default::default()
        });
        Ok(Response::new(control::GetSyncStateResponse { scopes: scopes.collect() }))
    }

    async fn approve_deletions(
        &self,
        _: Request<control::ApproveDeletionsRequest>,
    ) -> Answer<control::ApproveDeletionsResponse> {
        let run = self.script.last().cloned().filter(|_| !self.held.is_empty());
        Ok(Response::new(control::ApproveDeletionsResponse { run, approved: self.held.clone() }))
    }

    async fn list_item_errors(
        &self,
        request: Request<control::ListItemErrorsRequest>,
    ) -> Answer<control::ListItemErrorsResponse> {
        let asked = request.into_inner();
        check(&asked.connection)?;
        let record = control::ItemErrorRecord {
            id: "17".into(),
            scope: asked.scope.unwrap_or_default(),
            item: "report.pdf".into(),
            error: Some(Error { reason: asked.reason, message: "locked".into(), ..Default::default() }),
            ..Default::default()
        };
        let item_errors = vec![record];
        Ok(Response::new(control::ListItemErrorsResponse { item_errors, ..Default::default() }))
    }

    async fn retry_item_errors(
        &self,
        request: Request<control::RetryItemErrorsRequest>,
    ) -> Answer<control::RetryItemErrorsResponse> {
        let asked = request.into_inner();
        check(&asked.connection)?;
        let run = self.script.first().cloned();
        let items = asked.item_errors.len() as u64;
        Ok(Response::new(control::RetryItemErrorsResponse { run, items, locators: 2, ..Default::default() }))
    }

    async fn update_sync_state(
        &self,
        request: Request<control::UpdateSyncStateRequest>,
    ) -> Answer<control::UpdateSyncStateResponse> {
        let control::UpdateSyncStateRequest { connection, scope, cursor, etag } = request.into_inner();
        check(&connection)?;
        let scope = Some(control::ScopeSyncState { scope, cursor, etag, ..Default::default() });
        Ok(Response::new(control::UpdateSyncStateResponse { scope }))
    }

    unused! {
        reset_sync_state(ResetSyncStateRequest) -> ResetSyncStateResponse,
    }
}
