//! The states of a run, and which may follow which: the one table, which every store asks before it writes.
//!
//! ```text
//!            claimed                 went through, failed, cancelled
//! QUEUED ───────────────▶ RUNNING ─────────────────────────────────▶ SUCCEEDED, SUCCEEDED_WITH_ERRORS,
//!   ▲ │                    │   │                                     FAILED, CANCELLED
//!   │ │ cancelled          │   │ the source asks for a pause
//!   │ └──────▶ CANCELLED   │   ▼
//!   │   drained, lost      │  PARKED ──────▶ CANCELLED
//!   └──────────────────────┘   │
//!   └──────────────────────────┘ its time has come, or somebody asked
//! ```

use superfasttt_proto::control::v1::run::State;

use crate::store::{Result, StoreError};

/// The states in which a run has not ended: a connection has one such run at most.
pub const ACTIVE: [State; 3] = [State::Queued, State::Running, State::Parked];

/// Whether a run has ended.
pub fn has_ended(state: State) -> bool {
    matches!(state, State::Succeeded | State::SucceededWithErrors | State::Failed | State::Cancelled)
}

/// Whether a run went through.
pub fn has_succeeded(state: State) -> bool {
    matches!(state, State::Succeeded | State::SucceededWithErrors)
}

/// Whether a run in state `from` may be in state `to` next.
pub fn may_follow(from: State, to: State) -> bool {
    match from {
        State::Queued => matches!(to, State::Running | State::Cancelled),
        State::Running => matches!(to, State::Queued | State::Parked) || has_ended(to),
        State::Parked => matches!(to, State::Queued | State::Cancelled),
        State::Unspecified
        | State::Succeeded
        | State::SucceededWithErrors
        | State::Failed
        | State::Cancelled => false,
    }
}

/// Refuses a change that is not in the table.
///
/// # Errors
/// [`StoreError::Illegal`].
pub fn check(from: State, to: State) -> Result<()> {
    if may_follow(from, to) { Ok(()) } else { Err(StoreError::Illegal { from, to }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [State; 8] = [
        State::Unspecified,
        State::Queued,
        State::Running,
        State::Parked,
        State::Succeeded,
        State::SucceededWithErrors,
        State::Failed,
        State::Cancelled,
    ];

    #[test]
    fn a_run_that_has_ended_stays_as_it_is() {
        for from in ALL.into_iter().filter(|state| has_ended(*state)) {
            for to in ALL {
                assert!(!may_follow(from, to), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn only_a_run_that_is_worked_on_succeeds_or_fails() {
        for from in ALL.into_iter().filter(|state| *state != State::Running) {
            for to in [State::Succeeded, State::SucceededWithErrors, State::Failed, State::Parked] {
                assert!(!may_follow(from, to), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn every_active_run_can_be_cancelled_and_comes_to_an_end() {
        for from in ACTIVE {
            assert!(may_follow(from, State::Cancelled), "{from:?}");
            assert!(!has_ended(from) && ALL.into_iter().any(|to| may_follow(from, to)), "{from:?}");
        }
        assert!(check(State::Parked, State::Running).is_err(), "it is queued first, and waits for its place");
    }
}
