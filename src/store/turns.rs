//! Of two answers to one request the one that began later stays in memory,
//! whichever comes first: who has read it is not served the other.
//!
//! What is put in is compared with what lies there: by when the handler began, or
//! for what another process has filled by when its answer came, less the time
//! that took where it is known.

use std::array;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderName;

use super::memory::{Memory, Slot};
use crate::entry::Held;
use crate::generation::Generations;

/// Those who put in what answers one request take turns.
pub(super) struct Turns {
    locks: [Mutex<()>; 16],
    hasher: ahash::RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            locks: array::from_fn(|_| Mutex::default()),
            hasher: ahash::RandomState::new(),
        }
    }
}

/// The right to compare and to put in.
pub(crate) struct Turn<'a> {
    _lock: MutexGuard<'a, ()>,
}

impl Memory {
    /// One turn for all answers to a canonical request, whatever they vary on.
    pub(crate) fn turn(&self, canonical: &[u8]) -> Turn<'_> {
        let turns = &self.turns;
        let at = turns.hasher.hash_one(canonical) as usize % turns.locks.len();
        let lock = turns.locks[at].lock();
        Turn {
            _lock: lock.unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Whether what lies at a place, and is valid, began after `began`.
    pub(crate) fn is_later(&self, place: &[u8], began: i64, generations: &Generations) -> bool {
        let later = |held: &Held| held.began > began && held.valid(generations);
        matches!(self.peek(place), Some(Slot::Entry(held)) if later(&held))
    }

    /// The same for an answer to `canonical` that varies on `names`: none that began
    /// later is to be put out of reach.
    pub(crate) fn leads_later(
        &self,
        (canonical, names): (&[u8], &[HeaderName]),
        began: i64,
        generations: &Generations,
    ) -> bool {
        match self.peek(canonical) {
            Some(Slot::Vary(known, _)) => *known.names != *names && known.latest() > began,
            _ => self.is_later(canonical, began, generations),
        }
    }
}
