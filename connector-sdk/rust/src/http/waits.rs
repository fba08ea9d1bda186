//! When a request is sent again, and how long it waits before that.

use std::time::Duration;

use reqwest::{Method, StatusCode};

/// How long a request waits in all for a source that asks it to. What takes longer is the server's to wait for: it holds no
/// run open meanwhile.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Attempts of a request that the network or the source failed.
const MAX_ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// How one attempt ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attempt {
    /// With an answer, and the `Retry-After` of it.
    Answered(StatusCode, Option<Duration>),
    /// The connection failed.
    Unanswered,
}

/// The attempts of one request.
#[derive(Debug)]
pub(super) struct Retries {
    /// Sending it twice does no more than sending it once.
    is_safe: bool,
    failures: u32,
    refusals: u32,
    waited: Duration,
}

impl Retries {
    pub(super) fn of(method: &Method) -> Self {
        let is_safe =
            matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE);
        Self { is_safe, failures: 0, refusals: 0, waited: Duration::ZERO }
    }

    /// How long to wait before the next attempt. `None`: this one was the last.
    pub(super) fn pause_after(&mut self, attempt: Attempt) -> Option<Duration> {
        match attempt {
            // The source did nothing, so that any request may be sent again.
            Attempt::Answered(StatusCode::TOO_MANY_REQUESTS, told) => self.wait(told),
            Attempt::Answered(StatusCode::SERVICE_UNAVAILABLE, Some(told)) => self.wait(Some(told)),
            Attempt::Answered(
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT,
                _,
            )
            | Attempt::Unanswered => {
                self.failures += 1;
                // Full jitter: many connections that failed together do not come back together.
                let longest = FIRST_PAUSE * 2_u32.pow(self.failures.min(MAX_ATTEMPTS));
                (self.is_safe && self.failures < MAX_ATTEMPTS).then(|| longest.mul_f64(rand::random::<f64>()))
            }
            Attempt::Answered(..) => None,
        }
    }

    fn wait(&mut self, told: Option<Duration>) -> Option<Duration> {
        let backoff = FIRST_BACKOFF * 2_u32.pow(self.refusals.min(6));
        let backoff = backoff.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        let pause = match told {
            Some(told) if self.refusals < MAX_ATTEMPTS => told,
            // A source that goes on saying "at once" is not asked for ever.
            told => backoff.max(told.unwrap_or_default()),
        };
        self.refusals += 1;
        self.waited = self.waited.saturating_add(pause);
        (self.waited <= PATIENCE).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_safe_is_tried_four_times_with_pauses_of_chance() {
        for failed in [Attempt::Unanswered, Attempt::Answered(StatusCode::BAD_GATEWAY, None)] {
            let mut retries = Retries::of(&Method::PUT);
            for longest in [SECOND, 2 * SECOND, 4 * SECOND] {
                assert!(retries.pause_after(failed).unwrap() <= longest);
            }
            assert_eq!(retries.pause_after(failed), None);
            assert_eq!(Retries::of(&Method::POST).pause_after(failed), None);
        }
        for status in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
            assert_eq!(Retries::of(&Method::GET).pause_after(Attempt::Answered(status, None)), None);
        }
    }

    #[test]
    fn a_source_that_asks_to_wait_is_waited_for_up_to_a_minute_in_all() {
        for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
            let told = |seconds| Attempt::Answered(status, Some(Duration::from_secs(seconds)));
            let mut retries = Retries::of(&Method::POST);
            assert_eq!(retries.pause_after(told(40)), Some(40 * SECOND));
            assert_eq!(retries.pause_after(told(20)), Some(20 * SECOND));
            assert_eq!(retries.pause_after(told(1)), None);
            let mut retries = Retries::of(&Method::GET);
            let asked = std::iter::from_fn(|| retries.pause_after(told(0))).count();
            assert!((5..10).contains(&asked), "at once, for ever: {asked}");
            assert_eq!(Retries::of(&Method::GET).pause_after(told(61)), None);
            assert_eq!(Retries::of(&Method::GET).pause_after(told(u64::MAX)), None);
        }
        let mut retries = Retries::of(&Method::GET);
        let untold = Attempt::Answered(StatusCode::TOO_MANY_REQUESTS, None);
        for longest in [SECOND, 2 * SECOND, 4 * SECOND] {
            let pause = retries.pause_after(untold).unwrap();
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?}");
        }
    }
}
