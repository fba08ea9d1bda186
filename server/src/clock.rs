//! Time as a parameter: whoever needs the time of day takes a [`SharedClock`], so that tests decide what time it
//! is. Timers (how long to wait) are `tokio::time`'s; this is for times that are stored or shown.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// Says what time it is.
pub trait Clock: Send + Sync + Debug {
    /// The time now, UTC.
    fn now(&self) -> DateTime<Utc>;
}

/// A clock as it is passed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A clock that shows no time before `start`. What belongs to a run is never dated before the run, whatever the clock of
/// the replica that works on it shows: another one may have begun it, or have ended the run before it.
#[derive(Clone, Debug)]
pub struct NotBefore {
    /// The clock behind it.
    pub clock: SharedClock,
    /// The earliest time that it shows.
    pub start: DateTime<Utc>,
}

impl Clock for NotBefore {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now().max(self.start)
    }
}

/// A clock that stands still until a test moves it. Clones show the same time.
#[derive(Clone, Debug)]
pub struct MockClock {
    now: Arc<Mutex<DateTime<Utc>>>,
}

impl MockClock {
    /// A clock that shows `now`.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { now: Arc::new(Mutex::new(now)) }
    }

    /// Moves the time on.
    pub fn advance(&self, by: TimeDelta) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now += by;
    }

    /// Shows `now` from here on.
    pub fn set(&self, now: DateTime<Utc>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Default for MockClock {
    /// Starts on 1 January 2026, so that expected values in tests can be written out.
    fn default() -> Self {
        Self::new(DateTime::from_timestamp(1_767_225_600, 0).expect("a constant within chrono's range"))
    }
}

impl Clock for MockClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_shows_no_time_before_its_start() {
        let clock = MockClock::default();
        let start = clock.now() + TimeDelta::seconds(5);
        let of_run = NotBefore { clock: Arc::new(clock.clone()), start };
        assert_eq!(of_run.now(), start);
        clock.advance(TimeDelta::seconds(7));
        assert_eq!(of_run.now(), clock.now());
    }

    #[test]
    fn clones_of_a_mock_clock_move_together() {
        let clock = MockClock::default();
        let shared: SharedClock = Arc::new(clock.clone());
        assert_eq!(shared.now().to_rfc3339(), "2026-01-01T00:00:00+00:00");
        clock.advance(TimeDelta::minutes(15));
        assert_eq!(shared.now().to_rfc3339(), "2026-01-01T00:15:00+00:00");
    }
}
