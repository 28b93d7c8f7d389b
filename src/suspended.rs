//! For how long this machine has been suspended: the monotonic clock stands still
//! meanwhile, and a lease and a time to live do not.
//!
//! The kernel counts that in `CLOCK_BOOTTIME`, which has no coarse reading. It is read
//! once for each tick of the coarse clock, which moves when a machine is suspended,
//! however shortly: nobody has a reading from after a suspension and not its length.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Less than this may be the time between two readings.
const LEAST: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Suspended {
    /// The tick of the coarse clock at which it was looked at last.
    looked: AtomicU64,
    /// Nanoseconds, since the machine was started.
    total: AtomicU64,
    /// Before this process was.
    before: u64,
}

impl Suspended {
    pub(crate) fn new() -> Self {
        let before = shortest(lead(), lead);
        Self {
            looked: AtomicU64::new(0),
            total: AtomicU64::new(before),
            before,
        }
    }

    /// Nanoseconds since this was made. `tick` is a reading of the coarse clock.
    #[inline]
    pub(crate) fn by(&self, tick: u64) -> u64 {
        if self.looked.load(Ordering::Acquire) != tick {
            self.look(lead);
            self.looked.store(tick, Ordering::Release);
        }
        self.total.load(Ordering::Relaxed) - self.before
    }

    #[cold]
    fn look(&self, lead: impl Fn() -> u64) {
        let (now, known) = (lead(), self.total.load(Ordering::Relaxed));
        if now > known + nanos(LEAST) {
            let now = shortest(now, lead);
            if now > known + nanos(LEAST) {
                self.total.fetch_max(now, Ordering::Relaxed);
            }
        }
    }
}

/// Of three readings the one with the least time between its halves.
fn shortest(first: u64, lead: impl Fn() -> u64) -> u64 {
    first.min(lead()).min(lead())
}

/// By how much the clock that counts suspended time is ahead of the one that does not,
/// and the time between reading both.
fn lead() -> u64 {
    let monotonic = read(ClockId::Monotonic);
    read(ClockId::Boottime).saturating_sub(monotonic)
}

fn read(clock: ClockId) -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    part(tv_sec) * 1_000_000_000 + part(tv_nsec)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Suspended {
        Suspended {
            looked: AtomicU64::new(0),
            total: AtomicU64::new(5_000),
            before: 5_000,
        }
    }

    #[test]
    fn what_the_machine_has_slept_counts() {
        let suspended = fresh();
        suspended.look(|| 5_000 + nanos(Duration::from_secs(30)));
        let tick = suspended.looked.load(Ordering::Relaxed);
        assert_eq!(suspended.by(tick), nanos(Duration::from_secs(30)));
        suspended.look(|| 5_000); // never back
        assert_eq!(suspended.by(tick), nanos(Duration::from_secs(30)));
    }

    #[test]
    fn time_between_two_readings_does_not() {
        let suspended = fresh();
        let readings = std::cell::Cell::new(3);
        suspended.look(|| {
            readings.set(readings.get() - 1);
            5_000 + readings.get() * nanos(Duration::from_secs(1)) // twice it was interrupted
        });
        assert_eq!(suspended.by(0), 0);
    }

    #[test]
    fn each_tick_is_looked_at_once() {
        let suspended = Suspended::new();
        assert!(suspended.by(1) < nanos(Duration::from_secs(1)));
        assert_eq!(suspended.looked.load(Ordering::Relaxed), 1);
        suspended
            .total
            .store(suspended.before + 7, Ordering::Relaxed);
        assert_eq!(suspended.by(1), 7);
    }
}
