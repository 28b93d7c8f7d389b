//! The one place that reads time.
//!
//! Ages and deadlines inside a process are counted on a monotonic clock; the
//! wall clock is read only for what leaves the process (frames, `Date`).

use std::fmt;
use std::time::{Duration, SystemTime};

use coarsetime::Instant;

use crate::suspended::Suspended;

/// Where larder gets its time from. Tests set their own with
/// [`CacheBuilder::clock`](crate::CacheBuilder::clock).
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Time since a fixed, arbitrary moment; never goes backwards.
    fn monotonic(&self) -> Duration;

    /// The time of day, which may jump.
    fn wall(&self) -> SystemTime;

    /// The same as `monotonic`, as exactly as can be: for latencies. Default: that.
    fn precise(&self) -> Duration {
        self.monotonic()
    }
}

/// The system's clocks.
///
/// The monotonic one is the kernel's coarse clock: it moves every few
/// milliseconds and costs a hit a fifth of the exact one. The time for which the
/// machine is suspended counts, where the system tells (Linux, Android).
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
    suspended: Suspended,
    exact: std::time::Instant,
}

impl SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is where time is read")]
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            suspended: Suspended::new(),
            exact: std::time::Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[inline]
    #[allow(clippy::disallowed_methods, reason = "this is where time is read")]
    fn monotonic(&self) -> Duration {
        let now = Instant::now_without_cache_update(); // which is one place for all threads
        let awake = now.duration_since(self.start).as_nanos();
        Duration::from_nanos(awake + self.suspended.by(now.as_ticks()))
    }

    #[allow(clippy::disallowed_methods, reason = "this is where time is read")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn precise(&self) -> Duration {
        self.exact.elapsed()
    }
}

/// Milliseconds of a duration, saturating: the unit of everything stored.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970; zero for a clock set before that.
pub(crate) fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, millis)
}

/// `n` seconds.
#[must_use]
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` minutes.
#[must_use]
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(60))
}

/// `n` hours.
#[must_use]
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(3_600))
}

/// `n` days.
#[must_use]
pub const fn days(n: u64) -> Duration {
    Duration::from_secs(n.saturating_mul(86_400))
}
