//! `SyncService`: runs, their logs, item errors and sync states.

use std::pin::Pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, stream};
use superfasttt_proto::control::v1::run::{State, Trigger};
use superfasttt_proto::control::v1::sync_service_server::SyncService;
use superfasttt_proto::control::v1::*;
use tonic::{Request, Response, Status};

use super::connection::schedule;
use super::error::ApiError;
use super::{Api, convert, page};
use crate::access::Caller;
use crate::schedule::new_id;
use crate::store::connections::{Connection, ConnectionChange, Schedule};
use crate::store::runs::{Queued, Run as StoredRun, RunFilter, Work};
use crate::sync::report::LiveRun;

/// The shortest time between two messages of a watched run.
const WATCH_EVERY: Duration = Duration::from_millis(250);

#[tonic::async_trait]
impl SyncService for Api {
    async fn start_sync(
        &self,
        request: Request<StartSyncRequest>,
    ) -> Result<Response<StartSyncResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        if let Some(at) = &request.at {
            let planned_at = self.plan(&caller, &request.connection, at, request.full).await?;
            let planned_at = Some(convert::timestamp(planned_at));
            return Ok(Response::new(StartSyncResponse { planned_at, ..StartSyncResponse::default() }));
        }
        let work = if request.full { Work::Full } else { Work::Changes };
        let (run, already_running) = self.queue(&caller, &request.connection, work).await?;
        Ok(Response::new(StartSyncResponse {
            run: Some(convert::run(&run)),
            already_running,
            planned_at: None,
        }))
    }

    async fn cancel_run(
        &self,
        request: Request<CancelRunRequest>,
    ) -> Result<Response<CancelRunResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let run = self.run(&caller, &request.run).await?;
        self.store.cancel_run(&run.id, self.clock.now()).await.map_err(ApiError::from)?;
        let run = self.stored_run(&run.id).await?;
        Ok(Response::new(CancelRunResponse { run: Some(convert::run(&run)) }))
    }

    async fn get_run(&self, request: Request<GetRunRequest>) -> Result<Response<GetRunResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let run = self.run(&caller, &request.run).await?;
        let run = match self.scheduler.live().get(&run.id) {
            Some(report) => convert::live_run(&report.watch().borrow()),
            None => convert::run(&run),
        };
        Ok(Response::new(GetRunResponse { run: Some(run) }))
    }

    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let limit = page::size(request.page_size)?;
        let organization = caller.organization();
        let filters = ["runs", organization, &request.connection];
        let before = page::key(&filters, &request.page_token)?;
        let connection = match request.connection.as_str() {
            "" => None,
            id => Some(self.connection(&caller, id).await?.key),
        };
        let filter = RunFilter { connection, organization: organization.to_owned() };
        let listed = self.store.runs(filter, before, limit).await.map_err(ApiError::from)?;
        Ok(Response::new(ListRunsResponse {
            runs: listed.items.iter().map(convert::run).collect(),
            next_page_token: listed.next.map(|key| page::token(&filters, &key)).unwrap_or_default(),
        }))
    }

    type WatchRunStream = Pin<Box<dyn Stream<Item = Result<WatchRunResponse, Status>> + Send>>;

    async fn watch_run(
        &self,
        request: Request<WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        let (caller, request) = Caller::of(request)?;
        let id = request.run;
        self.run(&caller, &id).await?;
        let watched = stream::unfold(Some((self.clone(), id, None)), |state| async move {
            let (api, id, last) = state?;
            match api.next_of_run(&id, last).await {
                Ok(live) => {
                    let ended = has_ended(live.run.state);
                    let message = WatchRunResponse { run: Some(convert::live_run(&live)) };
                    Some((Ok(message), (!ended).then_some((api, id, Some(live)))))
                }
                Err(error) => Some((Err(Status::from(error)), None)),
            }
        });
        Ok(Response::new(watched.boxed()))
    }

    async fn list_run_logs(
        &self,
        request: Request<ListRunLogsRequest>,
    ) -> Result<Response<ListRunLogsResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let limit = page::size(request.page_size)?;
        let run = self.run(&caller, &request.run).await?;
        let level = request.min_level.to_string();
        let filters = ["run_logs", &request.run, &level];
        let after = page::key(&filters, &request.page_token)?.unwrap_or_default();
        let after = if after.is_empty() { 0 } else { after.parse().map_err(|_| page::bad_token())? };
        let min_level = convert::min_level(request.min_level);
        let (listed, dropped) =
            self.store.run_log(&run.id, min_level, after, limit).await.map_err(ApiError::from)?;
        let last = listed.items.last().map_or(after, |line| line.seq);
        let more = listed.next.is_some() || !has_ended(run.state);
        Ok(Response::new(ListRunLogsResponse {
            records: listed.items.into_iter().map(convert::log_record).collect(),
            next_page_token: if more { page::token(&filters, &last.to_string()) } else { String::new() },
            dropped,
        }))
    }

    async fn list_item_errors(
        &self,
        request: Request<ListItemErrorsRequest>,
    ) -> Result<Response<ListItemErrorsResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.item_errors(&caller, request).await?))
    }

    async fn retry_item_errors(
        &self,
        request: Request<RetryItemErrorsRequest>,
    ) -> Result<Response<RetryItemErrorsResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.retry_items(&caller, request).await?))
    }

    async fn renormalize_connection(
        &self,
        request: Request<RenormalizeConnectionRequest>,
    ) -> Result<Response<RenormalizeConnectionResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.renormalize(&caller, &request.connection).await?))
    }

    type PreviewRenormalizationStream =
        Pin<Box<dyn Stream<Item = Result<PreviewRenormalizationResponse, Status>> + Send>>;

    async fn preview_renormalization(
        &self,
        request: Request<PreviewRenormalizationRequest>,
    ) -> Result<Response<Self::PreviewRenormalizationStream>, Status> {
        let (caller, request) = Caller::of(request)?;
        let preview = self.preview(&caller, request).await?;
        Ok(Response::new(preview.map(|message| message.map_err(Status::from)).boxed()))
    }

    async fn get_sync_state(
        &self,
        request: Request<GetSyncStateRequest>,
    ) -> Result<Response<GetSyncStateResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let connection = self.connection(&caller, &request.connection).await?;
        Ok(Response::new(GetSyncStateResponse { scopes: self.scopes(&connection).await? }))
    }

    async fn update_sync_state(
        &self,
        request: Request<UpdateSyncStateRequest>,
    ) -> Result<Response<UpdateSyncStateResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let connection = self.connection(&caller, &request.connection).await?;
        let scope = Some(self.set_cursor(&connection, request).await?);
        Ok(Response::new(UpdateSyncStateResponse { scope }))
    }

    async fn reset_sync_state(
        &self,
        request: Request<ResetSyncStateRequest>,
    ) -> Result<Response<ResetSyncStateResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let connection = self.connection(&caller, &request.connection).await?;
        let scopes = self.forget_cursors(&connection, request.scopes).await?;
        Ok(Response::new(ResetSyncStateResponse { scopes }))
    }

    async fn approve_deletions(
        &self,
        request: Request<ApproveDeletionsRequest>,
    ) -> Result<Response<ApproveDeletionsResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let connection = self.connection(&caller, &request.connection).await?;
        self.refuse_while_running(&connection).await?;
        let approved =
            self.store.approve_held(connection.key, request.scopes).await.map_err(ApiError::from)?;
        if approved.is_empty() {
            return Ok(Response::new(ApproveDeletionsResponse::default()));
        }
        // What is still absent is found by listing once more.
        let (run, _) = self.queue(&caller, &connection.id, Work::Reconcile).await?;
        Ok(Response::new(ApproveDeletionsResponse {
            run: Some(convert::run(&run)),
            approved: approved.iter().filter_map(convert::held_sweep).collect(),
        }))
    }
}

impl Api {
    /// A connection that may run.
    pub(super) async fn connection_to_sync(&self, caller: &Caller, id: &str) -> Result<Connection, ApiError> {
        let connection = self.connection(caller, id).await?;
        if connection.deleting_at.is_some() {
            return Err(ApiError::Precondition("the connection is being deleted".to_owned()));
        }
        if connection.disabled {
            return Err(ApiError::Precondition("the connection is disabled: enable it first".to_owned()));
        }
        if self.catalog.is_disabled(&connection.connector) {
            let connector = &connection.connector;
            return Err(ApiError::Precondition(format!(
                "an administrator disabled connector {connector:?}: set connectors.{connector}.enabled first"
            )));
        }
        Ok(connection)
    }

    /// Plans a run, in place of one that was planned before. Says when it is due.
    async fn plan(
        &self,
        caller: &Caller,
        connection: &str,
        at: &prost_types::Timestamp,
        full: bool,
    ) -> Result<DateTime<Utc>, ApiError> {
        let connection = self.connection_to_sync(caller, connection).await?;
        let now = self.clock.now();
        let mut faults = Vec::new();
        let Some(at) = schedule::planned("at", at, now, &mut faults) else {
            return Err(ApiError::Invalid(faults));
        };
        if connection.paused {
            let message = "the schedule is paused, and planned runs with it: resume it first";
            return Err(ApiError::Precondition(message.to_owned()));
        }
        let planned = Schedule { planned_at: Some(at), planned_full: full, ..connection.schedule.clone() };
        let change = ConnectionChange {
            next: schedule::next_due(&connection, &planned, now),
            schedule: Some(planned),
            ..ConnectionChange::default()
        };
        self.store.update_connection(&connection.id, Some(connection.revision), change, now).await?;
        Ok(at)
    }

    /// Asks for a run now; says whether one was under way.
    pub(super) async fn queue(
        &self,
        caller: &Caller,
        connection: &str,
        work: Work,
    ) -> Result<(StoredRun, bool), ApiError> {
        let connection = self.connection_to_sync(caller, connection).await?;
        if let Some(run) = self.store.active_run(connection.key).await?.filter(|run| run.renormalizes) {
            let message =
                format!("run {} re-normalizes the connection: wait for it or cancel it first", run.id);
            return Err(ApiError::Precondition(message));
        }
        let queued =
            self.store.queue_run(new_id(), connection.key, Trigger::Manual, work, self.clock.now()).await?;
        let (run, already_running) = match queued {
            Queued::New(run) => (run, false),
            Queued::Existing(run) | Queued::Follows(run) => (run, true),
        };
        caller.tells(|detail| detail.run.clone_from(&run.id));
        Ok((run, already_running))
    }

    /// A run under way would write over what is about to be changed.
    pub(super) async fn refuse_while_running(&self, connection: &Connection) -> Result<(), ApiError> {
        match self.store.active_run(connection.key).await? {
            Some(run) if run.state == State::Running => {
                let message = format!("run {} is under way: wait for it or cancel it first", run.id);
                Err(ApiError::Precondition(message))
            }
            _ => Ok(()),
        }
    }

    /// The run once it differs from `last`: followed live where it is under way here, else looked at again and again.
    async fn next_of_run(&self, id: &str, last: Option<LiveRun>) -> Result<LiveRun, ApiError> {
        if last.is_some() {
            tokio::time::sleep(WATCH_EVERY).await;
        }
        loop {
            let now = match self.scheduler.live().get(id) {
                Some(report) => report.watch().borrow().clone(),
                None => {
                    let run = self.stored_run(id).await?;
                    let progress = last.as_ref().and_then(|last| last.progress.clone());
                    LiveRun { run, progress }
                }
            };
            if last.as_ref() != Some(&now) {
                return Ok(now);
            }
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }
}

fn has_ended(state: State) -> bool {
    matches!(state, State::Succeeded | State::SucceededWithErrors | State::Failed | State::Cancelled)
}
