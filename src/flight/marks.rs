//! What is believed of a key for a while.

use std::collections::HashMap;

use ahash::RandomState;

use super::{ALONE, Flights};
use crate::key::Canonical;

/// No more keys than this are remembered.
const MOST: usize = 65_536;

/// Hashes of keys, and until when something is believed of them, in milliseconds.
/// A request may be long, and its key is it: a mark keeps none of it. The hashes are
/// seeded, so nobody can aim at another's; two that are the same by chance cost a
/// fill that is not shared, or one that is put off.
#[derive(Default)]
pub(crate) struct Marks {
    seeds: [RandomState; 2],
    until: HashMap<[u64; 2], u64, RandomState>,
    /// The latest time that was asked at.
    now: u64,
}

impl Marks {
    /// Once there are too many, those that are over go; if these are few, all go.
    pub(crate) fn set(&mut self, place: &Canonical, until: u64) {
        if self.until.len() >= MOST {
            let now = self.now;
            self.until.retain(|_, until| now < *until);
            if self.until.len() > MOST / 2 {
                self.until.clear();
            }
        }
        self.until.insert(self.hash(place), until);
    }

    pub(crate) fn holds(&mut self, place: &Canonical, now: u64) -> bool {
        self.now = self.now.max(now);
        if self.until.is_empty() {
            return false;
        }
        let hash = self.hash(place);
        match self.until.get(&hash) {
            Some(until) if now < *until => true,
            Some(_) => {
                self.until.remove(&hash);
                false
            }
            None => false,
        }
    }

    pub(crate) fn clear(&mut self, place: &Canonical) {
        if !self.until.is_empty() {
            let hash = self.hash(place);
            self.until.remove(&hash);
        }
    }

    fn hash(&self, place: &Canonical) -> [u64; 2] {
        [0, 1].map(|n| self.seeds[n].hash_one(&**place))
    }
}

impl Flights {
    /// Who sends an `Authorization` got an answer that nobody may share.
    pub(crate) fn set_apart(&self, place: &Canonical, now: u64) {
        self.table().apart.set(place, now + ALONE);
    }

    /// Whether that was so a moment ago.
    pub(crate) fn is_apart(&self, place: &Canonical, now: u64) -> bool {
        self.table().apart.holds(place, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_until_its_time_or_its_end() {
        let (mut marks, place) = (Marks::default(), Canonical::from(&b"x"[..]));
        assert!(!marks.holds(&place, 0));
        marks.set(&place, 10);
        assert!(marks.holds(&place, 9) && !marks.holds(&place, 10));
        assert!(marks.until.is_empty(), "what is over is not kept");
        marks.set(&place, 10);
        marks.clear(&place);
        assert!(!marks.holds(&place, 9));
    }

    #[test]
    fn a_mark_keeps_nothing_of_its_key() {
        let (mut marks, place) = (Marks::default(), Canonical::from(&[0; 60_000][..]));
        marks.set(&place, 10);
        assert_eq!(Canonical::strong_count(&place), 1);
    }

    fn key(n: usize) -> Canonical {
        Canonical::from(&n.to_le_bytes()[..])
    }

    #[test]
    fn a_flood_of_keys_is_forgotten() {
        let mut marks = Marks::default();
        for n in 0..=MOST {
            marks.set(&key(n), 10);
        }
        assert_eq!(marks.until.len(), 1);
    }

    #[test]
    fn what_is_over_goes_before_what_is_not() {
        let mut marks = Marks::default();
        for n in 0..MOST {
            marks.set(&key(n), if n < 10 { 20 } else { 10 });
        }
        assert!(!marks.holds(&key(MOST), 10));
        marks.set(&key(MOST), 20);
        assert_eq!(marks.until.len(), 11);
        assert!((0..10).all(|n| marks.holds(&key(n), 19)));
    }
}
