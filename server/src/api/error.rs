//! Why a control call failed, and the one table from that to a gRPC status with `google.rpc` details.

use std::collections::HashMap;

use superfasttt_proto::error::{ConnectorError, ERROR_DOMAIN};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::store::StoreError;

/// Why a control call failed.
#[derive(Debug)]
pub enum ApiError {
    /// Fields of the request are wrong.
    Invalid(Vec<(String, String)>),
    /// There is no such thing.
    NotFound {
        /// What kind of thing.
        kind: &'static str,
        /// What it was asked for by.
        id: String,
    },
    /// There is such a thing already.
    Taken(String),
    /// The request would be right at another time.
    Precondition(String),
    /// It was changed in between.
    Conflict(String),
    /// The caller may not do this.
    Denied {
        /// Why, as in docs/errors.
        reason: &'static str,
        /// The same for a person.
        text: String,
    },
    /// The contract has it, this version does not serve it.
    NotServed(String),
    /// A connector said so.
    Connector(ConnectorError),
    /// The store failed.
    Store(StoreError),
}

impl ApiError {
    /// One field is wrong.
    pub fn field(name: impl Into<String>, fault: impl Into<String>) -> Self {
        ApiError::Invalid(vec![(name.into(), fault.into())])
    }

    /// There is no such thing.
    pub fn not_found(kind: &'static str, id: &str) -> Self {
        ApiError::NotFound { kind, id: id.to_owned() }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken("name") => {
                ApiError::Taken("a connection of this name exists in the organization".to_owned())
            }
            StoreError::Taken("request_id") => {
                ApiError::Taken("this request_id was used for another request: use a new one".to_owned())
            }
            StoreError::Missing(kind) => ApiError::NotFound { kind, id: String::new() },
            StoreError::Conflict(kind) => {
                ApiError::Conflict(format!("the {kind} was changed in between: read it again and repeat"))
            }
            error => ApiError::Store(error),
        }
    }
}

impl From<ConnectorError> for ApiError {
    fn from(error: ConnectorError) -> Self {
        ApiError::Connector(error)
    }
}

impl From<ApiError> for Status {
    /// The table.
    fn from(error: ApiError) -> Self {
        let info = |reason: &str| ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
        match error {
            ApiError::Invalid(faults) => {
                let text =
                    faults.iter().map(|(field, fault)| format!("{field}: {fault}")).collect::<Vec<_>>();
                let mut details = info("INVALID_ARGUMENT");
                details.set_bad_request(
                    faults
                        .into_iter()
                        .map(|(field, fault)| FieldViolation::new(field, fault))
                        .collect::<Vec<_>>(),
                );
                Status::with_error_details(Code::InvalidArgument, text.join("; "), details)
            }
            ApiError::NotFound { kind, id } => {
                let text =
                    if id.is_empty() { format!("no such {kind}") } else { format!("no {kind} {id:?}") };
                let mut details = info("NOT_FOUND");
                details.set_resource_info(kind, id, "", text.clone());
                Status::with_error_details(Code::NotFound, text, details)
            }
            ApiError::Taken(text) => {
                Status::with_error_details(Code::AlreadyExists, text, info("ALREADY_EXISTS"))
            }
            ApiError::Precondition(text) => {
                Status::with_error_details(Code::FailedPrecondition, text, info("FAILED_PRECONDITION"))
            }
            ApiError::Conflict(text) => Status::with_error_details(Code::Aborted, text, info("CONFLICT")),
            ApiError::Denied { reason, text } => {
                Status::with_error_details(Code::PermissionDenied, text, info(reason))
            }
            ApiError::NotServed(what) => Status::with_error_details(
                Code::Unimplemented,
                format!("{what} is not served by this version of connectord"),
                info("NOT_SERVED"),
            ),
            ApiError::Connector(error) => error.to_status(),
            ApiError::Store(error) => {
                // The detail is for the operator; a client learns only that trying again may help.
                tracing::error!(%error, "a control call failed in the store");
                let text = "the store failed; the server's log says more";
                Status::with_error_details(Code::Unavailable, text, info("STORE_FAILED"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named_in_the_details_and_in_the_text() {
        let status = Status::from(ApiError::field("connection.name", "is required"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("connection.name: is required"));
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, "connection.name");
        assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_ARGUMENT");
    }

    #[test]
    fn what_the_store_says_stays_in_the_log() {
        let status = Status::from(ApiError::from(StoreError::Database("/secret/path: disk full".to_owned())));
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("secret"));
    }
}
