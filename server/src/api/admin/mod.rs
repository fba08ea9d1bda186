//! `AdminService`: what operators ask of an installation. All of it is the whole installation's: a token of one organisation
//! has no permission for it.

mod audit;
mod tokens;

use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::control::v1::admin_service_server::AdminService;
use superfasttt_proto::control::v1::{
    Consumer, CreateApiTokenRequest, CreateApiTokenResponse, DeleteConsumerRequest, DeleteConsumerResponse,
    GetServerInfoRequest, GetServerInfoResponse, ListApiTokensRequest, ListApiTokensResponse,
    ListAuditEventsRequest, ListAuditEventsResponse, ListConsumersRequest, ListConsumersResponse,
    RevokeApiTokenRequest, RevokeApiTokenResponse,
};
use tonic::{Request, Response, Status};

use super::convert::timestamp;
use super::error::ApiError;
use super::{Api, page};
use crate::access::Caller;
use crate::documents::{Position, lag_offset};

#[tonic::async_trait]
impl AdminService for Api {
    async fn get_server_info(
        &self,
        _request: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        let bounds = self.store.feed_bounds().await.map_err(ApiError::from)?;
        let head = Position::after(&bounds, bounds.head, bounds.head);
        Ok(Response::new(GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: self.store.kind().to_owned(),
            contract_revision: CONTRACT_REVISION,
            started_at: Some(timestamp(self.started_at)),
            feed_head: head.to_string(),
            active_runs: u32::try_from(self.scheduler.live().count()).unwrap_or(u32::MAX),
        }))
    }

    async fn list_consumers(
        &self,
        request: Request<ListConsumersRequest>,
    ) -> Result<Response<ListConsumersResponse>, Status> {
        let request = request.into_inner();
        let limit = page::size(request.page_size)?;
        let after = page::key(&["consumers"], &request.page_token)?.unwrap_or_default();
        let listed = self.store.consumers(&after, limit).await.map_err(ApiError::from)?;
        let bounds = self.store.feed_bounds().await.map_err(ApiError::from)?;
        let mut consumers = Vec::with_capacity(listed.items.len());
        for consumer in listed.items {
            let position = consumer.position.parse().unwrap_or(Position::Beginning);
            let offset = lag_offset(position, &bounds);
            let lag = self.store.feed_lag(consumer.filter.clone(), offset).await.map_err(ApiError::from)?;
            consumers.push(Consumer {
                name: consumer.name,
                position: consumer.position,
                lag: lag.entries,
                oldest_unread_at: lag.since.map(timestamp),
                connection: consumer.filter.connection,
                organization: consumer.filter.organization,
                committed_at: consumer.committed_at.map(timestamp),
            });
        }
        let next_page_token = listed.next.map(|key| page::token(&["consumers"], &key)).unwrap_or_default();
        Ok(Response::new(ListConsumersResponse { consumers, next_page_token }))
    }

    async fn delete_consumer(
        &self,
        request: Request<DeleteConsumerRequest>,
    ) -> Result<Response<DeleteConsumerResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        let name = request.consumer;
        if !self.store.delete_consumer(&name).await.map_err(ApiError::from)? {
            return Err(ApiError::not_found("consumer", &name).into());
        }
        caller.concerns_any("consumer", &name, name.split_once('/').map_or("", |(owner, _)| owner));
        Ok(Response::new(DeleteConsumerResponse {}))
    }

    async fn create_api_token(
        &self,
        request: Request<CreateApiTokenRequest>,
    ) -> Result<Response<CreateApiTokenResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.make_token(&caller, request).await?))
    }

    async fn list_api_tokens(
        &self,
        request: Request<ListApiTokensRequest>,
    ) -> Result<Response<ListApiTokensResponse>, Status> {
        Ok(Response::new(self.tokens(request.into_inner()).await?))
    }

    async fn revoke_api_token(
        &self,
        request: Request<RevokeApiTokenRequest>,
    ) -> Result<Response<RevokeApiTokenResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.end_token(&caller, &request.api_token).await?))
    }

    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let (caller, request) = Caller::of(request)?;
        Ok(Response::new(self.audit_events(&caller, request).await?))
    }
}
