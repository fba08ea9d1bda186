//! What a failure leads to: the one table from reasons to what the engine does.

use std::time::Duration;

use superfasttt_proto::connector::v1::Reason;
use superfasttt_proto::error::ConnectorError;

use crate::chance;

/// What the engine does about a failed pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Pull again from the last checkpoints after a pause, a few times; then the run fails and is retried later.
    Retry,
    /// Wait as long as the source asks, holding no worker. Not a failure.
    Park,
    /// List the scope in full.
    ListAgain,
    /// The run fails at once. The schedule tries again.
    Fail,
}

/// How long a source is left alone that asks for a pause without saying how long.
pub const DEFAULT_PARK: Duration = Duration::from_secs(60);

/// The table.
pub fn treatment(reason: Reason) -> Treatment {
    match reason {
        Reason::SourceUnavailable | Reason::ConnectorCrashed | Reason::Internal | Reason::Unspecified => {
            Treatment::Retry
        }
        Reason::RateLimited | Reason::QuotaExhausted => Treatment::Park,
        Reason::CursorInvalid => Treatment::ListAgain,
        Reason::CredentialExpired
        | Reason::CredentialRevoked
        | Reason::ScopeMissing
        | Reason::AccessDenied
        | Reason::NotFound
        | Reason::PaginationLoop
        | Reason::NoProgress
        | Reason::SettingsInvalid
        | Reason::ContentTooLarge
        | Reason::ContentUnreadable
        | Reason::PermissionsUnknown
        | Reason::ProtocolViolation
        | Reason::TooManyItemErrors
        | Reason::Unimplemented => Treatment::Fail,
    }
}

/// What a person is told to do.
pub fn fix(reason: Reason) -> &'static str {
    match reason {
        Reason::CredentialExpired | Reason::CredentialRevoked => "reconnect the account",
        Reason::ScopeMissing => "reconnect the account and agree to everything that is asked",
        Reason::AccessDenied => "give the account, or the server's user, the right to read it",
        Reason::NotFound | Reason::SettingsInvalid => {
            "look at the connection's settings, mend them and sync again"
        }
        Reason::RateLimited | Reason::QuotaExhausted => {
            "nothing: it goes on by itself when the source allows"
        }
        Reason::CursorInvalid => "nothing: the scope is listed in full",
        Reason::SourceUnavailable => {
            "nothing: it is tried again; look whether the source is up if it goes on"
        }
        Reason::ContentTooLarge | Reason::ContentUnreadable | Reason::PermissionsUnknown => {
            "look at the item errors of the connection"
        }
        Reason::TooManyItemErrors => "look at the item errors of the connection and mend their common cause",
        Reason::ConnectorCrashed => {
            "look at the run's log; report it to the connector's author if it goes on"
        }
        Reason::PaginationLoop | Reason::NoProgress | Reason::ProtocolViolation | Reason::Unimplemented => {
            "report it to the connector's author, with the run's log"
        }
        Reason::Internal | Reason::Unspecified => "look at the run's log; report it if it goes on",
    }
}

/// How long to wait before attempt `attempt` (1 is the first retry): doubling from `initial` up to `max`, with full
/// jitter, and never shorter than the source asks.
pub fn backoff(attempt: u32, initial: Duration, max: Duration, error: &ConnectorError) -> Duration {
    let ceiling = initial.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(max);
    let jittered = ceiling.mul_f64(chance::between(0.0..=1.0));
    jittered.max(error.retry_after.unwrap_or_default().min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_heeds_the_source() {
        let (initial, max) = (Duration::from_secs(1), Duration::from_secs(60));
        let error = ConnectorError::new(Reason::SourceUnavailable, "down");
        for attempt in 1..40 {
            let pause = backoff(attempt, initial, max, &error);
            let ceiling = Duration::from_secs(2_u64.saturating_pow(attempt - 1).min(60));
            assert!(pause <= ceiling, "attempt {attempt}: {pause:?}");
        }
        let spread: Vec<_> = (0..200).map(|_| backoff(7, initial, max, &error)).collect();
        let (shortest, longest) = (spread.iter().min().unwrap(), spread.iter().max().unwrap());
        assert!(*shortest < max / 4 && *longest > max / 4 * 3, "over all of it: {shortest:?} to {longest:?}");
        let asks = error.with_retry_after(Duration::from_secs(30));
        assert!(backoff(1, initial, max, &asks) >= Duration::from_secs(30));
    }
}
