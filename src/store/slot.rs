//! [`Slot`]: what lies in memory under a canonical request.

use std::sync::Arc;

use super::variants::{Variants, Weighed};
use crate::entry::Held;
use crate::hint::seldom;

/// A keyed hash of a canonical request. What lies there may be another's: it
/// says itself whose it is, and of two whose hashes are the same one goes.
pub(super) type Place = u64;

/// What lies under a canonical request.
#[derive(Clone)]
pub(crate) enum Slot {
    Entry(Arc<Held>),
    /// Answers vary on these fields; each lies under a longer request.
    Vary(Arc<Variants>, Weighed),
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
