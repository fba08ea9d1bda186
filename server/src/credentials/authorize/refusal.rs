//! Why an answer connects nothing, in words for people.

use superfasttt_oauth::{Failure, clean};
use superfasttt_proto::error::ConnectorError;

use crate::store::StoreError;

/// Why an answer connects nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It has no state, or says neither yes nor no.
    #[error("what came back is no answer of a provider: connect again")]
    Malformed,
    /// There is none of this `state`, or it ended long ago.
    #[error("there is no such authorization, or it ended long ago: connect again")]
    Unknown,
    /// It came too late.
    #[error("the answer came more than ten minutes after the beginning: connect again")]
    Expired,
    /// There was an answer already.
    #[error(
        "this authorization was answered already: look at the connection, and connect again where it needs it"
    )]
    Used,
    /// It came from another browser than began.
    #[error(
        "the answer came from another browser than the one that opened the link: open the link there, and agree there"
    )]
    OtherBrowser,
    /// The server receives this one itself.
    #[error("this authorization is answered in the browser that opened the link, not here")]
    OfBrowser,
    /// The connection is gone.
    #[error("the connection was deleted meanwhile")]
    Gone,
    /// The person did not agree.
    #[error("the person did not agree at the provider{}: connect again, and agree there", tail(.0))]
    Denied(String),
    /// The provider did not let the person agree.
    #[error("the provider answered with an error ({code}{}): an administrator has to look at the OAuth app", tail(.said))]
    Provider {
        /// Its code.
        code: String,
        /// What it says of it.
        said: String,
    },
    /// It names another provider than the connection's, or none where that one always names itself.
    #[error(
        "the answer is not from the provider that the connection belongs to (`iss`): connect again; if it happens again, \
         `auth.issuer` of the connector's manifest is not what the provider calls itself"
    )]
    OtherProvider,
    /// The code brought nothing.
    #[error("the provider gave no access: {0}")]
    Exchange(Failure),
    /// Something of ours is at fault.
    #[error("{}", .0.message)]
    Here(ConnectorError),
    /// The store is away.
    #[error("the server cannot reach its database at the moment: try again in a minute")]
    Away(#[source] StoreError),
}

/// What an error of the provider means.
pub(super) fn refused(error: &str, said: Option<&str>) -> Refusal {
    let said = said.map(clean).unwrap_or_default();
    if error == "access_denied" {
        return Refusal::Denied(said);
    }
    let is_code = error.len() <= 64
        && error.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    let code = if is_code && !error.is_empty() { error } else { "unknown_error" };
    Refusal::Provider { code: code.to_owned(), said }
}

fn tail(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}
