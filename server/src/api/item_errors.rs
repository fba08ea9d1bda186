//! Items that could not be read, listed and tried again.

use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::control::v1::*;

use super::error::ApiError;
use super::{Api, convert, page};
use crate::access::Caller;
use crate::store::item_errors::ItemErrorFilter;
use crate::store::runs::Work;

/// Errors in one request.
const MAX_ERRORS: usize = 1000;

impl Api {
    /// A page of them.
    pub(super) async fn item_errors(
        &self,
        caller: &Caller,
        request: ListItemErrorsRequest,
    ) -> Result<ListItemErrorsResponse, ApiError> {
        let limit = page::size(request.page_size)?;
        let reason = match Reason::try_from(request.reason) {
            Ok(Reason::Unspecified) => None,
            Ok(reason) => Some(reason),
            Err(_) => return Err(ApiError::field("reason", "is none that this server knows")),
        };
        let connection = self.connection(caller, &request.connection).await?;
        let number = request.reason.to_string();
        let scope = request.scope.as_ref().map(|scope| format!("={scope}")).unwrap_or_default();
        let filters = ["item_errors", &request.connection, &scope, &number];
        let before = page::key(&filters, &request.page_token)?;
        let before = before.map(|key| key.parse()).transpose().map_err(|_| page::bad_token())?;
        let filter = ItemErrorFilter { scope: request.scope, reason };
        let listed = self.store.item_errors(connection.key, filter, before, limit).await?;
        let next = listed.next.map(|key| page::token(&filters, &key.to_string()));
        Ok(ListItemErrorsResponse {
            item_errors: listed.items.into_iter().map(convert::item_error).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    /// Wants items tried again, and queues the run that does so.
    pub(super) async fn retry_items(
        &self,
        caller: &Caller,
        request: RetryItemErrorsRequest,
    ) -> Result<RetryItemErrorsResponse, ApiError> {
        if request.item_errors.len() > MAX_ERRORS {
            let fault = format!("are more than {MAX_ERRORS}: name none for all of the connection");
            return Err(ApiError::field("item_errors", fault));
        }
        let number = |id: &String| id.parse().map_err(|_| ApiError::not_found("item error", id));
        let errors = request.item_errors.iter().map(number).collect::<Result<Vec<i64>, _>>()?;
        let connection = self.connection_to_sync(caller, &request.connection).await?;
        let entry = self.catalog.get(&connection.connector);
        let manifest = entry.and_then(|entry| entry.manifest.clone());
        if manifest.is_some_and(|manifest| !manifest.capabilities.targeted) {
            let message = format!(
                "the connector {:?} cannot be asked for single items: a full sync reads everything again",
                connection.connector
            );
            return Err(ApiError::Precondition(message));
        }
        let named = !errors.is_empty();
        let retried = self.store.retry_item_errors(connection.key, errors).await?;
        let others = retried.subtrees + retried.locators + retried.unnamed;
        let mut response = RetryItemErrorsResponse {
            items: retried.items,
            subtrees: retried.subtrees,
            locators: retried.locators,
            unnamed: retried.unnamed,
            ..RetryItemErrorsResponse::default()
        };
        match (retried.items, others) {
            (0, 0) if named => {
                return Err(ApiError::not_found("item error", &request.item_errors.join(", ")));
            }
            (0, 0) => {}
            (0, _) => {
                let message = "none of these errors is about a single item that is known by its id: a full sync reads \
                     everything again";
                return Err(ApiError::Precondition(message.to_owned()));
            }
            _ => {
                let (run, already_running) = self.queue(caller, &connection.id, Work::Items).await?;
                response.run = Some(convert::run(&run));
                response.already_running = already_running;
            }
        }
        Ok(response)
    }
}
