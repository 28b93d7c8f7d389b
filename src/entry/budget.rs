//! How many bytes may be in flight: recorded, and not yet an entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bound on what all recordings hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    most: u64,
}

impl Budget {
    pub(crate) fn new(most: u64) -> Arc<Self> {
        let used = AtomicU64::new(0);
        Arc::new(Self { used, most })
    }

    /// Bytes in flight.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Whether more than half would be in flight with so many more.
    pub(crate) fn is_scarce(&self, more: u64) -> bool {
        self.used().saturating_add(more) > self.most / 2
    }

    /// Whether so many ever have room.
    pub(crate) fn may_hold(&self, bytes: u64) -> bool {
        bytes <= self.most
    }

    /// Takes so many more, if they are there.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let more = |used: u64| used.checked_add(bytes).filter(|all| *all <= self.most);
        let (set, get) = (Ordering::AcqRel, Ordering::Acquire);
        self.used.fetch_update(set, get, more).is_ok()
    }

    pub(super) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Bytes that were taken, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Room {
    /// So many bytes, if they are there; of more than all there are, all.
    pub(crate) fn of(budget: &Arc<Budget>, bytes: u64) -> Option<Self> {
        let bytes = bytes.min(budget.most);
        let budget = budget.take(bytes).then(|| Arc::clone(budget))?;
        Some(Self { budget, bytes })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_is_there() {
        let budget = Budget::new(10);
        assert!(budget.take(6) && !budget.take(5) && budget.take(4));
        assert!(!budget.take(u64::MAX));
        budget.give(6);
        assert_eq!(budget.used(), 4);
    }

    #[test]
    fn the_largest_has_room_where_it_is_alone() {
        let budget = Budget::new(10);
        let room = Room::of(&budget, 12).unwrap();
        assert_eq!(budget.used(), 10);
        assert!(Room::of(&budget, 1).is_none());
        drop(room);
        let _one = Room::of(&budget, 1).unwrap();
        assert!(Room::of(&budget, 12).is_none() && Room::of(&budget, 9).is_some());
    }
}
