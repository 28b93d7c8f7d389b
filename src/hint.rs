//! Which way a branch goes as a rule. A compiler lays what seldom runs out of the way of
//! what a hit runs: the less code that is, the more of it stays in the processor's caches.

/// Said where a branch is seldom taken.
#[cold]
#[inline(always)]
pub(crate) const fn seldom() {}

/// A condition that seldom holds.
#[inline(always)]
pub(crate) const fn rarely(condition: bool) -> bool {
    if condition {
        seldom();
    }
    condition
}

/// A condition that nearly always holds.
#[inline(always)]
pub(crate) const fn mostly(condition: bool) -> bool {
    if !condition {
        seldom();
    }
    condition
}
