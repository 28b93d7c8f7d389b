//! What became of entries that are gone: a small table of hashes, so that a miss knows
//! whether there was something before.
//!
//! A slot holds the latest of all keys that fall to it: a trace can be lost, and a miss
//! is then `new`; the rest of a hash tells keys apart.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::tally::Reason;
use crate::outcome::{Cause, InvalidatedBy};

const SLOTS: usize = 1 << 15;

/// A byte for each of the latest keys; 0 is none.
#[derive(Debug, Default)]
struct Table(OnceLock<Box<[AtomicU64]>>);

impl Table {
    fn set(&self, hash: u64, byte: u64) {
        let made = || (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        let slots = self.0.get_or_init(made);
        slots[(hash >> 8) as usize % SLOTS].store((hash & !0xff) | byte, Ordering::Relaxed);
    }

    fn get(&self, hash: u64) -> u64 {
        let Some(slots) = self.0.get() else {
            return 0;
        };
        let slot = slots[(hash >> 8) as usize % SLOTS].load(Ordering::Relaxed);
        match (slot ^ hash) & !0xff {
            0 => slot & 0xff,
            _ => 0,
        }
    }
}

/// Each table is made when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    hasher: ahash::RandomState,
    gone: Table,
    missed: Table,
}

/// Why something is gone.
const EVICTED: u64 = 1;
const INVALIDATED: u64 = 2;

impl Traces {
    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// There was no room for it.
    pub(crate) fn evicted(&self, key: &[u8]) {
        self.gone.set(self.hash(key), EVICTED);
    }

    pub(crate) fn invalidated(&self, key: &[u8], by: InvalidatedBy) {
        self.gone
            .set(self.hash(key), INVALIDATED + by.index() as u64);
    }

    /// It is there again.
    pub(crate) fn returned(&self, key: &[u8]) {
        let hash = self.hash(key);
        if self.gone.get(hash) != 0 {
            self.gone.set(hash, 0);
        }
    }

    /// Why there is nothing, and by what it was invalidated.
    pub(crate) fn cause(&self, key: &[u8]) -> (Cause, Option<InvalidatedBy>) {
        match self.gone.get(self.hash(key)) {
            0 => (Cause::New, None),
            EVICTED => (Cause::Evicted, None),
            by => {
                let by = InvalidatedBy::ALL.get((by - INVALIDATED) as usize).copied();
                (Cause::Invalidated, by)
            }
        }
    }

    /// A request found nothing fresh.
    pub(crate) fn missed(&self, key: &[u8], cause: Cause) {
        self.missed.set(self.hash(key), 1 + cause.index() as u64);
    }

    /// Why the last one did not.
    pub(crate) fn last_miss(&self, key: &[u8]) -> Option<Cause> {
        let known = self.missed.get(self.hash(key)).checked_sub(1)?;
        Cause::ALL.get(known as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_leaves_a_trace_until_it_returns() {
        let traces = Traces::default();
        assert_eq!(traces.cause(b"a"), (Cause::New, None));
        traces.evicted(b"a");
        traces.invalidated(b"b", InvalidatedBy::Tag);
        assert_eq!(traces.cause(b"a"), (Cause::Evicted, None));
        let by = Some(InvalidatedBy::Tag);
        assert_eq!(traces.cause(b"b"), (Cause::Invalidated, by));
        assert_eq!(traces.cause(b"c"), (Cause::New, None));
        traces.returned(b"a");
        traces.missed(b"a", Cause::Expired);
        assert_eq!(traces.last_miss(b"a"), Some(Cause::Expired));
        assert_eq!(traces.last_miss(b"b"), None);
        assert_eq!(traces.cause(b"a"), (Cause::New, None));
    }
}
