//! What a caller sees: every lookup of a service goes through here, or names the caller's organisation in the query itself.
//! Something of another organisation is not found, and said to be so in the same words as what does not exist.

use super::Api;
use super::error::ApiError;
use crate::access::Caller;
use crate::store::connections::Connection;
use crate::store::runs::Run;

/// The organisation of those who name none, and whose token is of none.
pub const DEFAULT_ORGANIZATION: &str = "default";

impl Api {
    /// The connection of an id, as this caller sees it, or why there is none. The call is about it from here on, for the
    /// audit log.
    pub(crate) async fn connection(&self, caller: &Caller, id: &str) -> Result<Connection, ApiError> {
        if id.is_empty() {
            return Err(ApiError::field("connection", "is required: the server's id of a connection"));
        }
        let not_found = || ApiError::not_found("connection", id);
        let found = self.store.connection(id).await?.ok_or_else(not_found)?;
        if !caller.sees(&found.organization) {
            caller.denied_other_organization("connection", id);
            return Err(not_found());
        }
        caller.concerns(&found);
        Ok(found)
    }

    /// The run of an id, as this caller sees it.
    pub(super) async fn run(&self, caller: &Caller, id: &str) -> Result<Run, ApiError> {
        let run = self.stored_run(id).await?;
        let connection = self.store.connection_by_key(run.connection).await?;
        let organization = connection.as_ref().map_or("", |connection| connection.organization.as_str());
        if !caller.sees(organization) {
            caller.denied_other_organization("run", id);
            return Err(ApiError::not_found("run", id));
        }
        caller.concerns_any("run", id, organization);
        Ok(run)
    }

    /// The run of an id, whose caller is known to see it.
    pub(super) async fn stored_run(&self, id: &str) -> Result<Run, ApiError> {
        if id.is_empty() {
            return Err(ApiError::field("run", "is required: the server's id of a run"));
        }
        self.store.run(id).await?.ok_or_else(|| ApiError::not_found("run", id))
    }
}

/// The organisation that a list is of (empty: all), where a request asks for this one (empty: all that the caller sees).
///
/// # Errors
/// It is not the caller's.
pub(crate) fn within(caller: &Caller, asked: &str) -> Result<String, ApiError> {
    let own = caller.organization();
    if own.is_empty() || own == asked {
        return Ok(asked.to_owned());
    }
    if asked.is_empty() {
        return Ok(own.to_owned());
    }
    caller.denied_organization();
    let text = format!("the token is for the organization {own:?}: it neither sees nor changes another one");
    Err(ApiError::Denied { reason: "ORGANIZATION_DENIED", text })
}

/// The organisation that something new is of, where a request asks for this one (empty: the caller's own, else the default).
///
/// # Errors
/// It is not the caller's.
pub(crate) fn owner(caller: &Caller, asked: &str) -> Result<String, ApiError> {
    let organization = within(caller, asked)?;
    Ok(if organization.is_empty() { DEFAULT_ORGANIZATION.to_owned() } else { organization })
}
