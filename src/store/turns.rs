//! Of two answers to one request the one that began later stays in memory,
//! whichever comes first: who has read it is not served the other.
//!
//! What is put in is compared with what lies there: by when the handler began, or
//! for what another process has filled by when its answer came, less the time
//! that took where it is known.

use std::array;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

impl Turns {
    /// One for all answers to a canonical request, whatever they vary on.
    pub(super) fn of(&self, canonical: &[u8]) -> Turn<'_> {
        let at = self.hasher.hash_one(canonical) as usize % self.locks.len();
        let lock = self.locks[at].lock();
        Turn {
            _lock: lock.unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// The right to compare and to put in.
pub(crate) struct Turn<'a> {
    _lock: MutexGuard<'a, ()>,
}
