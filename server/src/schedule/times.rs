//! When a connection is next due, why, and whether that run is a full one: arithmetic on a schedule and a time, without
//! a store or a clock.
//!
//! **Intervals** have ticks that lie fixed in time: all multiples of the interval, shifted by a number made of the
//! connection's id. So connections of one frequency spread over all of it, a run that begins late does not push the
//! next one back, and after downtime one run catches up for everything that was missed. The shift comes from the same
//! number for every interval, so the ticks of `7d` are also ticks of `15m`, and a full run takes the place of an
//! ordinary one.
//!
//! **Cron** times are the same for every connection, so each is put off by a part of the jitter that is fixed for
//! the connection.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use superfasttt_proto::control::v1::run::Trigger;

use super::cron::Ticks;
use crate::catalog::Frequency;
use crate::store::connections::schedule::Schedule;
use crate::store::runs::Work;

/// How far the connections of one cron expression spread where nobody says otherwise, if its times are far enough
/// apart: at most a tenth of what lies between them.
pub const DEFAULT_JITTER: Duration = Duration::from_secs(60);
/// The longest jitter.
pub const MAX_JITTER: Duration = Duration::from_secs(3600);

/// A run that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: DateTime<Utc>,
    /// Why: the schedule, or a planned time.
    pub cause: Trigger,
    /// Whether everything is listed, as far as is known now. [`is_full`] says it when the run begins.
    pub full: bool,
}

/// When the connection of this id is next due by its schedule, always after `now`, but for a planned time that has
/// come and was not forgotten: that is due now. `None`: only when asked.
///
/// Whoever queues a run at `now` calls [`Schedule::forget_planned`] first and, where that run is a full one, gives `now`
/// for `last_full_at`: so what this run brings is not due once more a moment later.
pub fn next(
    id: &str,
    schedule: &Schedule,
    last_full_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<Due> {
    let spread = spread(id);
    let due = |frequency: &Option<Frequency>, since: Option<DateTime<Utc>>| {
        Times::new(frequency.as_ref()?, schedule, spread)?.due_after(now, since)
    };
    let planned = schedule.planned_at.map(|at| at.max(now));
    let scheduled = due(&schedule.frequency, None);
    let listed = due(&schedule.full_frequency, last_full_at.filter(|last| *last <= now));
    let at = planned.into_iter().chain(scheduled).chain(listed).min()?;
    Some(Due {
        at,
        cause: if planned == Some(at) { Trigger::Planned } else { Trigger::Schedule },
        full: is_full(id, schedule, last_full_at, at),
    })
}

/// What becomes of a connection whose time has come.
pub struct Turn {
    /// What is asked of its run.
    pub work: Work,
    /// Its schedule from here on.
    pub schedule: Schedule,
    /// When it is due next.
    pub next: Option<Due>,
}

/// Says what a connection that is due at `now` does, and when it is due next.
pub fn turn(
    id: &str,
    mut schedule: Schedule,
    last_full_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Turn {
    let full = is_full(id, &schedule, last_full_at, now);
    // A person who plans a full run wants one; the schedule wants to be sure that nothing is missed.
    let planned = schedule.planned_full && schedule.planned_at.is_some_and(|at| at <= now);
    let work = match (planned, full) {
        (true, _) => Work::Full,
        (false, true) => Work::Reconcile,
        (false, false) => Work::Changes,
    };
    schedule.forget_planned(now);
    // A full run that begins now counts: it is not due once more right behind it.
    let next = next(id, &schedule, if full { Some(now) } else { last_full_at }, now);
    Turn { work, schedule, next }
}

/// When a connection is due that was told `at` and `cause`, after the clock was set back to `now`: when its schedule says,
/// but no later than it was told, since a retry may lie before that.
pub fn turned_back(
    id: &str,
    schedule: &Schedule,
    last_full_at: Option<DateTime<Utc>>,
    (at, cause): (DateTime<Utc>, Trigger),
    now: DateTime<Utc>,
) -> Option<Due> {
    next(id, schedule, last_full_at, now).filter(|next| next.at < at).or(Some(Due { at, cause, full: false }))
}

/// Whether a run of this connection that begins at `at` is a full one by its schedule: its full frequency had a tick
/// since everything was last listed, or a full run was planned. Where it was never listed the first run is a full one.
pub fn is_full(
    id: &str,
    schedule: &Schedule,
    last_full_at: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
) -> bool {
    if schedule.planned_full && schedule.planned_at.is_some_and(|planned| planned <= at) {
        return true;
    }
    let Some(frequency) = &schedule.full_frequency else { return false };
    let Some(times) = Times::new(frequency, schedule, spread(id)) else { return false };
    match last_full_at {
        None => true,
        Some(last) if last <= at => times.tick_after(last).is_some_and(|tick| tick <= at),
        // A clock that was ahead said so. A little is the difference between two replicas; more cannot be true.
        Some(last) => times.tick_after(at).is_some_and(|tick| tick < last),
    }
}

/// A number made of a connection's id: the same on every replica and in every version.
fn spread(id: &str) -> u64 {
    let hash = digest(&SHA256, id.as_bytes());
    hash.as_ref().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The times of one frequency for one connection.
enum Times {
    /// Every so many milliseconds, shifted by so many.
    Every { every_ms: i64, shift_ms: i64 },
    /// A cron expression, and what each of its times is put off by.
    Cron { ticks: Box<Ticks>, jitter: Option<Duration>, spread: u64 },
}

impl Times {
    fn new(frequency: &Frequency, schedule: &Schedule, spread: u64) -> Option<Self> {
        match frequency {
            Frequency::Every(every) => {
                let every_ms = i64::try_from(every.as_millis()).ok()?.max(1);
                let shift_ms = i64::try_from(spread % every_ms.unsigned_abs()).ok()?;
                Some(Times::Every { every_ms, shift_ms })
            }
            Frequency::Cron(expression) => {
                let ticks = Box::new(Ticks::new(expression, schedule.time_zone)?);
                Some(Times::Cron { ticks, jitter: schedule.jitter, spread })
            }
        }
    }

    /// The first tick after a time, not put off.
    fn tick_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Times::Every { every_ms, shift_ms } => {
                let now_ms = time.timestamp_millis();
                let since_tick_ms = now_ms.checked_sub(*shift_ms)?.rem_euclid(*every_ms);
                DateTime::from_timestamp_millis(now_ms.checked_add(every_ms - since_tick_ms)?)
            }
            Times::Cron { ticks, .. } => ticks.after(time),
        }
    }

    /// When the first tick after `since` is due that is due after `now`.
    fn due_after(&self, now: DateTime<Utc>, since: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let Times::Cron { ticks, jitter, spread } = self else { return self.tick_after(now) };
        let longest = TimeDelta::from_std(jitter.unwrap_or(DEFAULT_JITTER).min(MAX_JITTER)).ok()?;
        // What was due before `now` may have been put off until after it.
        let from = now.checked_sub_signed(longest)?;
        let mut tick = ticks.after(since.map_or(from, |since| since.max(from)))?;
        loop {
            let following = ticks.after(tick);
            let gap = following.map_or(TimeDelta::MAX, |following| following - tick);
            let limit = if jitter.is_some() { gap } else { gap / 10 };
            let due = tick.checked_add_signed(part(longest.min(limit), *spread))?;
            if due > now {
                return Some(due);
            }
            tick = following?;
        }
    }
}

/// The part of a length of time that falls to a connection, less than the whole.
fn part(whole: TimeDelta, spread: u64) -> TimeDelta {
    let whole_ms = u128::from(whole.num_milliseconds().unsigned_abs());
    let part_ms = (whole_ms * u128::from(spread)) >> 64;
    TimeDelta::milliseconds(i64::try_from(part_ms).unwrap_or_default())
}

#[cfg(test)]
#[path = "times_tests.rs"]
mod tests;
