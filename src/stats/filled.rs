//! What other releases have filled, so that a miss of this one can be told from one that
//! is new: a bit for each place of an entry, told to all who share a Redis and a prefix,
//! release by release and day by day.
//!
//! A bit stands for many places: so many of a hundred new keys are taken for another
//! release's as its bits are set of a hundred, and above a quarter nobody trusts it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::outcome::Cause;

/// Of a map: half a mebibyte.
const BITS: u32 = 1 << 22;
/// A map with more than these is of no use.
const MOST_SET: u64 = BITS as u64 / 4;
/// Filled between two tellings; what is above that is not told.
const MOST_TOLD: usize = 10_000;

/// What one release has filled on one day.
#[derive(Debug)]
pub(crate) struct Map {
    /// The asker's own release.
    pub(crate) own: bool,
    /// As Redis keeps bits: the first is the highest of the first byte.
    pub(crate) bits: Bytes,
}

impl Map {
    fn is_of_use(&self) -> bool {
        let ones = |byte: &u8| u64::from(byte.count_ones());
        self.bits.iter().map(ones).sum::<u64>() <= MOST_SET
    }

    fn has(&self, bit: u32) -> bool {
        let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        let byte = self.bits.get(byte).copied().unwrap_or(0);
        byte & (0x80 >> (bit % 8)) != 0
    }
}

/// What is known of it, and what is to be told.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    next: Mutex<BTreeSet<u32>>,
    known: RwLock<Option<Vec<Map>>>,
}

impl Filled {
    fn next(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This release has filled a place, whose name is told without the release.
    pub(crate) fn filled(&self, place: &[u8]) {
        let mut next = self.next();
        if next.len() < MOST_TOLD {
            next.insert(bit(place));
        }
    }

    /// Takes what is to be told.
    pub(crate) fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.next()).into_iter().collect()
    }

    /// It could not be told.
    pub(crate) fn put_back(&self, bits: Vec<u32>) {
        self.next().extend(bits);
    }

    /// What all have told.
    pub(crate) fn learn(&self, maps: Vec<Map>) {
        let maps = maps.into_iter().filter(Map::is_of_use).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(maps);
    }

    /// Why nothing is there, of which this process remembers nothing.
    pub(crate) fn cause(&self, place: &[u8]) -> Cause {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let Some(maps) = &*known else {
            return Cause::Unknown; // nothing was heard yet
        };
        let bit = bit(place);
        let has = |own| maps.iter().any(|map| map.own == own && map.has(bit));
        match (has(true), has(false)) {
            (true, _) => Cause::Unknown, // another process has filled it, and it is gone
            (false, true) => Cause::Release,
            (false, false) => Cause::New,
        }
    }
}

/// Some bits of a hash that all processes have in common.
fn bit(place: &[u8]) -> u32 {
    let hash = Sha256::digest(place);
    let first = [hash[0], hash[1], hash[2], hash[3]];
    u32::from_le_bytes(first) % BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(own: bool, places: &[&[u8]]) -> Map {
        let mut bits = vec![0; BITS as usize / 8];
        for place in places {
            let bit = bit(place);
            bits[bit as usize / 8] |= 0x80 >> (bit % 8);
        }
        let bits = bits.into();
        Map { own, bits }
    }

    #[test]
    fn a_place_is_another_releases_unless_it_was_the_own_ones_too() {
        let filled = Filled::default();
        assert_eq!(filled.cause(b"a"), Cause::Unknown, "nothing was heard yet");
        filled.learn(vec![map(false, &[b"a", b"b"]), map(true, &[b"b", b"c"])]);
        let causes = [b"a", b"b", b"c", b"d"].map(|place| filled.cause(place));
        let (new, unknown) = (Cause::New, Cause::Unknown);
        assert_eq!(causes, [Cause::Release, unknown, unknown, new]);
    }

    #[test]
    fn a_map_that_is_too_full_or_too_short_says_nothing() {
        let filled = Filled::default();
        let (full, own) = (Bytes::from(vec![0xff; BITS as usize / 8]), false);
        filled.learn(vec![Map { own, bits: full }]);
        assert_eq!(filled.cause(b"a"), Cause::New);
        let bits = Bytes::from_static(b"\xff");
        filled.learn(vec![Map { own, bits }]);
        assert_eq!(filled.cause(b"a"), Cause::New);
    }

    #[test]
    fn what_could_not_be_told_is_told_later() {
        let filled = Filled::default();
        filled.filled(b"a");
        let told = filled.take();
        assert_eq!((told.len(), filled.take().len()), (1, 0));
        filled.put_back(told.clone());
        assert_eq!(filled.take(), told);
    }
}
