//! A clock that stands still, and a cache that goes by it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::cache::Cache;
use crate::clock::Clock;

/// A clock that moves when it is told to. It starts on 20 November 2026.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Times>>);

#[derive(Debug)]
struct Times {
    monotonic: Duration,
    wall: SystemTime,
}

impl ManualClock {
    /// A clock at its start.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Times {
            monotonic: Duration::from_secs(1_000),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_132_800),
        })))
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut times = self.times();
        times.monotonic += by;
        times.wall += by;
    }

    /// Sets the time of day, as an administrator would; ages in this process
    /// do not change.
    pub fn set_wall(&self, wall: SystemTime) {
        self.times().wall = wall;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        self.times().monotonic
    }

    fn wall(&self) -> SystemTime {
        self.times().wall
    }
}

/// A cache of 16 MiB in memory, and the clock that it goes by.
///
/// # Panics
///
/// Never: its settings are valid.
#[must_use]
pub fn cache() -> (Cache, ManualClock) {
    let clock = ManualClock::new();
    let builder = Cache::builder()
        .memory(16 * crate::MIB)
        .clock(Arc::new(clock.clone()));
    match builder.build() {
        Ok(cache) => (cache, clock),
        Err(error) => unreachable!("{error}"),
    }
}
