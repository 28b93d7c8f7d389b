//! A fault that lasts is told at its start, once a minute while it goes on, and at its
//! end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Milliseconds.
const MINUTE: u64 = 60_000;

/// One kind of fault.
#[derive(Debug, Default)]
pub(crate) struct Lasting {
    /// When it was told last, in milliseconds and one more; 0 is never.
    told: AtomicU64,
    /// How often it has happened since.
    times: AtomicU64,
}

impl Lasting {
    /// It has happened, at `now` in milliseconds. How often, if that is to be told.
    pub(crate) fn happened(&self, now: u64) -> Option<u64> {
        let times = self.times.fetch_add(1, Ordering::Relaxed) + 1;
        let told = self.told.load(Ordering::Relaxed);
        if told != 0 && now < told - 1 + MINUTE {
            return None;
        }
        let mine = self
            .told
            .compare_exchange(told, now + 1, Ordering::Relaxed, Ordering::Relaxed);
        mine.ok().map(|_| {
            self.times.fetch_sub(times, Ordering::Relaxed);
            times
        })
    }
}

/// A fault that somebody watches.
#[derive(Debug)]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "redis watches"))]
pub(crate) struct Outage {
    since: tokio::time::Instant,
    told: tokio::time::Instant,
}

#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "redis watches"))]
impl Outage {
    pub(crate) fn new() -> Self {
        let since = tokio::time::Instant::now();
        Self { since, told: since }
    }

    /// For how long it has lasted, if that is to be told again.
    pub(crate) fn lasts(&mut self) -> Option<Duration> {
        let due = self.told.elapsed() >= Duration::from_millis(MINUTE);
        due.then(|| {
            self.told = tokio::time::Instant::now();
            self.since.elapsed()
        })
    }

    pub(crate) fn lasted(&self) -> Duration {
        self.since.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_once_a_minute_with_how_often_it_happened() {
        let fault = Lasting::default();
        assert_eq!(fault.happened(0), Some(1));
        for now in 1..60_000 {
            assert_eq!(fault.happened(now), None, "{now}");
        }
        assert_eq!(fault.happened(60_000), Some(60_000));
        assert_eq!(fault.happened(60_001), None);
        assert_eq!(fault.happened(500_000), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_once_a_minute() {
        let mut outage = Outage::new();
        let mut told = 0;
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            told += u32::from(outage.lasts().is_some());
        }
        assert_eq!((told, outage.lasted().as_secs()), (10, 600));
    }
}
