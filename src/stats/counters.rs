//! Atomics inside, a plain snapshot outside.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::outcome::{Outcome, Tier};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What is counted.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($name: AtomicU64,)* }

        /// What a cache has done in this process since it was made.
        /// `hits_memory + hits_redis + stale + revalidated + coalesced + misses + bypasses` are all
        /// its requests.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Fills under way now that others can share.
            pub flights: u64,
            /// Bytes of bodies that are being recorded now. Together with
            /// `memory_bytes` they stay within `memory_capacity`.
            pub in_flight_bytes: u64,
            /// Entries in memory now, and markers of what answers vary on.
            pub memory_entries: u64,
            /// Bytes in memory now, an estimate that includes what the
            /// allocator and the tier spend.
            pub memory_bytes: u64,
            /// The memory tier's bound in bytes.
            pub memory_capacity: u64,
        }

        impl Counters {
            $(pub(crate) fn $name(&self, n: u64) { self.$name.fetch_add(n, Ordering::Relaxed); })*

            pub(crate) fn snapshot(&self) -> Stats {
                Stats {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                    ..Stats::default()
                }
            }
        }
    };
}

counters! {
    /// Requests answered from memory.
    hits_memory,
    /// Requests answered from the shared store.
    hits_redis,
    /// Requests answered by a stale response.
    stale,
    /// Requests answered by a stored response that the handler confirmed by 304.
    revalidated,
    /// Requests answered by the handler's answer to another request.
    coalesced,
    /// Requests answered by the handler, because nothing stored could.
    misses,
    /// Requests that did not take part in caching.
    bypasses,
    /// Answers kept in at least one tier.
    stores,
    /// Answers to misses that were judged not storable.
    refusals,
    /// Entries found damaged, forged or not for the request asked.
    corrupt,
    /// Operations of the store that failed.
    store_errors,
    /// Invalidations begun.
    invalidations,
    /// Entries removed by invalidations.
    removed,
}

impl Counters {
    #[inline]
    pub(crate) fn request(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Hit { tier, .. } => match tier {
                Tier::Memory => self.hits_memory(1),
                Tier::Redis => self.hits_redis(1),
            },
            Outcome::Stale { .. } => self.stale(1),
            Outcome::Revalidated { .. } => self.revalidated(1),
            Outcome::Coalesced { .. } => self.coalesced(1),
            Outcome::Miss { stored, .. } => {
                self.misses(1);
                if stored.is_err() {
                    self.refusals(1);
                }
            }
            Outcome::Bypass { .. } => self.bypasses(1),
        }
    }
}

impl Stats {
    /// The share of requests that were not misses among all that took part in
    /// caching, from 0 to 1: hits, stale, revalidated and coalesced over these and
    /// misses. Zero before the first request.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        let hits = self.stored();
        match hits + self.misses {
            0 => 0.0,
            all => hits as f64 / all as f64,
        }
    }

    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.stored() + self.misses + self.bypasses
    }

    fn stored(&self) -> u64 {
        self.hits_memory + self.hits_redis + self.stale + self.revalidated + self.coalesced
    }
}
