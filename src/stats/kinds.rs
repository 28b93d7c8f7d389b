//! What is counted in slots of time.

/// What is counted in slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Hits,
    Stale,
    Revalidated,
    Coalesced,
    Misses,
    Bypasses,
    Stores,
    Removed,
    Faults,
    Cached,
    Handled,
    Saved,
    Fills,
    FillMicros,
    CostSaved,
    CostSpent,
}

pub(crate) const KINDS: usize = 16;

/// Counts of all kinds.
pub(crate) type Counted = [i64; KINDS];
