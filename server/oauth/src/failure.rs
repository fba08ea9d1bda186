//! How a call fails, by what the caller may do next. Only a clear answer of the provider ends a grant; whatever is
//! not clear is tried again. No text in here holds a secret.

use std::time::Duration;

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The grant is over.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The application or the manifest is not as the provider wants it. The grant may well be alive.
    #[error(transparent)]
    Misconfigured(#[from] Misconfigured),
    /// Nobody knows. The grant counts as alive.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
}

/// The provider said that the grant is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider ended the access ({code}{}); a person must connect the account again", tail(.said))]
pub struct Refused {
    /// The provider's code, such as `invalid_grant`.
    pub code: String,
    /// What it said of it; empty: nothing.
    pub said: String,
    /// The HTTP status.
    pub status: u16,
}

/// The application or the manifest is not as the provider wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the OAuth application is not set up as the provider wants it ({code}{}); an administrator must {mend}", tail(.said))]
pub struct Misconfigured {
    /// The provider's code, such as `invalid_client`, or our own, such as `address_refused`.
    pub code: String,
    /// What the provider said of it; empty: nothing.
    pub said: String,
    /// The HTTP status; `None`: nothing was sent.
    pub status: Option<u16>,
    /// What the administrator has to do.
    pub mend: &'static str,
}

/// Nobody knows whether the call did something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}; nobody has to act yet, it can be tried again", tail(.said))]
pub struct Ambiguous {
    /// What happened.
    pub reason: Unclear,
    /// The provider's code, if it sent one.
    pub code: Option<String>,
    /// What was said of it, by the provider or the network; empty: nothing.
    pub said: String,
    /// The HTTP status, if there was a reply.
    pub status: Option<u16>,
    /// How long the provider wants us to wait.
    pub retry_after: Option<Duration>,
    /// Whether the provider may have acted on the call: a single-use refresh token may then be used up.
    pub may_have_reached: bool,
}

/// What happened where nobody knows the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// There was no connection.
    #[error("the provider cannot be reached")]
    Unreachable,
    /// It took too long.
    #[error("the provider did not answer in time")]
    TimedOut,
    /// The connection ended before the reply did.
    #[error("the connection to the provider ended too early")]
    CutOff,
    /// 5xx, or a code that says the same.
    #[error("the provider has a fault")]
    Unavailable,
    /// 429, or a code that says the same.
    #[error("the provider wants fewer requests")]
    Throttled,
    /// A redirect, which is never followed.
    #[error("the provider answered with a redirect, which is not followed")]
    Redirected,
    /// A reply that says nothing which can be relied on.
    #[error("the provider's answer cannot be understood")]
    Unreadable,
    /// An error code that neither the standard nor the manifest explains.
    #[error("the provider answered with a code that the connector's manifest does not explain")]
    UnknownCode,
}

fn tail(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl Failure {
    /// A mistake that is found before anything is sent.
    pub(crate) fn before_sending(code: &str, mend: &'static str) -> Self {
        Misconfigured { code: code.to_owned(), said: String::new(), status: None, mend }.into()
    }
}
