//! The door between a replica and everything outside of it. A replica that died calls nobody any more, and one that is
//! suspended calls nobody until it wakes: as everything that it does goes through here, that is all there is to either.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::world::lock;
use crate::clock::{Clock, MockClock};

/// What a replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    Suspended,
    Dead,
}

/// One replica's door.
#[derive(Debug)]
pub(super) struct Port {
    pub name: String,
    life: Mutex<Life>,
    /// It has changed. (A watch channel would wake those who wait in any order.)
    changed: Notify,
}

impl Port {
    pub(super) fn new(name: String) -> Arc<Self> {
        Arc::new(Self { name, life: Mutex::new(Life::Running), changed: Notify::new() })
    }

    pub(super) fn life(&self) -> Life {
        *lock(&self.life)
    }

    pub(super) fn set(&self, life: Life) {
        let mut now = lock(&self.life);
        if *now != Life::Dead {
            *now = life;
        }
        drop(now);
        self.changed.notify_waiters();
    }

    /// Goes on at once, when the replica wakes, or never.
    pub(super) async fn pass(&self) {
        loop {
            let changed = self.changed.notified();
            match self.life() {
                Life::Running => return,
                Life::Suspended => changed.await,
                Life::Dead => std::future::pending().await,
            }
        }
    }
}

/// A replica's clock: it goes with the timers, and jumps.
#[derive(Clone, Debug)]
pub(super) struct SimulatedClock {
    began: Instant,
    off_ms: Arc<AtomicI64>,
}

impl SimulatedClock {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), off_ms: Arc::default() }
    }

    /// The clock of another replica, which goes with this one until either jumps.
    pub(super) fn another(&self) -> Self {
        Self { began: self.began, off_ms: Arc::default() }
    }

    /// Shows so much more, or less, than it should from here on.
    pub(super) fn set_off(&self, seconds: i64) {
        self.off_ms.store(seconds * 1000, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> DateTime<Utc> {
        let off = Duration::from_millis(self.off_ms.load(Ordering::Relaxed).unsigned_abs());
        let off = TimeDelta::from_std(off).unwrap_or_default();
        let passed = TimeDelta::from_std(self.began.elapsed()).unwrap_or_default();
        let now = MockClock::default().now() + passed;
        if self.off_ms.load(Ordering::Relaxed) < 0 { now - off } else { now + off }
    }
}
