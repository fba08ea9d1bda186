//! The manifest's `rate_limits`: never more requests than it says in any stretch of that time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::manifest::RateLimit;

/// How often connections that ask nothing any more are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Holds the requests of each connection to the limits, within this process.
#[derive(Debug)]
pub(super) struct RateLimits {
    limits: Vec<RateLimit>,
    windows: Mutex<Windows>,
}

/// The moments of the last requests, by connection and place in the limits. Shared limits stand under no connection.
#[derive(Debug)]
struct Windows {
    begun: HashMap<(Option<u64>, usize), VecDeque<Instant>>,
    forgotten: Option<Instant>,
}

impl RateLimits {
    pub(super) fn new(limits: Vec<RateLimit>) -> Self {
        let windows = Windows { begun: HashMap::new(), forgotten: None };
        Self { limits, windows: Mutex::new(windows) }
    }

    /// Takes the next free moment for a request of `connection` and says how long it is away.
    ///
    /// # Errors
    ///
    /// The wait, where it is longer than `patience`: nothing is taken then.
    pub(super) fn reserve(
        &self,
        connection: u64,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        // No code that could panic in the middle of a change runs under this lock.
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.forget(&self.limits, now);
        let key = |place: usize, limit: &RateLimit| ((!limit.is_shared()).then_some(connection), place);
        let mut begins = now;
        for (place, limit) in self.limits.iter().enumerate() {
            let begun = windows.begun.entry(key(place, limit)).or_default();
            if let Some(oldest) = begun.len().checked_sub(limit.requests()).and_then(|index| begun.get(index))
            {
                begins = begins.max(*oldest + limit.per);
            }
        }
        let wait = begins - now;
        if wait > patience {
            return Err(wait);
        }
        // The place in the row is taken before the wait, so that those who come meanwhile stand behind it.
        for (place, limit) in self.limits.iter().enumerate() {
            let begun = windows.begun.entry(key(place, limit)).or_default();
            begun.push_back(begins);
            if begun.len() > limit.requests() {
                begun.pop_front();
            }
        }
        Ok(wait)
    }
}

impl Windows {
    fn forget(&mut self, limits: &[RateLimit], now: Instant) {
        if self.forgotten.is_some_and(|last| now - last < FORGET_EVERY) {
            return;
        }
        self.forgotten = Some(now);
        self.begun
            .retain(|(_, place), begun| begun.back().is_some_and(|last| *last + limits[*place].per > now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> RateLimit {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_connection_waits_for_its_own_requests_and_for_shared_ones() {
        let own = limit(r#"{"requests": 2, "per": "10s"}"#);
        let shared = limit(r#"{"requests": 3, "per": "1m", "reach": "connector"}"#);
        let limits = RateLimits::new(vec![own, shared]);
        let (start, patience) = (Instant::now(), Duration::from_secs(60));
        let seconds = Duration::from_secs;
        assert_eq!(limits.reserve(1, start, patience), Ok(Duration::ZERO));
        assert_eq!(limits.reserve(1, start + seconds(4), patience), Ok(Duration::ZERO));
        assert_eq!(limits.reserve(1, start + seconds(4), patience), Ok(seconds(6)));
        // The other connection has asked nothing; the three above used up what all share.
        assert_eq!(limits.reserve(2, start + seconds(5), patience), Ok(seconds(55)));
        assert_eq!(limits.reserve(2, start + seconds(5), seconds(10)), Err(seconds(59)));
    }

    #[test]
    fn connections_that_ask_nothing_are_forgotten() {
        let limits = RateLimits::new(vec![limit(r#"{"requests": 1, "per": "1s"}"#)]);
        let start = Instant::now();
        for connection in 0..100 {
            limits.reserve(connection, start, Duration::ZERO).unwrap();
        }
        limits.reserve(0, start + FORGET_EVERY, Duration::ZERO).unwrap();
        assert_eq!(limits.windows.lock().unwrap().begun.len(), 1);
    }
}
