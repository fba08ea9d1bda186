//! How runs are stored in columns, in every dialect.

use superfasttt_proto::control::v1::run::Trigger;

/// What both dialects read, of [`TABLES`], in the order of their `read`.
pub(super) const COLUMNS: &str = "r.id, r.connection, c.id, r.state, r.cause, r.work, r.mode, r.created_at, r.started_at, \
     r.ended_at, r.resume_at, r.pulls, r.attempts, r.counts, r.error, r.held_sweeps, r.crashes, r.renormalizes, \
     r.renormalized_to";

/// A run, and whose it is.
pub(super) const TABLES: &str = "runs r JOIN connections c ON c.pk = r.connection";

/// A stored trigger.
pub(in crate::store) fn trigger(number: i32) -> Trigger {
    Trigger::try_from(number).unwrap_or_default()
}

/// Where in its lane a run waits: what somebody asked for comes first.
pub(super) fn turn(trigger: Trigger) -> i32 {
    i32::from(matches!(trigger, Trigger::Schedule | Trigger::Retry))
}
