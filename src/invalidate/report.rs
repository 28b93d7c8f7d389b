//! What an invalidation did.

/// What an invalidation removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalidated {
    /// Entries removed from this process' memory.
    pub memory: u64,
    /// Entries removed from the shared store.
    pub store: u64,
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
