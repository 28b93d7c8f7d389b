//! What is believed of a key for a while.

use std::collections::HashMap;
use std::sync::Arc;

use crate::key::Canonical;

/// More keys than this are forgotten together.
const MOST: usize = 65_536;

/// Keys, and until when something is believed of them, in milliseconds.
#[derive(Default)]
pub(super) struct Marks(HashMap<Canonical, u64, ahash::RandomState>);

impl Marks {
    pub(super) fn set(&mut self, place: &Canonical, until: u64) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(Arc::clone(place), until);
    }

    pub(super) fn holds(&mut self, place: &Canonical, now: u64) -> bool {
        match self.0.get(place) {
            Some(until) if now < *until => true,
            Some(_) => {
                self.0.remove(place);
                false
            }
            None => false,
        }
    }

    pub(super) fn clear(&mut self, place: &Canonical) {
        if !self.0.is_empty() {
            self.0.remove(place);
        }
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
        assert!(marks.0.is_empty(), "what is over is not kept");
        marks.set(&place, 10);
        marks.clear(&place);
        assert!(!marks.holds(&place, 9));
    }

    #[test]
    fn a_flood_of_keys_is_forgotten() {
        let mut marks = Marks::default();
        for n in 0..=MOST {
            marks.set(&Canonical::from(&n.to_le_bytes()[..]), 10);
        }
        assert!(marks.0.len() <= MOST);
    }
}
