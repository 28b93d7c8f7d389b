//! A fault that lasts is told at its start, once a minute while it goes on, and at its
//! end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

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

/// A fault that somebody watches. One that comes and goes is told once a minute too.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    since: Option<Instant>,
    told: Option<Instant>,
    /// Somebody was told of the one that lasts.
    known: bool,
}

impl Outage {
    /// It begins or goes on. For how long it has lasted, if that is to be told.
    pub(crate) fn lasts(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let minute = Duration::from_millis(MINUTE);
        if self.told.is_some_and(|told| now - told < minute) {
            return None;
        }
        (self.told, self.known) = (Some(now), true);
        Some(now - since)
    }

    /// It ends. How long it has lasted, if that is to be told.
    pub(crate) fn ends(&mut self) -> Option<Duration> {
        let since = self.since.take()?;
        let known = std::mem::take(&mut self.known);
        known.then(|| since.elapsed())
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
    async fn an_outage_is_told_once_a_minute_and_at_its_end() {
        let mut outage = Outage::default();
        let mut told = 0;
        for _ in 0..600 {
            told += u32::from(outage.lasts().is_some());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(told, 10);
        assert_eq!(outage.ends(), Some(Duration::from_secs(600)));
        assert_eq!(outage.ends(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_and_goes_is_told_once_a_minute() {
        let mut outage = Outage::default();
        let mut told = (0, 0);
        for _ in 0..600 {
            told.0 += u32::from(outage.lasts().is_some());
            tokio::time::sleep(Duration::from_secs(1)).await;
            told.1 += u32::from(outage.ends().is_some());
        }
        assert_eq!(told, (10, 10));
    }
}
