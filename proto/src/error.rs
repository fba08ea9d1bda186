//! The one way an error travels: a [`ConnectorError`] to and from a gRPC status with `google.rpc` details.
//!
//! [`ReasonInfo`] is the table: the gRPC code of each reason, who must act, whether waiting can help. Both sides
//! read it, so what a connector says is what the engine hears.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::connector::v1::{self, Reason};

/// The `domain` of every `google.rpc.ErrorInfo` of this project.
pub const ERROR_DOMAIN: &str = "connectors.superfasttt";

/// Who has to do something about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The person who owns the connection.
    User,
    /// An administrator of the source or of this installation.
    Admin,
    /// The author of the connector (or of this server).
    Author,
    /// Nobody: waiting is enough.
    Nobody,
}

impl Actor {
    /// The word used in error metadata and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Actor::User => "user",
            Actor::Admin => "admin",
            Actor::Author => "author",
            Actor::Nobody => "nobody",
        }
    }
}

/// What holds for every error of one reason.
#[derive(Clone, Copy, Debug)]
pub struct ReasonInfo {
    /// The name on the wire, without the enum's prefix.
    pub name: &'static str,
    /// The gRPC code that it travels under.
    pub code: Code,
    /// Who must act.
    pub actor: Actor,
    /// Whether the same call may succeed later without anybody acting.
    pub retryable: bool,
}

/// The table of reasons. `Unspecified` reads as `Internal`.
pub fn reason_info(reason: Reason) -> ReasonInfo {
    use Actor::{Admin, Author, Nobody, User};
    let (name, code, actor, retryable) = match reason {
        Reason::CredentialExpired => ("CREDENTIAL_EXPIRED", Code::Unauthenticated, Nobody, true),
        Reason::CredentialRevoked => ("CREDENTIAL_REVOKED", Code::Unauthenticated, User, false),
        Reason::ScopeMissing => ("SCOPE_MISSING", Code::PermissionDenied, User, false),
        Reason::AccessDenied => ("ACCESS_DENIED", Code::PermissionDenied, Admin, true),
        Reason::NotFound => ("NOT_FOUND", Code::NotFound, User, true),
        Reason::RateLimited => ("RATE_LIMITED", Code::ResourceExhausted, Nobody, true),
        Reason::QuotaExhausted => ("QUOTA_EXHAUSTED", Code::ResourceExhausted, Nobody, true),
        Reason::CursorInvalid => ("CURSOR_INVALID", Code::OutOfRange, Nobody, true),
        Reason::PaginationLoop => ("PAGINATION_LOOP", Code::Internal, Author, true),
        Reason::NoProgress => ("NO_PROGRESS", Code::Aborted, Author, true),
        Reason::SettingsInvalid => ("SETTINGS_INVALID", Code::InvalidArgument, User, false),
        Reason::SourceUnavailable => ("SOURCE_UNAVAILABLE", Code::Unavailable, Nobody, true),
        Reason::ContentTooLarge => ("CONTENT_TOO_LARGE", Code::FailedPrecondition, User, false),
        Reason::ContentUnreadable => ("CONTENT_UNREADABLE", Code::FailedPrecondition, User, false),
        Reason::PermissionsUnknown => ("PERMISSIONS_UNKNOWN", Code::FailedPrecondition, Nobody, true),
        Reason::ConnectorCrashed => ("CONNECTOR_CRASHED", Code::Unavailable, Author, true),
        Reason::ProtocolViolation => ("PROTOCOL_VIOLATION", Code::Internal, Author, true),
        Reason::TooManyItemErrors => ("TOO_MANY_ITEM_ERRORS", Code::Aborted, User, true),
        Reason::Unimplemented => ("UNIMPLEMENTED", Code::Unimplemented, Nobody, false),
        Reason::Internal | Reason::Unspecified => ("INTERNAL", Code::Internal, Author, true),
    };
    ReasonInfo { name, code, actor, retryable }
}

/// Finds a reason by its name on the wire.
pub fn reason_by_name(name: &str) -> Option<Reason> {
    Reason::from_str_name(&format!("REASON_{name}")).filter(|reason| *reason != Reason::Unspecified)
}

/// A failure with its reason: what a connector's author returns, and what the engine decides by.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {message}", reason_info(*.reason).name)]
pub struct ConnectorError {
    /// Why.
    pub reason: Reason,
    /// What happened, for a person: a lower-case fragment, no secrets.
    pub message: String,
    /// The connector's own stable code below the reason; empty for none.
    pub code: String,
    /// More facts for a program.
    pub metadata: HashMap<String, String>,
    /// How long to wait before trying again, where that is known.
    pub retry_after: Option<Duration>,
}

impl ConnectorError {
    /// An error of `reason` that says `message`.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            code: String::new(),
            metadata: HashMap::new(),
            retry_after: None,
        }
    }

    /// Adds the connector's own code below the reason.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// Adds one fact for a program.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Says how long to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The status that carries all of it.
    pub fn to_status(&self) -> Status {
        let info = reason_info(self.reason);
        let mut metadata = self.metadata.clone();
        if !self.code.is_empty() {
            metadata.insert("code".to_owned(), self.code.clone());
        }
        metadata.entry("actor".to_owned()).or_insert_with(|| info.actor.as_str().to_owned());
        let mut details = ErrorDetails::with_error_info(info.name, ERROR_DOMAIN, metadata);
        if let Some(wait) = self.retry_after {
            details.set_retry_info(Some(wait));
        }
        Status::with_error_details(info.code, self.message.clone(), details)
    }

    /// Reads a status. One without our `ErrorInfo` gets the reason that its code suggests: a library that knows
    /// nothing of this contract still ends up with the right treatment.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == ERROR_DOMAIN);
        let reason = info.and_then(|info| reason_by_name(&info.reason)).unwrap_or(match status.code() {
            Code::Unimplemented => Reason::Unimplemented,
            Code::Unavailable => Reason::SourceUnavailable,
            Code::ResourceExhausted => Reason::RateLimited,
            _ => Reason::Internal,
        });
        let mut metadata = info.map(|info| info.metadata.clone()).unwrap_or_default();
        metadata.remove("actor");
        Self {
            reason,
            message: status.message().to_owned(),
            code: metadata.remove("code").unwrap_or_default(),
            metadata,
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        }
    }

    /// The message for one item or scope, sent inside a stream.
    pub fn to_proto(&self) -> v1::Error {
        v1::Error {
            reason: self.reason.into(),
            message: self.message.clone(),
            code: self.code.clone(),
            metadata: self.metadata.clone().into_iter().collect(),
        }
    }

    /// Reads the message for one item or scope. An unknown reason is `Internal`.
    pub fn from_proto(error: v1::Error) -> Self {
        let reason = match error.reason() {
            Reason::Unspecified => Reason::Internal,
            reason => reason,
        };
        Self {
            reason,
            message: error.message,
            code: error.code,
            metadata: error.metadata.into_iter().collect(),
            retry_after: None,
        }
    }
}

impl From<ConnectorError> for Status {
    fn from(error: ConnectorError) -> Self {
        error.to_status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_reason() -> impl Iterator<Item = Reason> {
        (1..=64).filter_map(|number| Reason::try_from(number).ok())
    }

    #[test]
    fn a_status_carries_every_reason_there_and_back() {
        let mut seen = 0;
        for reason in every_reason() {
            let error = ConnectorError::new(reason, "it broke")
                .with_code("demo.it_broke")
                .with_metadata("scope", "s1")
                .with_retry_after(Duration::from_secs(7));
            assert_eq!(ConnectorError::from_status(&error.to_status()), error);
            assert_eq!(reason_by_name(reason_info(reason).name), Some(reason));
            seen += 1;
        }
        assert_eq!(seen, 20);
    }

    #[test]
    fn an_item_error_carries_every_reason_there_and_back() {
        for reason in every_reason() {
            let error = ConnectorError::new(reason, "it broke").with_code("demo.x").with_metadata("k", "v");
            assert_eq!(ConnectorError::from_proto(error.to_proto()), error);
        }
    }

    #[test]
    fn a_foreign_status_gets_the_reason_that_its_code_suggests() {
        let error = ConnectorError::from_status(&Status::unavailable("connection refused"));
        assert_eq!(error.reason, Reason::SourceUnavailable);
        let error = ConnectorError::from_status(&Status::unknown("panic"));
        assert_eq!(error.reason, Reason::Internal);
    }
}
