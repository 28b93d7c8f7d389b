//! Latencies in log-linear buckets of a fixed number: eight to a doubling, so
//! that a quantile is at most a sixteenth off.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets to a doubling, as a power of two.
const SUB: u32 = 3;
/// Everything below `2^FIRST` nanoseconds is one bucket.
const FIRST: u32 = 6;
/// Everything from `2^LAST` nanoseconds (9 minutes) on is one bucket.
const LAST: u32 = 39;
const BUCKETS: usize = (((LAST - FIRST) << SUB) + 2) as usize;

/// Atomics inside.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            nanos: AtomicU64::new(0),
        }
    }
}

fn bucket(nanos: u64) -> usize {
    let octave = nanos.max(1).ilog2();
    if octave < FIRST {
        return 0;
    }
    if octave >= LAST {
        return BUCKETS - 1;
    }
    let sub = (nanos >> (octave - SUB)) & ((1 << SUB) - 1);
    1 + (((octave - FIRST) << SUB) as usize) + sub as usize
}

/// Where a bucket ends, in nanoseconds; the last one has no end.
fn end(bucket: usize) -> u64 {
    if bucket == 0 {
        return 1 << FIRST;
    }
    let at = (bucket - 1) as u64;
    let octave = FIRST + (at >> SUB) as u32;
    let sub = at & ((1 << SUB) - 1);
    (1 << octave) + ((sub + 1) << (octave - SUB))
}

impl Histogram {
    /// Counts one that stands for `times`.
    pub(crate) fn record(&self, latency: Duration, times: u64) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)].fetch_add(times, Ordering::Relaxed);
        let all = nanos.saturating_mul(times);
        self.nanos.fetch_add(all, Ordering::Relaxed);
    }

    pub(crate) fn add_to(&self, sum: &mut Sum) {
        for (sum, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        sum.nanos += self.nanos.load(Ordering::Relaxed);
    }
}

/// Several histograms together.
pub(crate) struct Sum {
    buckets: [u64; BUCKETS],
    nanos: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            nanos: 0,
        }
    }
}

impl Sum {
    /// Takes off what was measured before.
    pub(crate) fn minus(&mut self, before: &Self) {
        for (now, before) in self.buckets.iter_mut().zip(&before.buckets) {
            *now = now.saturating_sub(*before);
        }
        self.nanos = self.nanos.saturating_sub(before.nanos);
    }

    pub(crate) fn count_and_nanos(&self) -> (u64, u64) {
        (self.buckets.iter().sum(), self.nanos)
    }

    pub(crate) fn latency(&self) -> Latency {
        let count: u64 = self.buckets.iter().sum();
        let quantile = |share: f64| {
            let rank = ((count as f64 * share).ceil() as u64).max(1);
            let mut seen = 0;
            let at = self.buckets.iter().position(|n| {
                seen += n;
                seen >= rank
            });
            Duration::from_nanos(at.map_or(0, middle))
        };
        let full = self.buckets.iter().enumerate().filter(|(_, n)| **n > 0);
        Latency {
            count,
            sum: Duration::from_nanos(self.nanos),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            buckets: full
                .map(|(at, n)| (Duration::from_nanos(end(at)), *n))
                .collect(),
        }
    }
}

fn middle(bucket: usize) -> u64 {
    let start = bucket.checked_sub(1).map_or(0, end);
    match bucket == BUCKETS - 1 {
        true => start,
        false => start.midpoint(end(bucket)),
    }
}

/// How long something took: a snapshot. Quantiles are at most a sixteenth off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Latency {
    /// How many there were. Hits in memory are measured one in 64, which counts 64.
    pub count: u64,
    /// All of them together; in seconds where it is serialized, as all times here.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub sum: Duration,
    /// The median.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub p50: Duration,
    /// Nine of ten were faster.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub p90: Duration,
    /// 99 of 100 were faster.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub p99: Duration,
    /// Those below a bound and not below the one before it, in rising order; bounds
    /// without any are left out.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_buckets"))]
    pub buckets: Vec<(Duration, u64)>,
}

impl Latency {
    /// The mean; zero where there were none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let nanos = self.sum.as_nanos() / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(feature = "serde")]
pub(crate) use serial::{as_buckets, as_seconds};

#[cfg(feature = "serde")]
mod serial {
    use super::Duration;
    use serde::Serializer;

    pub(crate) fn as_seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub(crate) fn as_buckets<S: Serializer>(
        buckets: &[(Duration, u64)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(buckets.iter().map(|(end, n)| (end.as_secs_f64(), n)))
    }
}

/// Histograms of several endpoints together.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) hit: Sum,
    pub(crate) miss: Sum,
    pub(crate) fill: Sum,
    pub(crate) redis: Sum,
}

impl Sums {
    pub(crate) fn minus(&mut self, before: &Self) {
        self.hit.minus(&before.hit);
        self.miss.minus(&before.miss);
        self.fill.minus(&before.fill);
        self.redis.minus(&before.redis);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_of_all_that_were_counted() {
        let histogram = Histogram::default();
        for n in 1..=1_000 {
            histogram.record(Duration::from_micros(n), 1);
        }
        let mut sum = Sum::default();
        histogram.add_to(&mut sum);
        let latency = sum.latency();
        assert_eq!(latency.count, 1_000);
        assert_eq!(latency.mean(), Duration::from_nanos(500_500));
        for (is, should) in [(latency.p50, 500), (latency.p90, 900), (latency.p99, 990)] {
            let off = is.as_secs_f64() / Duration::from_micros(should).as_secs_f64();
            assert!((0.93..1.07).contains(&off), "{is:?} for {should}");
        }
    }

    #[test]
    fn none_is_zero() {
        assert_eq!(Sum::default().latency(), Latency::default());
    }

    proptest! {
        #[test]
        fn a_bucket_holds_what_is_below_its_end(nanos in 0_u64..1 << LAST) {
            let at = bucket(nanos);
            prop_assert!(nanos < end(at));
            prop_assert!(at == 0 || nanos >= end(at - 1));
        }
    }
}
