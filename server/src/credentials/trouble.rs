//! Why there is no credential to use, for runs and for people.

use superfasttt_oauth::{Ambiguous, Failure, Unclear};
use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;

use crate::catalog::AuthKind;
use crate::store::StoreError;
use crate::store::credentials::Credential;

/// There is no credential yet.
pub(super) fn missing(kind: AuthKind) -> ConnectorError {
    let message = match kind {
        AuthKind::OAuth2 => {
            "no account is connected: a person has to connect one (`connectorctl credentials connect`)"
        }
        _ => "no credential is set: a person has to enter one (`connectorctl credentials set`)",
    };
    ConnectorError::new(Reason::CredentialRevoked, message).with_code("credential.missing")
}

/// What is configured makes no credential.
pub(super) fn settings_invalid(message: String) -> ConnectorError {
    ConnectorError::new(Reason::SettingsInvalid, message)
}

/// It is there and cannot be used: as its status says.
pub(super) fn unusable(credential: &Credential) -> ConnectorError {
    let said = credential.status.trouble.as_ref().map_or("", |trouble| trouble.message.as_str());
    let message = match said {
        "" => "the account is not connected: a person has to connect it again".to_owned(),
        said => said.to_owned(),
    };
    ConnectorError::new(Reason::CredentialRevoked, message)
}

/// A refresh brought a token that is over.
pub(super) fn ended_at_once() -> ConnectorError {
    let message = "the provider gives access tokens that have ended when they come: compare its clock with this server's";
    ConnectorError::new(Reason::SourceUnavailable, message)
}

/// The vault, or what is stored, is at fault.
pub(super) fn internal(message: &str) -> ConnectorError {
    ConnectorError::new(Reason::Internal, message)
}

/// The store is away.
pub(super) fn away(error: &StoreError) -> ConnectorError {
    internal(&format!("the credential cannot be read: {error}"))
}

/// What a failed call at the provider means for who wanted to use the credential.
pub(crate) fn of_failure(failure: &Failure) -> ConnectorError {
    match failure {
        Failure::Refused(refused) => ConnectorError::new(Reason::CredentialRevoked, refused.to_string())
            .with_code(refused.code.clone()),
        Failure::Misconfigured(wrong) => {
            ConnectorError::new(Reason::SettingsInvalid, wrong.to_string()).with_code(wrong.code.clone())
        }
        Failure::Ambiguous(unclear) => of_ambiguous(unclear),
    }
}

fn of_ambiguous(unclear: &Ambiguous) -> ConnectorError {
    let reason = match unclear.reason {
        Unclear::Throttled => Reason::RateLimited,
        _ => Reason::SourceUnavailable,
    };
    let error = ConnectorError::new(reason, unclear.to_string());
    match unclear.retry_after {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}
