//! What is read of the counters.

use std::time::Duration;

use super::histogram::Latency;
use super::histogram::Sums;
#[cfg(feature = "serde")]
use super::histogram::as_seconds;
use super::tally::Tally;
use crate::outcome::{Bypass, Cause, Eviction, Fault, InvalidatedBy, Mismatch, Refusal};

/// Faults of the store.
const OF_STORE: [Fault; 3] = [
    Fault::StoreTimeout,
    Fault::StoreUnavailable,
    Fault::StoreRefused,
];

/// What a cache, or one endpoint of it, has done in this process since it was made.
/// `hits_memory + hits_redis + stale + revalidated + coalesced + misses + bypasses`
/// are all its requests: each is counted once, also one whose client went away or
/// whose handler failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Requests answered from memory.
    pub hits_memory: u64,
    /// Requests answered from the shared store.
    pub hits_redis: u64,
    /// Requests answered by a stale response.
    pub stale: u64,
    /// Requests answered by a stored response that the handler confirmed by 304.
    pub revalidated: u64,
    /// Requests answered by the handler's answer to another request.
    pub coalesced: u64,
    /// Requests answered by the handler, because nothing stored could; and those that
    /// got no answer, see `abandoned` and [`Fault::Handler`].
    pub misses: u64,
    /// Requests that did not take part in caching.
    pub bypasses: u64,
    /// Those of `misses` and `bypasses` that ended without an answer: the client went
    /// away, or the handler panicked.
    pub abandoned: u64,
    /// Answers kept in at least one tier.
    pub stores: u64,
    /// Answers to misses that were judged not storable.
    pub refusals: u64,
    /// Entries found damaged, forged or not for the request asked.
    pub corrupt: u64,
    /// Operations of the store that failed.
    pub store_errors: u64,
    /// Invalidations begun; of the whole cache alone.
    pub invalidations: u64,
    /// Entries removed by invalidations: of the shared store, or of memory where it held
    /// more. Those of no known endpoint stand under none.
    pub removed: u64,
    /// Why nothing stored could answer, for those of `misses` that were answered, and
    /// `revalidated`.
    pub misses_by: Tally<Cause>,
    /// By what scope entries were invalidated that requests looked for, as far as this
    /// process remembers.
    pub invalidated_by: Tally<InvalidatedBy>,
    /// Why requests did not take part.
    pub bypasses_by: Tally<Bypass>,
    /// What differed where the handler's answer was compared with what was stored, each
    /// answer by the first that did.
    pub mismatches: Tally<Mismatch>,
    /// Answers that were compared.
    pub compared: u64,
    /// Why answers were not stored.
    pub refusals_by: Tally<Refusal>,
    /// What failed.
    pub faults: Tally<Fault>,
    /// Why entries left memory, but for invalidations and newer answers.
    pub evictions: Tally<Eviction>,
    /// Bytes of bodies that stored responses had, as they were sent.
    pub bytes_cached: u64,
    /// Bytes of bodies that handlers had, where their length was known at their head.
    pub bytes_handled: u64,
    /// Handlers that run now on behalf of the cache.
    pub fills: u64,
    /// Requests that wait now for another's fill.
    pub waiters: u64,
    /// How often a handler need not run: hits, coalesced, and stale answers but for
    /// those after a failure.
    pub calls_saved: u64,
    /// `calls_saved` times the mean time of a fill since the process began: an estimate, of each
    /// endpoint. In all it is their sum.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_seconds"))]
    pub time_saved: Duration,
    /// How long it took.
    pub latency: Latencies,
    /// Fills under way now that others can share; of the whole cache alone.
    pub flights: u64,
    /// Bytes of bodies that are being recorded now, with those that they declare and
    /// that are still to come; of the whole cache alone. Together with `memory_bytes`
    /// they stay within `memory_capacity`.
    pub in_flight_bytes: u64,
    /// Entries in memory now, and markers of what answers vary on; of the whole cache
    /// alone.
    pub memory_entries: u64,
    /// Bytes in memory now, an estimate that includes what the allocator and the
    /// tier spend; of the whole cache alone.
    pub memory_bytes: u64,
    /// The memory tier's bound in bytes; of the whole cache alone.
    pub memory_capacity: u64,
}

/// How long requests and their parts took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Latencies {
    /// Requests that a stored response answered at once, until its head.
    pub hit: Latency,
    /// Requests that waited for a handler, their own or another's, until the head; also
    /// where something stale stood in for it in the end.
    pub miss: Latency,
    /// Handlers that ran on behalf of the cache, until the head.
    pub fill: Latency,
    /// Look-ups in the shared store.
    pub redis: Latency,
}

impl Latencies {
    /// The phase that takes longest in the mean, by its name here: `fill`, `redis`, or
    /// `hit`. None where nothing was measured yet.
    #[must_use]
    pub fn slowest(&self) -> Option<(&'static str, &Latency)> {
        let phases = [
            ("hit", &self.hit),
            ("fill", &self.fill),
            ("redis", &self.redis),
        ];
        let measured = phases
            .into_iter()
            .filter(|(_, took)| !took.mean().is_zero());
        measured.max_by_key(|(_, took)| took.mean())
    }
}

/// What one endpoint has done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EndpointStats {
    /// The endpoint, as it stands in keys; empty for requests that no policy covers, and for what is
    /// no endpoint's, such as faults of the store. Or the name of a namespace of values.
    pub endpoint: String,
    /// Whether there is a namespace of that name, to be invalidated by `namespace(..)`; an endpoint is by
    /// [`endpoint`](crate::endpoint). Two of one name are counted together.
    pub namespace: bool,
    /// What it has done.
    pub stats: Stats,
}

impl Stats {
    /// The share of requests that were not misses among all that took part in
    /// caching, from 0 to 1: hits, stale, revalidated and coalesced over these and
    /// misses. Zero before the first request.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        let hits = self.answered();
        match hits + self.misses {
            0 => 0.0,
            all => hits as f64 / all as f64,
        }
    }

    /// The hit rate under policies that only [observe](crate::Policy::observe), had they
    /// served: from 0 to 1.
    #[must_use]
    pub fn would_be_hit_rate(&self) -> f64 {
        let would = self.misses_by.get(Cause::Observed);
        let hits = self.answered() + would;
        match self.answered() + self.misses {
            0 => 0.0,
            all => hits as f64 / all as f64,
        }
    }

    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.answered() + self.misses + self.bypasses
    }

    fn answered(&self) -> u64 {
        self.hits_memory + self.hits_redis + self.stale + self.revalidated + self.coalesced
    }

    /// Fills in what follows from the rest, and from the mean time of a fill in nanoseconds.
    pub(crate) fn complete(&mut self, sums: &Sums, mean: u64) {
        self.latency = Latencies {
            hit: sums.hit.latency(),
            miss: sums.miss.latency(),
            fill: sums.fill.latency(),
            redis: sums.redis.latency(),
        };
        self.time_saved = Duration::from_nanos(mean.saturating_mul(self.calls_saved));
        self.refusals = self.refusals_by.total();
        self.corrupt = self.faults.get(Fault::Corrupt);
        self.store_errors = OF_STORE.iter().map(|f| self.faults.get(*f)).sum();
    }
}
