//! Counters that many threads add to: each thread has a shard, which it shares
//! with few others.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// Counts this thread's requests. Its address tells threads apart.
    static TURN: Cell<u32> = const { Cell::new(0) };
}

/// One request in so many is measured and looked at.
pub(crate) const SAMPLE: u64 = 64;

/// Whether this request is one of those.
#[inline]
pub(crate) fn is_sample() -> bool {
    TURN.with(|turn| {
        let next = turn.get().wrapping_add(1);
        turn.set(next);
        u64::from(next).is_multiple_of(SAMPLE)
    })
}

/// Shards of one set of counters.
const SHARDS: usize = 8;

/// `N` counters, in shards that lie in cache lines of their own.
#[derive(Debug)]
pub(crate) struct Sharded<const N: usize> {
    shards: [Shard<N>; SHARDS],
}

#[derive(Debug)]
#[repr(align(128))] // two lines: the processor fetches them together
struct Shard<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Sharded<N> {
    fn default() -> Self {
        let zero = || Shard(std::array::from_fn(|_| AtomicU64::new(0)));
        Self {
            shards: std::array::from_fn(|_| zero()),
        }
    }
}

impl<const N: usize> Sharded<N> {
    /// This thread's counters.
    #[inline]
    pub(crate) fn here(&self) -> &[AtomicU64; N] {
        let address = TURN.with(|turn| std::ptr::from_ref(turn).addr()) as u64;
        let mixed = (address >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15); // Fibonacci hashing
        &self.shards[(mixed >> 61) as usize].0
    }

    /// What all shards have counted together.
    pub(crate) fn sum(&self) -> [u64; N] {
        let mut sum = [0; N];
        for shard in &self.shards {
            for (sum, counter) in sum.iter_mut().zip(&shard.0) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_among_threads() {
        let counters = Sharded::<2>::default();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        counters.here()[1].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(counters.sum(), [0, 16_000]);
    }

    #[test]
    fn one_in_so_many_is_a_sample() {
        let samples = (0..SAMPLE * 10).filter(|_| is_sample()).count();
        assert_eq!(samples, 10);
    }
}
