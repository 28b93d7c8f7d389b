//! What is counted of one endpoint.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::histogram::{Histogram, Sum, Sums};
use super::kinds::Counted;
use super::seen::Users;
use super::shards::{SAMPLE, Sharded};
use super::snapshot::Stats;
use super::tally::Tallied;
use super::totals::COST;
use super::watch::Watch;
use crate::clock::Clock;
use crate::outcome::{
    Bypass, Cause, Eviction, Fault, InvalidatedBy, Mismatch, Outcome, Refusal, Staleness, Tier,
};

/// How a request was answered, and the bytes of it.
#[derive(Debug, Clone, Copy)]
enum Way {
    Memory,
    Redis,
    Stale,
    Revalidated,
    Coalesced,
    Miss,
    Bypass,
    /// Bytes of stored bodies.
    Cached,
    /// Bytes of handlers' bodies.
    Handled,
}

const WAYS: usize = 9;

/// So many reads of the store are measured each, and of those behind them one in so
/// many.
const EACH: u64 = 256;
const READS: u64 = 16;

/// Whose a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answerer {
    Cache,
    Handler,
}

/// Latencies of four kinds.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) hit: Histogram,
    pub(crate) miss: Histogram,
    pub(crate) fill: Histogram,
    pub(crate) redis: Histogram,
}

/// The counters of one endpoint. What a hit in memory adds to is sharded.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    ways: Sharded<WAYS>,
    /// Stale answers for which the handler was not asked in vain.
    spared: AtomicU64,
    abandoned: AtomicU64,
    stores: AtomicU64,
    removed: AtomicU64,
    misses: Tallied<Cause>,
    invalidated: Tallied<InvalidatedBy>,
    bypasses: Tallied<Bypass>,
    refusals: Tallied<Refusal>,
    faults: Tallied<Fault>,
    evictions: Tallied<Eviction>,
    mismatches: Tallied<Mismatch>,
    compared: AtomicU64,
    fills: AtomicU64,
    waiters: AtomicU64,
    /// What one fill costs, in millionths.
    cost: AtomicU64,
    /// A hit rate that is warned of where it is lower, in millionths.
    wanted: AtomicU64,
    /// Reads of the store.
    reads: AtomicU64,
    /// Its policy has windows for stale answers.
    serves_stale: AtomicBool,
    pub(crate) measured: Measured,
    /// How often its answers change.
    pub(crate) watch: Watch,
    /// Where a policy names them.
    pub(crate) users: OnceLock<Users>,
}

impl Counts {
    /// A hit in memory.
    #[inline]
    pub(crate) fn hit(&self, bytes: u64) {
        if cfg!(larder_no_stats) {
            return;
        }
        let ways = self.ways.here();
        ways[Way::Memory as usize].fetch_add(1, Ordering::Relaxed);
        ways[Way::Cached as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether a read of the store is one whose time is taken, and for how many it
    /// stands: at first each, later one of many.
    pub(crate) fn measures_read(&self) -> Option<u64> {
        match self.reads.fetch_add(1, Ordering::Relaxed) {
            ..EACH => Some(1),
            n => n.is_multiple_of(READS).then_some(READS),
        }
    }

    /// What a sampled hit took.
    #[cold]
    pub(crate) fn hit_took(&self, latency: Duration) {
        self.measured.hit.record(latency, SAMPLE);
    }

    /// Any request, by how it was answered. Returns whose body it got.
    pub(crate) fn request(&self, outcome: &Outcome, bytes: u64) -> Answerer {
        let way = match outcome {
            Outcome::Hit { tier, .. } => match tier {
                Tier::Memory => Way::Memory,
                Tier::Redis => Way::Redis,
            },
            Outcome::Stale { why, .. } => {
                if *why != Staleness::IfError {
                    add(&self.spared, 1);
                }
                Way::Stale
            }
            Outcome::Revalidated { cause, stored, .. } => {
                self.misses.add(*cause, 1);
                self.refused(*stored);
                Way::Revalidated
            }
            Outcome::Coalesced { .. } => Way::Coalesced,
            Outcome::Miss { cause, stored, .. } => {
                self.misses.add(*cause, 1);
                self.refused(*stored);
                Way::Miss
            }
            Outcome::Bypass { reason, .. } => {
                self.bypasses.add(*reason, 1);
                Way::Bypass
            }
        };
        self.ways.here()[way as usize].fetch_add(1, Ordering::Relaxed);
        let whose = answerer(outcome);
        self.sent(whose, bytes);
        whose
    }

    /// Bytes of a body.
    pub(crate) fn sent(&self, whose: Answerer, bytes: u64) {
        let way = match whose {
            Answerer::Cache => Way::Cached,
            Answerer::Handler => Way::Handled,
        };
        self.ways.here()[way as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    fn refused(&self, stored: Result<(), Refusal>) {
        if let Err(refusal) = stored {
            self.refusals.add(refusal, 1);
            if refusal == Refusal::Timeout {
                self.fault(Fault::HandlerTimeout);
            }
        }
    }

    /// A request that has no outcome: its client went away, its handler panicked or
    /// failed. It was on its way to the handler.
    pub(crate) fn unanswered(&self, takes_part: bool) {
        let way = match takes_part {
            true => Way::Miss,
            false => Way::Bypass,
        };
        self.ways.here()[way as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that took part in caching: those that were no misses, and all.
    pub(crate) fn taking_part(&self) -> (u64, u64) {
        let ways = self.ways.sum();
        let of = |way: Way| ways[way as usize];
        let answered = [
            Way::Memory,
            Way::Redis,
            Way::Stale,
            Way::Revalidated,
            Way::Coalesced,
        ];
        let answered: u64 = answered.into_iter().map(of).sum();
        (answered, answered + of(Way::Miss))
    }

    /// A request found something invalidated.
    pub(crate) fn invalidated(&self, by: InvalidatedBy) {
        self.invalidated.add(by, 1);
    }

    /// An answer was compared with what was stored.
    pub(crate) fn compared(&self, mismatch: Option<Mismatch>) {
        add(&self.compared, 1);
        if let Some(mismatch) = mismatch {
            self.mismatches.add(mismatch, 1);
        }
    }

    pub(crate) fn abandoned(&self) {
        add(&self.abandoned, 1);
    }

    pub(crate) fn stored(&self) {
        add(&self.stores, 1);
    }

    pub(crate) fn removed(&self, entries: u64) {
        add(&self.removed, entries);
    }

    pub(crate) fn refusal(&self, refusal: Refusal) {
        self.refusals.add(refusal, 1);
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.faults.add(fault, 1);
    }

    pub(crate) fn eviction(&self, cause: Eviction) {
        self.evictions.add(cause, 1);
    }

    /// A handler that runs, until this is dropped.
    pub(crate) fn filling(self: &Arc<Self>, clock: &dyn Clock) -> Filling {
        Filling {
            running: Running::new(self, |counts| &counts.fills),
            began: clock.precise(),
        }
    }

    /// A request that waits for another's fill, until this is dropped.
    pub(crate) fn waiting(self: &Arc<Self>) -> Running {
        Running::new(self, |counts| &counts.waiters)
    }

    /// What a policy says of it. It may be several routes', each with a policy of its own: what
    /// one says may not take back what was counted by another's.
    pub(crate) fn has_policy(&self, watch: &crate::policy::Watch) {
        let millionths = |n: f64| (n * COST).round() as u64;
        self.cost
            .fetch_max(millionths(watch.cost), Ordering::Relaxed);
        self.wanted
            .fetch_max(millionths(watch.least_hit_rate), Ordering::Relaxed);
    }

    /// The hit rate below which it is to be warned.
    pub(crate) fn wanted(&self) -> Option<f64> {
        match self.wanted.load(Ordering::Relaxed) {
            0 => None,
            millionths => Some(millionths as f64 / COST),
        }
    }

    pub(crate) fn may_serve_stale(&self, serves: bool) {
        self.serves_stale.store(serves, Ordering::Relaxed);
    }

    pub(crate) fn serves_stale(&self) -> bool {
        self.serves_stale.load(Ordering::Relaxed)
    }

    /// What is counted over time.
    pub(crate) fn counted(&self) -> Counted {
        let (mut stats, mut sums) = (Stats::default(), Sums::default());
        self.add_to(&mut stats, &mut sums);
        let (fills, nanos) = sums.fill.count_and_nanos();
        let cost = self.cost.load(Ordering::Relaxed);
        let all = [
            stats.hits_memory + stats.hits_redis,
            stats.stale,
            stats.revalidated,
            stats.coalesced,
            stats.misses,
            stats.bypasses,
            stats.stores,
            stats.removed,
            stats.faults.total(),
            stats.bytes_cached,
            stats.bytes_handled,
            stats.calls_saved,
            fills,
            nanos / 1_000,
            stats.calls_saved.saturating_mul(cost),
            fills.saturating_mul(cost),
        ];
        all.map(signed)
    }

    /// The mean time of a fill since the process began, in nanoseconds.
    pub(crate) fn mean_fill(&self) -> u64 {
        let mut fills = Sum::default();
        self.measured.fill.add_to(&mut fills);
        let (n, nanos) = fills.count_and_nanos();
        nanos / n.max(1)
    }

    /// Adds what was counted to a snapshot, and what was measured to sums.
    pub(crate) fn add_to(&self, stats: &mut Stats, sums: &mut Sums) {
        let ways = self.ways.sum();
        let of = |way: Way| ways[way as usize];
        stats.hits_memory += of(Way::Memory);
        stats.hits_redis += of(Way::Redis);
        stats.stale += of(Way::Stale);
        stats.revalidated += of(Way::Revalidated);
        stats.coalesced += of(Way::Coalesced);
        stats.misses += of(Way::Miss);
        stats.bypasses += of(Way::Bypass);
        stats.bytes_cached += of(Way::Cached);
        stats.bytes_handled += of(Way::Handled);
        let spared = self.spared.load(Ordering::Relaxed);
        stats.calls_saved += spared + of(Way::Memory) + of(Way::Redis) + of(Way::Coalesced);
        stats.abandoned += self.abandoned.load(Ordering::Relaxed);
        stats.stores += self.stores.load(Ordering::Relaxed);
        stats.removed += self.removed.load(Ordering::Relaxed);
        stats.fills += self.fills.load(Ordering::Relaxed);
        stats.waiters += self.waiters.load(Ordering::Relaxed);
        self.misses.add_to(&mut stats.misses_by);
        self.invalidated.add_to(&mut stats.invalidated_by);
        self.bypasses.add_to(&mut stats.bypasses_by);
        self.refusals.add_to(&mut stats.refusals_by);
        self.faults.add_to(&mut stats.faults);
        self.evictions.add_to(&mut stats.evictions);
        self.mismatches.add_to(&mut stats.mismatches);
        stats.compared += self.compared.load(Ordering::Relaxed);
        self.measured.hit.add_to(&mut sums.hit);
        self.measured.miss.add_to(&mut sums.miss);
        self.measured.fill.add_to(&mut sums.fill);
        self.measured.redis.add_to(&mut sums.redis);
    }
}

/// Whose body a request got.
fn answerer(outcome: &Outcome) -> Answerer {
    match outcome {
        Outcome::Miss { .. } | Outcome::Bypass { .. } => Answerer::Handler,
        _ => Answerer::Cache,
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// One more of something, while it lives.
pub(crate) struct Running {
    counts: Arc<Counts>,
    of: fn(&Counts) -> &AtomicU64,
}

impl Running {
    fn new(counts: &Arc<Counts>, of: fn(&Counts) -> &AtomicU64) -> Self {
        add(of(counts), 1);
        let counts = Arc::clone(counts);
        Self { counts, of }
    }
}

/// A handler that runs, while it lives.
pub(crate) struct Filling {
    running: Running,
    began: Duration,
}

impl Filling {
    /// It has answered, or nobody waits for it any longer.
    pub(crate) fn ended(self, clock: &dyn Clock) {
        let took = clock.precise().saturating_sub(self.began);
        self.running.counts.measured.fill.record(took, 1);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        (self.of)(&self.counts).fetch_sub(1, Ordering::Relaxed);
    }
}
