//! The manifest's rate limit: never more than so many requests in a window.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// As the test's manifest says.
const REQUESTS: usize = 100;
const PER: Duration = Duration::from_millis(1000);

/// Lets requests through.
#[derive(Default)]
pub struct Limiter(Mutex<VecDeque<Instant>>);

impl Limiter {
    /// Waits until a request is within the limit.
    pub async fn wait(&self) {
        loop {
            let Some(wait) = self.next() else { return };
            tokio::time::sleep(wait).await;
        }
    }

    fn next(&self) -> Option<Duration> {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while sent.front().is_some_and(|at| now.duration_since(*at) >= PER) {
            sent.pop_front();
        }
        if sent.len() < REQUESTS {
            sent.push_back(now);
            return None;
        }
        sent.front().map(|at| (PER + Duration::from_millis(1)).saturating_sub(now.duration_since(*at)))
    }
}
