//! `AdminService`: what operators ask of an installation.

use superfasttt_proto::CONTRACT_REVISION;
use superfasttt_proto::control::v1::admin_service_server::AdminService;
use superfasttt_proto::control::v1::{
    Consumer, DeleteConsumerRequest, DeleteConsumerResponse, GetServerInfoRequest, GetServerInfoResponse,
    ListConsumersRequest, ListConsumersResponse,
};
use tonic::{Request, Response, Status};

use super::convert::timestamp;
use super::error::ApiError;
use super::{Api, page};
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
        let name = request.into_inner().consumer;
        if !self.store.delete_consumer(&name).await.map_err(ApiError::from)? {
            return Err(ApiError::not_found("consumer", &name).into());
        }
        Ok(Response::new(DeleteConsumerResponse {}))
    }
}
