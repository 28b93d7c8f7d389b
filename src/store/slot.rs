//! [`Slot`]: what lies in memory under a canonical request.

use std::sync::Arc;

use super::variants::{Variants, Weighed};
use crate::entry::Held;
use crate::hint::seldom;

/// A keyed hash of a canonical request. What lies there may be another's: it
/// says itself whose it is, and of two whose hashes are the same one goes.
pub(super) type Place = u64;

/// What lies under a canonical request.
pub(crate) enum Slot {
    Entry(Arc<Held>),
    /// Answers vary on these fields; each lies under a longer request.
    Vary(Arc<Variants>, Weighed),
}

impl Clone for Slot {
    /// The references to an entry are counted where it lies, and that waits for what is read
    /// before: so it is touched first.
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Self::Entry(held) => {
                held.touch();
                Self::Entry(Arc::clone(held))
            }
            Self::Vary(variants, weighed) => Self::Vary(Arc::clone(variants), *weighed),
        }
    }
}

impl Slot {
    #[inline]
    pub(super) fn is_of(&self, canonical: &[u8]) -> bool {
        match self {
            Self::Entry(held) => held.is_of(canonical),
            Self::Vary(variants, _) => {
                seldom();
                *variants.of == *canonical
            }
        }
    }
}
