//! [`Lifetime`]: how long an entry lives.

use std::time::Duration;

use crate::clock::millis;

/// A hundred years: nothing is set, or stored, to live longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Four clocks of an entry, each counted from its creation, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// Fresh until then.
    pub(crate) fresh: u64,
    /// May be served stale until then, while it is revalidated (RFC 5861, 3).
    pub(crate) stale: u64,
    /// May be served stale until then if the handler fails (RFC 5861, 4).
    pub(crate) error: u64,
    /// May be revalidated until then; the tiers drop it afterwards.
    pub(crate) keep: u64,
}

impl Lifetime {
    /// Fresh, and then gone.
    pub(crate) fn fresh(millis: u64) -> Self {
        Self {
            fresh: millis,
            stale: millis,
            error: millis,
            keep: millis,
        }
    }

    /// The same where the time to live ended at an age already.
    pub(crate) fn ended(self, age: u64) -> Self {
        let early = self.fresh.saturating_sub(age);
        let earlier = |end: u64| end.saturating_sub(early);
        Self {
            fresh: earlier(self.fresh),
            stale: earlier(self.stale),
            error: earlier(self.error),
            keep: earlier(self.keep),
        }
    }

    /// The same, no longer than what may be stored.
    pub(crate) fn bounded(self) -> Self {
        self.at_most(millis(LONGEST))
    }

    /// The same, ended by then.
    pub(crate) fn at_most(self, millis: u64) -> Self {
        Self {
            fresh: self.fresh.min(millis),
            stale: self.stale.min(millis),
            error: self.error.min(millis),
            keep: self.keep.min(millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_keeps_its_windows() {
        let life = Lifetime {
            fresh: 10,
            stale: 20,
            error: 30,
            keep: 40,
        };
        let ended = Lifetime {
            fresh: 4,
            stale: 14,
            error: 24,
            keep: 34,
        };
        assert_eq!(life.ended(4), ended);
        assert_eq!(life.ended(15), life, "it was stale already");
    }
}
