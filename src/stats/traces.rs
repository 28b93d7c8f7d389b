//! What became of entries that are gone: small tables of hashes, so that a miss knows
//! whether there was something before.
//!
//! 1. What had to go, or was invalidated, is remembered as that.
//! 2. Else what this process has kept is remembered with the end of its life: it has
//!    expired after that, and nobody knows what became of it before.
//! 3. Of all else this process knows nothing (`filled.rs` knows of others).
//!
//! A slot holds the latest of all keys that fall to it: a trace can be lost. The rest of
//! a hash tells keys apart.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::tally::Reason;
use crate::outcome::{Cause, Eviction, InvalidatedBy};

const SLOTS: usize = 1 << 15;

/// So many lower bits of a slot say something of each of the latest keys, and the others
/// are of its hash; 0 is nothing.
#[derive(Debug, Default)]
struct Table<const BITS: u32>(OnceLock<Box<[AtomicU64]>>);

impl<const BITS: u32> Table<BITS> {
    const SAYS: u64 = (1 << BITS) - 1;

    fn set(&self, hash: u64, says: u64) {
        let made = || (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        let slots = self.0.get_or_init(made);
        let slot = (hash & !Self::SAYS) | says.min(Self::SAYS);
        slots[(hash >> BITS) as usize % SLOTS].store(slot, Ordering::Relaxed);
    }

    fn get(&self, hash: u64) -> u64 {
        let Some(slots) = self.0.get() else {
            return 0;
        };
        let slot = slots[(hash >> BITS) as usize % SLOTS].load(Ordering::Relaxed);
        match (slot ^ hash) & !Self::SAYS {
            0 => slot & Self::SAYS,
            _ => 0,
        }
    }
}

/// Each table is made when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    hasher: ahash::RandomState,
    gone: Table<8>,
    /// When what was kept ends, in seconds.
    kept: Table<32>,
    missed: Table<8>,
}

/// Why something is gone.
const EVICTED: u64 = 1;
const EXPIRED: u64 = 2;
const INVALIDATED: u64 = 3;

impl Traces {
    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// There was no room for it, or it was of no use any more.
    pub(crate) fn evicted(&self, key: &[u8], why: Eviction) {
        let why = match why {
            Eviction::Expired => EXPIRED,
            _ => EVICTED,
        };
        self.gone.set(self.hash(key), why);
    }

    pub(crate) fn invalidated(&self, key: &[u8], by: InvalidatedBy) {
        self.gone
            .set(self.hash(key), INVALIDATED + by.index() as u64);
    }

    /// It is there again, until a moment in milliseconds.
    pub(crate) fn returned(&self, key: &[u8], until: u64) {
        let hash = self.hash(key);
        if self.gone.get(hash) != 0 {
            self.gone.set(hash, 0);
        }
        self.kept.set(hash, (until / 1_000).max(1));
    }

    /// Why there is nothing, and by what it was invalidated.
    pub(crate) fn cause(&self, key: &[u8], now: u64) -> (Cause, Option<InvalidatedBy>) {
        let hash = self.hash(key);
        match self.gone.get(hash) {
            0 => match self.kept.get(hash) {
                0 => (Cause::New, None),
                end if now / 1_000 >= end => (Cause::Expired, None),
                _ => (Cause::Unknown, None),
            },
            EVICTED => (Cause::Evicted, None),
            EXPIRED => (Cause::Expired, None),
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
        assert_eq!(traces.cause(b"a", 0), (Cause::New, None));
        traces.evicted(b"a", Eviction::Capacity);
        traces.invalidated(b"b", InvalidatedBy::Tag);
        traces.evicted(b"d", Eviction::Expired);
        assert_eq!(traces.cause(b"a", 0), (Cause::Evicted, None));
        let by = Some(InvalidatedBy::Tag);
        assert_eq!(traces.cause(b"b", 0), (Cause::Invalidated, by));
        assert_eq!(traces.cause(b"c", 0), (Cause::New, None));
        assert_eq!(traces.cause(b"d", 0), (Cause::Expired, None));
        traces.returned(b"a", 9_000);
        traces.missed(b"a", Cause::Expired);
        assert_eq!(traces.last_miss(b"a"), Some(Cause::Expired));
        assert_eq!(traces.last_miss(b"b"), None);
    }

    #[test]
    fn what_was_kept_has_expired_or_nobody_knows() {
        let traces = Traces::default();
        traces.returned(b"a", 9_500);
        assert_eq!(traces.cause(b"a", 8_999), (Cause::Unknown, None));
        assert_eq!(traces.cause(b"a", 9_500), (Cause::Expired, None));
        traces.invalidated(b"a", InvalidatedBy::Key);
        let by = Some(InvalidatedBy::Key);
        assert_eq!(traces.cause(b"a", 9_500), (Cause::Invalidated, by));
    }
}
