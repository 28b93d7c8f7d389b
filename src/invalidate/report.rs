//! What an invalidation did.

/// What an invalidation removed, made stale ([`Selector::soft`](crate::Selector::soft)),
/// or would remove ([`Selector::dry_run`](crate::Selector::dry_run)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalidated {
    /// Entries of this process' memory.
    pub memory: u64,
    /// Entries of the shared store. None of a soft one: what lies there is found stale
    /// when it is read.
    pub store: u64,
    /// Primaries of the shared store that were scanned; none where nothing had to be.
    pub primaries: u64,
    /// Other processes that have confirmed it. Those that did not answer have
    /// stopped serving what they hold, and look anew first.
    pub confirmed: u64,
}

impl Invalidated {
    /// How many entries went: those of the store, where each has its place,
    /// or of memory, where it held more.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.memory.max(self.store)
    }
}
