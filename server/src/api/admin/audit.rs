//! The audit log, as it is listed and exported.

use superfasttt_proto::control::v1::{
    AuditDetail, AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse,
};

use crate::access::Caller;
use crate::api::convert::{time, timestamp};
use crate::api::error::ApiError;
use crate::api::{Api, page};
use crate::store::audit::{AuditEvent as Stored, AuditFilter};

impl Api {
    /// A page of events. What was counted and is not written yet is written first, so that it is in it; what others of the
    /// replicas count is a few seconds late.
    pub(super) async fn audit_events(
        &self,
        caller: &Caller,
        request: ListAuditEventsRequest,
    ) -> Result<ListAuditEventsResponse, ApiError> {
        let limit = page::size(request.page_size)?;
        let parsed = |field: &str, at: &Option<prost_types::Timestamp>| match at {
            None => Ok(None),
            Some(at) => time(at).map(Some).ok_or_else(|| ApiError::field(field, "is no time")),
        };
        let (since, until) = (parsed("since", &request.since)?, parsed("until", &request.until)?);
        let micros = |at: Option<chrono::DateTime<chrono::Utc>>| {
            at.map(|at| at.timestamp_micros().to_string()).unwrap_or_default()
        };
        let (from, to, order) = (micros(since), micros(until), request.oldest_first.to_string());
        let filters = ["audit", &request.organization, &from, &to, &request.actor, &request.target, &order];
        let after = page::key(&filters, &request.page_token)?;
        let after = after.map(|key| key.parse()).transpose().map_err(|_| page::bad_token())?;
        let filter = AuditFilter {
            organization: request.organization.clone(),
            actor: request.actor.clone(),
            target: request.target.clone(),
            since,
            until,
            oldest_first: request.oldest_first,
        };
        caller.tells(|detail| detail.name.clone_from(&request.organization));
        self.audit.flush().await;
        let listed = self.store.audit_events(filter, after, limit).await?;
        let next = listed.next.map(|key| page::token(&filters, &key.to_string()));
        Ok(ListAuditEventsResponse {
            events: listed.items.into_iter().map(shown).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }
}

fn shown(event: Stored) -> AuditEvent {
    let detail = event.detail;
    AuditEvent {
        time: Some(timestamp(event.first_at)),
        last_time: Some(timestamp(event.last_at)),
        count: event.count,
        api_token: event.actor.token,
        actor: event.actor.name,
        address: event.actor.address,
        organization: event.organization,
        action: event.action,
        target: event.target,
        outcome: event.outcome,
        detail: Some(AuditDetail {
            reason: detail.reason,
            purpose: detail.purpose,
            run: detail.run,
            name: detail.name,
            fields: detail.fields,
            permissions: detail.permissions,
        }),
    }
}
