//! Beginning anew: what was counted before a reset is taken off what is read. The
//! counters themselves go on, for what instances count together goes by them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::counts::Counts;
use super::histogram::Sums;
use super::snapshot::Stats;

/// What was counted, and what was measured.
pub(super) type Read = (Stats, Sums);

/// What every endpoint had counted at the last reset.
#[derive(Default)]
pub(super) struct Base(Mutex<Reset>);

#[derive(Default)]
struct Reset {
    endpoints: HashMap<Box<str>, Read>,
    invalidations: u64,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").finish_non_exhaustive()
    }
}

impl Base {
    /// Begins anew with these.
    pub(super) fn set<'a>(
        &self,
        endpoints: impl Iterator<Item = (Box<str>, &'a Counts)>,
        invalidations: u64,
    ) {
        let reset = Reset {
            endpoints: endpoints.map(|(name, of)| (name, read(of))).collect(),
            invalidations,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reset;
    }

    /// Adds what an endpoint has counted since.
    pub(super) fn add(&self, name: &str, counts: &Counts, to: &mut Read) {
        counts.add_to(&mut to.0, &mut to.1);
        let reset = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stats, sums)) = reset.endpoints.get(name) {
            to.0.minus(stats);
            to.1.minus(sums);
        }
    }

    /// What belongs to no endpoint.
    pub(super) fn invalidations(&self, all: u64) -> u64 {
        let reset = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.saturating_sub(reset.invalidations)
    }
}

fn read(counts: &Counts) -> Read {
    let mut read = Read::default();
    counts.add_to(&mut read.0, &mut read.1);
    read
}

impl Stats {
    /// Takes off what was counted before; what is under way now stays.
    fn minus(&mut self, before: &Self) {
        let counters: [(&mut u64, u64); 13] = [
            (&mut self.hits_memory, before.hits_memory),
            (&mut self.hits_redis, before.hits_redis),
            (&mut self.stale, before.stale),
            (&mut self.revalidated, before.revalidated),
            (&mut self.coalesced, before.coalesced),
            (&mut self.misses, before.misses),
            (&mut self.bypasses, before.bypasses),
            (&mut self.abandoned, before.abandoned),
            (&mut self.stores, before.stores),
            (&mut self.removed, before.removed),
            (&mut self.compared, before.compared),
            (&mut self.bytes_cached, before.bytes_cached),
            (&mut self.bytes_handled, before.bytes_handled),
        ];
        for (now, before) in counters {
            *now = now.saturating_sub(before);
        }
        self.calls_saved = self.calls_saved.saturating_sub(before.calls_saved);
        self.misses_by.minus(&before.misses_by);
        self.invalidated_by.minus(&before.invalidated_by);
        self.bypasses_by.minus(&before.bypasses_by);
        self.mismatches.minus(&before.mismatches);
        self.refusals_by.minus(&before.refusals_by);
        self.faults.minus(&before.faults);
        self.evictions.minus(&before.evictions);
    }
}
